"""Lists of delegators as other systems write them."""
