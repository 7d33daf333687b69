"""Composition: wires the planes into processes and runs them."""
