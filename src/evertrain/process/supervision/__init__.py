"""The supervisor: starts the processes, watches them, brings them back, and ends them."""
