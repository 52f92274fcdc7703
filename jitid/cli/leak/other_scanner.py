"""`jitid scan --agents --rules SCANNER`: run another scanner over the files of agents, for the secrets of others."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from jitid.capabilities.scan.agent_places import found_places
from jitid.capabilities.scan.rules.rule_file import RuleFormat, rules
from jitid.errors import ExitStatus, NotRunError, StorageError, UsageError
from jitid.system import output
from jitid.system.processes import find_program
from jitid.system.xdg import home
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands

_DEFAULTS = "[extend]\nuseDefault = true\n\n"
"""The lines that add betterleaks' own rules to a file."""
_STATUSES = {RuleFormat.BETTERLEAKS: (0,), RuleFormat.KINGFISHER: (0, 200, 205)}
"""Exit statuses of a complete scan, without findings or with them."""


def run(cli: Invocation, args: commands.ScanCommand, format_: RuleFormat) -> None:
    """Run a scanner with its own rules and those of jitid, and write its report, which has the secrets themselves.

    Nothing is sent to any service. Raises UsageError, StorageError and OutputError.
    """
    if format_ not in _STATUSES:
        raise UsageError(
            f"{format_} cannot search several places", "use --rules kingfisher or --rules betterleaks"
        )
    if args.out is None and output.is_terminal():
        raise UsageError(
            "the report has the found secrets themselves: it is not shown at a terminal",
            f"jitid scan --agents --rules {format_} --out FILE",
        )
    try:
        program = find_program(str(format_), os.environ.get("PATH", ""))
    except NotRunError as error:
        raise UsageError(
            f"{format_} is not on PATH", f"install {format_}, or search without --rules"
        ) from error
    paths = [each.path for each in found_places(home())]
    with tempfile.TemporaryDirectory(prefix="jitid-") as folder:
        report = Path(folder, "report.json")
        if paths:
            _scan(program, format_, Path(folder), report, paths)
        text = report.read_text(encoding="utf-8", errors="replace") if report.exists() else "[]\n"
    ignoring = _ignore_files(paths) if format_ is RuleFormat.BETTERLEAKS else []
    output.put([text], args.out)
    for path in ignoring:
        cli.note(f"betterleaks leaves out the secrets that {quote(path, 200)} names: remove that file")
        cli.status = ExitStatus.INCOMPLETE
    if args.out is not None:
        cli.note(f"to record leaks of credentials that the ledger knows: jitid leak add --from {args.out}")


def _ignore_files(paths: list[str]) -> list[str]:
    """Return the files that betterleaks obeys, which no option prevents: in a place, or beside a file that is one."""
    folders = dict.fromkeys(path if os.path.isdir(path) else os.path.dirname(path) for path in paths)
    files = (os.path.join(folder, ".betterleaksignore") for folder in folders)
    return [file for file in files if os.path.lexists(file)]


def _scan(program: str, format_: RuleFormat, folder: Path, report: Path, paths: list[str]) -> None:
    if format_ is RuleFormat.BETTERLEAKS:
        title, mark, rest = rules(format_, None).partition("[[rules]]")
        config = folder / "rules.toml"
        config.write_text(f"{title}{_DEFAULTS}{mark}{rest}", encoding="utf-8")
        words = [
            "fs",
            "--config",
            str(config),
            "--no-banner",
            "--silent",
            "--no-allow-signatures",
            "--exit-code",
            "0",
        ]
        words += ["--output", str(report)]
    else:
        config = folder / "rules.yml"
        config.write_text(rules(format_, None), encoding="utf-8")
        words = [
            "scan",
            "--rules-path",
            str(config),
            "--no-validate",
            "--no-update-check",
            "--no-dedup",
            "--no-ignore",
        ]
        words += ["--format", "json", "--output", str(report)]
    done = subprocess.run(  # noqa: S603 - a program that the user named, and paths
        [program, *words, *paths],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode not in _STATUSES[format_]:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise StorageError(f"{format_} failed with status {done.returncode}: {last[:200]}")
