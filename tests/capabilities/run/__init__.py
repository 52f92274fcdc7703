"""Tests of `run`, with real processes and real signals."""
