"""The report on identity sprawl, and its formats."""
