"""Serve, route, swap."""
