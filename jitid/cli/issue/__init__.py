"""Verbs that issue, renew, approve and run."""
