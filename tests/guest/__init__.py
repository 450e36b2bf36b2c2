"""A guest that boots in two seconds under emulation, and does what its serial line tells it."""
