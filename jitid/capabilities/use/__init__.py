"""Authorize an action with a credential, and record its use."""
