"""NAT: what the interfaces file asks for, by options or by iptables commands, as a model → rules."""
