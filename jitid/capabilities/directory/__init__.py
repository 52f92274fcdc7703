"""Delegators and agents: who may delegate, and within which limits."""
