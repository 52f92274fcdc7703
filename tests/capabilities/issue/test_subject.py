"""`sub` by the template of an audience: proved names, signed, recorded, and checked at every door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.issue.operations import Attach, Issue, Renew
from jitid.capabilities.trust.operations import PublishKeys
from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidCredentialError,
    PolicyDeniedError,
    UsageError,
)
from jitid.model.access import Caller
from jitid.model.credential import LEEWAY, exchanged_until
from jitid.model.ledger_rows import Selection
from jitid.model.request import AttachRequest, RenewRequest
from jitid.values.secret import Secret
from jitid.values.strict_json import b64url_decode
from tests.builders import NOW, World, edit, request

VENDOR = "https://vendor.example"
OTHER = "https://other.example"
PLAIN = "https://plain.example"
ME = "user:tester"
"""The delegator that the login proves."""

pytestmark = pytest.mark.usefixtures("kept_in")


@pytest.fixture
def world(tmp_path: Path) -> Any:
    """Return a ledger with a template for two audiences."""
    with World(
        tmp_path / "ledger",
        subjects={
            VENDOR: ("jitid/{trust_domain}/{delegator}/{id}/", 255),
            OTHER: ("jitid/{agent}/", 20),
        },
        exchanges={VENDOR: 3_600},
    ) as made:
        yield made


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b64url_decode(token.split(".")[1]))
    return found


def test_sub_follows_the_template_and_the_delegator_is_signed_beside_it(world: World) -> None:
    made = world.issue(delegator=ME, audiences=(VENDOR,))
    found = claims(made.token)
    assert found["sub"] == f"jitid/jitid.test/user_3Atester/{made.id}/"
    assert found["jitid"]["delegator"] == ME
    credential = world.verify(made.token, VENDOR)
    assert (credential.delegator, credential.subject) == (ME, "jitid/{trust_domain}/{delegator}/{id}/")
    assert world.events()[-1]["sub"] == credential.subject
    world.check()


def test_each_copy_has_its_own_id_in_it(world: World) -> None:
    (issued,) = world.authority.perform(
        Issue(requests=(request(delegator=ME, audiences=(VENDOR,), copies=3),))
    )
    subjects = [claims(each.secret.reveal())["sub"] for each in issued.credentials]
    assert [subject.split("/")[-2] for subject in subjects] == [each.id for each in issued.credentials]
    for each in issued.credentials:
        world.verify(each.secret.reveal(), VENDOR)
    world.check()


def test_without_a_template_sub_stays_the_delegator(world: World) -> None:
    """So it does for identity tokens, and opaque tokens have no claims."""
    for fields in (
        {"audiences": (PLAIN,)},
        {"may_audience": (VENDOR,)},
        {"audiences": (PLAIN,), "kind": "opaque"},
    ):
        made = world.issue(delegator="user:alice", **fields)
        credential = world.verify(made.token, *fields.get("audiences", ()))
        assert credential.subject is None
        if fields.get("kind") != "opaque":
            assert claims(made.token)["sub"] == "user:alice"
            assert "delegator" not in claims(made.token)["jitid"]
    assert world.verify(world.issue(audiences=(VENDOR,), kind="opaque").token, VENDOR).subject is None
    world.check()


def test_a_delegator_that_is_merely_stated_is_denied(world: World) -> None:
    with pytest.raises(PolicyDeniedError, match="the delegator `user:alice` is stated, not proved"):
        world.issue(delegator="user:alice", audiences=(VENDOR,))
    event = world.events()[-1]
    assert (event["op"], event["rules"]) == ("denial", ["subject-proved"])


def test_an_identity_for_tokens_that_it_could_not_obtain_opens_no_task(world: World) -> None:
    """Its name stays free for another delegator, or for the same one after a login."""
    with pytest.raises(PolicyDeniedError, match="the delegator `user:alice` is stated, not proved"):
        world.issue(delegator="user:alice", task="T9", audiences=(PLAIN, VENDOR), identity=True)
    assert world.events()[-1]["op"] == "denial"
    proved = world.issue(delegator=ME, task="T9", audiences=(PLAIN, VENDOR), identity=True)
    assert world.verify(proved.token).task == "T9"
    assert world.verify(proved.token).subject is None
    opened = [event["delegator"] for event in world.events() if event.get("opened") and event["task"] == "T9"]
    assert opened == [ME]
    world.check()


def test_an_agent_that_is_not_registered_is_denied(world: World) -> None:
    with pytest.raises(PolicyDeniedError, match="the agent `deploy` is not registered"):
        world.issue(delegator=ME, agent="deploy", audiences=(OTHER,))
    world.know(ME)
    world.register("deploy", owner=ME, audiences=(OTHER,))
    assert (
        claims(world.issue(delegator=ME, agent="deploy", audiences=(OTHER,)).token)["sub"] == "jitid/deploy/"
    )
    # The name of another agent that begins alike is another subject, and needs a separate record.
    with pytest.raises(PolicyDeniedError, match="not registered"):
        world.issue(delegator=ME, agent="deploy-x", audiences=(OTHER,))
    world.check()


def test_the_proof_of_the_root_counts_at_every_depth(world: World) -> None:
    """A child of an asserted delegator proves nothing more."""
    root = world.issue(delegator="user:alice", may_audience=(VENDOR,))
    child = world.issue(parent=root.token, agent="sub", may_audience=(VENDOR,))
    with pytest.raises(PolicyDeniedError, match="stated, not proved"):
        world.issue(parent=child.token, agent="sub-sub", audiences=(VENDOR,))
    proved = world.issue(delegator=ME, may_audience=(VENDOR,))
    child = world.issue(parent=proved.token, agent="sub", audiences=(VENDOR,))
    assert claims(child.token)["sub"] == f"jitid/jitid.test/user_3Atester/{child.id}/"
    world.check()


def test_an_attachment_and_a_renewal_have_it_as_well(world: World) -> None:
    held = world.issue(delegator=ME, may_audience=(VENDOR,))
    attached = world.authority.perform(
        Attach(request=AttachRequest(Secret.single(held.token), "jwt", audiences=(VENDOR,)))
    )
    (credential,) = attached.credentials
    subject = f"jitid/jitid.test/user_3Atester/{held.id}/"
    assert claims(credential.secret.reveal())["sub"] == subject
    renewed = world.authority.perform(Renew(request=RenewRequest(credential.secret, None, False)))
    (successor,) = renewed.credentials
    assert claims(successor.secret.reveal())["sub"] == subject
    world.verify(successor.secret.reveal(), VENDOR)
    world.check()


def test_a_renewal_under_a_template_that_it_cannot_prove_is_denied(world: World) -> None:
    made = world.issue(delegator="user:alice", audiences=(PLAIN,))
    world.terms = world.terms._replace(subjects={PLAIN: ("x/{delegator}/", 255)})
    world.reopen()
    with pytest.raises(PolicyDeniedError, match="stated, not proved"):
        world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token), None, False)))


@pytest.mark.parametrize("audiences", [(VENDOR, OTHER), (VENDOR, PLAIN), (PLAIN, VENDOR)])
def test_audiences_with_different_subjects_need_different_tokens(
    world: World, audiences: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="different templates"):
        world.issue(delegator=ME, audiences=audiences)


def test_a_subject_that_the_vendor_would_cut_is_refused(world: World) -> None:
    world.know(ME)
    world.register("a-much-longer-name", owner=ME, audiences=(OTHER,))
    with pytest.raises(UsageError, match="accepts 20 at most"):
        world.issue(delegator=ME, agent="a-much-longer-name", audiences=(OTHER,))


def test_a_template_in_a_file_that_the_environment_selects_refuses(world: World) -> None:
    world.terms = world.terms._replace(subjects={VENDOR: (None, 255)})
    with pytest.raises(ConfigurationError, match="a file that the environment selects"):
        world.issue(delegator=ME, audiences=(VENDOR,))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET subject = NULL WHERE subject IS NOT NULL",
        "UPDATE credential SET subject = (SELECT min(id) FROM term) WHERE subject IS NOT NULL",
        "UPDATE credential SET subject = (SELECT max(subject) FROM credential) WHERE subject IS NULL",
        "UPDATE credential SET exchange_life = 1 WHERE exchange_life IS NOT NULL",
        "UPDATE credential SET exchange_life = NULL",
        "UPDATE credential SET exchange_life = 9 WHERE exchange_life IS NULL",
    ],
)
@pytest.mark.parametrize("copies", [1, 3])
def test_an_edit_of_the_row_is_found(world: World, change: str, copies: int) -> None:
    world.authority.perform(Issue(requests=(request(delegator=ME, audiences=(VENDOR,), copies=copies),)))
    world.issue(delegator=ME, audiences=(PLAIN,))
    world.check()
    world.close()
    edit(world.path, change)
    world.reopen()
    with pytest.raises(IntegrityError):
        world.check()


@pytest.mark.parametrize(
    "to", ["NULL", *(f"(SELECT id FROM term WHERE text = '{text}')" for text in ("other/{id}/", "user:x"))]
)
def test_a_row_with_another_template_does_not_verify(world: World, to: str) -> None:
    made = world.issue(delegator=ME, audiences=(VENDOR,))
    world.close()
    edit(
        world.path,
        "INSERT INTO term (id, text) SELECT max(id) + 1, 'other/{id}/' FROM term",
        "INSERT INTO term (id, text) SELECT max(id) + 1, 'user:x' FROM term",
        f"UPDATE credential SET subject = {to} WHERE subject IS NOT NULL",
    )
    world.reopen()
    with pytest.raises(InvalidCredentialError, match="the ledger was changed"):
        world.verify(made.token, VENDOR)


def test_the_life_at_the_vendor_is_recorded_and_bounds_the_second_fact(world: World) -> None:
    """T2 of a revocation: the expiry, the leeway, and the lifetime of a token that was exchanged in the last moment."""
    made = world.issue(delegator=ME, audiences=(VENDOR,))
    credential = world.verify(made.token, VENDOR)
    assert credential.exchange_life == 3_600
    until = NOW + 900 + LEEWAY + 3_600
    assert exchanged_until(credential.expires_at, credential.exchange_life) == until
    ended = world.revoke(made.id)
    assert ended.radius.exchanged_until == until
    assert ended.accepted_until == until
    plain = world.revoke(world.issue(delegator=ME, audiences=(PLAIN,)).id)
    assert plain.radius.exchanged_until is None
    assert plain.accepted_until == NOW + 900 + LEEWAY


def test_a_usual_audience_of_a_vendor_counts_without_a_table(world: World) -> None:
    """A client may federate although the authority's configuration has no table."""
    found = {
        audience: world.verify(world.issue(delegator=ME, audiences=(audience,)).token, audience).exchange_life
        for audience in (
            "sts.amazonaws.com",
            "https://api.anthropic.com",
            "https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
            "https://api.anthropic.com.evil.example",
            PLAIN,
        )
    }
    assert list(found.values()) == [43_200, 3_600, 3_600, 3_600, 3_600, None]
    opaque = world.issue(delegator=ME, audiences=(VENDOR,), kind="opaque")
    assert world.verify(opaque.token, VENDOR).exchange_life is None
    world.check()


def test_a_selection_by_delegator_finds_it(world: World) -> None:
    """The names of rows are the real ones: nothing hides behind a template."""
    made = world.issue(delegator=ME, audiences=(VENDOR,))
    ended = world.revoke(delegators=(ME,))
    assert ended.credentials == 1
    with pytest.raises(InvalidCredentialError, match="revoked"):
        world.verify(made.token, VENDOR)
    assert Selection(delegators=(ME,)).delegators == (ME,)
    assert world.authority.perform(PublishKeys())["keys"]


def ask(world: World, **fields: Any) -> str:
    """Return `sub` of a token for the audience whose template names the agent."""
    return str(claims(world.issue(agent="deploy", audiences=(OTHER,), **fields).token)["sub"])


def attached(world: World, token: str) -> str:
    issued = world.authority.perform(
        Attach(request=AttachRequest(Secret.single(token), "jwt", audiences=(OTHER,)))
    )
    return str(claims(issued.credentials[0].secret.reveal())["sub"])


def test_access_to_the_key_alone_proves_no_agent(world: World) -> None:
    """Beside the ledger any user may use the name of a record, but `sub` has it only for users in the record."""
    world.know("user:bob")
    world.know(ME)
    world.register("deploy", owner="user:bob", audiences=(OTHER,))
    for delegator in (ME, "user:bob"):
        with pytest.raises(PolicyDeniedError, match="may use its record"):
            ask(world, delegator=delegator)
    # Nor in two steps: by an identity under the name, or by its child.
    held = world.issue(delegator=ME, agent="deploy", may_audience=(OTHER,))
    with pytest.raises(PolicyDeniedError, match="may use its record"):
        attached(world, held.token)
    with pytest.raises(PolicyDeniedError, match="may use its record"):
        ask(world, parent=held.token)
    session = world.issue(delegator=ME, agent="session", may_audience=(OTHER,))
    child = world.issue(parent=session.token, agent="deploy", may_audience=(OTHER,))
    with pytest.raises(PolicyDeniedError, match="may use its record"):
        attached(world, child.token)
    world.check()


def test_who_may_use_the_record_proves_it(world: World) -> None:
    world.know("user:bob")
    world.know(ME)
    world.register("deploy", owner="user:bob", users=(ME,), audiences=(OTHER,))
    assert ask(world, delegator=ME) == "jitid/deploy/"
    held = world.issue(delegator=ME, agent="deploy", may_audience=(OTHER,))
    assert attached(world, held.token) == "jitid/deploy/"
    assert ask(world, parent=held.token) == "jitid/deploy/"
    child = world.issue(parent=held.token, agent="deploy", may_audience=(OTHER,))
    assert attached(world, child.token) == "jitid/deploy/"
    # The person's own right is not that of a child under another name.
    session = world.issue(delegator=ME, agent="session", may_audience=(OTHER,))
    with pytest.raises(PolicyDeniedError, match="may use its record"):
        ask(world, parent=session.token)
    # An agent that is no longer in the record proves it no more.
    world.register("deploy", owner="user:bob", users=(), audiences=(OTHER,))
    for token in (held.token, child.token):
        with pytest.raises(PolicyDeniedError, match="may use its record"):
            attached(world, token)


def test_an_agent_that_the_record_lists_proves_it(world: World) -> None:
    world.know(ME)
    world.register("session", owner=ME, audiences=(OTHER,))
    world.register("deploy", owner=ME, users=("agent:session",), audiences=(OTHER,))
    session = world.issue(delegator=ME, agent="session", may_audience=(OTHER,))
    assert ask(world, parent=session.token) == "jitid/deploy/"
    stranger = world.issue(delegator=ME, agent="stranger", may_audience=(OTHER,))
    with pytest.raises(PolicyDeniedError, match="may use its record"):
        ask(world, parent=stranger.token)


def test_a_name_that_only_a_working_folder_states_is_no_registered_name(world: World) -> None:
    world.know(ME)
    world.issue(delegator=ME, agent="deploy", agent_suggested=True)
    world.register("deploy", owner=ME, audiences=(OTHER,))
    with pytest.raises(
        PolicyDeniedError, match=r"rule `agent-users`.*only a file `\.jitid\.toml` states its name"
    ):
        ask(world, delegator=ME, agent_suggested=True)
    with pytest.raises(PolicyDeniedError, match="rule `agent-users`"):
        world.issue(delegator=ME, agent="deploy", agent_suggested=True)
    assert ask(world, delegator=ME) == "jitid/deploy/"


ANTHROPIC = "https://api.anthropic.com"


def test_an_authority_tells_no_vendor_a_delegator_that_is_merely_stated(world: World) -> None:
    """The role issuer may name any delegator; a vendor knows the delegator by `sub` alone."""
    usual = world.terms
    for audience in (ANTHROPIC, "api://AzureADTokenExchange"):
        # Beside the ledger a user who can read its key may name any delegator.
        assert world.issue(delegator="user:ceo", audiences=(audience,))
        world.terms = usual.serving(Caller("system:ci", frozenset({"issuer"})))
        world.reopen()
        with pytest.raises(
            PolicyDeniedError, match=r"rule `subject-proved`.*the delegator `user:ceo` is stated"
        ):
            world.issue(delegator="user:ceo", audiences=(audience,))
        held = world.issue(delegator="user:ceo", may_audience=(audience,))
        with pytest.raises(PolicyDeniedError, match="rule `subject-proved`"):
            world.authority.perform(
                Attach(request=AttachRequest(Secret.single(held.token), "jwt", audiences=(audience,)))
            )
        assert world.issue(delegator="user:ceo", audiences=(PLAIN,))
        person = Caller("user:ann", frozenset(), delegator="user:ann", proof="credential")
        world.terms = usual.serving(person)
        world.reopen()
        assert claims(world.issue(delegator=None, audiences=(audience,)).token)["sub"] == "user:ann"
        world.terms = usual
        world.reopen()
    world.check()
