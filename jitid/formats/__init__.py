"""What a verb has to say, as a table, lines, JSON or CSV; one format a file."""
