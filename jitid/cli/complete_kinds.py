"""Completion of kinds of credentials at a TAB: the kinds, and the templates of the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from jitid.model.credential import MADE, Kind

KINDS = tuple(kind.value for kind in MADE if kind is not Kind.EXEC)


def kinds(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the kinds, then the kinds with their templates, which need a readable configuration."""
    yield from ((kind, "") for kind in KINDS)
    for name, table in _targets(words, environ):
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in (*KINDS, "exec"):
            continue
        written = f"exec:{name}" if kind == "exec" else kind
        if kind == "exec":
            yield written, "a program"
        templates = table.get("template")
        for template in templates if isinstance(templates, dict) else ():
            yield f"{written}:{template}", f"at {name}"


def _targets(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    from jitid.config.effective import load

    given: dict[str, str | None] = {"--config": None, "--profile": None}
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name in given:
            given[name] = value if equals else next(rest, None)
    try:
        stated = load(file=given["--config"], profile=given["--profile"], environ=environ).targets()
    except Exception:  # noqa: BLE001 - the verb itself will report the error
        return
    for each in stated:
        yield each.name, each.table
