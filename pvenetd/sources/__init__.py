"""Events in: what wakes the daemon."""
