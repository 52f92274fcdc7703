"""Backups of a ledger, their restore, and the copy of a ledger to another place."""
