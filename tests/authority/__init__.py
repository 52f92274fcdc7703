"""Tests of the authority: permissions, delegation, and service for callers."""
