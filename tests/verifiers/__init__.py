"""Verifiers of other projects: what they accept of jitid's tokens and of tokens that an attacker makes of them."""
