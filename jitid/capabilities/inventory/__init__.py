"""What there is: credentials and tasks, listed and shown; tasks shared, given and retired."""
