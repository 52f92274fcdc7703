"""Access of callers: granted, authenticated, rotated and revoked; with an access token or with a key."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_p384
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jitid.capabilities.access import grant as access
from jitid.capabilities.access import operations as ops
from jitid.capabilities.access.grant import AccessRequest, Granted
from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.trust.operations import PublishKeys
from jitid.errors import (
    IntegrityError,
    NotFoundError,
    PolicyDeniedError,
    RefusedError,
    UnauthenticatedError,
    UsageError,
)
from jitid.model.access import AccessState, Caller
from jitid.operation.base import Operation
from jitid.redaction.token_format import is_opaque
from jitid.values import strict_json
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue, told
from tests.builders import DAY, World, edit
from tests.crypto import signed

JWK = strict_json.dumps(signed.jwk(signed.ED25519, kid="k1"))


def grant(world: World, name: str = "user:alice", *roles: str, **more: Any) -> Granted:
    """Grant access locally; a verifier gets all audiences unless some are stated."""
    more = {"all_audiences": "verifier" in roles and "audiences" not in more, **more}
    return world.authority.perform(ops.GrantAccess(wanted=AccessRequest(name, roles, **more)))


def secret(granted: Granted) -> Secret:
    """Return the access token."""
    assert granted.secret is not None
    return granted.secret


def who(world: World, one: Granted | Secret) -> Caller:
    """Return the caller that authenticates with an access token."""
    token = secret(one) if isinstance(one, Granted) else one
    return world.authority.perform(ops.Authenticate(bearer=token))


def is_known(world: World, one: Granted | Secret) -> bool:
    """Return whether an access token is valid; as a client's secret it is valid exactly as long (promise 24)."""
    token = secret(one) if isinstance(one, Granted) else one
    known = counts(world, token, None)
    for name in ("user:alice", one.access.name) if isinstance(one, Granted) else ("user:alice",):
        right = isinstance(one, Granted) and name == one.access.name
        assert counts(world, token, name) is (known and right), name
    return known


def counts(world: World, token: Secret, client: str | None) -> bool:
    """Return whether a token authenticates a caller."""
    try:
        return bool(world.authority.perform(ops.Authenticate(bearer=token, client=client)))
    except UnauthenticatedError as error:
        # The message does not depend on the defect of the token.
        assert error.message in (
            "the access token is not valid here: unknown, expired or revoked; nothing was done",
            "the access token was granted to a caller other than `client_id`; nothing was done",
        )
        return False


def state(world: World, one: Granted) -> AccessState:
    """Return the state of an access credential."""
    with world.ledger.read() as snapshot:
        return access.find(snapshot, one.access.id).state_at(snapshot.now)


def _some(*operations: Operation[Any]) -> tuple[Operation[Any], ...]:
    return operations


def test_a_bearer_is_known_again(world: World) -> None:
    granted = grant(world, "alice", "verifier", "auditor", "verifier")
    found = who(world, granted)
    assert found == Caller(
        "user:alice",
        frozenset({"auditor", "verifier"}),
        "user:alice",
        "credential",
        credential=granted.access.id,
    )
    text = secret(granted).reveal()
    assert is_opaque(text), "scanners know it by its form"
    assert granted.access.expires_at == world.clock.now + DAY // 2


def test_as_a_secret_it_is_the_same_caller(world: World) -> None:
    """RFC 6749, section 2.3.1: its name or id as `client_id` changes nothing; another `client_id` is refused."""
    granted, other = grant(world, "system:ci", "verifier"), grant(world, "system:cd", "verifier")
    for client in ("system:ci", granted.access.id):
        found = world.authority.perform(ops.Authenticate(bearer=secret(granted), client=client))
        assert found == who(world, granted)
    for client in ("ci", "user:ci", "system:cd", "", other.access.id):
        assert not counts(world, secret(granted), client), client


def test_no_token_of_an_agent_is_a_secret(world: World) -> None:
    """Promise 14: an identity token authenticates the agent that holds it, and is not a client's secret."""
    made = bearer(issue(world, caller("user:alice"), agent="planner"))
    agent = who(world, made)
    for client in (agent.name, agent.agent, agent.delegator, agent.credential, agent.identity, "user:alice"):
        assert client is None or not counts(world, made, client), client


def test_the_ledger_never_has_the_bearer(kept: World) -> None:
    text = secret(grant(kept)).reveal()
    kept.close()
    for path in kept.path.rglob("*"):
        if path.is_file():
            assert text.encode() not in path.read_bytes(), path
            assert text[6:38].encode() not in path.read_bytes(), path


@pytest.mark.parametrize("text", ["jitid_" + "A" * 38, "x", "eyJhbGciOiJub25lIn0.e30.", "a.b.c", "jitid_"])
def test_what_nobody_was_given_is_nobody(world: World, text: str) -> None:
    grant(world)
    assert not is_known(world, Secret.single(text))


def test_it_counts_until_it_expires(world: World) -> None:
    granted = grant(world, ttl=60)
    world.clock.now += 59
    assert is_known(world, granted)
    world.clock.now += 1
    assert not is_known(world, granted)


def test_a_clock_that_is_set_back_brings_nothing_to_life(kept: World) -> None:
    """The time mark does not go back."""
    granted = grant(kept, ttl=60)
    kept.clock.now += 60
    kept.issue()
    kept.clock.now -= 30
    assert not is_known(kept, granted)


def test_what_was_dead_stays_dead_when_the_clock_is_set_back_on_purpose(kept: World) -> None:
    granted = grant(kept, ttl=60)
    rotated = grant(kept, "user:bob")
    kept.authority.perform(ops.RotateAccess(id=rotated.access.id))
    kept.clock.now += 3 * DAY
    kept.issue(accept_clock=True)
    kept.clock.now -= 3 * DAY
    kept.issue(accept_clock=True, task="T2")
    assert not is_known(kept, granted)
    assert not is_known(kept, rotated)


@pytest.mark.parametrize("ttl", [0, -1, 30 * DAY + 1])
def test_no_bearer_is_for_ever(world: World, ttl: int) -> None:
    with pytest.raises(UsageError, match="must be at most 30d"):
        grant(world, ttl=ttl)


@pytest.mark.parametrize(
    ("name", "roles"),
    [("user:", ()), ("agent:planner", ()), ("x:y", ()), ("alice", ("root",)), ("alice", ("",))],
)
def test_what_cannot_be_meant_changes_nothing(world: World, name: str, roles: tuple[str, ...]) -> None:
    head = world.head()
    with pytest.raises(UsageError):
        grant(world, name, *roles)
    assert world.head() == head


def test_revoked_it_counts_no_longer(world: World) -> None:
    one, other = grant(world), grant(world)
    done = world.authority.perform(ops.RevokeAccess(ids=(one.access.id,), reason="lost"))
    assert done.ids == (one.access.id,)
    assert not is_known(world, one)
    assert is_known(world, other)
    assert state(world, one) is AccessState.REVOKED
    again = world.authority.perform(ops.RevokeAccess(ids=(one.access.id,)))
    assert (again.ids, again.event) == ((), None)


def test_all_of_a_name_end_together(world: World) -> None:
    world.know("user:alice", aliases=("user:al",))
    one, other, bob = grant(world), grant(world, "user:al", "admin"), grant(world, "user:bob")
    done = world.authority.perform(ops.RevokeAccess(names=("al",)))
    assert sorted(done.ids) == sorted((one.access.id, other.access.id))
    assert [is_known(world, each) for each in (one, other, bob)] == [False, False, True]
    with pytest.raises(NotFoundError):
        world.authority.perform(ops.RevokeAccess(names=("carol",)))
    with pytest.raises(NotFoundError):
        world.authority.perform(ops.RevokeAccess(ids=("acc_" + "0" * 26,)))
    with pytest.raises(UsageError):
        world.authority.perform(ops.RevokeAccess())


def test_another_takes_the_place_of_one(world: World) -> None:
    old = grant(world, "user:alice", "issuer", ttl=3600)
    world.clock.now += 60
    new = world.authority.perform(ops.RotateAccess(id=old.access.id))
    assert not is_known(world, old)
    assert who(world, new).roles == frozenset({"issuer"})
    assert new.access.expires_at == world.clock.now + 3600
    assert state(world, old) is AccessState.ROTATED
    with pytest.raises(PolicyDeniedError, match="was rotated already"):
        world.authority.perform(ops.RotateAccess(id=old.access.id))


@pytest.mark.parametrize("asked", ["own", "own-other-key", "admin", "beside"])
def test_access_has_one_successor(world: World, asked: str) -> None:
    """Two successors would be two logins from one grant, and a thief could hold the second."""
    old = grant(world, "user:alice", "issuer")
    rotate = ops.RotateAccess(id=old.access.id, overlap=30)
    mine = who(world, old)
    new = ask(world, mine._replace(key="k1"), rotate)
    second = {
        "own": mine,
        "own-other-key": mine._replace(key="k2"),
        "admin": caller("user:root", "admin", key="k1"),
        "beside": None,
    }[asked]
    for operation in (rotate, rotate.replace(overlap=None), rotate.replace(ttl=1)):
        with pytest.raises(PolicyDeniedError, match="was rotated already") as denied:
            if second is None:
                world.authority.perform(operation)
            else:
                ask(world, second, operation)
        assert denied.value.hint is not None
        assert "jitid access revoke user:alice" in denied.value.hint
    denials = told(world, "denial")
    assert [(one["rules"], one["access"]) for one in denials] == [(["rotated-twice"], old.access.id)] * 3
    assert (state(world, new), state(world, old)) == (AccessState.ACTIVE, AccessState.ACTIVE)
    assert len(world.authority.perform(ops.ListAccess(limit=10)).found) == 2
    # Revoking the successor also revokes its predecessor, which may be the stolen token.
    world.authority.perform(ops.RevokeAccess(ids=(new.access.id,)))
    with pytest.raises(RefusedError, match="is no longer valid"):
        ask(world, mine, rotate)
    world.check()


def test_a_rotation_that_is_asked_for_again_is_made_anew_unless_it_was_rotated_on(world: World) -> None:
    old = grant(world, "user:alice", "issuer")
    rotate = ops.RotateAccess(id=old.access.id, overlap=30)
    mine = who(world, old)._replace(key="k1")
    lost, got = ask(world, mine, rotate), ask(world, mine, rotate)
    assert [state(world, one) for one in (lost, got)] == [AccessState.REVOKED, AccessState.ACTIVE]
    newest = ask(world, who(world, got), ops.RotateAccess(id=got.access.id))
    with pytest.raises(PolicyDeniedError, match="was rotated already"):
        ask(world, mine, rotate)
    assert [state(world, one) for one in (got, newest)] == [AccessState.REVOKED, AccessState.ACTIVE]
    world.check()


@pytest.mark.parametrize("found", range(3))
def test_by_its_id_one_ends_with_its_line(world: World, found: int) -> None:
    """A thief of an access token may have rotated it, and may still hold its predecessor."""
    stolen, other = grant(world, "user:alice", "issuer"), grant(world, "user:alice", "issuer")
    second = ask(world, who(world, stolen), ops.RotateAccess(id=stolen.access.id, overlap=1))
    third = ask(world, who(world, second), ops.RotateAccess(id=second.access.id, overlap=9))
    world.clock.now += 1
    line = (stolen, second, third)
    ended = world.authority.perform(ops.RevokeAccess(ids=(line[found].access.id,)))
    assert set(ended.ids) == {second.access.id, third.access.id}
    assert [is_known(world, one) for one in (*line, other)] == [False, False, False, True]
    world.check()


def test_a_rotation_is_not_made_anew_that_somebody_ended(world: World) -> None:
    """The client got no answer, and repeats its request."""
    old = grant(world, "user:alice", "issuer")
    admin = caller("user:root", "admin", key="k1")
    rotate = ops.RotateAccess(id=old.access.id, overlap=0)
    made = ask(world, admin, rotate)
    world.authority.perform(ops.RevokeAccess(ids=(made.access.id,)))
    with pytest.raises(PolicyDeniedError, match="was rotated already"):
        ask(world, admin, rotate)
    assert [is_known(world, one) for one in (old, made)] == [False, False]
    world.check()


def test_both_count_while_they_overlap(world: World) -> None:
    old = grant(world)
    new = world.authority.perform(ops.RotateAccess(id=old.access.id, overlap=300))
    world.clock.now += 299
    assert is_known(world, old)
    assert is_known(world, new)
    world.clock.now += 1
    assert not is_known(world, old)


def test_whoever_rotates_their_own_gains_no_time(world: World) -> None:
    old = grant(world, ttl=3600)
    world.clock.now += 60
    new = ask(world, who(world, old), ops.RotateAccess(id=old.access.id, ttl=30 * DAY))
    assert new.access.expires_at == old.access.expires_at
    assert is_known(world, old), "until the answer has arrived"
    world.clock.now += access.OWN_OVERLAP
    assert not is_known(world, old)
    assert is_known(world, new)


def test_an_admin_whose_access_ended_meanwhile_grants_nothing(world: World) -> None:
    """Permissions are checked again inside the lock."""
    admin = grant(world, "user:root", "admin")
    serving = who(world, admin)
    world.authority.perform(ops.RevokeAccess(ids=(admin.access.id,)))
    with pytest.raises(RefusedError, match="is no longer valid"):
        ask(world, serving, ops.GrantAccess(wanted=AccessRequest("user:mallory", ("admin",))))
    other = grant(world)
    with pytest.raises(RefusedError, match="is no longer valid"):
        ask(world, serving, ops.RotateAccess(id=other.access.id))


def test_a_change_tells_who_made_it(world: World) -> None:
    admin = grant(world, "user:root", "admin")
    made = ask(
        world,
        who(world, admin),
        ops.GrantAccess(wanted=AccessRequest("system:gate", ("verifier",), 600, audiences=("urn:a",))),
    )
    event = told(world, "access-grant")[-1]
    assert (event["by"], event["bearer"]) == ("user:root", admin.access.id)
    assert (event["name"], event["roles"], event["access"]) == ("system:gate", ["verifier"], made.access.id)
    assert event["until"] == world.clock.now + 600
    assert world.check()


def test_access_ends_with_its_delegator(world: World) -> None:
    world.know("user:alice", aliases=("user:al",))
    one, bob = grant(world, "al"), grant(world, "user:bob")
    disable = directory_operations.DisableDelegator(name="user:alice", most=None)
    foreseen = world.authority.perform(
        directory_operations.DisableDelegator(name="user:alice", most=None, dry_run=True)
    )
    assert foreseen.departure.ties.access == 1
    world.authority.perform(disable)
    assert [is_known(world, each) for each in (one, bob)] == [False, True]
    assert state(world, one) is AccessState.DISABLED
    assert told(world, "delegator-disable")[-1]["access"] == 1
    with pytest.raises(PolicyDeniedError, match="is disabled"):
        grant(world, "user:al")
    assert told(world, "denial")[-1]["delegator"] == "user:alice"
    world.authority.perform(directory_operations.EnableDelegator(name="user:alice"))
    assert not is_known(world, one)
    assert is_known(world, grant(world))


def test_whoever_is_disabled_is_nobody_whatever_the_row_says(kept: World) -> None:
    granted = grant(kept)
    kept.know("user:alice")
    kept.close()
    edit(kept.path, "UPDATE delegator SET disabled_at = 1")
    kept.reopen()
    assert not is_known(kept, granted)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access SET roles = 'admin'",
        "UPDATE access SET audiences = 'urn:b'",
        "UPDATE access SET name = 'user:root'",
        "UPDATE access SET expires_at = expires_at + 1",
        "UPDATE access SET event = 1",
        "UPDATE access SET event = 99",
        "UPDATE access SET fingerprint = (SELECT fingerprint FROM credential)",
    ],
)
def test_a_row_alone_lets_nobody_in(kept: World, statement: str) -> None:
    """An attacker that edits the row would also have to forge the audit log."""
    opaque = kept.issue(kind="opaque")
    granted = grant(kept, "user:alice", "verifier")
    kept.close()
    edit(kept.path, statement)
    kept.reopen()
    token = Secret.single(opaque.token) if "fingerprint" in statement else secret(granted)
    with pytest.raises(IntegrityError, match="no audit event records that it was granted"):
        who(kept, token)


def test_an_agent_asks_by_its_own_credential(world: World) -> None:
    issued = issue(world, caller(), delegator=None)
    (one,) = issued.credentials
    assert who(world, bearer(issued)) == Caller(
        "agent:planner", frozenset(), None, "credential", credential=one.jti, agent="planner", identity=one.id
    )
    world.revoke(one.id)
    assert not is_known(world, bearer(issued))


def test_a_credential_for_others_is_none_here(world: World) -> None:
    assert not is_known(world, Secret.single(world.issue(audiences=("https://api.example",)).token))


def test_the_first_administrator_is_let_in_once(world: World) -> None:
    first = world.authority.perform(ops.BootstrapAccess(file="root.token"))
    found = who(world, first)
    assert (found.name, found.delegator) == ("system:bootstrap", None)
    for operation in _some(
        ops.GrantAccess(wanted=AccessRequest("user:root", ("auditor",))),
        ops.RotateAccess(id=first.access.id),
        ops.ListAccess(limit=1),
        PublishKeys(),
    ):
        with pytest.raises(RefusedError):
            ask(world, found, operation)
    admin = ask(world, found, ops.GrantAccess(wanted=AccessRequest("user:root", ("admin",))))
    assert who(world, admin).roles == frozenset({"admin"})
    assert not is_known(world, first)
    assert state(world, first) is AccessState.SPENT
    with pytest.raises(RefusedError):
        ask(world, found, ops.GrantAccess(wanted=AccessRequest("user:mallory", ("admin",))))
    with pytest.raises(UsageError, match="has the role admin already"):
        world.authority.perform(ops.BootstrapAccess(file="root.token"))


def test_a_bootstrap_credential_ends_after_an_hour_or_by_the_next(world: World) -> None:
    first = world.authority.perform(ops.BootstrapAccess(file="root.token"))
    second = world.authority.perform(ops.BootstrapAccess(file="root.token"))
    assert [is_known(world, each) for each in (first, second)] == [False, True]
    world.clock.now += 3600
    assert not is_known(world, second)


def test_the_list_tells_no_secret(world: World) -> None:
    grants = [grant(world, name) for name in ("user:alice", "user:bob", "user:alice")]
    world.authority.perform(ops.RevokeAccess(ids=(grants[0].access.id,)))

    def listed(**chosen: Any) -> list[str]:
        return [one.id for one in world.authority.perform(ops.ListAccess(**{"limit": 10, **chosen})).found]

    ids = [one.access.id for one in grants]
    assert listed() == [ids[2], ids[1]]
    assert listed(live=False) == ids[::-1]
    assert listed(live=False, name="user:alice") == [ids[2], ids[0]]
    assert listed(live=False, limit=1) == [ids[2]]
    assert listed(live=False, after=ids[2]) == [ids[1], ids[0]]


def test_a_client_has_a_key_in_place_of_a_bearer(world: World) -> None:
    granted = grant(world, "system:ci", "issuer", key=JWK)
    assert granted.secret is None
    assert granted.access.expires_at == world.clock.now + 30 * DAY
    for client in ("system:ci", granted.access.id):
        (key,) = world.authority.perform(ops.FindClientKeys(client=client))
        assert key.id == granted.access.id
        assert strict_json.loads(key.jwk)["alg"] == "EdDSA"
    assert world.authority.perform(ops.FindClientKeys(client="system:other")) == []
    with pytest.raises(UsageError, match="no access token to rotate"):
        world.authority.perform(ops.RotateAccess(id=granted.access.id))


def test_what_a_client_signed_counts_once(world: World) -> None:
    granted = grant(world, "system:ci", "issuer", key=JWK)
    # The same key twice is the same client.
    again = grant(world, "system:ci", key=JWK)

    def use(one: Granted, jti: str, lifetime: int = 300) -> Caller:
        expires_at = world.clock.now + lifetime
        return world.authority.perform(ops.UseAssertion(id=one.access.id, jti=jti, expires_at=expires_at))

    found = use(granted, "j1")
    assert (found.name, found.roles, found.delegator) == ("system:ci", frozenset({"issuer"}), "system:ci")
    for one in (granted, again):
        with pytest.raises(UnauthenticatedError, match="was used before"):
            use(one, "j1")
    assert use(again, "j2").roles == frozenset()
    for jti, lifetime in (("", 300), ("j" * 257, 300), ("j3", DAY)):
        with pytest.raises(UnauthenticatedError):
            use(granted, jti, lifetime)
    # By the ledger's clock the assertion expired, and its use is no longer recorded.
    use(granted, "j5", 10)
    world.clock.now += 311
    use(granted, "j6")
    with pytest.raises(UnauthenticatedError, match="has expired"):
        use(granted, "j5", -301)
    world.authority.perform(ops.RevokeAccess(ids=(granted.access.id,)))
    with pytest.raises(UnauthenticatedError):
        use(granted, "j4")
    assert world.authority.perform(ops.FindClientKeys(client=granted.access.id)) == []


RSA = generate_private_key(65_537, 2048)
SSH = (Encoding.OpenSSH, PublicFormat.OpenSSH)
PEM = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("form", [PEM, SSH], ids=["pem", "openssh"])
@pytest.mark.parametrize("private", [signed.ED25519, signed.P256, RSA], ids=["ed25519", "p256", "rsa"])
def test_a_key_is_the_same_in_every_form_that_issue_takes(
    world: World, private: Any, form: tuple[Encoding, PublicFormat]
) -> None:
    """A client may state the key as its tools write it: openssl, ssh-keygen, or a JWK."""
    text = private.public_key().public_bytes(*form).decode()
    stated = [grant(world, "system:ci", key=each).access.public for each in (text, f"\n{text}\r\n")]
    assert stated == [grant(world, "system:ci", key=strict_json.dumps(signed.jwk(private))).access.public] * 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a JWK"),
        ("ssh-ed25519 AAAA x", "not a JWK"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a JWK"),
        (2 * signed.P256.public_key().public_bytes(*PEM).decode(), "not a JWK"),
        (generate_p384(SECP384R1()).public_key().public_bytes(*PEM).decode(), "not for any of"),
        (generate_p384(SECP384R1()).public_key().public_bytes(*SSH).decode(), "not for any of"),
        (X25519PrivateKey.generate().public_key().public_bytes(*PEM).decode(), "not for any of"),
        (generate_private_key(65_537, 1024).public_key().public_bytes(*PEM).decode(), "too short"),
        *(
            (
                signed.ED25519.private_bytes(Encoding.PEM, form, NoEncryption()).decode(),
                "private or secret key",
            )
            for form in (PrivateFormat.PKCS8, PrivateFormat.OpenSSH)
        ),
        ("[]", "not an object"),
        ('{"kty":"oct","k":"AAAA"}', "private or secret key"),
        (JWK[:-1] + ',"d":"AAAA"}', "private or secret key"),
        ('{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}', "not for any of"),
        ('{"kty":"OKP","crv":"Ed25519","x":"AA"}', "damaged"),
        ('{"kty":"RSA","n":"AQAB","e":"AQAB"}', "too short"),
        (JWK[:-1] + ',"kty":"OKP"}', "not a JWK"),
        ('{"x":"' + "a" * 9000 + '"}', "too long"),
    ],
)
def test_what_is_no_public_key_is_refused(world: World, text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        grant(world, key=text)


def test_the_id_of_an_access_credential_has_one_spelling(world: World) -> None:
    granted = grant(world)
    assert re.fullmatch("acc_[0-9a-v]{26}", granted.access.id)
    for text in (granted.access.id.upper(), granted.access.id[4:], "acc_1", "jid_" + "0" * 26):
        with pytest.raises(UsageError):
            world.authority.perform(ops.RevokeAccess(ids=(text,)))


_FORGED = """INSERT INTO access SELECT zeroblob(16), 'user:mallory', roles, zeroblob(32), NULL, issued_at, expires_at,
    NULL, NULL, NULL, 0, NULL, event, NULL, NULL, NULL, NULL, NULL FROM access WHERE name = 'user:root'"""


def _history(world: World) -> None:
    """Grant, rotate, revoke and spend access; let it expire, and end with its delegator."""
    first = world.authority.perform(ops.BootstrapAccess(file="root.token"))
    second = world.authority.perform(ops.BootstrapAccess(file="root.token"))
    ask(world, who(world, second), ops.GrantAccess(wanted=AccessRequest("user:root", ("admin",))))
    one = grant(world, "user:alice", "verifier")
    world.authority.perform(ops.RotateAccess(id=one.access.id, overlap=300))
    with pytest.raises(PolicyDeniedError):
        world.authority.perform(ops.RotateAccess(id=one.access.id, overlap=60))
    world.authority.perform(ops.RevokeAccess(ids=(grant(world, "user:carol").access.id,)))
    world.know("user:dan")
    grant(world, "user:dan", ttl=60)
    grant(world, "user:dan", ttl=600)
    grant(world, "system:ci", key=JWK)
    world.clock.now += 90
    world.authority.perform(directory_operations.DisableDelegator(name="user:dan", most=None))
    assert first.access.id


def test_the_rows_are_as_the_events_tell(world: World) -> None:
    _history(world)
    assert world.check()


def test_what_is_closed_when_the_clock_is_set_back_is_as_told(kept: World) -> None:
    _history(kept)
    kept.clock.now += 3 * DAY
    kept.issue(accept_clock=True)
    kept.clock.now -= 3 * DAY
    kept.issue(accept_clock=True, task="T2")
    assert kept.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access SET roles = 'admin' WHERE name = 'user:alice'",
        "UPDATE access SET audiences = 'urn:b' WHERE name = 'user:alice'",
        "UPDATE access SET name = 'user:mallory' WHERE name = 'user:root'",
        "UPDATE access SET expires_at = expires_at + 1 WHERE name = 'system:ci'",
        "UPDATE access SET issued_at = issued_at - 1 WHERE name = 'system:ci'",
        "UPDATE access SET public = '{}' WHERE name = 'system:ci'",
        "UPDATE access SET fingerprint = x'00' WHERE name = 'user:root'",
        "UPDATE access SET bootstrap = 0 WHERE bootstrap = 1",
        "UPDATE access SET superseded_at = NULL WHERE superseded_at IS NOT NULL",
        "UPDATE access SET superseded_at = superseded_at + 1 WHERE superseded_at IS NOT NULL",
        "UPDATE access SET ended_at = NULL, ended_as = NULL, ended_event = NULL WHERE ended_as = 'revoked'",
        "UPDATE access SET ended_at = NULL, ended_as = NULL, ended_event = NULL WHERE ended_as = 'spent'",
        "UPDATE access SET ended_at = NULL, ended_as = NULL, ended_event = NULL WHERE ended_as = 'disabled'",
        "UPDATE access SET ended_as = 'expired' WHERE ended_as = 'revoked'",
        "UPDATE access SET ended_at = expires_at, ended_as = 'expired' WHERE name = 'user:root'",
        "UPDATE access SET ended_at = ended_at - 1 WHERE ended_as = 'disabled'",
        "DELETE FROM access WHERE name = 'user:carol'",
        _FORGED,
    ],
)
def test_rows_that_were_edited_are_found(kept: World, statement: str) -> None:
    _history(kept)
    kept.close()
    edit(kept.path, statement)
    kept.reopen()
    with pytest.raises(IntegrityError, match="access"):
        kept.check()
