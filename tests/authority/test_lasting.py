"""A caller without the role cannot choose how long a signed or granted object lasts."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest

from jitid.authority.wire.codec import fields_of, operations
from jitid.capabilities.access.operations import RotateAccess
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.approval_operations import Decided, GrantApproval
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange
from jitid.capabilities.trust.operations import PublishRevocations
from jitid.capabilities.trust.x509_authority import LIFETIME
from jitid.errors import JitidError, RefusedError
from jitid.model.request import AttachRequest, RenewRequest
from jitid.operation import base as ops
from jitid.values.field_types import DURATION, TIME
from jitid.values.times import MAX_DURATION
from tests.authority.callers import ask
from tests.authority.scene import API, Scene
from tests.builders import DAY, request

LONG = MAX_DURATION
UNBOUNDED = {
    "Issue.requests.deadline": "the caller's own task; what is issued on it has its own end",
    "Issue.requests.deadline_after": "the same",
    "Issue.requests.process.renews_until": "when a process stops to renew, which prolongs nothing",
    "Issue.as_of": "of a dry run",
    "Exchange.request.deadline": "as of Issue",
    "Exchange.request.deadline_after": "as of Issue",
    "Exchange.request.process.renews_until": "as of Issue",
    "ListCredentials.chosen.issued_since": "which are listed",
    "ListCredentials.chosen.issued_until": "which are listed",
    "ListCredentials.chosen.expires_before": "which are listed",
    "ListCredentials.chosen.expires_after": "which are listed",
}
"""Times and durations that any caller may state and that set no lifetime, each with its meaning."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return the world of the matrix."""
    scene = Scene(tmp_path_factory.mktemp("lasting"))
    yield scene
    scene.world.close()


def _lasting(scene: Scene) -> dict[str, tuple[str, ops.Operation[Any]]]:
    """Return the requests with a lifetime that the caller states, by field; each with its caller."""
    held = scene.tokens["identity"].token
    child = request(agent="fetcher", task=None, delegator=None, parent=held, ttl=LONG)
    own = request(agent="fetcher", task="NEW", delegator=None, ttl=LONG)
    exchanged = child._replace(parent=None, agent="planner", may_audience=())
    return {
        "Issue.requests.ttl": ("owner", issue_operations.Issue(requests=(own, child))),
        "Renew.request.ttl": ("namesake", issue_operations.Renew(request=RenewRequest(held, ttl=LONG))),
        "Attach.request.ttl": (
            "namesake",
            Attach(request=AttachRequest(held, "jwt", audiences=(API,), ttl=LONG)),
        ),
        "Exchange.request.ttl": ("namesake", Exchange(request=exchanged, subject=held)),
        "GrantApproval.lifetime": ("approver", GrantApproval(id=scene.approvals["owner"], lifetime=LONG)),
        "RotateAccess.ttl": ("owner", RotateAccess(id=scene.access["owner"], ttl=LONG)),
        "PublishRevocations.lifetime": ("owner", PublishRevocations(lifetime=LONG)),
    }


REFUSED = {"GrantApproval.lifetime", "RotateAccess.ttl", "PublishRevocations.lifetime"}
"""Fields for which an excessive value is refused; the others are shortened."""


def _ends(answer: Any) -> int:
    """Return the latest expiry time in an answer; 0 for a refusal."""
    if isinstance(answer, JitidError):
        assert answer.exit_status in (2, 4, 6), answer.message
        return 0
    if isinstance(answer, list):
        return max(map(_ends, answer))
    if isinstance(answer, Issued):
        return answer.expires_at
    if isinstance(answer, Decided):
        return answer.approval.expires_at
    found: int = getattr(answer, "next_update", None) or answer.access.expires_at
    return found


def test_each_time_in_what_anybody_may_ask_for_is_bounded_or_gives_nothing_a_life(scene: Scene) -> None:
    anybody = [kind for kind in operations().values() if kind.for_anybody or kind.for_own]
    times = {f"{kind.__name__}.{path}" for kind in anybody for path in _times(kind, ())}
    assert times == {*UNBOUNDED, *_lasting(scene)}


def test_nothing_lasts_for_as_long_as_a_caller_without_the_role_likes(scene: Scene) -> None:
    usual = _ends(scene.perform(None, PublishRevocations())) - scene.world.clock.now
    assert usual == LIFETIME
    for field, (caller, operation) in _lasting(scene).items():
        ends = _ends(scene.perform(scene.callers[caller], operation))
        scene.restore()
        assert ends or field in REFUSED, field
        # Access is granted for 90 days, and it is not prolonged.
        left = ends - scene.world.clock.now
        assert left <= (90 * DAY if field == "RotateAccess.ttl" else DAY), field


def test_a_revocation_list_counts_for_longer_than_usual_for_an_admin_alone(scene: Scene) -> None:
    for seconds in (1, 3600, LIFETIME):
        (found,) = ask(scene.world, scene.callers["owner"], PublishRevocations(lifetime=seconds))
        assert found.next_update - found.this_update == seconds
    longer = PublishRevocations(lifetime=LIFETIME + 1)
    for caller in scene.callers.keys() - {"admin"}:
        with pytest.raises(RefusedError, match="the role `admin`") as refused:
            ask(scene.world, scene.callers[caller], longer)
        if caller != "bootstrap":
            assert "for more than 1d" in refused.value.message
    (found,) = ask(scene.world, scene.callers["admin"], longer)
    assert found.next_update - found.this_update == LIFETIME + 1


def _times(kind: Any, above: tuple[type, ...]) -> Iterator[str]:
    for name, field in fields_of(kind).items():
        if getattr(field.type, "check", None) in (TIME.check, DURATION.check):
            yield name
        for each in _types(field.kind):
            if each not in above and hasattr(each, "_replace"):
                yield from (f"{name}.{path}" for path in _times(each, (*above, each)))


def _types(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in (Union, UnionType) or get_args(hint):
        for each in get_args(hint):
            yield from _types(each)
    else:
        yield hint
