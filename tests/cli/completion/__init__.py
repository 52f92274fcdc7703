"""Tests of completion: candidates from the ledger, the scripts in the real shells, and their installation."""
