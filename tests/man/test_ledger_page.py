"""jitid-ledger(5): tables, states and events are those of the code, and its commands do what it says."""

from __future__ import annotations

import ast
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import pytest

import jitid
from jitid import approval, provision
from jitid.access import Wanted
from jitid.amending import Amended
from jitid.authority.access_operations import (
    Authenticate,
    BootstrapAccess,
    GrantAccess,
    RevokeAccess,
    RotateAccess,
)
from jitid.authority.adopt_operations import Adopt, ChangeAdopted, EndAdopted
from jitid.authority.approval_operations import DenyApproval, GrantApproval
from jitid.authority.certificate_operations import ImportAuthority, RequestAuthority
from jitid.authority.delegator_operations import EnableDelegator
from jitid.authority.operations import (
    AbandonRenewal,
    AddLeaks,
    CloseLeaks,
    CutLog,
    ExportLog,
    Fix,
    GiveTask,
    HandBack,
    Issue,
    ProveLeaks,
    Prune,
    PublishKeys,
    Renew,
    Retire,
    RevokeKey,
    RotateKey,
    ShareTask,
    SignHead,
)
from jitid.authority.target_operations import Attach, FlyCanaries, Settle
from jitid.authority.use_operations import Authorize
from jitid.authorization import Asked
from jitid.backup import Told
from jitid.caller import Caller
from jitid.chains import Chain
from jitid.credential import State
from jitid.errors import (
    ApprovalNeededError,
    InvalidCredentialError,
    PolicyDeniedError,
    RefusedError,
    StorageError,
)
from jitid.identifier import approval_id
from jitid.jws import b64url_decode
from jitid.leaks import LeakReport
from jitid.ledger import folder
from jitid.ledger.schema import APPLICATION_ID
from jitid.ledger.sqlite import create
from jitid.ledger.writing import SqlTransaction
from jitid.pasted import search_pasted
from jitid.policy.decision import Standing
from jitid.policy.default import default_files
from jitid.process import Process
from jitid.request import AttachRequest, MayAct, RenewRequest
from jitid.restoring import revive
from jitid.scope import Scope
from jitid.searching import mark
from jitid.secret import Secret
from jitid.settings import zone
from jitid.sighting import Sighting
from jitid.standing import StandingSecret
from jitid.strictjson import dumps, loads
from jitid.sweep.limits import Limits
from tests.builders import DAY, KINDS, NAMES, NOW, World, make_database, policed, request
from tests.cli import transcripts
from tests.governance import people
from tests.lifecycle import test_registry as registry
from tests.lifecycle.test_copying import copied
from tests.man.source import displays, headings, items, macros, read, section
from tests.offlineroot import certified
from tests.postgres import Postgres
from tests.programs import Shop
from tests.tokens.signed import ED25519, jwk

PAGE = read("jitid-ledger.5")
EVENTS = section(PAGE, "AUDIT EVENTS").partition(".Ss ")[0]


def _columns() -> dict[str, list[str]]:
    db = create(":memory:", NAMES, NOW)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in names}
    db.close()
    return found


def test_the_tables_are_those_of_the_schema() -> None:
    assert set(headings(section(PAGE, "TABLES"))) == _columns().keys()


@pytest.mark.parametrize("table", headings(section(PAGE, "TABLES")))
def test_the_columns_are_those_of_the_schema(table: str) -> None:
    real = _columns()[table]
    told = [name for term in items(section(PAGE, table, "Ss")) for name in term.split(" , ")]
    assert set(told) == set(real)
    assert len(told) == len(set(told))


def test_what_differs_in_postgresql_is_told(postgres_server: Postgres, tmp_path: Path) -> None:
    """Tables and columns that only one of them has, and nothing else."""
    database = postgres_server.new_database()
    make_database(postgres_server.url(database), tmp_path / "home")
    there: dict[str, set[str]] = {}
    for table, column in postgres_server.ask(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'jitid'",
        database,
    ):
        there.setdefault(table, set()).add(column)
    postgres_server.drop(database)
    here = {table: set(columns) for table, columns in _columns().items()}
    text = section(PAGE, "IN POSTGRESQL")
    told = items(text)
    differ = {table for table in here.keys() | there.keys() if here.get(table) != there.get(table)}
    assert differ | {"audit_event"} == set(told)
    for table in differ & here.keys() & there.keys():
        assert set(macros(told[table], "Va")) == here[table] ^ there[table]


def test_the_mark_of_the_file_is_the_one_of_the_schema() -> None:
    assert f"{APPLICATION_ID:#x}" in PAGE


def test_the_states_are_those_of_a_credential() -> None:
    assert list(items(section(PAGE, "STATES OF A CREDENTIAL"))) == [state.value for state in State]


def _nodes() -> Iterator[ast.AST]:
    for path in Path(jitid.__file__).parent.rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def test_every_event_that_is_appended_is_told() -> None:
    appended = set()
    for node in _nodes():
        match node:
            case ast.Call(
                func=ast.Attribute(attr="append" | "append_each"), args=[ast.Constant(value=str(name)), _]
            ):
                appended.add(name)
    assert len(appended) > 5
    assert appended <= set(items(EVENTS))


def test_no_event_is_told_that_the_code_has_no_word_for() -> None:
    words = {
        node.value for node in _nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(items(EVENTS)) <= words


def _eventful(world: World) -> None:
    """Make an event of every sort, with every fact that it can have."""
    world.terms = world.terms._replace(
        algorithms={"urn:es256": "ES256"}, zone=zone("Asia/Kolkata"), zone_name="Asia/Kolkata"
    )
    world.know("user:tester", groups=("crew",), manager="user:boss")
    world.register("nightly", owner="user:tester")
    parent = world.issue(scopes=("repo:*",), purpose="why", ttl=7200, audiences=("urn:a", "urn:b"))
    world.issue(parent=parent.token, agent="coder", scopes=("repo:x",))
    world.authority.perform(Issue(requests=(request(task="T5", copies=2),)))
    world.issue(audiences=("urn:es256",))
    stranger = {"proved_delegator": "user:zoe", "proved_subject": "https://id.example 1", "proved_at": NOW}
    world.issue(task="T13", delegator=None, proved_credential=parent.jti, **stranger)
    world.issue(kind="ssh-cert")
    with pytest.raises(PolicyDeniedError):
        world.issue(task="T2", sensitivity="high")
    strict = {
        "task": "T2",
        "sensitivity": "high",
        "purpose": "why",
        "delegator": "user:tester",
        "agent": "nightly",
    }
    world.issue(**strict, scopes=("repo:*", "log:read"), allow_narrower=True)
    bound = world.issue(process=Process("host", "boot", 1, 2, 3, kept=False))
    latest = Secret.single(bound.token)
    for ttl in (None, 7200):
        (renewed,) = world.authority.perform(Renew(request=RenewRequest(latest, ttl))).credentials
        latest = renewed.secret
    (renewed,) = world.authority.perform(Renew(request=RenewRequest(latest))).credentials
    world.authority.perform(AbandonRenewal(token=renewed.secret))
    with pytest.raises(PolicyDeniedError, match="renewed-twice"):
        world.authority.perform(Renew(request=RenewRequest(Secret.single(bound.token))))
    with pytest.raises(InvalidCredentialError):
        world.authority.perform(Renew(request=RenewRequest(Secret.single("x.y.z"))))
    child = world.issue(parent=bound.token, agent="coder")
    for id_ in (child.id, parent.id):
        with pytest.raises(PolicyDeniedError) if id_ == parent.id else nullcontext():
            world.authority.perform(HandBack(token=Secret.single(bound.token), id=id_, reason="done"))
    low = world.issue(task="T6", sensitivity="low", scopes=("log:read",))
    world.terms = world.terms._replace(scope_floors={"log:read": "moderate"})
    world.reopen()
    world.authority.perform(Renew(request=RenewRequest(Secret.single(low.token))))
    with pytest.raises(InvalidCredentialError):
        world.issue(parent="x.y.z")
    leaked = search_pasted(f"{parent.token} {bytes(32).hex()} {low.token[:200]}".encode())
    report = LeakReport("wiki", None, unproved=True)
    seen = {mark(sort, key).hex(): (Sighting("a.py", 1),) for sort, key, _ in leaked.strings()}
    world.authority.perform(AddLeaks(finds=leaked, report=report))
    for source in ("wiki", "git"):
        named = report._replace(source=source)
        world.authority.perform(AddLeaks(finds=leaked, report=named, sightings=seen))
    world.clock.now += 30
    world.authority.perform(CloseLeaks(numbers=(1, 2), reason="known", valid_too=True))
    asked = Asked(Secret.single(parent.token), Scope("repo:read"), "acme")
    world.authority.perform(Authorize(asked=(asked,), audiences=("urn:a",)))
    world.revoke(parent.id, reason="astray")
    world.authority.perform(ProveLeaks())
    _ask_for_approvals(world)
    _use_targets(world)
    _adopt(world)
    _serve(world)
    _keep_delegators(world)
    _keep_agents(world)
    world.issue(task="T3", ttl=60)
    world.authority.perform(ShareTask(task="T3", names=("user:zoe",)))
    world.issue(
        task="user:alice/T3",
        delegator="user:zoe",
        audiences=("urn:a",),
        may_act=(MayAct("user:gate", ("urn:b",)),),
    )
    world.authority.perform(ShareTask(task="T3", names=("user:zoe",), end=True))
    world.authority.perform(GiveTask(task="T3", to="user:zoe"))
    short = world.issue(task="T14")
    world.issue(task="T14", parent=short.token, agent="coder")
    world.authority.perform(Renew(request=RenewRequest(Secret.single(short.token), 60)))
    standing = world.issue(task="T7", sensitivity="low")
    world.authority.perform(Renew(request=RenewRequest(Secret.single(standing.token))))
    world.clock.now += 60
    rules = ("expired-unretired", "standing")
    fix = Fix(rules=rules, limits=Limits(standing_low=1), sweep="a sweep", most=None)
    assert {one.rule for one in world.authority.perform(fix)} == set(rules)
    world.authority.perform(Retire(task="T1", reason="done"))
    change = world.authority.perform(RotateKey(algorithm="EdDSA"))
    world.authority.perform(RevokeKey(kid=change.kid, reason="leaked", most=None))
    change = world.authority.perform(RotateKey(algorithm="EdDSA", use="ssh"))
    world.authority.perform(RevokeKey(kid=change.kid, reason="leaked", most=None))
    change = world.authority.perform(RotateKey(algorithm="ES256", use="x509"))
    world.authority.perform(RevokeKey(kid=change.kid, reason="leaked", most=None))
    waiting = world.authority.perform(RequestAuthority())
    world.authority.perform(ImportAuthority(chain=certified(waiting.request, world.clock.now)))
    world.clock.now -= 3 * DAY
    world.issue(task="T4", accept_clock=True)


def _use_targets(world: World) -> None:
    """Make an event of everything that becomes of credentials at a target."""
    shop = Shop(world.path.parent / "shop")
    world.targets = [shop.target()]
    world.terms = policed(world.terms, [*default_files(), ("kinds.cedar", KINDS)])
    world.reopen()
    (held,) = world.authority.perform(
        Issue(
            requests=(
                request(task="T12", kind="exec:shop", template="parts"),
                request(task="T12", may_kind=("exec:shop", "exec:shop:parts")),
            )
        )
    )[1].credentials
    world.authority.perform(Attach(request=AttachRequest(held.secret, "exec:shop", "parts")))
    shop.fail("down", "mint")
    with pytest.raises(StorageError):
        world.authority.perform(Attach(request=AttachRequest(held.secret, "exec:shop")))
    with world.ledger.read() as snapshot:
        (jti,) = [one.jti for one in snapshot.outside.names_at("shop") if not one.live]
        (outside,) = snapshot.outside.find([jti])
    provision.remember(world.ledger, outside, "r-1")
    world.authority.perform(Retire(task="T12"))
    world.authority.perform(Settle())
    world.authority.perform(FlyCanaries())
    shop.fail("")
    (shop.folder / f"jitid_{'0' * 26}.made").write_text("{}")
    fixing = Fix(rules=("orphaned-untracked",), limits=Limits(), sweep="the sweep", most=None)
    mended = world.authority.perform(fixing)
    assert list(mended)


def _adopt(world: World) -> None:
    end = world.clock.now + DAY
    one = StandingSecret(
        *(0, "one", "user:tester", "a wiki", "why", "bot", "low", end),
        *("shop", "role", None, None, bytes(32), bytes(32), None),
    )
    others = [
        one._replace(line=n, name=f"n{n}", target=None, reference=None, fingerprint=bytes([n]) * 32)
        for n in (1, 2)
    ]
    (world.path.parent / "shop" / "role.made").write_text("{}")
    world.authority.perform(Adopt(secrets=(one,)))
    world.authority.perform(Adopt(secrets=tuple(others), content=bytes(32).hex()))
    amended = Amended("user:boss", "a vault", "again", "other", end + 1, "shop", "role-2")
    world.authority.perform(ChangeAdopted(names=("n2",), amended=amended))
    world.authority.perform(EndAdopted(names=("one", "n1"), proof="deleted"))


def _serve(world: World) -> None:
    """Make an event of what is told of who is served, and let some have access who leave later."""
    eve = Caller("user:eve", frozenset(), "user:eve", "credential", "acc_1", trace="00-1-2-00")
    serving = world.authority.serving(eve)
    serving.perform(PublishKeys())
    for _ in range(2):
        with pytest.raises(RefusedError):
            serving.perform(RotateKey(algorithm="EdDSA"))
    assert world.authority.tally is not None
    world.authority.tally.tell(world.ledger)
    world.authority.perform(BootstrapAccess())
    made = world.authority.perform(BootstrapAccess())
    assert made.secret is not None
    first = world.authority.perform(Authenticate(bearer=made.secret))
    admin = Wanted("user:root", ("admin",))
    granted = world.authority.serving(first).perform(GrantAccess(wanted=admin))
    world.authority.perform(RotateAccess(id=granted.access.id))
    with pytest.raises(PolicyDeniedError, match="rotated-twice"):
        world.authority.perform(RotateAccess(id=granted.access.id))
    world.authority.perform(GrantAccess(wanted=Wanted("system:ci", key=dumps(jwk(ED25519)))))
    world.authority.perform(RevokeAccess(names=("user:root",), reason="gone"))
    for name in ("user:edgar", "user:gus"):
        world.authority.perform(GrantAccess(wanted=Wanted(name)))


def _keep_delegators(world: World) -> None:
    """Make an event of everything that is done to delegators, by hand and by lists."""
    for name in ("edgar", "gus"):
        world.issue(delegator=f"user:{name}", task="T10", sensitivity="low")
    whole = {"entitlements": ("a:*",), "groups": ("g",), "manager": "user:boss", "aliases": ("user:ed",)}
    people.add(world, "edgar", **whole)
    people.change(world, "edgar", sensitivity="low")
    header = "name,groups,active"
    people.bring(world, header, "fay,,true", "gus,,true", "hal,,false", "ida,,true")
    for name in ("edgar", "gus"):
        world.register(f"bot-of-{name}", owner=f"user:{name}")
        people.ask(world, f"user:{name}")
        people.ask(world, "user:zoe", approver=f"user:{name}")
    people.disable(world, "edgar", keep_live=True)
    people.disable(world, "edgar", reason="left")
    world.authority.perform(EnableDelegator(name="user:edgar", reason="back"))
    people.disable(world, "edgar")
    world.authority.perform(EnableDelegator(name="user:edgar"))
    people.bring(
        world, header, "fay,g,true", "gus,,false", "hal,,true", "new,,true", full=True, reason="nightly"
    )


def _keep_agents(world: World) -> None:
    """Make an event of everything that is done to records of agents."""
    world.issue(agent="bot", task="T11")
    one_user = ("user:zoe",)
    registry.register(world, "bot", owner="user:tester", scopes=("repo:x",), concurrency=2, users=one_user)
    world.issue(agent="bot", task="T13", delegator="user:tester")
    world.know("user:tester", entitlements=())
    with pytest.raises(PolicyDeniedError):
        registry.change(world, "bot", scopes=("repo:x", "repo:y"))
    registry.review(world, "bot")
    everything = {
        "scopes": (),
        "audiences": ("urn:a",),
        "kinds": ("jwt",),
        "max_ttl": 60,
        "concurrency": 3,
        "users": (),
    }
    registry.change(world, "bot", owner="user:bob", purpose="other", **everything)
    registry.change(world, "bot", unlimited=True, audiences=())
    registry.suspend(world, "bot", reason="odd", keep_live=True)
    registry.suspend(world, "bot", reason="odd still")
    registry.resume(world, "bot")
    registry.suspend(world, "bot", reason="odd")
    registry.unregister(world, "bot", reason="done", keep_live=True)
    registry.register(world, "bot", owner="user:bob")
    registry.unregister(world, "bot", reason="done")
    world.know("user:tester", entitlements=None)


def _ask_for_approvals(world: World) -> None:
    """Make an event of everything that is said about requests for approval."""
    terms = world.terms
    asking = '@id("ask") @approval("crew") permit (principal, action, resource);'

    def under(caller: str) -> None:
        world.terms = policed(terms, [("p.cedar", asking)])._replace(caller=caller)
        world.reopen()

    world.know("user:bob", groups=("crew",))
    for task, operation in (("T8", GrantApproval), ("T9", DenyApproval)):
        under("tester")
        with pytest.raises(ApprovalNeededError) as caught:
            world.issue(task=task)
        (id_,) = caught.value.requests
        with pytest.raises(PolicyDeniedError):
            world.authority.perform(GrantApproval(id=id_))
        under("bob")
        world.authority.perform(operation(id=id_, reason="because"))
    under("tester")
    world.issue(task="T8")
    world.terms = terms
    world.reopen()
    agents = [world.issue(task="T15") for _ in range(2)]
    under("tester")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approval, "_MOST_OPEN", 1)
        for each in agents:
            agent = world.authority.perform(Authenticate(bearer=Secret.single(each.token)))
            further = request(parent=each.token, delegator=None, task=None)
            with pytest.raises(ApprovalNeededError):
                world.authority.serving(agent).perform(Issue(requests=(further,)))
            # What it asked for is withdrawn where there is no room for others.
            world.revoke(each.id)
    world.terms = terms
    world.reopen()


def test_the_facts_of_events_are_those_that_are_recorded(tmp_path: Path) -> None:
    told = {name: set(macros(text, "Va")) for name, text in items(EVENTS).items()}
    common = {"seq", "hash", *macros(EVENTS.partition(".Bl")[0], "Va")}
    seen: dict[str, set[str]] = {}
    with World(tmp_path / "ledger") as world:
        _eventful(world)
        world.clock.now += 60 * DAY
        world.authority.perform(Prune(rows_after=30 * DAY, accept_clock=True))
        events = world.events()
        world.authority.perform(CutLog(evidence_after=50 * DAY, folder=str(tmp_path / "segments")))
        world.check()
        copied(world, tmp_path / "copy", issuer="urn:other", signs=lambda key: key.algorithm == "EdDSA")
        events += [event for event in world.events() if event["op"] == "ledger-seal"]
        with World(tmp_path / "copy", now=world.clock.now) as other:
            keyring = folder.keyring(str(other.path))
            for name in keyring.names():
                keyring.forget(name)
            told_of = Told(NAMES.uuid, 1, "", 1, 1, (), {}, "")
            revive(other.ledger, keyring, told_of, keep=True, lost=1, accept_clock=False)
            with other.ledger.write() as transaction:
                transaction.approvals.ask(
                    bytes(16), b"{}", "user:al", "user:al", other.clock.now + DAY, ["g"]
                )
                facts = {"digest": sha256(b"{}").hexdigest(), "until": other.clock.now + DAY, "groups": ["g"]}
                asked = {"approval": approval_id(bytes(16)), "delegator": "user:al", "asked_by": "user:al"}
                transaction.append("approval-request", {**asked, **facts})
            revive(other.ledger, keyring, told_of, keep=False, lost=1, accept_clock=False)
            other.authority.set_issuer("urn:next", accept_clock=False)
            other.check()
            events += [event for event in other.events() if event["op"] != "approval-request"]
        for event in events:
            seen.setdefault(event["op"], set()).update(event.keys() - common)
    # "as issue", "as above"
    told["renew"] |= told["issue"] & seen["renew"]
    told["attach"] |= (told["issue"] | told["renew"]) & seen["attach"]
    told["task-unshare"] |= told["task-share"]
    told["access-rotate"] |= told["access-grant"] & seen["access-rotate"]
    # Only where a target keeps the key: see tests/issuers/test_transit.py.
    for name in ("key-create", "key-rotate"):
        told[name].remove("kept_by")
    # Only of a row from an earlier version: see tests/lifecycle/test_chain.py.
    told["renew"].remove("root_proof")
    # Only of renewals and attachments from an earlier version.
    told["renew"].remove("before")
    told["attach"].remove("by_right_of")
    told["denial"] |= (told["issue"] | told["renew"]) & seen["denial"]
    assert seen == told


def test_what_a_standing_tells_is_told(tmp_path: Path) -> None:
    told = set(macros(items(EVENTS)["issue"], "Li"))
    with World(tmp_path / "ledger") as world:
        _eventful(world)
        standings = [event["standing"] for event in world.events() if "standing" in event]
    assert {name for standing in standings for name in standing} == set(Standing._fields) <= told


def test_the_lines_of_an_export_are_as_told(tmp_path: Path) -> None:
    told = set(macros(section(PAGE, "The export", "Ss"), "Va")) - (set(Chain._fields) - {"hash"})
    with World(tmp_path / "ledger") as world:
        _move(world)
        world.clock.now += 60 * DAY
        world.issue(task="T99", accept_clock=True)
        world.authority.perform(CutLog(evidence_after=50 * DAY, folder=str(tmp_path / "segments")))
        lines = [loads(line) for line in world.authority.perform(ExportLog())]
    assert {
        name for line in lines for name in (*line, *(key for each in line.get("keys", ()) for key in each))
    } == told


def test_a_signed_head_says_what_is_told(tmp_path: Path) -> None:
    text = section(PAGE, "The signed head", "Ss")
    with World(tmp_path / "ledger") as world:
        _move(world)
        header, claims, _ = world.authority.perform(SignHead()).split(".")
    assert loads(b64url_decode(header))["typ"] in text
    assert loads(b64url_decode(claims)).keys() == set(macros(text, "Va")) - (set(Chain._fields) - {"hash"})


def test_the_chain_is_as_told(tmp_path: Path) -> None:
    """Reckoned anew from the lines of the page."""
    assert displays(section(PAGE, "The chain", "Ss")) == [
        'hash(0) = SHA-256("jitid audit chain" NUL UUID)\nhash(n) = SHA-256(hash(n-1) body(n))\n',
        'hash(0) = SHA-256("jitid audit chain" NUL OPENING)\n',
    ]
    with World(tmp_path / "ledger") as world:
        world.issue()
        head = world.head()
        with world.ledger.read() as snapshot:
            link = sha256(b"jitid audit chain\0" + NAMES.uuid.encode()).digest()
            for _, body, _ in snapshot.events(0):
                link = sha256(link + body).digest()
        assert link == head.hash
        _move(world)
        with world.ledger.read() as snapshot:
            ((_, body, moved),) = snapshot.events(head.seq)
            chain = snapshot.chains()[1]
    facts = [NAMES.uuid, chain.id, chain.epoch, chain.start, chain.stride, [[1, head.seq, link.hex()]]]
    text = json.dumps(facts, separators=(",", ":"))
    opening = sha256(b"jitid audit chain\0" + text.encode()).digest()
    assert moved == sha256(opening + body).digest()


def _move(world: World) -> None:
    """Let the ledger go on with a chain of another epoch."""
    with world.ledger.write() as transaction:
        assert isinstance(transaction, SqlTransaction)
        transaction.open_epoch(1)
        transaction.append("note", {})


@pytest.mark.parametrize(
    "query", [text for text in displays(section(PAGE, "EXAMPLES")) if text.startswith("SELECT")]
)
def test_a_query_is_answered(query: str, tmp_path: Path) -> None:
    with World(tmp_path / "ledger", now=int(time.time())) as world:
        world.issue()
        with pytest.raises(PolicyDeniedError):
            world.issue(task="T2", sensitivity="high")
        db = sqlite3.connect(f"file:{tmp_path}/ledger/{folder.DATABASE}?mode=ro", uri=True)
        rows = db.execute(query).fetchall()
        db.close()
    assert len(rows) == 1
    assert None not in rows[0]


def _played(text: str, folder_: Path) -> str:
    folder_.mkdir()
    return transcripts.replay(text, folder_)


def _typed(display: str) -> str:
    """Return a display as one command of a transcript."""
    return "$ " + display.rstrip("\n").replace("\n", "\n> ") + "\n"


def test_a_backup_is_made_and_restored_as_told(tmp_path: Path) -> None:
    backup, restore, check = map(_typed, displays(section(PAGE, "BACKUP AND RESTORE")))
    played = _played(
        "$ jitid -q issue --task T1 --delegator alice --out a.jwt; jitid audit head > head.jws\n"
        + backup
        + "$ find ledger.tar -perm /077; tar tf ledger.tar | wc -l\n"
        + "$ jitid revoke --token-file a.jwt --quiet > out; jitid issue --task T1 --delegator alice --out b.jwt\n"
        + "$ jitid audit head > later.jws; rm -r ~/.local/share/jitid\n"
        + restore
        + "$ jitid verify a.jwt\n$ jitid verify b.jwt\n"
        + check
        + "$ jitid audit verify --expect-head later.jws\n",
        tmp_path / "played",
    )
    steps, _ = transcripts.parse(played)
    answers = [list(step.expected) for step in steps]
    ends = [answer[-1] for answer in answers if answer and answer[-1].startswith("? ")]
    assert ends == ["? 8", "? 8", "? 7"], played
    assert answers[2] == ["5"], "the database, one key, one policy, the manifest and its head"
    assert "ended 1 credential, 1 task, 0 bearers of access, 1 signing key," in answers[5][1]
    assert "retired" in answers[6][0]
    assert "does not know" in answers[7][0]


def test_a_copy_older_than_the_head_fails_the_check(tmp_path: Path) -> None:
    _, _, check = map(_typed, displays(section(PAGE, "BACKUP AND RESTORE")))
    played = _played(
        "$ jitid -q issue --task T1 --delegator alice --out a.jwt; cp -a ~/.local/share/jitid old\n"
        "$ jitid retire T1 > out; jitid audit head > head.jws\n"
        "$ rm -r ~/.local/share/jitid; mv old ~/.local/share/jitid\n" + check,
        tmp_path / "played",
    )
    assert played.endswith("? 7\n"), played
