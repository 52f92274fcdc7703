"""The laws of delegation, for any grants."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jitid.model.delegation import Grant, widenings
from jitid.values.scope import Scope, covers

_SEGMENTS = st.sampled_from(["db", "d*", "*", "read", "repo"])
_SCOPES = st.lists(_SEGMENTS, min_size=1, max_size=2).map(lambda parts: Scope(":".join(parts)))
GRANTS = st.builds(
    Grant,
    scopes=st.lists(_SCOPES, max_size=4).map(tuple),
    audiences=st.lists(st.sampled_from(["urn:a", "urn:b"]), unique=True).map(tuple),
    details=st.lists(st.sampled_from(['{"type":"x"}', '{"type":"y"}']), unique=True).map(tuple),
    expires_at=st.integers(0, 5),
    depth=st.integers(0, 4),
    kinds=st.none()
    | st.lists(st.sampled_from(["jwt", "ssh-cert", "ssh-cert:hosts/root"]), unique=True).map(tuple),
)


@given(parent=GRANTS, child=GRANTS, wanted=_SCOPES)
def test_a_delegate_never_gains(parent: Grant, child: Grant, wanted: Scope) -> None:
    """Each right of the child is a right of the parent, or the child is refused."""
    if widenings(parent, child):
        return
    if any(covers(scope, wanted) for scope in child.scopes):
        assert any(covers(scope, wanted) for scope in parent.scopes)
    assert set(child.audiences) <= set(parent.audiences)
    assert set(child.details) <= set(parent.details)
    assert child.expires_at <= parent.expires_at
    assert parent.kinds is None or (child.kinds is not None and set(child.kinds) <= set(parent.kinds))


@given(parent=GRANTS)
def test_a_grant_may_be_handed_on_as_it_is(parent: Grant) -> None:
    assert widenings(parent, parent._replace(depth=parent.depth + 1)) == ()


@given(first=GRANTS, second=GRANTS, third=GRANTS)
def test_narrowing_is_transitive_but_for_the_depth(first: Grant, second: Grant, third: Grant) -> None:
    if not widenings(first, second) and not widenings(second, third):
        assert {one.what for one in widenings(first, third)} == {"depth"}


@given(parent=GRANTS, child=GRANTS)
def test_a_depth_that_is_not_the_next_is_a_widening(parent: Grant, child: Grant) -> None:
    assert ("depth" in {one.what for one in widenings(parent, child)}) == (child.depth != parent.depth + 1)


@given(parent=GRANTS, foreign=_SCOPES)
def test_a_widening_names_what_the_parent_does_not_hold(parent: Grant, foreign: Scope) -> None:
    child = parent._replace(scopes=(foreign,), depth=parent.depth + 1)
    covered = any(covers(scope, foreign) for scope in parent.scopes)
    assert [one.values for one in widenings(parent, child)] == ([] if covered else [(foreign,)])
