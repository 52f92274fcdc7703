"""Epochs of audit chains: all chains are closed and new ones opened when a ledger is copied or changes its issuer."""

from __future__ import annotations

from typing import Any

from jitid.model.chain import Chain, following


def open_epoch(
    db: Any, ledger: str, chains: list[Chain], count: int, now: int, *, counted: bool
) -> list[Chain]:
    """Close all chains and open those of the next epoch; return all chains of the ledger.

    Args:
        db: the connection, in a transaction that holds all chains.
        ledger: the UUID of the ledger.
        chains: the current chains.
        count: the number of new chains: that many writers need not wait for each other.
        now: seconds since the epoch.
        counted: whether the rows of open chains store the length; otherwise it follows from the events.

    """
    closed = [chain._replace(closed=True) for chain in chains]
    for current, chain in zip(chains, closed, strict=True):
        if not current.closed:
            db.execute(
                "UPDATE chain SET length = :length, hash = :hash, closed_at = :now WHERE id = :id",
                {"length": chain.length, "hash": chain.hash, "now": now, "id": chain.id},
            )
    new_chains = following(closed, ledger, count)
    for chain in new_chains:
        db.execute(
            """INSERT INTO chain (id, epoch, start, stride, length, hash)
               VALUES (:id, :epoch, :start, :stride, :length, :hash)""",
            {
                "id": chain.id,
                "epoch": chain.epoch,
                "start": chain.start,
                "stride": chain.stride,
                "length": 0 if counted else None,
                "hash": chain.hash if counted else None,
            },
        )
    return closed + new_chains
