"""Requests in: a table of routes, and the HTTP server around it."""
