"""The generated man pages equal the committed pages, are complete, and have examples that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jitid.cli.help_text import EXAMPLES as EXAMPLE_FILES
from jitid.cli.verbs import all_verbs
from jitid.config.settings import SETTINGS
from jitid.errors import ExitStatus
from tests.cli import transcripts
from tests.generate import markdown
from tests.generate.man import FOLDER, HAND_WRITTEN, page_of, pages
from tests.generate.page_text import (
    ENDS,
    EXAMPLES,
    FIELDS,
    FIRST,
    MORE,
    OF_RUN,
    RELATED,
    STATUSES,
    Example,
    options_of,
)
from tests.generate.roff import argument, display, prose, title
from tests.generate.tree import tree
from tests.readme import CHAPTERS

PAGES = pages()
ROOT, *OTHERS = tree()
VERBS = {verb.name: verb for verb in OTHERS if not verb.verbs}
GLOBAL = {name for option in ROOT.options for name in option.names}


def test_generating_again_changes_nothing() -> None:
    """`python -m tests.generate` writes them."""
    written = PAGES | markdown.pages()
    chapters = {path.name for path in CHAPTERS.values()}
    assert {path.name for path in FOLDER.iterdir()} == {*written, *HAND_WRITTEN, *chapters}
    for name, text in written.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name


@pytest.mark.parametrize("verb", all_verbs())
def test_every_verb_has_a_page_and_is_named_in_that_of_the_command(verb: str) -> None:
    assert f"{page_of(verb)}.1" in PAGES
    assert f".It Xr {page_of(verb)} 1\n" in PAGES["jitid.1"]


@pytest.mark.parametrize("name", EXAMPLE_FILES)
def test_every_example_to_copy_stands_in_the_page_of_its_verb(name: str) -> None:
    assert re.search(rf"\b{re.escape(name)}\b", PAGES["jitid-example.1"].replace(r"\-", "-"))


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_head_of_a_page_fits_into_its_line(name: str) -> None:
    """The line has the title twice, on both sides of the name of the manual."""
    (words,) = re.findall(r"^\.Dt (\S+ \d)$", PAGES[name], re.MULTILINE)
    assert 2 * len(f"{words})") + 2 * len(" ") + len("General Commands Manual") <= 78


def _told(page: str) -> set[str]:
    options = page.partition("OPTIONS\n")[2].partition("\n.Sh ")[0]
    return {
        f"-{name}"
        for term in re.findall(r"^\.It (Fl .+)$", options, re.MULTILINE)
        for name in re.findall(r"Fl (\S+)", term)
    }


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_stands_in_the_page_of_its_verb(verb: str) -> None:
    page = PAGES[f"{page_of(verb)}.1"]
    options = VERBS[verb].options
    assert _told(page) == {name for option in options for name in option.names}
    for option in options:
        assert f"Fl {option.names[0][1:]}" in page.partition(".Sh SYNOPSIS")[2].partition(".Sh ")[0]
        assert option.variable is None or f".It Ev {option.variable}\n" in page


def test_every_global_option_and_every_variable_stands_in_the_page_of_the_command() -> None:
    page = PAGES["jitid.1"]
    assert _told(page) == GLOBAL
    variables = {option.variable for verb in VERBS.values() for option in verb.options if option.variable}
    variables |= {setting.variable for setting in SETTINGS.values() if setting.environment}
    assert variables <= set(re.findall(r"^\.It Ev (\S+)$", page, re.MULTILINE))
    assert set(SETTINGS) <= set(re.findall(r"^\.It Va (\S+)$", page, re.MULTILINE))


def test_every_status_has_a_sentence() -> None:
    assert set(ExitStatus) <= STATUSES.keys() | OF_RUN.keys()


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "run"])
def test_every_verb_says_how_it_can_end(verb: str) -> None:
    assert {0, 2} <= ENDS[verb].keys() <= {status.value for status in ExitStatus}


def _ends_in_transcripts() -> set[tuple[str, int]]:
    found = set()
    for path in transcripts.FOLDER.glob("*.txt"):
        for step in transcripts.parse(path.read_text(encoding="utf-8"))[0]:
            words = step.script.split()
            # A command that the shell combines ends with the status of its last part, which may not be jitid.
            if words[0] != "jitid" or re.search(r"[|;&]|\$\(", step.script):
                continue
            verb = next(
                (name for name in (" ".join(words[1:4]), " ".join(words[1:3]), words[1]) if name in ENDS),
                None,
            )
            status = re.fullmatch(r"\? (\d+)", step.expected[-1] if step.expected else "")
            if verb is not None:
                found.add((verb, int(status[1]) if status else 0))
    return found


def test_however_a_verb_ended_in_a_transcript_stands_in_its_page() -> None:
    found = _ends_in_transcripts()
    assert len(found) > 20
    assert not {(verb, status) for verb, status in found if status not in ENDS[verb]}


ARGUMENTS = {
    "federate": ["aws"],
    "publish": ["d"],
    **{
        f"agent {verb}": ["x"]
        for verb in ("register", "change", "show", "review", "suspend", "resume", "unregister")
    },
    "adopt show": ["x"],
    "adopt change": ["x", "--owner", "y"],
    "adopt probe": ["x"],
    "adopt end": ["x", "--proof", "x"],
    "adopt suggest": ["x"],
    "inspect": ["jid_06egkie541sih0iro9m16qr02g"],
    "access grant": ["x"],
    "access rotate": [f"acc_{26 * '0'}"],
    "access revoke": ["x"],
    "approve show": [f"apr_{26 * '0'}"],
    "approve grant": [f"apr_{26 * '0'}"],
    "approve deny": [f"apr_{26 * '0'}"],
    "leak show": ["1"],
    "leak close": ["1", "--reason", "x"],
    "delegator add": ["x"],
    "delegator change": ["x"],
    "delegator disable": ["x"],
    "delegator enable": ["x"],
    "delegator show": ["x"],
    "delegator import": ["x.csv"],
    "retire": ["x"],
    "task share": ["x", "--with", "bob"],
    "task give": ["x", "--to", "bob"],
    "keys revoke": ["x"],
    "config get": ["x"],
    "ledger backup": ["x"],
    "ledger copy": ["--to", "x"],
    "ledger restore": ["x"],
    "policy diff": ["default", "default"],
}


@pytest.mark.deep
def test_the_fields_are_those_that_the_verbs_know(tmp_path: Path) -> None:
    """The error for an unknown field lists the known fields, before the verb reads the ledger."""
    verbs = [verb for verb in FIELDS if verb in VERBS]
    lines = [
        f"$ jitid {' '.join([verb, *ARGUMENTS.get(verb, [])])} --field no-such-field\n" for verb in verbs
    ]
    steps, _ = transcripts.parse(transcripts.replay("".join(lines), tmp_path))
    for verb, step in zip(verbs, steps, strict=True):
        hint = f"2> jitid: hint: the fields are: {', '.join(FIELDS[verb])}"
        # A field that is only shown by name comes last, and is not in the page.
        assert any(f"{line},".startswith(f"{hint},") for line in step.expected), verb


@pytest.mark.parametrize("verb", all_verbs())
def test_every_verb_has_an_example(verb: str) -> None:
    assert EXAMPLES[verb]


@pytest.mark.parametrize("verb", [verb for verb in EXAMPLES if verb in VERBS])
def test_every_option_of_an_example_is_there(verb: str) -> None:
    for example in EXAMPLES[verb]:
        known = set(GLOBAL)
        for name in re.findall(r"jitid ((?:[a-z]+ ?)+)", example.command):
            words = name.split()
            known |= {
                each
                # In a schedule, the options after `--` belong to `sweep`.
                for two in (
                    " ".join(words[:3]),
                    " ".join(words[:2]),
                    "sweep" if words[0] == "schedule" else words[0],
                )
                if two in VERBS
                for option in VERBS[two].options
                for each in option.names
            }
        assert options_of(example.command) <= known, example.command
        assert re.search(rf"jitid (?:--\w+ \w+ )?{verb}\b", example.command), "it shows this verb"


SETUP = """\
$ export JITID_TASK=INC-4821 JITID_DELEGATOR=alice
$ jitid -q issue --agent planner --scope 'repo:*' --purpose 'triage the incident' --out planner.jwt
$ jitid issue --parent-file planner.jwt --agent coder --scope repo:acme --out coder.jwt
$ jitid issue --agent fetcher --audience https://api.example --out api.jwt; unset JITID_TASK JITID_DELEGATOR
$ jitid audit export --out log.jsonl; jitid audit head --out head.jws; jitid config set agent agent
$ cp planner.jwt build.log; printf '#!/bin/sh\\ntest -s "$JITID_TOKEN_FILE"\\n' > agent.sh; chmod +x agent.sh
$ jitid -q issue --task OLD-1 --delegator alice --out old.jwt
$ jitid -q issue --task OLD-1 --delegator alice --kind x509-svid --out old.pem
$ jitid -q leak add old.jwt --source wiki --revoke > leaked
$ jitid -q access grant bob --out bob.bearer; ACCESS=$(jitid access list --field id)
$ id-token --keys | python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["keys"][0]))' > launcher.jwk
$ head -c 30 /dev/urandom | base64 > github.token; ssh-keygen -q -t ed25519 -N '' -f id_ed25519
$ printf 'name,place,purpose,secret\\na,b,c,%s\\n' "$(head -c 30 /dev/urandom | base64)" > secrets.csv
$ jitid -q adopt add github-ci --owner alice --place 'vault kv/prod/github' --purpose releases < github.token > adopted
$ known user:alice; jitid agent register crawler --owner alice --purpose crawling > registered
"""


FOUND = {"scan", "sweep"}
"""Verbs that exit with 10 if they have findings."""


def _tried(examples: tuple[Example, ...] | list[Example], folder: Path) -> list[str]:
    folder.mkdir()
    commands = [f"$ {example.command}".replace("\n", "\n> ") + "\n" for example in examples if example.tried]
    steps, _ = transcripts.parse(transcripts.replay(SETUP + "".join(commands), folder))
    return [
        "\n".join((*step.command, *step.expected))
        for step in steps
        for line in step.expected
        if line.startswith("? ") and not (line == "? 10" and FOUND & set(step.script.split()))
    ]


@pytest.mark.deep
@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_a_verb_work(verb: str, tmp_path: Path) -> None:
    """The examples of a verb run in order, during an incident."""
    assert not _tried(EXAMPLES[verb], tmp_path / "tried")


@pytest.mark.deep
def test_the_examples_of_the_command_work(tmp_path: Path) -> None:
    assert not _tried(FIRST, tmp_path / "tried")


def test_every_verb_leads_to_others() -> None:
    assert VERBS.keys() <= RELATED.keys()
    assert {other for related in RELATED.values() for other in related} <= RELATED.keys()


def test_no_verb_is_told_of_that_cannot_come() -> None:
    """A misspelt verb would go unnoticed: the other tables may have rows only for verbs with examples."""
    assert {*ENDS, *FIELDS, *MORE, "run"} <= EXAMPLES.keys()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("It needs --task.", ["It needs", ".Fl -task ."]),
        ("(or --as)", ["(or", ".Fl -as )"]),
        ("Do (--max N).", ["Do", ".Pf ( Fl -max", ".Ar N ) ."]),
        ("See jitid-policy(7) now.", ["See", ".Xr jitid-policy 7", "now."]),
        (
            "Say `--as dot FILE`, `-` or `No`.",
            ["Say", ".Fl -as Cm dot Ar FILE ,", r".Ql \-", "or", r".Ql \&No ."],
        ),
        ("One. Two\\ three.", ["One.", r"Two\e three."]),
        (".so /etc/passwd", [r"\&.so", ".Pa /etc/passwd"]),
        ("'tis", [r"\&'tis"]),
        ("JITID_TASK is set", [".Ev JITID_TASK", "is set"]),
        ("naïve …", [r"na\[u00EF]ve \[u2026]"]),
        ("a `x:` b", ["a", r".Ql x:\&", "b"]),
        ("a `jitid\nrun --x\ny`.", ["a", r".Ql jitid run \-\-x y ."]),
    ],
)
def test_a_sentence_becomes_lines_of_mdoc(text: str, lines: list[str]) -> None:
    assert prose(text, {"N", "FILE"}) == lines


def test_a_long_sentence_is_wrapped() -> None:
    lines = prose("word " * 60)
    assert max(map(len, lines)) <= 78
    assert " ".join(lines).split() == ["word"] * 60


def test_a_long_command_of_a_chapter_continues_on_further_lines() -> None:
    """A shell reads them as one command. An option stays with its value; answers stay unchanged."""
    long = "$ jitid issue --task T1 --delegator alice --agent release --purpose 'roll out it' --scope deploy:web | cat"
    answer = "an answer of the program " * 5
    first, second, *rest = markdown.in_lines(f"{long}\n{answer}\n$ short").splitlines()
    assert first == "$ jitid issue --task T1 --delegator alice --agent release \\"
    assert second == "    --purpose 'roll out it' --scope deploy:web | cat"
    assert rest == [answer, "$ short"]
    for name in CHAPTERS:
        page = markdown.pages()[f"jitid-{name}.7"].replace(r"\-", "-").replace(r"\(aq", "'")
        page = re.sub(r"\\e|\\\(..", "x", page)
        commands = re.findall(r"^\$ .*", page, re.MULTILINE)
        assert not [line for line in commands if len(line) > 75 and "'" not in line]


def test_a_command_is_shown_so_that_it_can_be_copied() -> None:
    assert display("jitid x --y 'z' \\\n.dot ~") == [
        ".Bd -literal -offset indent",
        r"jitid x \-\-y \(aqz\(aq \e",
        r"\&.dot \(ti",
        ".Ed",
    ]


def test_an_argument_is_no_macro() -> None:
    assert argument('No "x" .') == r"\&No \(dqx\(dq \&.\&"


def test_a_title_has_no_capital_and_no_full_stop() -> None:
    assert title("Show `this`.") == "show this"
    assert title("JSON lines.") == "JSON lines"
