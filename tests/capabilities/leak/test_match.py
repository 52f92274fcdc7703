"""Matching of many strings at once: the answers are the same as for each string alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess
from jitid.capabilities.leak import trace_strings
from jitid.search.find import Finds
from jitid.values.secret import fingerprint, new_opaque
from tests.builders import World

COUNTS = st.integers(1, 3)


class Known:
    """A ledger, and strings of which it knows some."""

    def __init__(self, path: Path) -> None:
        self.world = World(path)
        made = [self.world.issue(kind=kind) for kind in ("jwt", "opaque") for _ in range(2)]
        self.world.revoke(made[0].jti)
        altered = made[1].token[:-2] + ("AA" if made[1].token[-2:] != "AA" else "BA")
        granted = self.world.authority.perform(
            GrantAccess(wanted=AccessRequest("user:eve", ("auditor",), 900))
        )
        assert granted.secret is not None
        self.signed = [made[0].token, made[1].token, altered]
        self.prints = [fingerprint(one.token) for one in made]
        self.prints += [fingerprint(granted.secret.reveal()), fingerprint(new_opaque(os.urandom)), bytes(32)]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    """Return one ledger for all tests."""
    yield Known(tmp_path_factory.mktemp("matching") / "ledger")


@given(data=st.data())
def test_it_says_the_same(known: Known, data: st.DataObject) -> None:
    finds = Finds()
    for name, texts in (("opaque", known.prints), ("prints", known.prints), ("signed", known.signed)):
        getattr(finds, name).update(data.draw(st.dictionaries(st.sampled_from(texts), COUNTS)))
    finds.mistyped = data.draw(st.integers(0, 1))
    ledger = known.world.ledger
    with ledger.read() as snapshot:
        whole = trace_strings.recognise(snapshot, ledger.names, finds)
        matched = trace_strings.match(snapshot, finds, strings=True)
        rest = trace_strings.recognise(snapshot, ledger.names, matched.left)
    proved = {one.key for one, evidence in whole.found if evidence.proof is not None}
    assert proved == matched.credentials.keys() | {
        one.key for one, each in rest.found if each.proof is not None
    }
    assert {one.key for one, _ in whole.found} == matched.credentials.keys() | {
        one.key for one, _ in rest.found
    }
    for key, strings in whole.strings.items():
        assert set(strings) == {*matched.strings.get(key, ()), *rest.strings.get(key, ())}
    assert whole.unknown + whole.unknown_words == matched.unknown + rest.unknown + rest.unknown_words
    assert [one for one in whole.strays if one.known] == [one for one in rest.strays if one.known]
    assert matched.alive == sum(
        one.ended_at is None for one, _ in whole.found if one.key in matched.credentials
    )
