"""Two cases of each rule: a case to report, and the nearest case that it must not report. A new rule needs a row."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess
from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.targets.settle import MINTING
from jitid.errors import PolicyDeniedError
from jitid.ledger.signing_keys import KeyStore
from jitid.model.credential import LEEWAY
from jitid.model.process import Process
from jitid.model.request import RenewRequest
from jitid.policy.default import default_files
from jitid.system.processes import this_process
from jitid.values.ids import parse_id
from jitid.values.secret import Secret
from tests.builders import DAY, NOW, Row, World, edit, policed, put
from tests.programs import Shop


class Case(NamedTuple):
    """The two cases of a rule."""

    reported: Callable[[World], str]
    """Function that makes a case for the rule to report, and returns the finding's subject."""
    spared: Callable[[World], object]
    """Function that makes the nearest case that the rule does not report."""
    live: int
    """The number of credentials in the finding."""
    edited: bool = False
    """Whether the case needs an edit of the database, so that `audit verify` may object too."""


def puts(world: World, count: int = 1, **fields: object) -> list[Row]:
    with world.ledger.write() as transaction:
        return [put(transaction, **fields) for _ in range(count)]  # type: ignore[arg-type]


def _overdue(world: World) -> str:
    world.issue(task="T1")
    edit(world.path, f"UPDATE task SET deadline = {NOW - 60} WHERE name = 'T1'")
    return "user:alice/T1"


def _over(world: World) -> None:
    world.issue(task="T1")
    world.retire("T1")
    world.issue(task="T2")


def _renewed(world: World, ttl: int) -> str:
    parent = world.issue(kind="opaque")
    world.issue(parent=parent.token, agent="coder")
    world.authority.perform(Renew(request=RenewRequest(Secret.single(parent.token), ttl=ttl)))
    world.clock.now += 60
    return parent.id


def _renewed_before_lines(world: World) -> str:
    """Return a parent as before version 8 of the schema: no identity that rests on it names it."""
    parent = _renewed(world, 40)
    edit(world.path, "UPDATE credential SET line = NULL", "UPDATE identity SET source = NULL")
    return parent


def _access(world: World, ttl: int, *roles: str) -> str:
    wanted = AccessRequest("user:alice", roles, ttl, all_audiences=True)
    return world.authority.perform(GrantAccess(wanted=wanted)).access.id


def _bound(world: World, process: Process) -> str:
    return world.issue(process=process).id


def _gone(*, kept: bool = False) -> Process:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    return this_process(kept=kept)._replace(pid=ended.pid)


def _pending(world: World, age: int) -> str:
    (row,) = puts(world, pending=True)
    world.clock.now += age
    return row.id


def _leaked(world: World) -> str:
    made = world.issue()
    leak(world, made.jti)
    return made.jti


def _renewed_twice(world: World, *, ended: bool = False) -> str:
    made = world.issue(kind="opaque")
    for _ in range(2):
        with contextlib.suppress(PolicyDeniedError):
            world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token))))
    if ended:
        world.revoke(made.id)
    return made.jti


def _renewed_once(world: World) -> None:
    _renewed_twice(world, ended=True)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(world.issue(kind="opaque").token))))


def _not_leaked_any_more(world: World) -> None:
    ended, closed = world.issue(), world.issue()
    leak(world, ended.jti)
    leak(world, closed.jti, closed=True)
    world.revoke(ended.jti)


def leak(world: World, jti: str, *, at: int = NOW, closed: bool = False) -> None:
    """Record that a credential has leaked."""
    edit(
        world.path,
        f"""INSERT INTO leak (credential, source, reported_at, added_at, event, closed_at)
            SELECT id, 'a log', {at}, {at}, 1, {at if closed else "NULL"} FROM credential
             WHERE jti = x'{parse_id(jti)[1].hex()}'""",
    )


def _revoked(world: World) -> str:
    return f"event {world.revoke(world.issue().id).event}"


def _revoked_opaque(world: World) -> None:
    world.revoke(world.issue(kind="opaque").id)
    world.revoke(world.issue(ttl=60).id)
    world.clock.now += 60 + LEEWAY


def _exchanged(world: World, audience: str) -> str:
    world.revoke(world.issue(audiences=(audience,)).id)
    return audience


def _exchanged_before(world: World) -> None:
    world.issue(audiences=("https://api.anthropic.com",), ttl=60)
    world.clock.now += 60 + LEEWAY + 3_600
    _exchanged(world, "https://api.example")
    world.issue(audiences=("https://api.anthropic.com",))


def _expired(world: World) -> str:
    world.issue(ttl=60)
    world.clock.now += 60
    return "ledger"


def _expired_and_recorded(world: World) -> None:
    _expired(world)
    world.issue()


def _standing(world: World) -> str:
    return puts(world, ttl=3_601)[0].jti


def _duplicates(world: World, count: int) -> str:
    puts(world, count, agent="crawler", scopes="web:read")
    puts(world, 5, agent="crawler", scopes="web:write")
    return "crawler on user:alice/T1: web:read"


def _crowd(world: World, count: int) -> str:
    puts(world, count, delegator="system:ci")
    return "system:ci"


def _stated(world: World) -> str:
    puts(world, sensitivity="high", delegator="user:bob")
    # Proved and less sensitive credentials of the same delegator do not count.
    puts(world, sensitivity="high", delegator="user:bob", proof="oidc")
    puts(world, 3, sensitivity="moderate", delegator="user:bob")
    return "user:bob (high)"


def _overdue_key(world: World) -> str:
    edit(world.path, f"UPDATE signing_key SET created_at = {NOW - 90 * DAY - 1}")
    with world.ledger.read() as snapshot:
        return KeyStore(snapshot).signing_keys()[0].kid


def _retired_key(world: World) -> None:
    from jitid.capabilities.trust.operations import RotateKey

    _overdue_key(world)
    world.authority.perform(RotateKey(algorithm="EdDSA"))


def _broken(world: World) -> str:
    world.issue()
    edit(world.path, "UPDATE audit_event SET body = replace(body, 'planner', 'plotter')")
    return "ledger"


def _late(world: World, seconds: int) -> str:
    world.issue()
    world.clock.now -= seconds
    return "ledger"


def _disabled(world: World) -> str:
    world.issue(delegator="user:bob")
    world.know("user:bob", disabled_at=NOW - 60)
    return "user:bob"


def _disabled_with_nothing_alive(world: World) -> None:
    world.revoke(world.issue(delegator="user:bob").id)
    world.know("user:bob", disabled_at=NOW - 60)
    world.issue(delegator="user:stranger")


def _ownerless(world: World) -> str:
    world.know("user:bob", disabled_at=NOW - 60)
    world.issue(agent="nightly")
    world.register("nightly", owner="user:bob")
    return "nightly"


def _owned(world: World) -> None:
    world.know("user:bob", aliases=("user:robert",))
    world.register("nightly", owner="user:robert")
    world.register("over", owner="user:nobody", unregistered_at=NOW)


def _unreviewed(world: World, late: int) -> str:
    world.issue(agent="nightly")
    world.register("nightly", review_at=NOW + 60)
    world.clock.now += 60 + late
    return "nightly"


def _privileged(world: World, *entitlements: str) -> str:
    world.know("user:alice", entitlements=entitlements)
    world.issue(agent="nightly")
    world.register("nightly", scopes=("deploy:web", "repo:acme:read"))
    # A delegator without stated entitlements may grant each scope that the policy permits.
    world.know("user:bob")
    world.register("weekly", owner="user:bob", scopes=("deploy:*",))
    return "nightly"


def use(world: World, jti: str, scope: str, *, allowed: bool = True) -> None:
    """Record that a credential was used, or that its use was denied, at the current time."""
    key = f"(SELECT id FROM credential WHERE jti = x'{parse_id(jti)[1].hex()}')"
    now = world.clock.now
    edit(
        world.path,
        f"""INSERT INTO action (at, credential, action, resource, scope, allowed, reason, event)
            SELECT {now}, {key}, 1, 'r', '{scope}', {int(allowed)}, '', 1""",
        *[
            f"""INSERT INTO used (identity, scope, first_at, last_at, uses)
                SELECT identity, '{scope}', {now}, {now}, 1 FROM credential WHERE id = {key}
                ON CONFLICT (identity, scope) DO UPDATE SET last_at = excluded.last_at, uses = used.uses + 1"""
        ]
        * allowed,
    )


def _unused(world: World) -> str:
    idle, busy = (world.issue(task=task, audiences=("urn:api",)) for task in ("T1", "T2"))
    world.clock.now += 301
    use(world, busy.jti, "")
    return idle.id


def _in_use(world: World) -> None:
    parent = world.issue(kind="opaque", task="T2")
    child = world.issue(parent=parent.token, agent="coder")
    world.issue(task="T3", audiences=("urn:elsewhere",))
    renewed = world.issue(kind="opaque", task="T4")
    world.authority.perform(Renew(request=RenewRequest(Secret.single(renewed.token))))
    world.clock.now += 301
    for task in ("T5", "T6"):
        busy = world.issue(task=task)
    world.clock.now += 60
    for one in (child, busy):
        use(world, one.jti, "")


def _scoped(world: World, *uses: str) -> str:
    """Use each of two credentials of an agent for one scope; both credentials have the same scopes."""
    scopes = ("repo:acme:read", "repo:acme:write")
    made = [world.issue(agent="nightly", task=task, scopes=scopes) for task in ("T1", "T2")]
    world.clock.now += 301
    for one, scope in zip(made, uses, strict=True):
        use(world, one.jti, scope)
    return f"nightly: {' '.join(scopes)}"


FORBIDS = """@id("no-deploy") forbid (principal, action == Action::"grant", resource)
 when { context.scope like "deploy:*" };"""


def change_policy(world: World, *texts: str) -> None:
    """Decide by the default policy and these texts from now on, as another process would read them."""
    added = [(f"more-{number}.cedar", text) for number, text in enumerate(texts)]
    world.terms = policed(world.terms, [*default_files(), *added])
    world.reopen()


def _drifted(world: World, *texts: str) -> str:
    world.issue(scopes=("deploy:web",))
    world.issue(task="T2", scopes=("repo:acme:read",))
    change_policy(world, *texts)
    return "no-deploy"


APART = frozenset({"canary"})
"""Rules about targets, which have separate tests: a ledger alone cannot make their cases."""


def shop(world: World) -> Shop:
    """Configure a target from now on, and return it."""
    made = Shop(world.path.parent / "shop")
    world.targets = (made.target(),)
    return made


def _revoked_and_taken(world: World) -> str:
    shop(world)
    made = world.issue(kind="exec:shop")
    world.revoke(made.jti)
    return made.jti


def _revoked_and_gone(world: World) -> None:
    shop(world)
    world.issue(kind="exec:shop", task="T2")
    world.revoke(world.issue(kind="exec:shop").jti)
    world.authority.perform(Settle())


def _stuck(world: World, mode: str) -> str:
    place = shop(world)
    made = world.issue(kind="exec:shop")
    world.revoke(made.jti)
    place.fail(mode, "revoke")
    world.authority.perform(Settle())
    place.fail("")
    return made.jti


def _untracked(world: World) -> str:
    name = f"jitid_{'0' * 26}"
    (shop(world).folder / f"{name}.made").write_text("{}")
    return f"shop/{name}"


def _tracked(world: World) -> None:
    _revoked_and_taken(world)
    world.issue(kind="exec:shop", task="T2")


def _gone_there(world: World, age: int) -> str:
    place = shop(world)
    made = world.issue(kind="exec:shop")
    for path in place.folder.glob("*.made"):
        path.unlink()
    world.clock.now += age
    return made.jti


CASES: dict[str, Case] = {
    "orphaned-task": Case(_overdue, _over, 1, edited=True),
    "orphaned-parent": Case(_renewed_before_lines, lambda world: _renewed(world, 900), 1, edited=True),
    "orphaned-process": Case(
        lambda world: _bound(world, _gone()),
        lambda world: (_bound(world, this_process()), _bound(world, _gone(kept=True))),
        1,
    ),
    "orphaned-delegator": Case(_disabled, _disabled_with_nothing_alive, 1, edited=True),
    "pending": Case(lambda world: _pending(world, 61), lambda world: _pending(world, 59), 1),
    "leaked-live": Case(_leaked, _not_leaked_any_more, 1, edited=True),
    "renewed-twice": Case(_renewed_twice, _renewed_once, 2),
    "revoked-live": Case(_revoked_and_taken, _revoked_and_gone, 1),
    "revocation-stuck": Case(lambda world: _stuck(world, "stuck"), lambda world: _stuck(world, "down"), 1),
    "orphaned-untracked": Case(_untracked, _tracked, 1),
    "offline-valid": Case(_revoked, _revoked_opaque, 1),
    "exchanged-valid": Case(
        lambda world: _exchanged(world, "https://api.anthropic.com"),
        _exchanged_before,
        1,
    ),
    "expired-unretired": Case(_expired, _expired_and_recorded, 1),
    "standing": Case(_standing, lambda world: puts(world, ttl=3_600), 1),
    "duplicate": Case(lambda world: _duplicates(world, 26), lambda world: _duplicates(world, 25), 26),
    "sprawl": Case(
        lambda world: _crowd(world, 101),
        lambda world: _crowd(world, 100),
        101,
    ),
    "unproved-delegator": Case(
        _stated,
        lambda world: (puts(world, sensitivity="high", proof="oidc"), puts(world, sensitivity="moderate")),
        1,
    ),
    "ownerless": Case(_ownerless, _owned, 1, edited=True),
    "review-overdue": Case(
        lambda world: _unreviewed(world, 0), lambda world: _unreviewed(world, -1), 1, edited=True
    ),
    "standing-access": Case(
        lambda world: _access(world, 7 * DAY + 1, "verifier", "issuer"),
        lambda world: (_access(world, 7 * DAY, "issuer"), _access(world, 30 * DAY, "verifier")),
        0,
    ),
    "over-privileged": Case(
        lambda world: _privileged(world, "repo:*:read", "deploy:web:*"),
        lambda world: _privileged(world, "repo:*:read", "deploy:*"),
        1,
        edited=True,
    ),
    "policy-drift": Case(
        lambda world: _drifted(world, FORBIDS),
        lambda world: _drifted(world, FORBIDS.replace("deploy:*", "deploy:*:*")),
        1,
    ),
    "never-used": Case(_unused, _in_use, 1, edited=True),
    "over-scoped": Case(
        lambda world: _scoped(world, "repo:acme:read", "repo:acme:read"),
        lambda world: _scoped(world, "repo:acme:read", "repo:acme:write"),
        2,
        edited=True,
    ),
    "orphaned-ledger-only": Case(
        lambda world: _gone_there(world, MINTING), lambda world: _gone_there(world, MINTING - 1), 1
    ),
    "key-overdue": Case(_overdue_key, _retired_key, 0, edited=True),
    "audit-gap": Case(_broken, lambda world: world.issue(), 0, edited=True),
    "clock": Case(lambda world: _late(world, 6), lambda world: _late(world, 5), 0),
}
