"""What an operation is, and how it and its answer travel."""
