"""A ledger with an event of every type, with every fact that the type can have."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import (
    Authenticate,
    BootstrapAccess,
    GrantAccess,
    RevokeAccess,
    RotateAccess,
    UseAssertion,
)
from jitid.capabilities.access.store import Presentation, PresentedChanges
from jitid.capabilities.adopt.adoption import Amended
from jitid.capabilities.adopt.operations import Adopt, ChangeAdopted, EndAdopted
from jitid.capabilities.directory.operations import EnableDelegator
from jitid.capabilities.identity.operations import HandBack
from jitid.capabilities.inventory.operations import GiveTask, Retire, ShareTask
from jitid.capabilities.issue import approval_request, provision
from jitid.capabilities.issue.approval_operations import DenyApproval, GrantApproval
from jitid.capabilities.issue.operations import AbandonRenewal, Attach, Issue, Renew
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.operations import AddLeaks, CloseLeaks, ProveLeaks
from jitid.capabilities.session.operations import RecordSession
from jitid.capabilities.sweep.finding import Thresholds
from jitid.capabilities.sweep.operations import Fix, FlyCanaries, Sweep
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.targets.store import OutsideStore
from jitid.capabilities.trust.operations import (
    ImportAuthority,
    PublishKeys,
    RequestAuthority,
    RevokeKey,
    RotateKey,
    SetAlgorithm,
)
from jitid.capabilities.use.authorization import UseRequest
from jitid.capabilities.use.operations import Authorize
from jitid.config.settings import zone
from jitid.errors import (
    ApprovalNeededError,
    InvalidCredentialError,
    PolicyDeniedError,
    RefusedError,
    StorageError,
)
from jitid.model.access import Caller, OidcIssuer
from jitid.model.adopted import StandingSecret
from jitid.model.client_session import ClientSession
from jitid.model.leak import Sighting
from jitid.model.process import Process
from jitid.model.request import AttachRequest, MayAct, RenewRequest
from jitid.policy.default import default_files
from jitid.search.find import mark
from jitid.search.pasted import search_pasted
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from jitid.values.strict_json import dumps
from jitid.values.times import LATEST
from tests.builders import DAY, KINDS, NAMES, NOW, World, policed, request
from tests.capabilities.directory import people
from tests.capabilities.directory import test_registry as registry
from tests.crypto.signed import ED25519, jwk
from tests.crypto.signed import token as signed_token
from tests.identity_provider import nonce_at
from tests.offlineroot import certified
from tests.programs import Shop


def live_through_everything(world: World) -> None:
    """Record an event of every type, with every fact that it can have."""
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
    wrapper = Process("host", "boot", 1, 2, 3, kept=False, renews_until=LATEST)
    bound = world.issue(process=wrapper)
    latest = Secret.single(bound.token)
    for session in (ClientSession("codex", "s1"), ClientSession("codex", "s1", "a1", "/t/a1.jsonl")):
        world.authority.perform(RecordSession(token=latest, session=session))
    for ttl in (None, 7200):
        (renewed,) = world.authority.perform(Renew(request=RenewRequest(latest, ttl))).credentials
        latest = renewed.secret
    (renewed,) = world.authority.perform(Renew(request=RenewRequest(latest))).credentials
    world.authority.perform(AbandonRenewal(token=renewed.secret))
    with pytest.raises(PolicyDeniedError, match="renewed-twice"):
        world.authority.perform(Renew(request=RenewRequest(Secret.single(bound.token))))
    with pytest.raises(InvalidCredentialError):
        world.authority.perform(Renew(request=RenewRequest(Secret.single("x.y.z"))))
    client = world.issue(process=Process("host", "boot", 9, 2, 3, kept=False))
    world.authority.perform(
        RecordSession(token=Secret.single(client.token), session=ClientSession("codex", "s2"))
    )
    world.revoke(client.id)
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
    use = UseRequest(Secret.single(parent.token), Scope("repo:read"), "acme")
    world.authority.perform(Authorize(asked=(use,), audiences=("urn:a",)))
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
    fix = Fix(rules=rules, limits=Thresholds(standing_low=1), sweep="a sweep", most=None)
    assert {fix_result.rule for fix_result in world.authority.perform(fix)} == set(rules)
    world.authority.perform(Retire(task="T1", reason="done"))
    change = world.authority.perform(RotateKey(algorithm="EdDSA"))
    for algorithm in ("RS256", "ES256"):
        world.authority.perform(SetAlgorithm(algorithm=algorithm))
    world.authority.perform(RevokeKey(kid=change.kid, reason="leaked", most=None))
    change = world.authority.perform(RotateKey(algorithm="EdDSA", use="ssh"))
    world.authority.perform(RevokeKey(kid=change.kid, reason="leaked", most=None))
    change = world.authority.perform(RotateKey(algorithm="ES256", use="x509"))
    world.authority.perform(RevokeKey(kid=change.kid, reason="leaked", most=None))
    waiting = world.authority.perform(RequestAuthority())
    world.authority.perform(ImportAuthority(chain=certified(waiting.request, world.clock.now)))
    leave_marks(world)
    world.authority.perform(GrantAccess(wanted=AccessRequest("user:kim", ttl=60)))
    world.clock.now += 60
    swept = world.authority.perform(Sweep(rules=("clock",), limits=Thresholds()))
    assert list(swept)
    world.clock.now -= 3 * DAY
    world.issue(task="T4", accept_clock=True)


def _use_targets(world: World) -> None:
    """Record every event about credentials at a target."""
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
        (jti,) = [name.jti for name in OutsideStore(snapshot).names_at("shop") if not name.live]
        (outside,) = OutsideStore(snapshot).find([jti])
    provision.remember(world.ledger, outside, "r-1")
    world.authority.perform(Retire(task="T12"))
    world.authority.perform(Settle())
    world.authority.perform(FlyCanaries())
    shop.fail("")
    (shop.folder / f"jitid_{'0' * 26}.made").write_text("{}")
    fixing = Fix(rules=("orphaned-untracked",), limits=Thresholds(), sweep="the sweep", most=None)
    mended = world.authority.perform(fixing)
    assert list(mended)


def _adopt(world: World) -> None:
    end = world.clock.now + DAY
    secret = StandingSecret(
        *(0, "one", "user:tester", "a wiki", "why", "bot", "low", end),
        *("shop", "role", None, None, bytes(32), bytes(32), None),
    )
    others = [
        secret._replace(line=n, name=f"n{n}", target=None, reference=None, fingerprint=bytes([n]) * 32)
        for n in (1, 2)
    ]
    (world.path.parent / "shop" / "role.made").write_text("{}")
    world.authority.perform(Adopt(secrets=(secret,)))
    world.authority.perform(Adopt(secrets=tuple(others), content=bytes(32).hex()))
    amended = Amended("user:boss", "a vault", "again", "other", end + 1, "shop", "role-2")
    world.authority.perform(ChangeAdopted(names=("n2",), amended=amended))
    world.authority.perform(EndAdopted(names=("one", "n1"), proof="deleted"))


def _serve(world: World) -> None:
    """Record the events about callers of a service, and grant access to users who leave later."""
    eve = Caller("user:eve", frozenset(), "user:eve", "credential", "acc_1", trace="00-1-2-00")
    serving = world.authority.serving(eve)
    serving.perform(PublishKeys())
    for _ in range(2):
        with pytest.raises(RefusedError):
            serving.perform(RotateKey(algorithm="EdDSA"))
    assert world.authority.tally is not None
    agent = world.issue(task="T17", agent="reader")
    world.authority.tally.read(Caller("agent:reader", frozenset(), identity=agent.id), "WhoAmI")
    world.authority.tally.record(world.ledger)
    world.authority.perform(BootstrapAccess(file="root.token"))
    made = world.authority.perform(BootstrapAccess(file="root.token"))
    assert made.secret is not None
    first = world.authority.perform(Authenticate(bearer=made.secret))
    admin = AccessRequest("user:root", ("admin",))
    granted = world.authority.serving(first).perform(GrantAccess(wanted=admin))
    world.authority.perform(RotateAccess(id=granted.access.id))
    with pytest.raises(PolicyDeniedError, match="rotated-twice"):
        world.authority.perform(RotateAccess(id=granted.access.id))
    world.authority.perform(GrantAccess(wanted=AccessRequest("system:ci", key=dumps(jwk(ED25519)))))
    world.authority.perform(RevokeAccess(names=("user:root",), reason="gone"))
    for name in ("user:edgar", "user:gus"):
        world.authority.perform(GrantAccess(wanted=AccessRequest(name)))
    _log_in_twice(world)


def _log_in_twice(world: World) -> None:
    """Log a person in twice, so that the second login replaces the first."""
    keys = world.path.parent / "login-keys.json"
    keys.write_text(dumps({"keys": [jwk(ED25519, kid="k1")]}))
    keys.chmod(0o644)
    issuer = OidcIssuer("https://id.example", str(keys), "jitid", client_id="jitid-cli")
    claims = {"iss": issuer.issuer, "aud": "jitid-cli", "sub": "liv"}
    now = world.clock.now
    for number in range(2):
        more = {"iat": now, "exp": now + 60, "jti": f"login-{number}", "nonce": nonce_at(NAMES.issuer)}
        id_token = signed_token({"alg": "EdDSA", "kid": "k1"}, {**claims, **more}, ED25519)
        world.log_in(issuer, Secret.single(id_token), "tester@host")


def _keep_delegators(world: World) -> None:
    """Record every event about delegators, by hand and by imported lists."""
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
    """Record every event about records of agents."""
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
    """Record every event about approval requests."""
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
        patch.setattr(approval_request, "_MOST_OPEN", 1)
        for each in agents:
            agent = world.authority.perform(Authenticate(bearer=Secret.single(each.token)))
            further = request(parent=each.token, delegator=None, task=None)
            with pytest.raises(ApprovalNeededError):
                world.authority.serving(agent).perform(Issue(requests=(further,)))
            # Without a live credential, the agent's request is withdrawn when another agent's requests exceed the
            # limit.
            world.revoke(each.id)
    world.terms = terms
    world.reopen()


def leave_marks(world: World) -> None:
    """Leave marks against replay, which an accepted clock would make obsolete."""
    client = world.authority.perform(
        GrantAccess(wanted=AccessRequest("system:ci", key=dumps(jwk(ED25519))))
    ).access
    world.authority.perform(UseAssertion(id=client.id, jti="a-1", expires_at=world.clock.now + 120))
    boss = Caller("user:root", frozenset({"admin", "issuer"}), "user:root", "credential", client.id)
    made = world.authority.serving(boss._replace(key="k-1")).perform(
        Issue(requests=(request(task="K1"), request(task="K2")))
    )
    (credential,) = made[0].credentials
    holder = world.authority.perform(Authenticate(bearer=credential.secret))
    world.authority.serving(holder._replace(key="k-2")).perform(
        Renew(request=RenewRequest(credential.secret))
    )
    world.authority.serving(boss._replace(key="k-3")).perform(GrantAccess(wanted=AccessRequest("user:zoe")))
    with world.ledger.write() as transaction:
        PresentedChanges(transaction).present(Presentation(bytes(32), "user:zoe", world.clock.now + 600))
        transaction.append("denial", {"reason": "no"})
