"""`audit verify` sees what was changed behind a ledger's back, whatever keeps it, also after a pruning (promise 21)."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitid import auditing
from jitid.authority.operations import Prune
from jitid.errors import IntegrityError
from jitid.ledger.writing import SqlTransaction
from tests.builders import DAY, Database, World, in_postgres
from tests.eventful import live_through_everything

_TASK = "INSERT INTO task (name, opener, sensitivity, deadline, opened_at, event, given_event)"
_ADOPTED = "(SELECT max(id) FROM credential WHERE kind = 'adopted')"
_SECOND = """(SELECT min(c.id) + 1 FROM credential c
               WHERE (SELECT count(*) FROM credential o WHERE o.event = c.event) > 1)"""

CHANGES = (
    # Names of registered agents for those that have none.
    "INSERT INTO setting VALUES ('agents_until', '9999')",
    "INSERT INTO setting VALUES ('anything', 'x')",
    # Another task to end a standing secret with.
    f"UPDATE identity SET task = (SELECT min(task) FROM credential) WHERE id = {_ADOPTED}",
    f"{_TASK} SELECT 'T99', opener, 'low', deadline, opened_at, event, 0 FROM task WHERE name = 'T1'",
    # What targets and verifiers accept, and until when.
    "UPDATE outside SET settlement = 'unsupported' WHERE settlement = 'done'",
    # One of several that one event issued.
    f"UPDATE credential SET scopes = 'a:b' WHERE id = {_SECOND}",
    f"UPDATE identity SET depth = 1 WHERE id = (SELECT identity FROM credential WHERE id = {_SECOND})",
    f"""UPDATE identity SET agent = (SELECT max(agent) FROM identity)
         WHERE id = (SELECT identity FROM credential WHERE id = {_SECOND})""",
    "UPDATE status SET place = place + 100",
    "UPDATE identity SET sensitivity = 'critical' WHERE id = (SELECT min(id) FROM identity)",
    "UPDATE task SET deadline = deadline + 5 WHERE name = 'T1'",
    # Marks against repetition.
    "UPDATE idempotency SET first = x'00000000000000000000000000000000'",
    "UPDATE idempotency SET last = x'00000000000000000000000000000000' WHERE sort = 'access'",
    "UPDATE idempotency SET digest = x'00'",
    "DELETE FROM assertion",
    "DELETE FROM presented",
)


@pytest.mark.parametrize("pruned", [False, True])
def test_a_change_behind_its_back_is_seen(tmp_path: Path, kept_in: str, *, pruned: bool) -> None:
    with World(tmp_path / "ledger", publish_url="https://tokens.example") as world:
        if pruned:
            world.issue(task="OLD", ttl=60)
            world.clock.now += 60 * DAY
            world.issue(task="NEXT", accept_clock=True)
        live_through_everything(world)
        if kept_in == "database":
            # Its clock is nobody's to accept: nothing tells it that this one went back.
            world.clock.now += 3 * DAY
        if pruned:
            assert world.authority.perform(Prune(rows_after=30 * DAY)).rows["credentials"] == 1
        world.check()
        unseen = [change for change in CHANGES if not _sees(world, change)]
        world.check()
    assert not unseen, "\n".join(unseen)


class _UnseenError(Exception):
    """Nothing is found: the change is undone."""


def _sees(world: World, change: str) -> bool:
    try:
        with world.ledger.write() as transaction:
            assert isinstance(transaction, SqlTransaction)
            statement = change if Database.server is None else in_postgres(change)
            assert transaction._db.execute(statement).rowcount > 0, change
            auditing.verify(transaction, transaction.names, None)
            raise _UnseenError
    except IntegrityError:
        return True
    except _UnseenError:
        return False
