"""The authority: operations as values, and who performs them."""
