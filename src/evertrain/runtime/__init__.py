"""Load and call a model artifact: one protocol, one contract suite."""
