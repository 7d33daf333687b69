"""Performance on mature labels; alerts."""
