"""A hypervisor in network namespaces of its own, the world outside it, and guests: for `make run` and the tests."""
