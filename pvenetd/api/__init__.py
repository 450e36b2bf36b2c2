"""Requests in: the HTTP API."""
