"""Verifiers of other projects, with good tokens and with tokens that an attacker makes of them."""
