"""What scanners for secrets report: which string they found, and where; one format a file."""
