"""From the texts of a line to the fields of its verb: the names in an error, and the order of errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jitid.cli import main
from jitid.cli.invocation import Invocation
from jitid.cli.line import Line, bound
from jitid.cli.verbs import all_verbs
from jitid.errors import UsageError
from jitid.values.declaration import Field
from jitid.values.field_types import number
from jitid.values.secret import new_opaque

Run = Callable[..., tuple[int, str, str]]
TOKEN = new_opaque(lambda count: bytes(range(count)))
VERBS = all_verbs()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a line in an empty folder; return its status and its output."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*line: str) -> tuple[int, str, str]:
        status = main.run([*line])
        return status, *capfd.readouterr()

    return run


def _refuses_tokens(field: Field) -> bool:
    return field.type is not None and field.type.sources != ("command",)


@pytest.mark.parametrize("bad", ["b?d \x7f", "", "\udcff"])
@pytest.mark.parametrize("name", VERBS)
def test_a_token_on_a_line_is_reported_even_if_another_value_is_invalid(name: str, bad: str) -> None:
    """It is in the history of the shell by then, and must be revoked."""
    verb = VERBS[name]
    places = [field for field in verb.fields.values() if field.is_option or field.is_argument]
    for place in filter(_refuses_tokens, places):
        if place.verb_refuses_tokens and not any(field.type for field in places if field is not place):
            # No other value can be invalid, and the hint of the verb is better.
            continue
        texts = {
            field.name: TOKEN if field is place else True if field.type is None else bad for field in places
        }
        values = {field.name: [texts[field.name]] if field.many else texts[field.name] for field in places}
        with pytest.raises(UsageError, match="a token was passed"):
            bound(Line(verb, values, {}), {}, Invocation())


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("JITID_TTL", "bad", "JITID_TTL: `bad` is not a duration"),
        ("JITID_AGENT", "b?d", "JITID_AGENT: "),
        ("JITID_SCOPE", "a:b *?", "JITID_SCOPE: "),
        ("JITID_DEADLINE", "soon", "JITID_DEADLINE: "),
    ],
)
def test_a_bad_value_of_a_variable_names_the_variable(
    variable: str, value: str, message: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line does not show where the value comes from."""
    monkeypatch.setenv(variable, value)
    status, _, err = run("issue", "--task", "INC-1", "--delegator", "alice", "--dry-run")
    assert status == 2
    assert message in err


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (
            "list --limit=-99999999999999999999999",
            "--limit must be at least 1, not ",
            "see: jitid list --help",
        ),
        ("list --limit 1,2", "is not a whole number: `1,2`", "see: jitid list --help"),
        (
            "list --depth 99999999999999999999999",
            "is more than the maximum 999999999",
            "see: jitid list --help",
        ),
        ("ledger copy", "`--to` is missing", "add --to URL; see: jitid ledger copy --help"),
        ("task give INC-1", "`--to` is missing", "add --to DELEGATOR; see: jitid task give --help"),
        ("revoke --tree nothing", "`nothing` is neither an id nor a known name", "for ids: jitid list"),
        ("revoke nothing", "`nothing` is neither an id nor a known name", "for ids: jitid list"),
        ("agent '' list", "there is no verb `agent `", "see: jitid agent --help"),
    ],
)
def test_an_error_names_the_value_and_the_next_step(line: str, message: str, hint: str, run: Run) -> None:
    from shlex import split

    status, _, err = run(*split(line))
    assert status == 2
    assert message in err
    assert hint in err


def test_a_number_may_have_zeros_before_it() -> None:
    assert number(1).parse("00000000000000000000001", "`--limit`") == 1


@pytest.mark.parametrize(
    ("greatest", "note"),
    [
        (10, ""),
        (4, "older events are not shown: the limit is 3; for more: --tail N"),
        (3, "there may be older events: the limit is 3; for more: --tail N"),
    ],
)
def test_the_newest_events_name_those_left_out(
    greatest: int, note: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with the greatest limit, beyond which no event can be requested."""
    from jitid.cli.ledger import audit_verbs

    monkeypatch.setattr(audit_verbs, "MAX_ROWS", greatest)
    monkeypatch.setattr(audit_verbs, "_SCREENFUL", 3 if note else 5)
    for index in range(4):
        assert run("issue", "--task", f"T{index}", "--delegator", "alice", "-q")[0] == 0
    status, shown, err = run("audit", "log", "--format", "table")
    assert status == 0
    assert len(shown.splitlines()) == 1 + (3 if note else 5)
    assert err.removeprefix("jitid: note: ").strip() == note
