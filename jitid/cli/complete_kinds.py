"""Completion of kinds of credentials at a TAB: the kinds, and the templates of the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jitid.model.credential import MADE, Kind

KINDS = tuple(kind.value for kind in MADE if kind is not Kind.EXEC)


def kinds(options: Mapping[str, str | None], environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the kinds, then the kinds with their templates, which need a readable configuration."""
    yield from ((kind, "") for kind in KINDS)
    for target_name, table in _targets(options, environ):
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in (*KINDS, "exec"):
            continue
        candidate = f"exec:{target_name}" if kind == "exec" else kind
        if kind == "exec":
            yield candidate, "a program"
        templates = table.get("template")
        for template in templates if isinstance(templates, dict) else ():
            yield f"{candidate}:{template}", f"at {target_name}"


def _targets(
    options: Mapping[str, str | None], environ: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    from jitid.config.effective import load

    try:
        targets = load(file=options["--config"], profile=options["--profile"], environ=environ).targets()
    except Exception:  # noqa: BLE001 - the verb itself will report the error
        return
    for target in targets:
        yield target.name, target.table
