"""Targets: places outside that make credentials; ended there, too."""
