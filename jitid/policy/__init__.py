"""Policy decisions: whether a request is permitted, for how long, and by which rule."""
