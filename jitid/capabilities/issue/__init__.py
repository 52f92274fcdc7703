"""Issue, renew and attach credentials; approvals."""
