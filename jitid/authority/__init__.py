"""The authority: operations as values, and the code that performs them."""
