"""How operations, answers and errors travel as JSON: what a field may hold, and the shape of each type."""
