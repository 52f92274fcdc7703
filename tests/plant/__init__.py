"""Planted defects: small wrong changes to copies of jitid, each of which the tests must find.

Each `.toml` file of this folder lists some. `python -m tests.plant` plants them singly and reports the surviving ones.
"""
