"""What the page and `status` show, gathered from the records."""
