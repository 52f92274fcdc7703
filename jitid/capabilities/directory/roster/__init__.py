"""Parsers for lists of delegators from other systems; they read no clock, no files and no ledger."""
