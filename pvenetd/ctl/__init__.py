"""pvenetctl: argv to one request, and the answer to text."""
