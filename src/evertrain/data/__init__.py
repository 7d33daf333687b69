"""Ingest, check, version; features offline and online."""
