"""`jitid __complete` answers with names from the ledger that the line chooses, the most relevant names first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.inventory import complete_store
from jitid.cli import complete
from jitid.cli.complete_kinds import KINDS
from jitid.ledger.sqlite.schema import APPLICATION_ID
from jitid.model.credential import MADE
from jitid.values import names as name
from jitid.values.ids import approval_id, credential_id, identity_id, parse_approval_id
from tests.builders import World, edit, make_folder, put
from tests.cli.completion.asking import lines, names, rows
from tests.real import Shell


def test_open_tasks_come_first_the_newest_of_them_first(ledger: Path) -> None:
    assert lines(ledger, "tasks") == [
        "ZED\topen, moderate",
        "INC:3/a@b+c\topen, moderate",
        "INC:1/a@b+c\topen, moderate",
        "INC:2/a@b+c\tended, moderate",
    ]


def test_agents_come_in_the_order_of_their_last_work_after_those_that_are_registered(ledger: Path) -> None:
    known = "bot-3\tregistered, user:alice@example.com"
    assert lines(ledger, "agents") == [known, "bot-1", "bot-2"]
    assert lines(ledger, "records") == [known]
    assert lines(ledger, "delegators", "agent:bot-3") == [f"agent:{known}"]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("review_at = 1", "overdue"),
        ("suspended_at = 1, review_at = 1", "suspended"),
        ("unregistered_at = 2, suspended_at = 1", "unregistered"),
    ],
)
def test_records_tell_their_state(ledger: Path, change: str, state: str) -> None:
    edit(ledger, f"UPDATE agent SET {change}")
    assert lines(ledger, "records", "bot") == [f"bot-3\t{state}, user:alice@example.com"]


def test_agents_of_a_ledger_without_records_come_all_the_same(ledger: Path) -> None:
    """An older jitid made the ledger, and no newer one has opened it since."""
    edit(ledger, "DROP TABLE agent")
    assert names(ledger, "agents") == ["bot-1", "bot-3", "bot-2"]
    assert names(ledger, "records") == []


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("", ["user:bob", "user:alice@example.com", "system:ci"]),
        ("user:", ["user:bob", "user:alice@example.com"]),
        ("us", ["user:bob", "user:alice@example.com"]),
        ("sy", ["system:ci"]),
        ("ali", ["alice@example.com"]),
        ("agent:bot-2", ["agent:bot-2"]),
        ("ci", []),
        ("bot", []),
        ("root:", []),
    ],
)
def test_delegators_are_spelled_as_they_were_begun(ledger: Path, current: str, expected: list[str]) -> None:
    """A bare name means `user:`, and is completed bare."""
    assert names(ledger, "delegators", current) == expected


def test_known_delegators_tell_who_they_are(ledger: Path) -> None:
    edit(ledger, "INSERT INTO delegator_name VALUES ('user:al', 1)")
    assert lines(ledger, "known") == [
        "user:al\tuser:alice@example.com, up to critical",
        "user:alice@example.com\tup to critical",
    ]
    assert names(ledger, "delegators", "user:al") == ["user:alice@example.com", "user:al"]
    assert names(ledger, "known", "al") == ["al", "alice@example.com"]
    assert names(ledger, "known", "system:") == []
    edit(ledger, "UPDATE delegator SET disabled_at = 1")
    assert lines(ledger, "known", "user:alice") == ["user:alice@example.com\tdisabled"]


def test_a_ledger_from_before_there_was_a_directory_has_its_delegators(ledger: Path) -> None:
    edit(ledger, "DROP TABLE delegator_name")
    assert names(ledger, "delegators") == ["user:bob", "user:alice@example.com", "system:ci"]
    assert names(ledger, "known") == []


def test_ids_are_those_of_identities_the_newest_first_and_say_whose_they_are(ledger: Path) -> None:
    expected = [identity_id(raw) for (raw,) in rows(ledger, "SELECT uid FROM identity ORDER BY id DESC")]  # type: ignore[arg-type]
    found = lines(ledger, "ids")
    assert [line.partition("\t")[0] for line in found] == expected
    assert [line.partition("\t")[2] for line in found][:2] == ["bot-1 on ZED", "bot-3 on INC:3/a@b+c"]


@pytest.mark.parametrize("begun", ["jt", "jti", "jti_"])
def test_ids_of_credentials_come_where_one_is_begun(ledger: Path, begun: str) -> None:
    expected = [credential_id(raw) for (raw,) in rows(ledger, "SELECT jti FROM credential ORDER BY id DESC")]  # type: ignore[arg-type]
    assert names(ledger, "ids", begun) == expected


def test_an_id_that_stands_on_the_line_is_not_offered_again(ledger: Path) -> None:
    newest, *others = names(ledger, "ids")
    assert names(ledger, "ids", "jid_", "revoke", newest) == others


def test_requests_that_can_still_be_granted_come_the_newest_first_and_say_whose_they_are(
    ledger: Path,
) -> None:
    newest, other = [approval_id(raw) for (raw,) in rows(ledger, "SELECT uid FROM approval ORDER BY id DESC")]  # type: ignore[arg-type]
    assert lines(ledger, "approvals") == [f"{one}\tfor user:bob, by security" for one in (newest, other)]
    assert names(ledger, "approvals", other[:-1]) in ([other], [newest, other])
    edit(
        ledger,
        f"UPDATE approval SET ended_at = 1, ended_as = 'denied' WHERE uid = x'{parse_approval_id(newest).hex()}'",
    )
    assert names(ledger, "approvals", "apr_") == [other]
    edit(ledger, "UPDATE approval SET expires_at = 1")
    assert names(ledger, "approvals") == []


def test_keys_tell_their_state(ledger: Path) -> None:
    ((kid,),) = rows(ledger, "SELECT kid FROM signing_key")
    assert lines(ledger, "keys", str(kid)[:3]) == [f"{kid}\tsigning, EdDSA"]


def test_a_key_that_begins_like_an_option_waits_until_that_is_typed(ledger: Path) -> None:
    edit(ledger, "UPDATE signing_key SET kid = '-abc'")
    assert (names(ledger, "keys"), names(ledger, "keys", "-a")) == ([], ["-abc"])


@given(raw=st.binary(min_size=16, max_size=16), length=st.integers(0, 26))
def test_the_range_of_a_prefix_holds_the_ids_that_begin_with_it(raw: bytes, length: int) -> None:
    digits = identity_id(raw).removeprefix("jid_")
    first, last = complete_store._range(digits[:length])
    assert first <= raw <= last
    for bound in (first, last):
        assert identity_id(bound).removeprefix("jid_").startswith(digits[:length])
    for outside in (int.from_bytes(first) - 1, int.from_bytes(last) + 1):
        if 0 <= outside < 1 << 128:
            assert not identity_id(outside.to_bytes(16)).removeprefix("jid_").startswith(digits[:length])


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_spelled_as_everywhere(raw: bytes) -> None:
    assert "jid_" + complete_store._base32(raw) == identity_id(raw)


def test_what_is_said_twice_to_save_time_is_the_same() -> None:
    assert (complete_store.NAME_CHARACTERS, complete._APPLICATION_ID) == (name._NAME, APPLICATION_ID)


def test_there_are_never_more_than_can_be_looked_through(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "large")
    with World(folder) as world, world.ledger.write() as transaction:
        for number in range(complete_store.MOST + 50):
            put(transaction, task=f"T{number}", agent=f"a{number}", delegator=f"user:d{number}")
        transaction.append("issue", {})
    for what in ("ids", "tasks", "agents", "delegators"):
        assert len(names(folder, what)) == complete_store.MOST
    assert names(folder, "tasks")[0] == f"T{complete_store.MOST + 49}"
    # With a prefix, an old name is found that is not among the latest.
    assert names(folder, "tasks", "T7")[-1] == "T7"


@pytest.mark.parametrize(
    "words",
    [
        ("--ledger", "{home}/other", "list"),
        ("list", "--ledger={home}/other"),
        ("list", "--ledger", "~/other", "--task"),
        ("--config", "{home}/other.toml", "list"),
        ("--profile", "elsewhere", "list"),
        ("list", "--profile=elsewhere"),
    ],
)
def test_the_ledger_is_the_one_that_the_line_means(
    filled: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    home = filled.home
    monkeypatch.setenv("HOME", str(home))
    given = [word.format(home=home) for word in words]
    assert complete.answer(["tasks", "", *given], {"HOME": str(home)}) == "ELSEWHERE\topen, moderate\n"


def test_without_a_word_it_is_the_configured_one(filled: Shell) -> None:
    assert complete.answer(["tasks", "Z"], {"HOME": str(filled.home)}) == "ZED\topen, moderate\n"


def test_words_behind_two_dashes_are_somebody_elses(ledger: Path) -> None:
    assert "ZED" in names(ledger, "tasks", "", "run", "--", "x", "--ledger", "/nowhere")


def test_kinds_come_with_the_templates_of_the_configuration(tmp_path: Path) -> None:
    """A program is a kind by its target's name; an invalid kind is not a candidate."""
    settings = tmp_path / "settings.toml"
    settings.touch(0o600)
    settings.write_text(
        '[target.orders]\nkind = "postgres-role"\n[target.orders.template.reader]\n[target.orders.template."a b"]\n'
        '[target.shop]\nkind = "exec"\n[target.shop.template.parts]\n'
    )
    environ = {"JITID_CONFIG": str(settings), "HOME": str(tmp_path)}
    offered = complete.answer(["kinds", ""], environ).splitlines()
    assert [line.partition("\t")[0] for line in offered] == [
        *KINDS,
        "postgres-role:reader",
        "exec:shop",
        "exec:shop:parts",
    ]
    begun = complete.answer(["kinds", "postgres", "issue"], environ)
    assert begun == "postgres-role\npostgres-role:reader\tat orders\n"
    # A configuration file that every verb refuses gives no candidates.
    settings.write_text(settings.read_text() + "[target.odd]\nkind = 7\n")
    offered = complete.answer(["kinds", ""], environ).splitlines()
    assert [line.partition("\t")[0] for line in offered] == [*KINDS]


def test_kinds_come_also_where_the_configuration_cannot_be_read(tmp_path: Path) -> None:
    offered = complete.answer(["kinds", "x"], {"JITID_CONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)})
    assert offered == "x509-svid\n"


def test_the_kinds_are_those_that_there_are() -> None:
    assert {*KINDS, "exec"} == set(MADE)


def test_adopted_secrets_come_by_their_own_names_the_living_first(ledger: Path) -> None:
    edit(
        ledger,
        "UPDATE task SET name = 'adopted/' || id WHERE id < 3",
        "INSERT INTO adopted SELECT max(id), 'a wiki', NULL, NULL FROM credential WHERE task < 3 GROUP BY task",
        "UPDATE credential SET ended_at = NULL WHERE task = 2",
        "UPDATE credential SET ended_at = 1 WHERE task = 1",
    )
    found = [line.partition(", ")[0] for line in lines(ledger, "adopted")]
    assert found == ["2\tstanding", "1\tended"]
    assert names(ledger, "adopted", "1") == ["1"]
    edit(ledger, "DROP TABLE adopted")
    assert lines(ledger, "adopted") == []


def test_leaks_come_by_their_numbers_those_that_are_open_first(ledger: Path) -> None:
    edit(
        ledger,
        *(
            "INSERT INTO leak (credential, source, reported_at, added_at, event) "
            f"VALUES ({number}, 'a wiki', 1, 1, 1)"
            for number in (1, 2, 3)
        ),
        "UPDATE leak SET closed_at = 2, closed_event = 1 WHERE id = 2",
    )
    found = [line.partition(", ")[0] for line in lines(ledger, "leaks")]
    assert found == ["3\topen", "1\topen", "2\tclosed"]
    assert names(ledger, "leaks", "2") == ["2"]
    assert names(ledger, "leaks", "jti_") == []
