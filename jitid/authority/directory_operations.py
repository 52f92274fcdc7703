"""The operations on the directory, of delegators and of agents."""

from __future__ import annotations

from jitid.authority.delegator_operations import (
    AddDelegator,
    AnyDelegatorOperation,
    ChangeDelegator,
    DisableDelegator,
    EnableDelegator,
    ImportDelegators,
    ListDelegators,
    ShowDelegator,
)

__all__ = [
    "AddDelegator",
    "AnyDelegatorOperation",
    "ChangeDelegator",
    "DisableDelegator",
    "EnableDelegator",
    "ImportDelegators",
    "ListDelegators",
    "ShowDelegator",
]
