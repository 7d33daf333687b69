"""Reading a declaration, foretelling what it will do, and putting an edited one in force."""
