"""Events and signed heads of the audit log, and the rows of cut segments. `integrity` cuts, exports and verifies."""
