"""Writes the man pages of section 1 from the command tree: `python -m tests.generate.man`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from jitid.lifetime import format_duration
from jitid.settings import SETTINGS, Setting
from tests.generate import prose as told
from tests.generate.examples import EXAMPLES, FIRST, NOT_YET, RELATED, Example, options_of
from tests.generate.roff import argument, display, entries, paragraphs, prose, title
from tests.generate.tree import Argument, Option, Verb, tree

FOLDER = Path(__file__).parent.parent.parent / "man"

DATE = "November 24, 2026"
"""Of all pages: a date of its own for each would change with every run."""

HAND_WRITTEN = ("jitid-ledger.5", "jitid-policy.7", "jitid-promises.7")

_MENTIONED_VARIABLE = re.compile(r" *\[env var: (\w+)\]")


def pages() -> dict[str, str]:
    """Return the name and the text of each page: one of the command, one of each verb."""
    root, *others = tree()
    verbs = [verb for verb in others if not verb.verbs]
    found = {"jitid.1": _root_page(root, verbs)}
    for verb in verbs:
        found[f"{page_of(verb.name)}.1"] = _verb_page(verb, {each.name: each for each in verbs})
    return {name: "\n".join(lines) + "\n" for name, lines in found.items()}


def page_of(verb: str) -> str:
    """Return the name of a verb's page."""
    return f"jitid-{verb.replace(' ', '-')}"


def examples_of(verb: Verb) -> list[Example]:
    """Return the examples that a verb can already do."""
    known = {name for option in verb.options for name in option.names}
    return [
        example for example in EXAMPLES.get(verb.name, ()) if not (options_of(example.command) & NOT_YET) - known
    ]


def _root_page(root: Verb, verbs: list[Verb]) -> list[str]:
    return [
        *_opening("jitid", root.sentence),
        *_section("SYNOPSIS", [".Nm", ".Op Ar global options", ".Ar VERB", ".Op Ar ..."]),
        *_section("DESCRIPTION", *map(prose, told.WHAT_IT_IS), entries(_explained("Em", told.WORDS))),
        *_section("VERBS", entries((f"Xr {page_of(verb.name)} 1", prose(verb.sentence)) for verb in verbs)),
        *_section(
            "GLOBAL OPTIONS",
            prose("They stand before or after the verb; the last one given counts."),
            entries(_options(root.options)),
        ),
        *_section("VALUES", *map(prose, told.FORMS)),
        *_section("OUTPUT", *map(prose, told.OUTPUT)),
        *_section("TOKENS", *map(prose, told.TOKENS)),
        *_section(
            "CONFIGURATION",
            *map(prose, told.CONFIGURATION),
            entries((f"Va {setting.name}", _setting(setting)) for setting in SETTINGS.values()),
            prose(told.TABLES),
            display(told.EXAMPLE_CONFIGURATION),
        ),
        *_section("ENVIRONMENT", prose(f"{_BLANK} {told.NO_VARIABLE}"), entries(_variables(verbs))),
        *_section("FILES", entries(_explained("Pa", told.FILES)), prose(told.ELSEWHERE)),
        *_section("EXIT STATUS", entries(_statuses(verbs), '-tag -width "128+n"')),
        *_section("EXAMPLES", *_examples(FIRST)),
        *_section("SEE ALSO", _references(HAND_WRITTEN)),
        *_section("STANDARDS", prose(told.STANDARDS)),
    ]


_BLANK = "An option on the line goes before its variable. A variable that is set and blank is an error."


def _verb_page(verb: Verb, verbs: Mapping[str, Verb]) -> list[str]:
    words = {metavar for option in verb.options for metavar in (option.metavar or "").split()}
    words |= {word for each in verb.arguments for word in re.findall(r"\w+", each.metavar)}
    lines = [
        *_opening(page_of(verb.name), verb.sentence),
        *_section("SYNOPSIS", _synopsis(verb)),
        *_section(
            "DESCRIPTION",
            prose(verb.sentence, words),
            *(prose(text, words) for text in verb.paragraphs),
            _fields(told.FIELDS.get(verb.name, ())),
            *(prose(text, words) for text in told.MORE.get(verb.name, ())),
        ),
        *_section(
            "ARGUMENTS", entries((_metavar(each), prose(each.help, words)) for each in verb.arguments)
        ),
        *_section(
            "OPTIONS",
            entries(_options(verb.options, words)),
            prose("The global options are told in jitid(1)."),
        ),
    ]
    if own := [option for option in verb.options if option.variable]:
        lines += _section("ENVIRONMENT", prose(_BLANK), entries(map(_variable, own)))
    ends = [(str(number), _end(number, text)) for number, text in sorted(told.ENDS.get(verb.name, {}).items())]
    if verb.name == "run":
        ends = [(number, prose(text)) for number, text in told.OF_RUN.items()]
        ends += [("128+n", prose("The command was ended by signal n; other statuses are the command's own."))]
    related = [other for other in RELATED.get(verb.name, ()) if other in verbs]
    return [
        *lines,
        *_section("EXIT STATUS", entries(ends, '-tag -width "128+n"'), prose(_ANY_VERB)),
        *_section("EXAMPLES", *_examples(examples_of(verb))),
        *_section("SEE ALSO", _references(["jitid.1", *(f"{page_of(other)}.1" for other in related), *_seven(verb)])),
    ]


_ANY_VERB = "Statuses that any verb can end with are told in jitid(1)."


def _seven(verb: Verb) -> list[str]:
    """Return the pages of other sections that belong to a verb."""
    if verb.name in ("issue", "run", "renew"):
        return ["jitid-policy.7"]
    if verb.name.startswith("audit"):
        return ["jitid-ledger.5", "jitid-promises.7"]
    return ["jitid-ledger.5"] if verb.name.startswith("keys") else []


def _opening(name: str, sentence: str) -> list[str]:
    return [
        f".Dd {DATE}",
        f".Dt {name.upper()} 1",
        ".Os",
        ".Sh NAME",
        f".Nm {name}",
        f".Nd {title(sentence)}",
    ]


def _section(name: str, *blocks: list[str]) -> list[str]:
    lines = paragraphs(*blocks)
    return [f".Sh {name}", *lines] if lines else []


def _explained(macro: str, rows: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    return [(f"{macro} {argument(term)}", prose(text)) for term, text in rows.items()]


def _options(options: Iterable[Option], words: Iterable[str] = ()) -> list[tuple[str, list[str]]]:
    return [
        (
            " , ".join(_spelled(name, option.metavar) for name in option.names),
            prose(_MENTIONED_VARIABLE.sub("", option.help), set(words) | {option.metavar or ""}),
        )
        for option in options
    ]


def _spelled(name: str, metavar: str | None) -> str:
    flag = f"Fl {argument(name[1:]) if len(name) == 2 else name[1:]}"
    return f"{flag} Ar {argument(metavar)}" if metavar else flag


def _synopsis(verb: Verb) -> list[str]:
    # Options are not torn apart, and a line of few words would be stretched.
    lines = [".na", f".Nm jitid {verb.name}"]
    for option in verb.options:
        spelled = _spelled(option.names[0], option.metavar)
        lines.append(f".Oo {spelled} Oc Ns Ar ..." if option.repeatable else f".Op {spelled}")
    for each in verb.arguments:
        optional = f".Op {_metavar(each)}"
        lines.append(f".{_metavar(each)}" if each.required else optional)
    return [*lines, ".ad"]


def _metavar(each: Argument) -> str:
    """Return the macros of an argument such as `[ID|FILE]`, `[ID]...` or `TASK`."""
    words = " | ".join(f"Ar {argument(word)}" for word in each.metavar.strip("[].").split("|"))
    return f"{words} ..." if each.many else words


def _fields(names: tuple[str, ...]) -> list[str]:
    return prose(f"The fields are {', '.join(names[:-1])} and {names[-1]}.") if names else []


def _setting(setting: Setting) -> list[str]:
    text = setting.meaning[:1].upper() + setting.meaning[1:]
    if setting.kind == "duration" and isinstance(setting.default, int):
        text += f" ({format_duration(setting.default)} unless set)"
    elif setting.default:
        text += f" ({setting.default} unless set)"
    return prose(text + {"yes": "; a project may set it.", "stricter": "; a project may make it stricter.", "no": "."}[setting.project])


def _variables(verbs: list[Verb]) -> list[tuple[str, list[str]]]:
    texts = {
        setting.variable: f"The setting `{setting.name}`." for setting in SETTINGS.values() if setting.environment
    }
    for verb in verbs:
        for option in verb.options:
            if option.variable and option.variable not in texts:
                texts[option.variable] = f"See {page_of(verb.name)}(1)."
    return [(f"Ev {name}", prose(text)) for name, text in sorted(texts.items())] + _explained("Ev", told.ENVIRONMENT)


def _variable(option: Option) -> tuple[str, list[str]]:
    more = "; several values have blanks between them" if option.repeatable else ""
    return f"Ev {option.variable}", prose(f"As {option.names[0]}{more}.")


def _statuses(verbs: list[Verb]) -> list[tuple[str, list[str]]]:
    names = {verb.name for verb in verbs}
    known = [status for status in told.STATUSES if "sweep" in names or status.name not in ("FINDINGS", "INCOMPLETE")]
    rows = [(str(status.value), told.STATUSES[status]) for status in known]
    if "run" in names:
        rows += [(number, f"With `jitid run`: {text[:1].lower()}{text[1:]}") for number, text in told.OF_RUN.items()]
    rows += [("128+n", "Ended by signal n.")]
    return [(number, prose(text)) for number, text in rows]


def _end(number: int, text: str) -> list[str]:
    return prose(text or next(general for status, general in told.STATUSES.items() if status == number))


def _examples(examples: Iterable[Example]) -> list[list[str]]:
    return [[*prose(example.what), *display(example.command)] for example in examples]


def _references(names: Iterable[str]) -> list[str]:
    """Return references to pages, by section and then by name."""
    rows = sorted({name.rpartition(".")[::2] for name in names}, key=lambda row: (row[1], row[0]))
    lines = [f".Xr {name} {section} ," for name, section in rows]
    return [*lines[:-1], lines[-1].removesuffix(" ,")]


if __name__ == "__main__":
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
