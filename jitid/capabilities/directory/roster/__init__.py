"""Lists of delegators as other systems write them, read into what they state; no clock, no files, no ledger."""
