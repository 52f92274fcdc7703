"""The law of two ways: a ledger and published keys give the same names and rights for one token, or both refuse it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import jitid
from jitid.crypto import jws
from jitid.model.credential import Kind, RequestedKind
from tests.api.conftest import API, User
from tests.crypto.signed import P256, jwk
from tests.issuers.test_assertion import SERVER, world
from tests.issuers.test_assertion import issue as issue_assertion
from tests.server.asking import IDP, id_token

NAMED = "https://agent.example"
TEMPLATES = {
    API: None,
    NAMED: "jitid/{agent}/",
    "https://delegator.example": "{trust_domain}/{delegator}/",
    "https://identity.example": "{trust_domain}/{id}/",
}
"""Audiences, each with the template of `sub` for its tokens."""
KINDS = (Kind.JWT, Kind.OPAQUE, Kind.JWT_SVID)
CONFIG = ".config/jitid/config.toml"
AGENTS = ("registered", "free")


class Presented(NamedTuple):
    """A token that a service is shown."""

    agents: tuple[str, ...]
    kind: str
    audience: str
    token: str


@pytest.fixture
def public(user: User, tmp_path: Path) -> Path:
    """Return a folder for the published keys of a ledger whose tokens have templates for some audiences."""
    config = user.home / CONFIG
    config.parent.mkdir(parents=True)
    config.touch(0o600)
    keys = user.home / "jwks.json"
    keys.write_text(json.dumps({"keys": [jwk(P256, kid="k", use="sig")]}))
    config.write_text(
        f'publish_url = "https://www.example/jitid"\npolicy = "{user.permit_kinds()}"\n'
        + "".join(
            f'[federate.v{number}]\nvendor = "vault"\naudience = "{audience}"\nsubject = "{template}"\n'
            f'address = "https://vault.example"\nrole = "r"\n'
            for number, (audience, template) in enumerate(TEMPLATES.items())
            if template is not None
        )
        + f'[oidc."{IDP}"]\njwks = "{keys}"\naudience = "jitid"\n'
    )
    user.good("delegator", "add", "alice")
    permitted = [option for audience in TEMPLATES for option in ("--audience", audience)]
    permitted += [option for kind in KINDS for option in ("--kind", kind.value)]
    permitted += ["--scope", "repo:read", "--scope", "db:*"]
    user.good("agent", "register", "registered", "--owner", "alice", "--purpose", "p", *permitted)
    folder = tmp_path / "public"
    folder.mkdir()
    return folder


def _verdict(shown: Presented, **source: Any) -> jitid.VerifiedToken | None:
    try:
        return jitid.verify(shown.token, audience=shown.audience, **source)
    except jitid.InvalidCredentialError:
        return None


def _tokens(me: jitid.Identity, agents: tuple[str, ...]) -> Iterator[Presented]:
    """Yield the tokens of each kind and for each audience of an identity, and its identity token."""
    held = me._entered()
    identity_token = held.secret().reveal()
    (issuer,) = jitid.verify(identity_token, audience=_issuer(identity_token)).audiences
    yield Presented(agents, "identity", issuer, identity_token)
    for kind, audience in itertools.product(KINDS, _audiences(agents)):
        if kind == Kind.JWT_SVID and TEMPLATES[audience] is not None:
            # Its name is that of the identity; such a request is refused.
            continue
        issued = held.attach(RequestedKind(kind, None), (audience,))
        yield Presented(agents, kind, audience, issued.credentials[0].secret.reveal())


def _issuer(token: str) -> str:
    return str(jws.parse(token, types=jws.TOKENS).claims["iss"])


def _audiences(agents: tuple[str, ...]) -> list[str]:
    """Return the audiences for which a chain of agents has a proved `sub`.

    The name of an agent is not proved that is not registered, or that acts below such an agent.
    """
    return [audience for audience in TEMPLATES if audience != NAMED or "free" not in agents]


def _all_tokens(
    block: ExitStack, above: jitid.Identity | None, agents: tuple[str, ...]
) -> Iterator[Presented]:
    """Yield the tokens of all chains of at most three agents below an identity; they live as long as the block."""
    for agent in AGENTS:
        chain = (*agents, agent)
        reach: Any = {"audience": _audiences(chain), "may_kind": [kind.value for kind in KINDS[1:]]}
        me = block.enter_context(
            # Templates in a file that the environment selects do not count.
            jitid.identity(
                task="T1",
                delegator_token=id_token(),
                agent=agent,
                scopes=["repo:read", "db:*"],
                config=str(Path.home() / CONFIG),
                **reach,
            )
            if above is None
            else above.delegate(agent=agent, scopes="repo:read", **reach)
        )
        yield from _tokens(me, chain)
        if len(chain) < 3:
            yield from _all_tokens(block, me, chain)


def test_both_ways_give_the_same_for_each_kind_template_and_delegation(user: User, public: Path) -> None:
    with ExitStack() as block:
        shown = list(_all_tokens(block, None, ()))
        user.good("publish", str(public))
        for presented in shown:
            by_ledger, offline = _verdict(presented), _verdict(presented, published=str(public))
            if presented.kind == Kind.OPAQUE:
                # Only the ledger knows it.
                assert (offline, by_ledger is None) == (None, False)
                continue
            assert offline == by_ledger, presented
            assert (offline is None) == (presented.kind == Kind.JWT_SVID), presented
            if offline is not None:
                assert (offline.delegator, offline.agent) == ("user:alice", presented.agents[-1])
                names = [each.split("/")[4] for each in offline.chain]
                assert names == list(reversed(presented.agents))
    assert {len(each.agents) for each in shown} == {1, 2, 3}
    assert {each.kind for each in shown} == {"identity", *KINDS}


def test_both_ways_refuse_an_assertion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = world(tmp_path)
    monkeypatch.setenv("JITID_PUBLISH_URL", "https://www.example/jitid")
    shell.environment["JITID_PUBLISH_URL"] = "https://www.example/jitid"
    for name in ("HOME", "JITID_LEDGER", "JITID_POLICY"):
        monkeypatch.setenv(name, shell.environment[name])
    client = issue_assertion(shell, "client").stdout.strip()
    person = issue_assertion(shell, "jag", "--scope", "repo:read").stdout.strip()
    folder = tmp_path / "public"
    folder.mkdir()
    shell.good("publish", str(folder))
    for token in (client, person):
        assert token
        for source in ({}, {"published": str(folder)}):
            with pytest.raises(jitid.InvalidCredentialError):
                jitid.verify(token, audience=SERVER, **source)
