"""Parse a command, call one function, print."""
