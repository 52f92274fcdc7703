"""The policies that jitid ships, as the files beside this module."""

from __future__ import annotations

DEFAULT_NAME = "default.cedar"
SCHEMA_NAME = "jitid.cedarschema"
USE_NAME = "use.cedarschema"
"""The file beside policies that declares the facts that enforcement points state about a use."""

_NO_USE = "type Use = {};"


def default_files() -> tuple[tuple[str, str], ...]:
    """Return the (file name, text) pairs of the default policy, as `Policy` takes them."""
    return ((DEFAULT_NAME, _read(DEFAULT_NAME)),)


def example_files(*, with_default: bool = False) -> tuple[tuple[str, str], ...]:
    """Return the (file name, text) pairs of an example: a policy, its cases, and the declared facts of uses.

    `with_default` adds the default policy and its cases.
    """
    names = ("release.cedar", "release.test.toml", USE_NAME)
    files = tuple((name, _read(f"example/{name}")) for name in names)
    cases = "default.test.toml"
    return (*files, (cases, _read(f"example/{cases}")), *default_files()) if with_default else files


def schema(use: str | None = None) -> str:
    """Return the Cedar schema for the validation of a policy; `use` is text that replaces its `type Use`."""
    shipped = _read(SCHEMA_NAME)
    return shipped if use is None else f"{shipped.replace(_NO_USE, '')}\n{use}"


def _read(name: str) -> str:
    # pathlib and importlib.resources cost milliseconds, and the first issue runs this code.
    folder = __file__.rpartition("/")[0]
    with open(f"{folder}/{name}", encoding="utf-8", newline="") as file:
        return file.read()
