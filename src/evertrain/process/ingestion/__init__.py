"""The data process: takes files in, seals the log, and joins labels."""
