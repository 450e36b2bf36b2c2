"""Proxmox's firewall files, compiled to one typed `Ruleset`, and that to what a backend loads."""
