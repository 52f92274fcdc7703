"""Kinds and templates are part of a grant: no credential gets a kind that its chain does not permit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange
from jitid.capabilities.trust.operations import RotateKey
from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError, PolicyDeniedError, UsageError
from jitid.ledger.sqlite.folder import DATABASE
from jitid.model.credential import kept_kinds, read_kinds
from jitid.model.request import AttachRequest, RenewRequest
from jitid.model.target import StatedTarget
from jitid.values.secret import Secret
from tests.builders import KINDS, NOW, Made, World, edit, policed, request
from tests.programs import Shop

ALL = '@id("all") permit(principal, action, resource);\n'
PARTS = "exec:shop:parts"
KINDS_AND_TEMPLATES = (
    "jwt",
    "opaque",
    "jwt-svid",
    "x509-svid",
    "ssh-cert",
    "ssh-cert:root",
    "exec:shop",
    PARTS,
)
SPELLED = {"ssh-cert:root": "ssh-cert:hosts/root", PARTS: "exec:shop:shop/parts"}

SERVICES = ("urn:a",)
LISTED = ("jwt", "opaque", "jwt-svid")

both_ledgers = pytest.mark.usefixtures("kept_in")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def world(tmp_path: Path, shop: Shop) -> Iterator[World]:
    hosts = StatedTarget(
        "hosts",
        {"kind": "ssh-cert", "template": {"root": {"principals": ["root"]}}},
        str(tmp_path),
        "jitid.toml",
    )
    with World(
        tmp_path / "ledger", policy=[("p.cedar", ALL + KINDS)], targets=[shop.target(), hosts]
    ) as world:
        for use in ("x509", "ssh"):
            world.authority.perform(RotateKey(algorithm="ES256" if use == "x509" else "EdDSA", use=use))
        yield world


def asked(kind: str) -> dict[str, Any]:
    """Return the fields of a request for a kind with its template."""
    sort, _, template = kind.partition(":")
    if sort == "exec":
        sort, template = "exec:shop", kind.removeprefix("exec:shop").removeprefix(":")
    return {"kind": sort, "template": template or None}


def attach(world: World, by: Made, kind: str) -> Made:
    """Attach a credential of a kind by the right of another credential."""
    fields = asked(kind)
    services = SERVICES if kind in LISTED else ()
    issued = world.authority.perform(
        Attach(
            request=AttachRequest(
                Secret.single(by.token), fields["kind"], fields["template"], audiences=services
            )
        )
    )
    return _made(issued)


def renew(world: World, by: Made) -> Made:
    """Renew a credential."""
    return _made(
        world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(by.token))))
    )


def exchange(world: World, by: Made, kind: str, **fields: Any) -> Made:
    """Exchange a credential as the token endpoint does."""
    wanted = request(**asked(kind), **fields)._replace(delegator=None, task=None)
    return _made(world.authority.perform(Exchange(request=wanted, subject=Secret.single(by.token))))


def _made(issued: Any) -> Made:
    (one,) = issued.credentials
    return Made(one.secret.reveal(one.secret.names[0]), one.id, one.jti, issued)


def may(world: World, made: Made) -> tuple[str, ...] | None:
    """Return the kinds that the holder may obtain according to the ledger."""
    return world.authority.perform(Inspect(id=made.jti)).credential.may_kind


WAYS: dict[str, Callable[[World, Made, str], Made]] = {
    "attachment": lambda world, held, kind: attach(world, held, kind),
    "child": lambda world, held, kind: world.issue(parent=held.token, **asked(kind)),
    "a child that may": lambda world, held, kind: world.issue(parent=held.token, may_kind=(kind,)),
    "exchange": lambda world, held, kind: exchange(world, held, kind),
    "an exchange that may": lambda world, held, kind: exchange(world, held, "jwt", may_kind=(kind,)),
    "attachment after renewal": lambda world, held, kind: attach(world, renew(world, held), kind),
    "child after renewal": lambda world, held, kind: world.issue(
        parent=renew(world, held).token, **asked(kind)
    ),
    "by what was attached": lambda world, held, kind: attach(world, attach(world, held, "opaque"), kind),
    "below what was attached": lambda world, held, kind: world.issue(
        parent=attach(world, held, "opaque").token, **asked(kind)
    ),
    "by a child": lambda world, held, kind: attach(
        world,
        world.issue(parent=held.token, may_kind=tuple(may(world, held) or ()), may_audience=SERVICES),
        kind,
    ),
    "by the superseded one": lambda world, held, kind: (renew(world, held), attach(world, held, kind))[1],
}


@pytest.mark.deep
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS_AND_TEMPLATES)
def test_a_kind_is_obtained_by_the_right_of_one_that_permits_it_alone(
    world: World, kind: str, way: str
) -> None:
    usual = kind in ("jwt", "opaque")
    plain = world.issue(may_audience=SERVICES)
    if usual:
        WAYS[way](world, plain, kind)
    else:
        with pytest.raises(PolicyDeniedError, match="attenuation"):
            WAYS[way](world, plain, kind)
    others = tuple(one for one in KINDS_AND_TEMPLATES if one != kind)
    without = world.issue(may_kind=others, may_audience=SERVICES)
    with pytest.raises(PolicyDeniedError, match="attenuation"):
        WAYS[way](world, without, kind)
    granted = world.issue(may_kind=("jwt", "opaque", kind), may_audience=SERVICES)
    assert may(world, granted) == (read_kinds(kept_kinds({"jwt", "opaque", SPELLED.get(kind, kind)})))
    WAYS[way](world, granted, kind)
    world.check()


@both_ledgers
def test_a_child_that_names_no_kind_gets_the_usual_ones_of_its_parent(world: World) -> None:
    root = world.issue(may_kind=("jwt", "x509-svid"))
    child = world.issue(parent=root.token)
    assert may(world, child) == ("jwt",)
    with pytest.raises(PolicyDeniedError, match="kind `x509-svid`"):
        attach(world, child, "x509-svid")
    with pytest.raises(PolicyDeniedError, match="kind `opaque`"):
        world.issue(parent=child.token, kind="opaque")
    leaf = world.issue(parent=root.token, kind="x509-svid", may_kind=("x509-svid",))
    assert may(world, leaf) == ("x509-svid",)
    world.check()


def test_no_kind_at_all_is_not_the_usual_ones(world: World) -> None:
    root = world.issue(may_kind=("jwt", "x509-svid"), may_audience=SERVICES)
    child = world.issue(parent=root.token, may_kind=("ssh-cert",), may_audience=SERVICES, allow_narrower=True)
    assert may(world, child) == ()
    assert "without kind `ssh-cert`" in " ".join(child.issued.notes)
    for kind in ("jwt", "opaque", "ssh-cert"):
        with pytest.raises(PolicyDeniedError, match="attenuation"):
            attach(world, child, kind)
        with pytest.raises(PolicyDeniedError, match="attenuation"):
            world.issue(parent=child.token, **asked(kind))
    assert may(world, renew(world, child)) == ()
    world.check()


def test_a_denial_says_what_to_add(world: World) -> None:
    with pytest.raises(PolicyDeniedError) as caught:
        attach(world, world.issue(), "ssh-cert:root")
    assert "stay within the parent's kind `jwt`, `opaque`" in str(caught.value.hint)
    assert "--may-kind ssh-cert:hosts/root" in str(caught.value.hint)


def test_a_template_that_no_target_has_is_a_usage_error(world: World) -> None:
    for kind in ("ssh-cert:wheel", "postgres-role", "exec:none", "nothing"):
        with pytest.raises(UsageError):
            world.issue(may_kind=(kind,))
    with pytest.raises(UsageError, match="the maximum is 32"):
        world.issue(may_kind=("jwt",) * 33)


@both_ledgers
def test_the_token_and_the_events_say_it(world: World) -> None:
    made = world.issue(may_kind=("ssh-cert:root", "jwt"))
    assert jws.parse(made.token, types=jws.TOKENS).claims["jitid"]["may_kind"] == [
        "jwt",
        "ssh-cert:hosts/root",
    ]
    assert world.events()[-1]["may_kind"] == "jwt ssh-cert:hosts/root"
    usual = world.issue(may_kind=("opaque", "jwt"))
    assert "may_kind" not in jws.parse(usual.token, types=jws.TOKENS).claims["jitid"]
    assert world.events()[-1]["may_kind"] == ""
    assert jws.parse(renew(world, made).token, types=jws.TOKENS).claims["jitid"]["may_kind"] == [
        "jwt",
        "ssh-cert:hosts/root",
    ]
    assert world.events()[-1]["may_kind"] == "jwt ssh-cert:hosts/root"
    world.check()


@pytest.mark.parametrize("written", ["''", "'jwt ssh-cert'", "'-'", "NULL"])
@pytest.mark.parametrize("copies", [1, 3])
def test_an_edit_of_the_column_is_seen(world: World, written: str, copies: int) -> None:
    (issued,) = world.authority.perform(
        issue_operations.Issue(
            requests=(request(kind="opaque", may_kind=("jwt", "opaque", "ssh-cert"), copies=copies),)
        )
    )
    world.check()
    edit(
        world.path, f"UPDATE credential SET may_kind = {written} WHERE id = (SELECT max(id) FROM credential)"
    )
    with pytest.raises(IntegrityError):
        world.check()
    assert issued.kind == "opaque"


@pytest.mark.parametrize("copies", [1, 3])
def test_an_edit_of_the_template_is_seen(world: World, copies: int) -> None:
    world.authority.perform(issue_operations.Issue(requests=(request(kind="ssh-cert", copies=copies),)))
    world.check()
    edit(
        world.path,
        "UPDATE credential SET template = 'hosts/root' WHERE id = (SELECT max(id) FROM credential)",
    )
    with pytest.raises(IntegrityError):
        world.check()


def test_a_row_that_permits_more_than_its_token_is_not_valid(world: World) -> None:
    made = world.issue()
    edit(world.path, "UPDATE credential SET may_kind = 'jwt opaque ssh-cert'")
    with pytest.raises(InvalidCredentialError, match="the ledger was changed"):
        world.verify(made.token)


def test_what_a_parent_does_not_permit_any_more_is_not_valid(world: World) -> None:
    root = world.issue(kind="opaque", may_kind=("jwt", "opaque", "x509-svid"), may_audience=SERVICES)
    child = world.issue(parent=root.token, kind="opaque", may_kind=("opaque", "x509-svid"))
    attached = attach(world, root, "jwt")
    leaf = world.issue(parent=child.token, kind="opaque")
    edit(world.path, "UPDATE credential SET may_kind = 'opaque' WHERE id = (SELECT min(id) FROM credential)")
    assert world.verify(root.token)
    for made, audiences in ((child, ()), (attached, SERVICES), (leaf, ())):
        with pytest.raises(InvalidCredentialError, match="does not permit"):
            world.verify(made.token, *audiences)


# Older rows


def former(world: World) -> None:
    """Clear the permitted kinds of all rows, as in a ledger from before grants named kinds."""
    edit(world.path, "UPDATE credential SET may_kind = NULL")


def test_a_row_from_before_keeps_any_kind_until_its_line_ends(world: World) -> None:
    root = world.issue(ttl=600, may_audience=SERVICES)
    child = world.issue(parent=root.token, ttl=500, may_audience=SERVICES)
    former(world)
    attached = attach(world, root, "ssh-cert:root")
    assert may(world, attached) == ("jwt", "opaque")
    assert world.issue(parent=child.token, kind="x509-svid")
    assert may(world, attach(world, child, "opaque")) == ("jwt", "opaque")
    world.clock.now = NOW + 100
    successor = renew(world, child)
    assert may(world, successor) is None
    assert world.events()[-1]["may_kind"] == "*"
    assert attach(world, successor, "exec:shop")
    assert world.verify(successor.token)


# The policy


DENIED = "kind-by-name"


def test_a_kind_or_a_template_that_no_rule_names_is_denied(world: World) -> None:
    world.terms = policed(world.terms, [("p.cedar", ALL)])
    assert world.issue()
    assert world.issue(kind="opaque")
    for kind in KINDS_AND_TEMPLATES[2:]:
        with pytest.raises(PolicyDeniedError, match=DENIED) as caught:
            world.issue(**asked(kind))
        assert "context.kind ==" in str(caught.value.hint)
        with pytest.raises(PolicyDeniedError, match=DENIED):
            world.issue(may_kind=("jwt", kind))
        made = world.issue(may_kind=("jwt", kind, "opaque"), allow_narrower=True)
        assert may(world, made) == ("jwt", "opaque")
        assert f"without kind `{SPELLED.get(kind, kind)}`" in " ".join(made.issued.notes)
    assert world.events()[-1]["refused_kinds"] == ["exec:shop:shop/parts"]
    world.check()


def test_the_default_policy_names_the_certificates_without_a_template(tmp_path: Path, world: World) -> None:
    from jitid.policy.default import default_files

    world.terms = policed(world.terms, default_files())
    for kind in ("jwt-svid", "x509-svid", "ssh-cert"):
        assert world.issue(kind=kind)
        assert world.issue(may_kind=("jwt", kind))
    for kind in ("ssh-cert:root", "exec:shop", PARTS):
        with pytest.raises(PolicyDeniedError, match=DENIED):
            world.issue(**asked(kind))
        with pytest.raises(PolicyDeniedError, match=DENIED):
            world.issue(may_kind=(kind,))


def test_a_rule_that_names_a_kind_permits_no_other(world: World) -> None:
    rule = (
        '@id("root") permit(principal == Agent::"deployer", action == Action::"issue", resource)\n'
        'when { context.kind == "ssh-cert" && context.template == "hosts/root" };'
    )
    world.terms = policed(world.terms, [("p.cedar", ALL + rule)])
    with pytest.raises(PolicyDeniedError, match=DENIED):
        world.issue(agent="planner", **asked("ssh-cert:root"))
    assert world.issue(agent="deployer", **asked("ssh-cert:root"))
    held = world.issue(agent="deployer", may_kind=("jwt", "ssh-cert:root"))
    assert attach(world, held, "ssh-cert:root")
    with pytest.raises(PolicyDeniedError, match=DENIED):
        world.issue(agent="planner", parent=held.token, **asked("ssh-cert:root"))
    with pytest.raises(PolicyDeniedError, match=DENIED):
        world.issue(agent="deployer", **asked("ssh-cert"))


def test_a_renewal_asks_again_which_kinds_may_be_obtained(world: World) -> None:
    held = world.issue(may_kind=("jwt", "x509-svid"), may_audience=SERVICES)
    world.terms = policed(world.terms, [("p.cedar", ALL)])
    world.authority._terms = None
    with pytest.raises(PolicyDeniedError, match=DENIED):
        renew(world, held)
    # An attached credential inherits the kinds. The policy decides about each kind at its use.
    assert attach(world, held, "jwt")
    with pytest.raises(PolicyDeniedError, match=DENIED):
        attach(world, held, "x509-svid")
    narrowed = world.authority.perform(
        issue_operations.Renew(request=RenewRequest(Secret.single(held.token), allow_narrower=True))
    )
    assert may(world, _made(narrowed)) == ("jwt",)
    world.check()


def test_the_database_is_of_this_schema(world: World) -> None:
    """New rows always state the permitted kinds. An empty column would permit any kind."""
    root = world.issue(may_audience=SERVICES)
    attach(world, root, "opaque")
    world.issue(parent=root.token)
    renew(world, root)
    database = sqlite3.connect(world.path / DATABASE)
    assert database.execute("SELECT count(*) FROM credential WHERE may_kind IS NULL").fetchone() == (0,)
    database.close()
