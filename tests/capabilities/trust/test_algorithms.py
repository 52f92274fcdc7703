"""The signature algorithm of a token, by its audience and by the setting of the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jitid.capabilities.issue.operations import Attach, Issue, Renew
from jitid.capabilities.trust.operations import ListAlgorithms, ListKeys, RevokeKey, SetAlgorithm
from jitid.errors import IntegrityError, UsageError
from jitid.model.request import AttachRequest, RenewRequest
from jitid.model.signature_algorithm import ACCEPTED, PREFERENCE, accepted_by, choose
from jitid.values.secret import Secret
from jitid.values.strict_json import b64url_decode
from tests.builders import NAMES, World, edit, request

API = "https://api.example"
AZURE = "api://AzureADTokenExchange"
AWS = "sts.amazonaws.com"

pytestmark = pytest.mark.usefixtures("kept_in")


def alg(token: str) -> str:
    header: dict[str, str] = json.loads(b64url_decode(token.partition(".")[0]))
    return header["alg"]


def set_(world: World, algorithm: str) -> int | None:
    return world.authority.perform(SetAlgorithm(algorithm=algorithm)).event


def configure(world: World, algorithms: dict[str, str]) -> None:
    """Continue with this table in the configuration."""
    world.terms = world.terms._replace(algorithms=algorithms)
    world.reopen()


def signed(world: World, *audiences: str, **fields: Any) -> str:
    """Return the algorithm of a token to these audiences."""
    return alg(world.issue(kind="jwt", audiences=audiences, **fields).token)


@pytest.fixture
def other(world: World) -> Iterator[World]:
    """Return another process that has the same ledger open."""
    with World(world.path) as found:
        found.verify(found.issue(task="BEFORE").token)
        yield found


def test_a_ledger_of_before_signs_as_before(world: World) -> None:
    """No table applies until an operator sets an algorithm; the configuration does."""
    assert [signed(world, *each) for each in [(), (API,), (AWS,), (AZURE,), (AWS, AZURE)]] == ["EdDSA"] * 5
    configure(world, {API: "ES256", AZURE: "RS256"})
    assert signed(world, API) == "ES256"
    assert signed(world, AZURE, API) == "RS256"
    assert signed(world) == "EdDSA"
    world.check()


def test_service_tokens_get_the_set_algorithm_and_identity_tokens_do_not(world: World) -> None:
    before = world.issue(kind="jwt", audiences=(API,))
    event = set_(world, "ES256")
    assert event is not None
    assert set_(world, "ES256") is None
    assert signed(world) == "EdDSA"
    assert signed(world, API) == "ES256"
    assert alg(before.token) == "EdDSA"
    world.verify(before.token, API)
    assert set_(world, "RS256") is not None
    token = world.issue(kind="jwt", audiences=(API,)).token
    assert alg(token) == "RS256"
    world.verify(token, API)
    assert set_(world, "EdDSA") is not None
    assert signed(world, API) == "EdDSA"
    world.check()
    world.reopen()
    assert world.ledger.names.service_algorithm == "EdDSA"
    world.verify(token, API)


def test_renewal_and_attachment_follow_the_same_rule(world: World) -> None:
    made = world.issue(may_audience=(API, AZURE))
    set_(world, "ES256")

    def attached(*audiences: str) -> str:
        asked = AttachRequest(Secret.single(made.token), "jwt", audiences=audiences)
        (credential,) = world.authority.perform(Attach(request=asked)).credentials
        return credential.secret.reveal()

    assert alg(attached(API)) == "ES256"
    token = attached(AZURE)
    assert alg(token) == "RS256"
    (renewed,) = world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token)))).credentials
    assert alg(renewed.secret.reveal()) == "EdDSA"
    world.check()


def test_a_verifier_gets_what_it_accepts(world: World) -> None:
    set_(world, "EdDSA")
    assert signed(world, AZURE) == signed(world, AZURE, AWS) == signed(world, API, AZURE) == "RS256"
    assert signed(world, AWS) == "ES256"
    configure(world, {AWS: "RS256", NAMES.issuer: "ES256"})
    assert signed(world, AWS) == "RS256"
    assert signed(world) == "ES256"


@pytest.mark.parametrize("dry_run", [False, True])
def test_audiences_without_a_common_algorithm_are_refused(world: World, dry_run: bool) -> None:
    """The same in a dry run; nothing is recorded, and an opaque token needs no algorithm."""
    set_(world, "ES256")
    configure(world, {API: "ES256"})
    events = len(world.events())
    asked = request(kind="jwt", audiences=(API, AZURE))
    with pytest.raises(UsageError, match="no signature algorithm is accepted by all audiences") as caught:
        world.authority.perform(Issue(requests=(asked,), dry_run=dry_run))
    assert "one token for each" in str(caught.value.hint)
    assert len(world.events()) == events
    world.issue(kind="opaque", audiences=(API, AZURE))


def test_a_jwt_svid_gets_an_algorithm_of_its_standard(lenient: World) -> None:
    """JWT-SVID, section 2.1: RS256 or ES256, never EdDSA."""
    token = lenient.issue(kind="jwt-svid", audiences=(API,)).token
    assert alg(token) == "ES256"
    set_(lenient, "EdDSA")
    assert alg(lenient.issue(kind="jwt-svid", audiences=(API,)).token) == "ES256"
    token = lenient.issue(kind="jwt-svid", audiences=(AZURE,)).token
    assert alg(token) == "RS256"
    lenient.verify(token, AZURE)


def test_another_process_that_has_the_ledger_open_notices(world: World, other: World) -> None:
    set_(world, "ES256")
    assert signed(other, API) == "ES256"
    set_(other, "RS256")
    assert signed(world, API) == "RS256"
    assert world.check() == other.check()


def test_a_revoked_key_has_a_successor_with_its_algorithm(world: World) -> None:
    """The successor is made by the revocation, so no issue makes a key in its place."""
    set_(world, "RS256")
    made = world.issue(kind="jwt", audiences=(API,))
    (kid,) = [row.key.kid for row in world.authority.perform(ListKeys()) if row.key.algorithm == "RS256"]
    world.authority.perform(RevokeKey(kid=kid, most=None))
    again = world.issue(kind="jwt", audiences=(API,))
    assert alg(again.token) == "RS256"
    states = [row.state for row in world.authority.perform(ListKeys()) if row.key.algorithm == "RS256"]
    assert states == ["revoked", "signing"]
    world.verify(again.token, API)
    with pytest.raises(Exception, match="revoked"):
        world.verify(made.token, API)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE setting SET value = 'EdDSA' WHERE name = 'service_algorithm'",
        "UPDATE setting SET value = 'none' WHERE name = 'service_algorithm'",
        "DELETE FROM setting WHERE name = 'service_algorithm'",
    ],
)
def test_an_edit_of_the_algorithm_is_seen(world: World, statement: str) -> None:
    set_(world, "ES256")
    world.check()
    edit(world.path, statement)
    with pytest.raises(IntegrityError), World(world.path) as fresh:
        fresh.check()


def test_an_inserted_algorithm_is_seen(world: World) -> None:
    world.issue()
    edit(world.path, "INSERT INTO setting VALUES ('service_algorithm', 'ES256')")
    with pytest.raises(IntegrityError, match="service algorithm"), World(world.path) as fresh:
        fresh.check()


def test_the_list_says_for_each_audience_why(world: World) -> None:
    rows = world.authority.perform(ListAlgorithms())
    assert [(row.audience, row.algorithm, row.origin) for row in rows] == [
        (NAMES.issuer, "EdDSA", "ledger"),
        ("*", "EdDSA", "ledger"),
    ]
    set_(world, "ES256")
    configure(world, {AWS: "RS256"})
    rows = world.authority.perform(ListAlgorithms())
    listed = {row.audience: (row.algorithm, row.origin) for row in rows}
    assert listed["*"] == ("ES256", "ledger")
    assert listed[AZURE] == ("RS256", "table")
    assert listed[AWS] == ("RS256", "configuration")
    assert len(listed) == len(rows)


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.audience)
def test_each_row_of_the_table_can_be_met_and_says_why(row: Any) -> None:
    assert set(row.algorithms) <= set(PREFERENCE)
    assert row.reason
    audience = row.audience.replace("*", "/x") if row.audience.endswith("*") else row.audience
    assert accepted_by(audience) == row
    for default in PREFERENCE:
        assert choose(default, [audience], {}) in row.algorithms
    assert accepted_by(f"x{row.audience}") is None


def test_an_unknown_audience_gets_the_default() -> None:
    for default in PREFERENCE:
        assert choose(default, [API], {}) == choose(default, [API, "urn:x"], {}) == default
