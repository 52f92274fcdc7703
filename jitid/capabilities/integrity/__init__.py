"""Check the ledger against its audit log; export, cut and prune it."""
