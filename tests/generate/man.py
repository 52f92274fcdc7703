"""Generator of the man pages of section 1 from the command tree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import jitid
from jitid.config.settings import SETTINGS, Setting
from jitid.errors import ExitStatus
from jitid.values.times import format_duration
from tests.generate import targets
from tests.generate.page_text import (
    ENDS,
    EXAMPLES,
    FIELDS,
    FIRST,
    MORE,
    OF_RUN,
    RELATED,
    ROOT,
    STATUSES,
    Example,
)
from tests.generate.roff import argument, display, entries, paragraphs, prose, spaced, title
from tests.generate.tree import Argument, Option, Verb, tree
from tests.readme import CHAPTERS

FOLDER = Path(jitid.__file__).parent.parent / "man"

DATE = "December 1, 2026"
"""The date of all pages: a separate date for each page would change with every run."""

HAND_WRITTEN = (
    "jitid-ledger.5",
    "jitid-agent-files.7",
    "jitid-agents.7",
    "jitid-authority.7",
    "jitid-aws.7",
    "jitid-exec.7",
    "jitid-federation.7",
    "jitid-login.7",
    "jitid-oauth.7",
    "jitid-openbao.7",
    "jitid-policy.7",
    "jitid-postgres.7",
    "jitid-promises.7",
    "jitid-python.7",
    "jitid-scanners.7",
    "jitid-ssh.7",
    "jitid-svid.7",
    "jitid-verifiers.7",
)

CHAPTER_PAGES = tuple(f"jitid-{name}.7" for name in CHAPTERS)
"""The pages that are made of chapters in Markdown."""

_LONGEST_HEAD = 23
"""Both names, their sections and the name of the manual fit into one line of 78 columns."""
_NUMBERED = '-tag -width "128+n"'
_MENTIONED_VARIABLE = re.compile(r" *\[env var: (\w+)\]")
_BY_PROJECTS = {"no": ".", "yes": "; a project may set it.", "stricter": "; a project may make it stricter."}


def pages() -> dict[str, str]:
    """Return the name and the text of each page: one for the command, one for each verb."""
    root, *others = tree()
    verbs = [verb for verb in others if not verb.verbs]
    found = {"jitid.1": _root_page(root, verbs)}
    for verb in verbs:
        found[f"{page_of(verb.name)}.1"] = _verb_page(verb, {each.name for each in verbs})
    texts = {name: "\n".join(lines) + "\n" for name, lines in found.items()}
    return {**texts, targets.NAME: targets.text()}


def page_of(verb: str) -> str:
    """Return the name of a verb's page."""
    return f"jitid-{verb.replace(' ', '-')}"


def _root_page(root: Verb, verbs: list[Verb]) -> list[str]:
    return [
        *_opening("jitid", root.sentence),
        *_section("SYNOPSIS", [".Nm", ".Op Ar global options", ".Ar VERB", ".Op Ar ..."]),
        *_section("DESCRIPTION", *paragraphs(ROOT["what_it_is"]), entries(_explained("Em", ROOT["words"]))),
        *_section("VERBS", entries((f"Xr {page_of(verb.name)} 1", prose(verb.sentence)) for verb in verbs)),
        *_section("GLOBAL OPTIONS", prose(ROOT["global"]), entries(_options(root.options))),
        *_section("AN AUTHORITY ELSEWHERE", *paragraphs(ROOT["remote"])),
        *_section("VALUES", *paragraphs(ROOT["forms"])),
        *_section("OUTPUT", *paragraphs(ROOT["output"])),
        *_section("TOKENS", *paragraphs(ROOT["tokens"])),
        *_section(
            "CONFIGURATION",
            *paragraphs(ROOT["configuration"]),
            entries((f"Va {setting.name}", _setting(setting)) for setting in SETTINGS.values()),
            prose(ROOT["tables"]),
            display(ROOT["example_configuration"]),
        ),
        *_section("ENVIRONMENT", prose(f"{ROOT['blank']} {ROOT['no_variable']}"), entries(_variables(verbs))),
        *_section("FILES", entries(_explained("Pa", ROOT["files"])), prose(ROOT["elsewhere"])),
        *_section("EXIT STATUS", entries(_statuses({verb.name for verb in verbs}), _NUMBERED)),
        *_section("EXAMPLES", *_examples(FIRST)),
        *_section("SEE ALSO", _references((*HAND_WRITTEN, *CHAPTER_PAGES, targets.NAME))),
        *_section("STANDARDS", prose(ROOT["standards"])),
    ]


def _verb_page(verb: Verb, verbs: set[str]) -> list[str]:
    words = {word for option in verb.options for word in (option.metavar or "").split()}
    words |= {word for each in verb.arguments for word in re.findall(r"\w+", each.metavar)}
    own = [option for option in verb.options if option.variable]
    related = [f"{page_of(other)}.1" for other in RELATED.get(verb.name, ()) if other in verbs]
    return [
        *_opening(page_of(verb.name), verb.sentence),
        *_section("SYNOPSIS", _synopsis(verb)),
        *_section(
            "DESCRIPTION",
            prose(verb.sentence, words),
            *(prose(text, words) for text in verb.paragraphs),
            _fields(FIELDS.get(verb.name, ())),
            *paragraphs(MORE.get(verb.name, ""), words),
        ),
        *_section("ARGUMENTS", entries((_metavar(each), prose(each.help, words)) for each in verb.arguments)),
        *_section("OPTIONS", entries(_options(verb.options, words)), prose(ROOT["elsewhere_options"])),
        *_section("ENVIRONMENT", prose(ROOT["blank"]) if own else [], entries(map(_variable, own))),
        *_section("EXIT STATUS", entries(_ends(verb.name), _NUMBERED), prose(ROOT["any_verb"])),
        *_section("EXAMPLES", *_examples(EXAMPLES.get(verb.name, ()))),
        *_section("SEE ALSO", _references(["jitid.1", *related, *_background(verb.name)])),
    ]


def _background(verb: str) -> list[str]:
    """Return the related pages of other sections for a verb."""
    if verb == "serve":
        return ["jitid-authority.7", "jitid-oauth.7", "jitid-policy.7"]
    if verb == "login":
        return ["jitid-login.7"]
    if verb == "scan":
        return ["jitid-agent-files.7", "jitid-scanners.7"]
    if verb == "leak add":
        return ["jitid-scanners.7"]
    if verb in ("helper token", "helper headers", "helper session start", "helper session stop"):
        return ["jitid-agents.7"]
    if verb == "helper aws":
        return ["jitid-aws.7"]
    if verb == "federate":
        return ["jitid-federation.7"]
    if verb == "helper pgpass":
        return ["jitid-postgres.7"]
    if verb in ("helper ssh", "keys export ssh", "keys export krl"):
        return ["jitid-ssh.7"]
    if verb in ("keys ca request", "keys ca import", "keys export bundle", "keys export crl"):
        return ["jitid-svid.7"]
    if verb == "run":
        return ["jitid-federation.7", "jitid-policy.7"]
    if verb in ("issue", "mcp", "renew", "agent advise", "inspect") or verb.startswith(("approve", "policy")):
        return ["jitid-policy.7"]
    if verb in ("keys algorithm", "keys export jwks", "publish", "verify"):
        return ["jitid-verifiers.7"]
    if verb.startswith(("access", "keys", "ledger")):
        return ["jitid-ledger.5", "jitid-authority.7"]
    return ["jitid-ledger.5", "jitid-promises.7"] if verb.startswith("audit") else []


def _opening(name: str, sentence: str) -> list[str]:
    # In a longer name than that, the heads of the page would overlap.
    short = name if len(name) <= _LONGEST_HEAD else name.removeprefix("jitid-")
    head = [f".Dd {DATE}", f".Dt {short.upper()} 1", ".Os"]
    return [*head, ".Sh NAME", f".Nm {name}", f".Nd {title(sentence)}"]


def _section(name: str, *blocks: list[str]) -> list[str]:
    lines = spaced(blocks)
    return [f".Sh {name}", *lines] if lines else []


def _explained(macro: str, rows: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    return [(f"{macro} {argument(term)}", prose(text)) for term, text in rows.items()]


def _options(options: Iterable[Option], words: Iterable[str] = ()) -> list[tuple[str, list[str]]]:
    return [
        (
            " , ".join(_spelled(name, option.metavar) for name in option.names),
            prose(_MENTIONED_VARIABLE.sub("", option.help), {*words, option.metavar or ""}),
        )
        for option in options
    ]


def _spelled(name: str, metavar: str | None) -> str:
    return f"Fl {name[1:]} Ar {argument(metavar)}" if metavar else f"Fl {name[1:]}"


def _synopsis(verb: Verb) -> list[str]:
    # Justification would stretch lines of few words.
    lines = [".na", f".Nm jitid {verb.name}"]
    for option in verb.options:
        spelled = _spelled(option.names[0], option.metavar)
        if option.repeatable:
            # `Op` keeps its words on one line; this macro would break at a blank.
            kept = spelled.replace(" Ar ", r"\~ Ns Ar ")
            lines.append(f".Oo {kept} Oc Ns Ar ...")
        else:
            lines.append(f".Op {spelled}")
    if verb.name == "run":
        lines.append(".Op Fl -")
    lines += [f".{'' if each.required else 'Op '}{_metavar(each)}" for each in verb.arguments]
    return [*lines, ".ad"]


def _metavar(each: Argument) -> str:
    """Return the macros of an argument such as `[ID|FILE]`, `[ID]...`, `TASK` or `CMD [ARG]...`."""
    first, *others = [_word_of(word) for word in each.metavar.split()]
    return " ".join([first, *(f"Op {word}" for word in others)])


def _word_of(metavar: str) -> str:
    words = " | ".join(f"Ar {argument(word)}" for word in metavar.strip("[].").split("|"))
    return f"{words} ..." if metavar.rstrip("]").endswith("...") else words


def _fields(names: tuple[str, ...]) -> list[str]:
    if len(names) < 2:
        return prose(f"The only field is {names[0]}.") if names else []
    return prose(f"The fields are {', '.join(names[:-1])} and {names[-1]}.")


def _setting(setting: Setting) -> list[str]:
    text = setting.meaning[:1].upper() + setting.meaning[1:]
    if setting.default:
        usual = setting.default
        if setting.kind == "duration" and isinstance(usual, int):
            usual = format_duration(usual)
        text += f" ({usual} unless set)"
    return prose(text + _BY_PROJECTS[setting.project])


def _variables(verbs: list[Verb]) -> list[tuple[str, list[str]]]:
    texts = {each.variable: f"The setting `{each.name}`." for each in SETTINGS.values() if each.environment}
    for verb in verbs:
        for option in verb.options:
            if option.variable:
                texts.setdefault(option.variable, f"See {page_of(verb.name)}(1).")
    return _explained("Ev", {**dict(sorted(texts.items())), **ROOT["environment"]})


def _variable(option: Option) -> tuple[str, list[str]]:
    more = "; several values have blanks between them" if option.repeatable else ""
    return f"Ev {option.variable}", prose(f"As {option.names[0]}{more}.")


def _statuses(verbs: set[str]) -> list[tuple[str, list[str]]]:
    sweeping = (ExitStatus.FINDINGS, ExitStatus.INCOMPLETE)
    rows = {
        number: text
        for number, text in STATUSES.items()
        if verbs & {"scan", "sweep"} or number not in sweeping
    }
    if "run" in verbs:
        rows |= {number: f"Of jitid-run(1): {text[:1].lower()}{text[1:]}" for number, text in OF_RUN.items()}
    return [
        *((str(int(number)), prose(text)) for number, text in rows.items()),
        ("128+n", prose(ROOT["signal"])),
    ]


def _ends(verb: str) -> list[tuple[str, list[str]]]:
    ends = OF_RUN if verb == "run" else ENDS.get(verb, {})
    rows = [(str(number), prose(text or STATUSES[number])) for number, text in sorted(ends.items())]
    return [*rows, ("other", prose(ROOT["own_status"]))] if verb == "run" else rows


def _examples(examples: Iterable[Example]) -> list[list[str]]:
    return [[*prose(example.what), *display(example.command)] for example in examples]


def _references(names: Iterable[str]) -> list[str]:
    """Return references to pages, by section and then by name."""
    rows = sorted({name.rpartition(".")[::2] for name in names}, key=lambda row: (row[1], row[0]))
    lines = [f".Xr {name} {section} ," for name, section in rows]
    return [*lines[:-1], lines[-1].removesuffix(" ,")]
