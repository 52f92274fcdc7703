"""Rules by which scanners for secrets find tokens of ours; one scanner a file."""
