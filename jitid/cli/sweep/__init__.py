"""Verbs that sweep, report and schedule sweeps."""
