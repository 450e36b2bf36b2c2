"""pvenetctl: argv → one request to the daemon → text."""
