"""The ledger checked against its audit log, exported, cut and pruned."""
