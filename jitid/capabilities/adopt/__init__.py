"""Standing secrets that exist already: recorded, changed, ended, replaced."""
