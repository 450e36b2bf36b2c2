"""The API as nobody meant it: schemathesis, by the OpenAPI document, against a daemon on the real kernel."""
