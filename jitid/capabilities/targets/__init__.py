"""Targets: external places that make credentials, where credentials must also be ended."""
