"""Signing keys: rotation, publication and revocation."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest

from jitid.capabilities.trust.operations import KeyRow, ListKeys, PublishKeys, RevokeKey, RotateKey
from jitid.errors import IntegrityError, InvalidCredentialError, NotFoundError, UsageError
from tests.builders import World, edit
from tests.real import Shell


def keys(world: World) -> list[KeyRow]:
    """Return all keys, also retired and revoked ones."""
    return world.authority.perform(ListKeys())


def published(world: World) -> list[str]:
    """Return the ids of the published keys."""
    return [key["kid"] for key in world.authority.perform(PublishKeys())["keys"]]


def private(world: World) -> set[str]:
    """Return the ids of the keys with a stored private half."""
    return {path.name for path in (world.path / "keys").iterdir()}


def test_what_an_old_key_signed_verifies_after_a_rotation(world: World) -> None:
    made = world.issue()
    change = world.authority.perform(RotateKey(algorithm="EdDSA"))
    assert world.verify(made.token).signed_by == change.retired[0]
    assert world.verify(world.issue().token).signed_by == change.kid


def test_a_rotated_key_is_published_as_long_as_something_it_signed_may_live(world: World) -> None:
    world.issue(ttl=60)
    change = world.authority.perform(RotateKey(algorithm="EdDSA"))
    assert published(world) == [*change.retired, change.kid]
    world.clock.now += 60
    assert published(world) == [change.kid]
    assert len(keys(world)) == 2


def test_a_retired_key_has_no_private_half(world: World) -> None:
    change = world.authority.perform(RotateKey(algorithm="EdDSA"))
    assert private(world) == {change.kid}


def test_a_private_half_that_a_crash_left_goes_with_the_next_rotation(world: World) -> None:
    (old,) = private(world)
    seed = (world.path / "keys" / old).read_bytes()
    world.authority.perform(RotateKey(algorithm="EdDSA"))
    (world.path / "keys" / old).write_bytes(seed)
    change = world.authority.perform(RotateKey(algorithm="EdDSA"))
    assert private(world) == {change.kid}


def test_revoking_a_key_ends_all_that_it_signed_and_what_descends_from_it(world: World) -> None:
    chain = world.chain(2)
    opaque = world.issue(parent=chain[1].token, kind="opaque")
    apart = world.issue(kind="opaque")
    (old,) = published(world)
    change = world.authority.perform(RevokeKey(kid=old, most=None))
    for made in (*chain, opaque):
        with pytest.raises(InvalidCredentialError, match="revoked"):
            world.verify(made.token)
    world.verify(apart.token)
    assert published(world) == [change.successor]
    assert world.verify(world.issue().token).signed_by == change.successor
    world.check()


def test_what_a_revoked_key_signed_stays_dead_though_its_row_was_put_back(world: World) -> None:
    made = world.issue()
    world.authority.perform(RevokeKey(kid=published(world)[0], most=None))
    edit(world.path, "UPDATE credential SET ended_at = NULL, ended_as = NULL, ended_event = NULL")
    with pytest.raises(InvalidCredentialError, match="key"):
        world.verify(made.token)


def test_revoking_a_key_twice_changes_nothing(world: World) -> None:
    (old,) = published(world)
    world.authority.perform(RevokeKey(kid=old, most=None))
    head = world.head()
    assert world.authority.perform(RevokeKey(kid=old, most=None)).event is None
    assert world.head() == head


def test_revoking_a_key_has_a_guard_rail(world: World) -> None:
    made = world.issue()
    world.issue()
    with pytest.raises(UsageError):
        world.authority.perform(RevokeKey(kid=published(world)[0], most=1))
    world.verify(made.token)


def test_an_unknown_key_cannot_be_revoked(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.authority.perform(RevokeKey(kid="nobody", most=None))


def test_a_key_is_chosen_by_audience(world: World) -> None:
    world.terms = world.terms._replace(algorithms={"urn:outside": "ES256"})
    inside, outside = world.issue(), world.issue(audiences=("urn:outside",))
    by_kid = {row.key.kid: row.key.algorithm for row in keys(world)}
    assert by_kid[str(world.verify(inside.token).signed_by)] == "EdDSA"
    assert by_kid[str(world.verify(outside.token, "urn:outside").signed_by)] == "ES256"
    world.authority.perform(RotateKey(algorithm="ES256"))
    assert world.verify(world.issue().token).signed_by == world.verify(inside.token).signed_by


@pytest.mark.parametrize("happened", ["missing", "damaged"])
@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_the_command_that_an_error_names_replaces_the_key(
    tmp_path: Path, algorithm: str, happened: str
) -> None:
    shell = Shell(tmp_path)
    shell.good("config", "set", "algorithm.audience.urn:example:api", algorithm)
    line = ("issue", "--task", "T1", "--delegator", "alice", "--audience", "urn:example:api")
    kid = jwt.get_unverified_header(shell.good(*line).strip())["kid"]
    file = shell.ledger / "keys" / kid
    file.unlink()
    if happened == "damaged":
        file.write_bytes(bytes(31))
        file.chmod(0o600)
    failed = shell.run(*line)
    assert (failed.returncode, failed.stdout) == (7, "")
    command = failed.stderr.rpartition("or make a new key: ")[2].strip()
    assert command == "jitid keys rotate" + ("" if algorithm == "EdDSA" else f" --algorithm {algorithm}")
    successor = shell.good(*command.split()[1:]).strip()
    assert jwt.get_unverified_header(shell.good(*line).strip())["kid"] == successor


def test_a_rotation_names_the_keys_that_sign_as_before(world: World) -> None:
    assert world.authority.perform(RotateKey(algorithm="EdDSA")).further == ()
    assert world.authority.perform(RotateKey(algorithm="ES256")).further == ("jitid keys rotate",)
    assert world.authority.perform(RotateKey(algorithm="EdDSA")).further == (
        "jitid keys rotate --algorithm ES256",
    )
    # A key for another use is another matter.
    assert world.authority.perform(RotateKey(algorithm="EdDSA", use="ssh")).further == ()


def test_a_key_for_certificates_signs_no_token_and_no_token_key_is_replaced_by_it(world: World) -> None:
    made = world.issue()
    change = world.authority.perform(RotateKey(algorithm="EdDSA", use="ssh"))
    assert not change.retired
    assert published(world) == [str(world.verify(made.token).signed_by)]
    assert world.verify(world.issue().token).signed_by != change.kid
    assert [row.key.use for row in keys(world)] == ["jws", "ssh"]
    again = world.authority.perform(RotateKey(algorithm="EdDSA", use="ssh"))
    assert again.retired == (change.kid,)
    world.check()


def test_a_token_signed_by_a_key_for_certificates_is_refused(world: World) -> None:
    """This holds even if an edit adapts the ledger's row: a key that hosts trust must never sign a token."""
    made = world.issue()
    edit(world.path, "UPDATE signing_key SET use = 'ssh'")
    with pytest.raises(InvalidCredentialError, match="does not know"):
        world.verify(made.token)


def test_a_use_has_its_algorithms(world: World) -> None:
    with pytest.raises(UsageError, match="ssh"):
        world.authority.perform(RotateKey(algorithm="ES256", use="ssh"))


@pytest.mark.parametrize(
    "statement", ["UPDATE signing_key SET use = 'ssh'", "UPDATE signing_key SET certificates = x'00'"]
)
def test_another_use_of_a_key_in_the_ledger_is_found(world: World, statement: str) -> None:
    edit(world.path, statement)
    with pytest.raises(IntegrityError, match=r"the use of the signing key .* was changed"):
        world.check()
