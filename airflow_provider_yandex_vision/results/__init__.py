"""Results in SQL tables, which also remember what has been searched."""
