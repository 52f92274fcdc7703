"""Each kind has a spec in its own file, and no spec leaves a question open."""

from __future__ import annotations

from importlib import import_module
from inspect import getdoc

import pytest

from jitid.capabilities.run.delivery.delivery import own_way
from jitid.issuers.issuer import KindSpec, spec_of
from jitid.model.credential import MADE, OUTSIDE, PARTS, PROOFS, SHOWN, SIGNED, TOKENS, UNSIGNED, Kind


@pytest.mark.parametrize("kind", MADE)
def test_it_is_signed_or_unsigned_or_made_at_a_target(kind: Kind) -> None:
    spec = spec_of(kind)
    made_by = [made for made in (spec.signed, spec.unsigned, spec.target) if made is not None]
    assert len(made_by) == 1
    assert (spec.signing is None) is (spec.signed is None)
    assert (kind in OUTSIDE) is (spec.target is not None)
    assert (kind in UNSIGNED) is (spec.unsigned is not None)


@pytest.mark.parametrize("kind", MADE)
def test_its_file_says_what_it_is(kind: Kind) -> None:
    assert getdoc(import_module(f"jitid.issuers.{kind.name.lower()}"))


@pytest.mark.parametrize("kind", MADE)
def test_a_secret_of_several_parts_has_a_form(kind: Kind) -> None:
    assert (kind in PARTS) is (spec_of(kind).text is not None)
    assert not (kind in PARTS and kind in SHOWN)


@pytest.mark.parametrize("kind", MADE)
def test_a_delivery_can_be_loaded(kind: Kind) -> None:
    written, fact = f"{kind}:name" if kind is Kind.EXEC else kind.value, spec_of(kind).delivery_fact
    assert (own_way(written, {} if fact is None else {fact: "x"}) is None) is (spec_of(kind).delivery is None)
    # A fact from a program never points a run to a cluster.
    assert kind not in OUTSIDE or own_way(written, {"kube_server": "x"}) is own_way(written, {})


@pytest.mark.parametrize("kind", MADE)
def test_only_certificates_are_listed_by_serial_number(kind: Kind) -> None:
    spec = spec_of(kind)
    assert (spec.revocation_list is not None) is (spec.serial_of is not None) is (kind in PROOFS - SIGNED)


def test_jitid_makes_no_adopted_secret() -> None:
    assert vars(spec_of(Kind.ADOPTED)) == vars(KindSpec())


def test_the_tokens_are_shown_as_one_text() -> None:
    assert TOKENS < SHOWN
