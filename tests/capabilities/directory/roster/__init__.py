"""Lists of delegators in the formats of other systems."""
