"""`/etc/network/interfaces` as text: what is written where, not what it means."""
