"""Verbs on delegators, agents and access."""
