"""A delegator in the directory: the limits of its delegations, and its names."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import NamedTuple


class Delegator(NamedTuple):
    """A person or service that may delegate. Times are seconds since the epoch."""

    key: int
    """The ledger's number for the delegator; 0 before it is recorded."""
    name: str
    """With its kind: `user:alice`, `system:ci`."""
    sensitivity: str
    """The highest sensitivity of a task that the delegator may issue for."""
    entitlements: tuple[str, ...] | None
    """The scopes that cover all scopes which the delegator may hand out; None leaves that to the policy alone."""
    groups: tuple[str, ...]
    """Sorted."""
    manager: str | None
    """With its kind, like `name`."""
    aliases: tuple[str, ...]
    """Sorted: further names with their kind, and subjects of ID tokens as `ISS SUB`."""
    imported: bool
    """Whether an import added the delegator: then a full import without it disables it."""
    added_at: int
    disabled_at: int | None
    external: str | None = None
    """The id at its source, such as the `id` of a SCIM resource; it identifies the delegator after a change of name."""
    disabled_last: int | None = None
    """When the delegator was last disabled, even if enabled again: older proofs are no longer accepted."""
