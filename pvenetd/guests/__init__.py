"""Guests: what their configuration says of their NICs, and the ports that makes."""
