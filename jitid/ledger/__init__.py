"""The ledger: issued credentials with holder, purpose and outcome, and the audit log; it never stores a secret."""
