"""Tests of scanning: files of all kinds, and the strings in them."""
