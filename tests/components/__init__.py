"""The real components of others are what the tests take them for."""
