"""The JSON form of operations, answers and errors: the schema of each type and the limits of each field."""
