"""`audit verify` detects changes that bypass jitid, in a file and in a database, also after a prune (promise 21)."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitid.capabilities.integrity import verify_log
from jitid.capabilities.integrity.operations import Prune
from jitid.errors import IntegrityError
from jitid.ledger.transaction import Transaction
from tests.builders import DAY, Database, World, in_postgres
from tests.eventful import live_through_everything

_TASK = "INSERT INTO task (name, opener, sensitivity, deadline, opened_at, event, given_event)"
_ENDED = "(SELECT min(id) FROM credential WHERE ended_at IS NOT NULL AND kind = 'jwt' AND recurring IS NULL)"
_ADOPTED = "(SELECT max(id) FROM credential WHERE kind = 'adopted')"
_SECOND = """(SELECT min(c.id) + 1 FROM credential c
               WHERE (SELECT count(*) FROM credential o WHERE o.event = c.event) > 1)"""

CHANGES = (
    # Names of registered agents, for credentials whose agent is not registered.
    "INSERT INTO setting VALUES ('agents_until', '9999')",
    "INSERT INTO setting VALUES ('anything', 'x')",
    f"UPDATE credential SET recurring = (SELECT min(id) FROM agent) WHERE id = {_ENDED}",
    "UPDATE credential SET recurring = NULL WHERE recurring IS NOT NULL AND ended_at IS NOT NULL",
    # Another owner for a standing secret, or another task whose end would end it.
    f"""UPDATE credential SET delegator = (SELECT max(delegator) FROM credential WHERE kind <> 'adopted')
         WHERE id = {_ADOPTED}""",
    f"UPDATE credential SET task = (SELECT min(id) FROM task) WHERE id = {_ADOPTED}",
    f"UPDATE identity SET task = (SELECT min(task) FROM credential) WHERE id = {_ADOPTED}",
    f"UPDATE credential SET template = 'x/y' WHERE id = {_ADOPTED}",
    # Tasks that no event opened.
    f"{_TASK} SELECT 'T99', opener, 'low', deadline, opened_at, 0, NULL FROM task WHERE name = 'T1'",
    f"{_TASK} SELECT 'T99', opener, 'low', deadline, opened_at, 0, 0 FROM task WHERE name = 'T1'",
    f"{_TASK} SELECT 'T99', opener, 'low', deadline, opened_at, -1, 0 FROM task WHERE name = 'T1'",
    f"{_TASK} SELECT 'T99', opener, 'low', deadline, opened_at, event, 0 FROM task WHERE name = 'T1'",
    "INSERT INTO delegator_group SELECT max(id) + 1, 'security' FROM delegator",
    f"""INSERT INTO term (id, text) VALUES (0, '?');
        {_TASK} SELECT 'T99', 0, 'low', deadline, opened_at, 0, 0 FROM task WHERE name = 'T1'""",
    f"{_TASK} SELECT 'T99', 9999, 'low', deadline, opened_at, event, NULL FROM task WHERE name = 'T1'",
    f"""{_TASK} SELECT 'T99', opener, 'low', deadline, opened_at, event, given_event FROM task
         WHERE given_event > 0""",
    f"{_TASK} SELECT 'T99', opener, 'low', deadline, opened_at, 2, 0 FROM task WHERE name = 'T1'",
    "INSERT INTO approval_group (approval, name) SELECT max(id) + 1, 'security' FROM approval",
    # Facts about acceptance by targets and verifiers, and the end of that acceptance.
    "UPDATE outside SET settled_at = settled_at - 5 WHERE settled_at IS NOT NULL",
    "UPDATE outside SET honoured_until = 5 WHERE settled_at IS NOT NULL",
    "UPDATE outside SET proof = 'x' WHERE settled_at IS NOT NULL",
    "UPDATE outside SET next_at = 1099511627776 WHERE settled_at IS NULL",
    "UPDATE outside SET tried_at = 1099511627776, next_at = 1099511627776 WHERE settled_at IS NULL",
    "UPDATE outside SET settlement = 'unsupported' WHERE settlement = 'done'",
    "UPDATE honoured SET expires_at = expires_at - 5",
    "UPDATE honoured SET credentials = credentials + 1",
    "DELETE FROM honoured",
    # One of several credentials that one event issued.
    f"UPDATE credential SET scopes = 'a:b' WHERE id = {_SECOND}",
    f"UPDATE identity SET depth = 1 WHERE id = (SELECT identity FROM credential WHERE id = {_SECOND})",
    f"""UPDATE identity SET agent = (SELECT max(agent) FROM identity)
         WHERE id = (SELECT identity FROM credential WHERE id = {_SECOND})""",
    "UPDATE status SET place = place + 100",
    "UPDATE identity SET sensitivity = 'critical' WHERE id = (SELECT min(id) FROM identity)",
    "UPDATE task SET deadline = deadline + 5 WHERE name = 'T1'",
    # Records that prevent repeated requests, and repeated use of a token.
    "UPDATE idempotency SET first = x'00000000000000000000000000000000'",
    "UPDATE idempotency SET last = x'00000000000000000000000000000000' WHERE sort = 'access'",
    "UPDATE idempotency SET digest = x'00'",
    "DELETE FROM assertion",
    "DELETE FROM presented",
)


@pytest.mark.deep
@pytest.mark.parametrize("pruned", [False, True])
def test_a_change_behind_its_back_is_seen(tmp_path: Path, kept_in: str, *, pruned: bool) -> None:
    with World(tmp_path / "ledger", publish_url="https://tokens.example") as world:
        if pruned:
            world.issue(task="OLD", ttl=60)
            world.clock.now += 60 * DAY
            world.issue(task="NEXT", accept_clock=True)
        live_through_everything(world)
        if kept_in == "database":
            # A database uses its own clock, which the test cannot set back, so `accept_clock` is not needed there.
            world.clock.now += 3 * DAY
        if pruned:
            assert world.authority.perform(Prune(rows_after=30 * DAY)).rows["credentials"] == 1
        world.check()
        unseen = [change for change in CHANGES if not _sees(world, change)]
        world.check()
    assert not unseen, "\n".join(unseen)


class _UnseenError(Exception):
    """No check found the change; the change is undone."""


def _sees(world: World, change: str) -> bool:
    try:
        with world.ledger.write() as transaction:
            assert isinstance(transaction, Transaction)
            for statement in change.split(";"):
                told = statement.strip() if Database.server is None else in_postgres(statement.strip())
                assert transaction.db.execute(told).rowcount > 0, change
            verify_log.verify(transaction, transaction.names, None)
            raise _UnseenError
    except IntegrityError:
        return True
    except _UnseenError:
        return False
