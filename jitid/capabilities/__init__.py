"""The capabilities of jitid, a folder each: operations, the code that performs them, and their SQL."""
