"""One module a family of kinds; each has ``ROWS``, a row an option."""
