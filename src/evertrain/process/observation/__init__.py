"""Watching predictions that another server makes."""
