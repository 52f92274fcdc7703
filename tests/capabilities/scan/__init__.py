"""Scanning: files of every sort, and what stands in them."""
