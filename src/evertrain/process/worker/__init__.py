"""The processes that answer requests: workers, and candidates on trial."""
