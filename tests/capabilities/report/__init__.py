"""Tests of the report: its measurements, its formats, and its page in a real browser."""
