"""Edits of the interfaces: the API's keys and values → changes of the files' text."""
