"""Performs the operations on the audit log."""

from __future__ import annotations
