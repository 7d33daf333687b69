"""Pure rules: values, transition tables, decisions. No clock, file, socket, thread or randomness."""
