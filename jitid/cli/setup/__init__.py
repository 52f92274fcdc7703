"""Verbs that configure jitid, serve it and connect it to shells and agents."""
