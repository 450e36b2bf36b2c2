"""Who asks over the network: users, tickets, tokens, and how often they may be wrong; no I/O, and no clock."""
