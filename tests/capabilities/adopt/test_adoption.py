"""Adopted secrets: recorded by their fingerprints, found, reported, and ended permanently."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.adopt import operations as ops
from jitid.capabilities.adopt import read_secret, shape_operations
from jitid.capabilities.adopt.adoption import AdoptedSecret, Adoption, Amended
from jitid.capabilities.decisions.operations import SuggestPolicy
from jitid.capabilities.directory.operations import ClassifyAgents, DisableDelegator
from jitid.capabilities.directory.recurrence import RecurrenceRule
from jitid.capabilities.leak.operations import Trace
from jitid.capabilities.report.operations import MakeReport
from jitid.capabilities.sweep.finding import Thresholds
from jitid.capabilities.targets.operations import Settle
from jitid.errors import IntegrityError, InvalidCredentialError, NotFoundError, UsageError
from jitid.model.adopted import StandingSecret
from jitid.model.target import Life
from jitid.search.find import PRINT, SecretShape
from jitid.search.pasted import search_pasted
from jitid.values.secret import Secret, new_opaque
from jitid.values.times import NO_EXPIRY
from tests.builders import DAY, NOW, World, edit
from tests.capabilities.leak.test_leaks import add, only, prove
from tests.capabilities.sweep.asking import fixed, found, swept
from tests.programs import Shop

EVERYWHERE = pytest.mark.usefixtures("kept_in")
"""Mark of a test that runs with a ledger in a file and with one in a database."""

SECRET = "ghp_5rN8wq2KxVb7TmY4cJ9LdZ6sHf3"
OTHER = "correct-Horse-battery-5taple-9"


def stated(text: str = SECRET, **fields: Any) -> StandingSecret:
    """Return the statement about a secret of `user:alice`."""
    kept = read_secret.of_secret(text, None)
    plain = StandingSecret(
        *(
            0,
            "github-ci",
            "user:alice",
            "vault kv/prod/github",
            "releases",
            "ci",
            "moderate",
            None,
            None,
            None,
        ),
        *(kept.prefix, kept.length, kept.fingerprint, kept.public, None),
    )
    return plain._replace(**fields)


def adopt(world: World, *secrets: StandingSecret, **more: Any) -> Adoption:
    """Adopt secrets; by default the usual one."""
    return world.authority.perform(ops.Adopt(secrets=secrets or (stated(),), **more))


def ended(world: World, *names: str) -> None:
    """Record that secrets have ended."""
    world.authority.perform(ops.EndAdopted(names=names or ("github-ci",), proof="deleted there"))


def listed(world: World, **more: Any) -> list[AdoptedSecret]:
    """Return the adopted secrets."""
    return world.authority.perform(ops.ListAdopted(limit=100, **more)).secrets


@EVERYWHERE
def test_an_adopted_secret_is_known_again_and_is_no_token(world: World) -> None:
    adopt(world)
    (match,) = world.authority.perform(Trace(finds=search_pasted(f"password={SECRET}\n".encode()))).matches
    assert (match.evidence.match, match.evidence.proof) == ("secret", "fingerprint")
    assert (match.credential.kind, match.credential.task) == ("adopted", "adopted/github-ci")
    assert (match.credential.delegator, match.credential.agent) == ("user:alice", "ci")
    for text in (SECRET, match.credential.jti):
        with pytest.raises(InvalidCredentialError):
            world.verify(text)
    world.check()


def test_nothing_of_the_secret_is_kept(world: World) -> None:
    adopt(world)
    world.close()
    for path in world.path.rglob("*"):
        if path.is_file():
            assert SECRET[4:].encode() not in path.read_bytes()


def test_it_is_standing_for_whoever_owns_it(world: World) -> None:
    world.know("user:alice", disabled_at=NOW)
    world.know("user:bob")
    with pytest.raises(UsageError, match="disabled"):
        adopt(world)
    adopt(world, stated(owner="user:bob"))
    assert {one.rule for one in found(world)} == {"standing"}
    world.know("user:bob", disabled_at=NOW)
    assert {one.rule for one in found(world)} == {"standing", "orphaned-delegator"}


def test_one_that_ends_soon_is_not_standing(world: World) -> None:
    adopt(world, stated(expires_at=NOW + 600))
    assert found(world) == []
    world.clock.now += 600
    (late,) = found(world, "revocation-stuck")
    assert "an operator must end it at vault kv/prod/github" in late.summary


@pytest.mark.parametrize("sensitivity", ["low", "critical"])
def test_no_rule_concludes_that_it_was_issued(lenient: World, sensitivity: str) -> None:
    """An adopted secret was not requested, delegated or bound to a process. It does not count for an agent."""
    lenient.know("user:alice", sensitivity="low", entitlements=())
    lenient.register("ci", owner="user:alice", scopes=())
    adopt(lenient, stated(sensitivity=sensitivity))
    lenient.clock.now += DAY
    assert {one.rule for one in found(lenient)} == {"standing"}
    lenient.check()


@EVERYWHERE
def test_revoking_it_is_not_the_end_until_somebody_says_so(world: World) -> None:
    jti = adopt(world).taken[0].jti
    add(world, SECRET)
    assert world.revoke(jti).unsettled == 1
    assert prove(world) == []
    assert {one.rule for one in found(world)} == {"revocation-stuck"}
    assert fixed(world, "revocation-stuck") == []
    assert not listed(world)[0].confirmed
    ended(world)
    assert listed(world)[0].confirmed
    assert found(world) == []
    assert only(world).leak.proved_at is not None
    assert world.revoke(jti).unsettled == 0
    world.check()


def test_what_is_said_to_have_ended_ends_here_too(world: World) -> None:
    adopt(world, stated(), stated(OTHER, name="db", line=2))
    ended(world, "github-ci", "db")
    assert [one.credential.ended_as for one in listed(world)] == ["revoked"] * 2
    assert listed(world, live=True) == []
    ended(world, "db")
    with pytest.raises(NotFoundError):
        ended(world, "nothing")
    assert [event["op"] for event in world.events()][-3:] == ["adopt", "revoke", "adopt-end"]
    world.check()


def test_what_was_adopted_tells_nothing_of_what_an_agent_needs(world: World) -> None:
    adopt(world)
    classified = world.authority.perform(
        ClassifyAgents(names=("ci",), rule=RecurrenceRule(1, 1, 90), limit=10)
    )
    assert [one.past for one in classified.verdicts] == [None]
    with pytest.raises(NotFoundError):
        world.authority.perform(SuggestPolicy(agent="ci", days=90))
    world.issue(ttl=600)
    report = world.authority.perform(MakeReport(days=30, limits=Thresholds()))
    assert report.survey.lifetimes.longest == 600


def test_adopting_twice_changes_nothing(world: World) -> None:
    adopt(world)
    before = world.events()
    again = adopt(world)
    assert (again.new, again.already, again.event) == (0, 1, None)
    assert world.events() == before


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"place": "elsewhere"}, "another place"),
        ({"owner": "user:bob"}, "another owner"),
        ({"purpose": "other"}, "another purpose"),
        ({"expires_at": NOW + DAY}, "another expiry"),
        ({"name": "other"}, "as `github-ci`"),
        ({"fingerprint": bytes(32)}, "another secret"),
    ],
)
def test_what_is_adopted_otherwise_is_refused(world: World, fields: dict[str, Any], why: str) -> None:
    adopt(world)
    with pytest.raises(UsageError, match=f"{why}.*nothing was changed"):
        adopt(world, stated(OTHER, name="db"), stated(**fields, line=7))
    assert len(listed(world)) == 1


def test_a_name_is_free_again_once_its_secret_has_ended_and_that_secret_never_is(world: World) -> None:
    adopt(world)
    ended(world)
    with pytest.raises(UsageError, match="has ended: it cannot be adopted again"):
        adopt(world)
    adopt(world, stated(OTHER))
    assert [one.credential.ended_as for one in listed(world)] == ["revoked", None]
    world.retire("adopted/github-ci")
    ended(world)
    with pytest.raises(UsageError, match="has ended, and its name cannot be used again"):
        adopt(world, stated("Another-0ne-that-is-long-enough"))
    world.check()


def test_what_this_ledger_issued_itself_is_not_adopted(world: World) -> None:
    from jitid.values.secret import fingerprint

    made = world.issue(kind="opaque")
    with pytest.raises(UsageError, match=made.jti):
        adopt(world, stated(fingerprint=fingerprint(made.token)))


@EVERYWHERE
def test_a_thousand_are_one_event(world: World) -> None:
    many = [stated(name=f"s{n}", line=n, fingerprint=n.to_bytes(32), place="a file") for n in range(1, 1001)]
    done = adopt(world, *many, content="0" * 64)
    assert (done.new, len(world.events())) == (1000, done.event)
    (event,) = [each for each in world.events() if each["op"] == "adopt"]
    assert event["count"] == 1000
    with pytest.raises(UsageError, match=r"line 1000: .* line 5 already"):
        adopt(world, *[one._replace(name="s5") if one.name == "s1000" else one for one in many])
    assert adopt(world, *many).already == 1000
    world.check()


def change(world: World, *names: str, **fields: Any) -> list[AdoptedSecret]:
    """Change the recorded facts about secrets."""
    operation = ops.ChangeAdopted(names=names or ("github-ci",), amended=Amended(**fields))
    return world.authority.perform(operation).secrets


@EVERYWHERE
def test_whoever_leaves_hands_it_over(world: World) -> None:
    world.know("user:alice")
    world.know("user:bob")
    adopt(world, stated(), stated(OTHER, name="db", line=2))
    change(world, "github-ci", owner="user:bob", place="another vault", agent="builder")
    world.check()
    world.authority.perform(DisableDelegator(name="user:alice", most=None))
    there = {one.name: one for one in listed(world)}
    assert there["db"].credential.ended_as == "revoked"
    assert there["github-ci"].credential.ended_as is None
    assert there["github-ci"].credential.delegator == "user:bob"
    assert there["github-ci"].adopted.place == "another vault"
    assert there["github-ci"].credential.agent == "builder"
    world.revoke(there["github-ci"].credential.jti)
    assert "another vault" in found(world, "revocation-stuck")[0].summary
    world.check()


def test_what_is_so_already_is_no_event(world: World) -> None:
    adopt(world)
    before = world.events()
    change(world, owner="user:alice", purpose="releases")
    assert world.events() == before
    assert adopt(world).already == 1
    change(world, purpose="other")
    assert adopt(world, stated(purpose="other")).already == 1


def test_what_has_ended_is_changed_no_more(world: World) -> None:
    world.know("user:gone", disabled_at=NOW)
    adopt(world)
    for fields in ({"owner": "user:gone"}, {"expires_at": NOW}, {"reference": "x"}, {"target": "nowhere"}):
        with pytest.raises(UsageError):
            change(world, **fields)
    ended(world)
    with pytest.raises(UsageError, match="has ended"):
        change(world, owner="user:bob")
    assert not any(event["op"] == "adopt-change" for event in world.events())


def test_an_edit_of_what_was_changed_is_found(world: World) -> None:
    adopt(world)
    change(world, place="another vault")
    world.check()
    edit(world.path, "UPDATE adopted SET place = 'vault kv/prod/github'")
    with pytest.raises(IntegrityError):
        world.check()


def test_a_target_may_be_told_later(world: World, shop: Shop) -> None:
    (shop.folder / "key-1.made").write_text("{}")
    jti = adopt(world).taken[0].jti
    change(world, target="shop", reference="key-1")
    world.revoke(jti)
    assert world.authority.perform(Settle()).done == 1
    world.check()


@EVERYWHERE
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE adopted SET place = 'elsewhere'",
        "UPDATE adopted SET length = NULL",
        "DELETE FROM adopted",
        "DELETE FROM outside",
        "UPDATE outside SET target = 'shop'",
        "UPDATE outside SET settlement = 'done', settled_at = 1, event = 2",
        "UPDATE credential SET expires_at = expires_at - 1",
        "UPDATE credential SET fingerprint = jti",
        "UPDATE task SET purpose = 'other'",
        "UPDATE identity SET sensitivity = 'low'",
        "INSERT INTO part SELECT id, 'x', jti FROM credential",
        "INSERT INTO adopted SELECT id, 'x', NULL, NULL FROM credential WHERE kind <> 'adopted'",
    ],
)
def test_an_edit_is_found(world: World, statement: str) -> None:
    world.issue()
    adopt(world)
    world.check()
    edit(world.path, statement)
    with pytest.raises(IntegrityError):
        world.check()


@pytest.fixture
def shop(world: World, tmp_path: Path) -> Shop:
    """Configure a program that holds secrets as a target, and return it."""
    shop = Shop(tmp_path / "shop")
    world.targets = [shop.target()]
    return shop


@EVERYWHERE
def test_a_target_ends_it_and_tells_whether_it_works(world: World, shop: Shop) -> None:
    (shop.folder / "key-1.made").write_text("{}")
    jti = adopt(world, stated(target="shop", reference="key-1")).taken[0].jti
    (probed,) = world.authority.perform(ops.ProbeAdopted(names=("github-ci",)))
    assert probed.probe.life is Life.LIVE
    assert {one.rule for one in found(world)} == {"standing"}
    world.revoke(jti)
    assert world.authority.perform(Settle()).done == 1
    (probed,) = world.authority.perform(ops.ProbeAdopted(names=("github-ci",)))
    assert probed.probe.life is Life.DEAD
    assert found(world) == []
    world.check()


def test_what_is_gone_at_its_target_is_found(world: World, shop: Shop) -> None:
    (shop.folder / "key-1.made").write_text("{}")
    adopt(world, stated(target="shop", reference="key-1"))
    (shop.folder / "key-1.made").unlink()
    world.clock.now += DAY
    assert {one.rule for one in found(world)} == {"standing", "orphaned-ledger-only"}


def test_a_target_must_be_there_and_know_what_is_meant(world: World, shop: Shop) -> None:
    for fields, why in (
        ({"target": "nowhere", "reference": "x"}, "no target"),
        ({"target": "shop"}, "--reference"),
    ):
        with pytest.raises(UsageError, match=f"line 4: .*{why}"):
            adopt(world, stated(line=4, **fields))
    assert not any(event["op"] == "adopt" for event in world.events())


def test_what_is_not_there_is_not_adopted_and_what_cannot_tell_is_believed(world: World, shop: Shop) -> None:
    with pytest.raises(UsageError, match="no such working secret"):
        adopt(world, stated(target="shop", reference="key-1"))
    shop.fail("down", "probe")
    done = adopt(world, stated(target="shop", reference="key-1"))
    assert (done.new, len(done.unseen)) == (1, 1)


def test_where_nobody_can_be_asked_nothing_is_known(world: World) -> None:
    adopt(world)
    (probed,) = world.authority.perform(ops.ProbeAdopted(names=("github-ci",)))
    assert probed.probe.life is Life.UNKNOWN


@EVERYWHERE
def test_the_looks_of_secrets_are_told_each_once(world: World) -> None:
    adopt(world, stated(), stated(OTHER, name="b"), stated("ghp_9rN8wq2KxVb7TmY4cJ9LdZ6sHf3", name="c"))
    found_ = world.authority.perform(shape_operations.AdoptedShapes())
    assert found_.shapes == (SecretShape("ghp_", len(SECRET)), SecretShape(None, len(OTHER)))
    assert len(found_.prints) == 3 * PRINT


@pytest.mark.parametrize(
    "text",
    ["", "\n", "short", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ghp_123456789012", "password1234567"],
)
def test_what_could_be_guessed_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_secret.of_secret(text, None)


def test_what_is_no_secret_of_somebody_else_is_refused() -> None:
    with pytest.raises(UsageError, match="token of jitid"):
        read_secret.of_secret(new_opaque(lambda count: bytes(range(count))), None)
    with pytest.raises(UsageError, match="public"):
        read_secret.of_secret("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None)
    with pytest.raises(UsageError, match="begin with"):
        read_secret.of_secret(SECRET, "glpat-")


@pytest.mark.parametrize("prefix", ["", "a b", "x" * 33, "\x1b", "é", OTHER])
def test_a_prefix_is_little_of_a_secret(prefix: str) -> None:
    print_ = sha256(OTHER.encode()).hexdigest()
    with pytest.raises(UsageError) as caught:
        read_secret.of_fingerprint(print_, prefix)
    assert not prefix or prefix not in caught.value.message
    assert read_secret.of_fingerprint(f"SHA256:{print_.upper()}", "corr").prefix == "corr"


def test_a_line_end_is_no_part_of_a_secret() -> None:
    assert read_secret.of_secret(SECRET + "\r\n", None) == read_secret.of_secret(SECRET, None)


def test_a_key_is_known_by_its_public_half(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    private = read_secret.of_secret(key.read_text(), None)
    public = read_secret.of_public((tmp_path / "key.pub").read_text())
    assert private.public == public.public is not None
    pem = subprocess.run(
        ["ssh-keygen", "-e", "-m", "PKCS8", "-f", f"{key}.pub"], check=False, capture_output=True, text=True
    ).stdout
    if pem:
        assert read_secret.of_public(pem).public == public.public
    with pytest.raises(UsageError, match="private"):
        read_secret.of_public(key.read_text())
    with pytest.raises(UsageError, match="not a public key"):
        read_secret.of_public("ssh-ed25519 AAAA")


def test_a_sweep_by_target_says_nothing_of_what_somebody_has_to_end(world: World, shop: Shop) -> None:
    """A secret without a target is not looked up anywhere, so that it cannot make a sweep incomplete."""
    adopt(world)
    assert not any(getattr(each, "missed", ()) for each in swept(world))
    assert listed(world)[0].credential.expires_at == NO_EXPIRY
    assert Secret.single(SECRET).fingerprints()["token"] == listed(world)[0].credential.fingerprint
