"""The only owner of SQL, bytes, tables and logs."""
