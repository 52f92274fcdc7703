"""Timeline of a leak: computed from the ledger alone, with the audit event of each step."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.leak import leak_rows, timeline_text
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.timeline import MOST, Account
from jitid.capabilities.use.authorization import UseRequest
from jitid.capabilities.use.operations import Authorize
from jitid.errors import NotFoundError, UsageError
from jitid.formats.markdown import code
from jitid.model.credential import LEEWAY
from jitid.model.leak import Sighting
from jitid.model.request import RenewRequest
from jitid.search.find import mark
from jitid.search.pasted import search_pasted
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from jitid.values.text import safe
from jitid.values.times import format_time
from tests.builders import NOW, World

HOSTILE = "`x` ``y``|<script>alert(1)</script> [a](http://e.example) ![i](//e) @all #1 \x1b[31m\n# h\u202e"


def report(world: World, *tokens: str, source: str = "wiki", places: tuple[Sighting, ...] = ()) -> None:
    """Report tokens as leaked, all with the same sightings."""
    finds = search_pasted(" ".join(tokens).encode())
    seen = {mark(sort, key).hex(): places for sort, key, _ in finds.strings()} if places else {}
    world.authority.perform(
        leak_operations.AddLeaks(finds=finds, report=LeakReport(source, None), sightings=seen)
    )


def use(world: World, token: str, action: str, resource: str = "acme") -> None:
    """Use a token for an action."""
    asked = UseRequest(Secret.single(token), Scope(action), resource)
    world.authority.perform(Authorize(asked=(asked,), audiences=("urn:a",)))


def told(world: World, *numbers: int) -> list[Account]:
    """Return the accounts of leaks."""
    return world.authority.perform(leak_operations.RecountLeaks(numbers=numbers))


def steps(account: Account) -> list[tuple[int, str, str | None, int | None]]:
    """Return the relative time, the kind, the actor and the event number of each step."""
    return [(one.at - NOW, one.what, one.by, one.event) for one in account.steps]


@pytest.mark.usefixtures("kept_in")
def test_an_incident_is_told_from_the_issue_to_the_close(world: World) -> None:
    parent = world.issue(agent="planner", purpose=HOSTILE, audiences=("urn:a",), scopes=("repo:*",))
    world.clock.now += 1
    use(world, parent.token, "repo:read")
    use(world, parent.token, "db:drop")
    world.clock.now += 1
    report(
        world, parent.token, source=HOSTILE, places=(Sighting("a.py", 3, "abc", NOW + 1, "gitleaks token"),)
    )
    world.clock.now += 1
    child = world.issue(
        parent=parent.token, agent="coder", kind="opaque", scopes=("repo:read",), audiences=("urn:a",)
    )
    use(world, child.token, "repo:read", HOSTILE)
    use(world, child.token, "repo:read", HOSTILE)
    report(world, parent.token, source=HOSTILE, places=(Sighting("b.py"), Sighting("c.py")))
    world.clock.now += 1
    world.revoke(parent.jti, reason=HOSTILE)
    world.authority.perform(leak_operations.ProveLeaks())
    world.clock.now += 1
    world.authority.perform(leak_operations.CloseLeaks(numbers=(1,), reason="rotated"))
    (account,) = told(world, 1)
    events = {event["seq"]: event["op"] for event in world.events()}
    found = steps(account)
    assert [(at, what) for at, what, _, _ in found] == [
        (0, "issued"),
        (1, "used"),
        (1, "refused"),
        (1, "seen"),
        (2, "reported"),
        (3, "made"),
        (3, "used"),
        (3, "recorded"),
        (4, "ended"),
        (4, "proved"),
        (5, "closed"),
    ]
    assert [events[seq or 0] for _, _, _, seq in found] == [
        "issue",
        "use",
        "use",
        "leak",
        "leak",
        "issue",
        "use",
        "leak-sighting",
        "revoke",
        "leak-proof",
        "leak-close",
    ]
    aftermath = account.aftermath
    assert (aftermath.identities, aftermath.credentials, aftermath.later, aftermath.live) == (1, 2, 1, 0)
    assert [(one.agent, one.allowed, one.after, one.times) for one in aftermath.acted] == [
        ("planner", True, False, 1),
        ("planner", False, False, 1),
        ("coder", True, True, 2),
    ]
    assert [(one.state, one.credentials, one.own) for one in aftermath.over] == [("revoked", 2, True)]
    assert (account.exposure, account.proof is not None, account.first_seen_at) == (2, True, NOW + 1)
    seconds = leak_rows.document(account)["seconds"]
    assert seconds == {
        "reported_to_proved": 2,
        "reported_to_dead": 2,
        "first_seen_to_dead": 3,
        "issued_to_dead": 4,
        "reported_to_refused": 2,
        "reported_to_accepted_until": 900 - 2 + LEEWAY,
    }
    for width in (None, 40, 80):
        text = "".join(timeline_text.text([account], width))
        _is_harmless(text)
        assert code(HOSTILE) in text
        assert width is None or max(map(len, text.replace(code(HOSTILE), "").splitlines())) <= width + 20
    json.dumps(leak_rows.document(account))


def _is_harmless(text: str) -> None:
    """Check that a text has no markup except jitid's own, and no active character."""
    assert safe(text.replace("\n", "")) == text.replace("\n", "")
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    flat = [inner for token in tokens for inner in (token, *(token.children or ()))]
    kinds = {token.type for token in flat}
    assert not kinds & {
        "html_inline",
        "html_block",
        "link_open",
        "image",
        "table_open",
        "fence",
        "blockquote_open",
    }
    assert sum(token.type == "heading_open" for token in flat) == 2


def test_what_is_alive_is_told_to_be_so_with_what_ends_it(world: World) -> None:
    """Expiry has no actor, whether it was recorded or not."""
    made, other = world.issue(ttl=60), world.issue(ttl=900)
    report(world, made.token, other.token)
    accounts = told(world, 1, 2)
    assert [one.leak.key for one in accounts] == [1, 2]
    text = "".join(timeline_text.text(accounts))
    assert f"`jitid revoke {made.jti}`" in text
    assert text.count("LIVE: 1 credential of its identity or below still works") == 4
    world.clock.now += 60
    (account,) = told(world, 1)
    assert steps(account)[-1] == (60, "ended", None, None)
    world.authority.perform(leak_operations.ProveLeaks())
    (account,) = told(world, 1)
    assert [(at, what, by) for at, what, by, _ in steps(account)[-2:]] == [
        (60, "ended", None),
        (60, "proved", "tester"),
    ]
    text = "".join(timeline_text.text([account]))
    assert f"refused by the ledger since {format_time(NOW + 60)}; " in text
    assert f"offline verifiers accept it until {format_time(NOW + 60 + LEEWAY)}; proved, open" in text
    world.clock.now += LEEWAY
    (account,) = told(world, 1)
    assert steps(account)[-1] == (60 + LEEWAY, "lapsed", None, None)
    until = format_time(NOW + 60 + LEEWAY)
    assert f"accepted by no verifier since {until}; proved, open" in "".join(timeline_text.text([account]))


def test_a_renewal_of_whoever_had_it_is_told(world: World) -> None:
    made = world.issue()
    report(world, made.token)
    world.clock.now += 1
    world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(made.token))))
    (account,) = told(world, 1)
    (step,) = [one for one in account.steps if one.what == "made"]
    assert (step.facts["depth"], step.at) == (0, NOW + 1)
    assert "renewed as jwt" in "".join(timeline_text.words(step))


def test_of_many_leaks_some_are_to_be_named(world: World) -> None:
    made = world.issue()
    for number in range(MOST + 1):
        report(world, made.token, source=f"s{number}")
    with pytest.raises(UsageError, match=f"the maximum is {MOST}"):
        world.authority.perform(leak_operations.RecountLeaks(jtis=(made.jti,)))
    assert len(told(world, 1, 2)) == 2
    with pytest.raises(NotFoundError):
        told(world, 999)


@given(st.text(st.characters() | st.sampled_from("`` \n<>[]|")))
def test_a_code_span_shows_any_text_and_nothing_else(text: str) -> None:
    """CommonMark reads it like this with any text before and after it."""
    shown = code(text)
    if not shown:
        assert safe(text) == ""
        return
    (_, inline, _) = MarkdownIt("commonmark").parse(f"a {shown} b ``c``")
    assert [(one.type, one.content) for one in inline.children or ()] == [
        ("text", "a "),
        ("code_inline", safe(text)),
        ("text", " b "),
        ("code_inline", "c"),
    ]
