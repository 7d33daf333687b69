"""Access and self-audit."""
