"""Verbs that trace, scan, report leaks and adopt standing secrets."""
