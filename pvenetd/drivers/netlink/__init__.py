"""The kernel over rtnetlink(7): links, addresses, routes."""
