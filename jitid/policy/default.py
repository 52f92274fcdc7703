"""The policy that jitid ships, as the files beside this module."""

from __future__ import annotations

DEFAULT_NAME = "default.cedar"
SCHEMA_NAME = "jitid.cedarschema"


def default_files() -> tuple[tuple[str, str], ...]:
    """Return the (file name, text) pairs of the default policy, as `Policy` takes them."""
    return ((DEFAULT_NAME, _read(DEFAULT_NAME)),)


def schema() -> str:
    """Return the Cedar schema that a policy can be validated against."""
    return _read(SCHEMA_NAME)


def _read(name: str) -> str:
    # pathlib and importlib.resources cost milliseconds, and this is on the way of the first issue.
    folder = __file__.rpartition("/")[0]
    with open(f"{folder}/{name}", encoding="utf-8", newline="") as file:
        return file.read()
