"""Tests of the handwritten man pages: their statements are true for the code."""
