"""A delegator as the directory has them: what they may hand out at most, and under which names they are known."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import NamedTuple


class Delegator(NamedTuple):
    """Somebody who may delegate. Times are seconds since the epoch."""

    key: int
    """The ledger's own number; 0 for one that is not recorded yet."""
    name: str
    """With its kind: `user:alice`, `system:ci`."""
    sensitivity: str
    """The highest sensitivity of a task that they may hand out."""
    entitlements: tuple[str, ...] | None
    """The scopes that cover whatever they may hand out; None leaves that to the policy alone."""
    groups: tuple[str, ...]
    """Sorted."""
    manager: str | None
    """With its kind, as `name`."""
    aliases: tuple[str, ...]
    """Sorted: other names of theirs, with their kind, and subjects of ID tokens as `ISS SUB`."""
    imported: bool
    """Whether they came with an import, so that a full one that lacks them disables them."""
    added_at: int
    disabled_at: int | None
    external: str | None = None
    """What their source calls them, as the `id` of a SCIM resource: by it they are known again under another name."""
    disabled_last: int | None = None
    """When they were last disabled, also after they were enabled again: proof from before counts no more."""
