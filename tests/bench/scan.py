"""`scan` of a tree of 1 GiB, against ripgrep for a fixed string, and against the scanners with one rule."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jitid.capabilities.scan.rules.rule_file import RuleFormat, rules
from tests import scanners
from tests.bench import ground
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, duration, in_turns, seconds
from tests.real import need

_SIZE = 1 << 30
_FILES = 97_000
_FOLDERS = 9_700
_LARGEST = 5_000_000
_ENDINGS = (".py", ".js", ".c", ".h", ".md", ".json", ".go", ".rs", ".ts", ".txt")
_FOUND = (0, 1, 10, 200)
"""Exit statuses of a search with or without findings."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure whole processes over files that are in the page cache already."""
    folder = place.new("scan")
    command = ground.Command(folder)
    authority = ground.authority(command.ledger)
    tokens = [
        one.credentials[0].secret.reveal()
        for kind in ("jwt", "opaque")
        for one in ground.issue(authority, [ground.request(number, kind) for number in range(100)])
    ]
    authority.close()
    tree = folder / "tree"
    _grow(tree, tokens)

    def running(*line: str) -> Callable[[], float]:
        return lambda: seconds(lambda: _run(line, command.environment, folder))

    opaque = running(*command("scan", "-q", "--only", "opaque", str(tree)))
    whole = running(*command("scan", "-q", str(tree)))
    grep = need("rg")
    found = in_turns(
        place.rounds,
        {
            "opaque": opaque,
            "whole": whole,
            "rg": running(grep, "-F", "--no-messages", "-q", "--no-config", "jitid_no_such_token", str(tree)),
        },
    )
    rg = Series("ripgrep, a fixed string", [1 / each for each in found["rg"]], _speed)
    for what, name, goal in (
        ("`jitid scan --only opaque`", "opaque", 0.6),
        ("`jitid scan`, all forms,", "whole", 0.25),
    ):
        own = Series("scan", [1 / each for each in found[name]], _speed)
        yield Row(f"{what} of 1 GiB in 97,000 files, whole process", own, rg, at_least(goal))
    others = in_turns(max(1, place.rounds // 5), {"opaque": opaque, **dict(_others(folder, tree, running))})
    for name in others:
        if name != "opaque":
            own = Series("scan --only opaque", [1 / each for each in others["opaque"]], _speed)
            other = Series(f"{name}, one rule", [1 / each for each in others[name]], _speed)
            yield Row(f"`jitid scan` of the same, against {name}", own, other, at_least(5))
    shutil.rmtree(tree)


def _speed(value: float) -> str:
    return duration(1 / value)


def _others(
    folder: Path, tree: Path, running: Callable[..., Callable[[], float]]
) -> Iterator[tuple[str, Callable[[], float]]]:
    config = folder / "gitleaks.toml"
    config.write_text(_first_rule(rules(RuleFormat.GITLEAKS, None), r"^\[\[rules\]\]"))
    out = str(folder / "found.json")
    words = ("-c", str(config), "--no-banner", "-l", "error", "-f", "json", "-r", out, str(tree))
    yield "gitleaks", running(scanners.gitleaks(), "dir", *words)
    config = folder / "betterleaks.toml"
    config.write_text(_first_rule(rules(RuleFormat.BETTERLEAKS, None), r"^\[\[rules\]\]"))
    quiet = ("-c", str(config), "--no-banner", "--silent", "-o", out, str(tree))
    yield "betterleaks", running(scanners.betterleaks(), "fs", *quiet)
    config = folder / "kingfisher.yml"
    config.write_text(_first_rule(rules(RuleFormat.KINGFISHER, None), r"^  - name:"))
    own = ("--rules-path", str(config), "--load-builtins=false", "--no-update-check", "--no-validate")
    yield "kingfisher", running(scanners.kingfisher(), "scan", *own, "-f", "json", "-o", out, str(tree))


def _first_rule(text: str, begins: str) -> str:
    """Return a file of rules with only the first rule."""
    second = list(re.finditer(begins, text, re.MULTILINE))[1]
    return text[: second.start()]


def _run(line: Sequence[str], environment: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=folder,
        check=False,
    )
    if done.returncode not in _FOUND:
        sys.exit(f"{line[0]}: {done.stderr.decode(errors='replace')}")


def _grow(tree: Path, tokens: Sequence[str]) -> None:
    """Make files like source code, most of them small, in folders up to ten deep; some contain a token."""
    chance = random.Random(7)
    source = sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py"))
    text = b"".join(path.read_bytes() for path in source[:1_500])
    folders: list[Path] = []
    for number in range(_FOLDERS):
        above = chance.choice(folders) if len(folders) > 5 and chance.random() < 0.7 else tree
        if len(above.relative_to(tree).parts) > 8:
            above = tree
        folders.append(above / f"folder{number:05}")
        folders[-1].mkdir(parents=True)
    mean = _SIZE / _FILES
    left = list(tokens)
    for number in range(_FILES):
        size = int(min(chance.lognormvariate(0, 1.3) / 2.33 * mean, _LARGEST)) + 1
        at = chance.randrange(len(text) - size)
        content = text[at : at + size]
        if left and number % 400 == 0:
            content += f'\nTOKEN = "{left.pop()}"\n'.encode()
        name = f"file{number:06}{chance.choice(_ENDINGS)}"
        (folders[number % _FOLDERS] / name).write_bytes(content)
