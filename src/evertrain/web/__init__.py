"""The control API and the page."""
