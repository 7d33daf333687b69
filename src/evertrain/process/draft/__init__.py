"""Looking at a table, and drafting a declaration for it."""
