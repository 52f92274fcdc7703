"""The built wheel, with the lowest versions of its dependencies that it accepts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.real import missing, need

ROOT = Path(__file__).parent.parent
_INSTALLING = 600


def _pip(python: str, *words: str) -> None:
    """Run pip; skip the test where it reaches no index."""
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *words],
        capture_output=True,
        text=True,
        timeout=_INSTALLING,
        check=False,
    )
    if done.returncode and any(
        words in done.stderr
        for words in ("NewConnectionError", "ConnectTimeout", "name resolution", "ProxyError")
    ):
        missing("no package index is within reach")
    assert done.returncode == 0, done.stderr


def _wheel(folder: Path) -> Path:
    """Return the wheel of this checkout."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("jitid", "completions", "man"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    (found,) = folder.glob("*.whl")
    return found


def lowest() -> list[str]:
    """Return the lowest version of each core dependency that the project accepts."""
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return [each.partition(",")[0].replace(">=", "==") for each in stated]


def test_the_package_says_that_it_is_typed() -> None:
    """Without the marker `py.typed` no type checker reads the annotations (PEP 561)."""
    assert (ROOT / "jitid/py.typed").read_bytes() == b""


ISSUE = "jitid -q issue --task T --delegator alice --scope a:b"
ES256 = "jitid keys rotate --algorithm ES256 && jitid config set algorithm.audience.https://x.example ES256"
LINES = (
    f"{ISSUE} > t && jitid verify t",
    f"{ISSUE} --kind opaque > t && jitid inspect t --format table",
    f"{ES256} && {ISSUE} --audience https://x.example > t && jitid verify --audience https://x.example t",
    f"{ISSUE} > p && jitid renew < p > t && jitid verify t",
    f"{ISSUE} > p && jitid authorize --token-file p --action a:b --resource r",
    "jitid config set ttl 5m && jitid config set max 7 && jitid config unset max && jitid config show",
    "jitid --help && jitid issue --help && jitid help responder && jitid help exit-codes",
    "jitid example slack.sh | grep -q curl && jitid status && jitid whoami && jitid version",
    "jitid completion install --shell bash | grep 'man (' && test -f .local/share/man/man7/jitid-policy.7",
    "jitid sweep --format table && jitid report",
    "jitid report --format html | grep -q '</html>' && jitid sweep --format html | grep -q '</html>'",
    "jitid policy check && jitid keys jwks && jitid audit verify",
    "ssh-keygen -q -t ed25519 -N '' -f k && jitid access grant system:ci --key k.pub",
    "jitid list --no-such-option || test $? -eq 2",
)


@pytest.mark.deep
def test_the_wheel_works_with_the_lowest_versions_that_it_says_will_do(tmp_path: Path) -> None:
    """It is one test, since the environment takes half a minute to make."""
    need("ssh-keygen")
    wheel = _wheel(tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    assert {"jitid/py.typed", "jitid/policy/default.cedar"} <= set(names)
    pages = [Path(name).name for name in names if Path(name).suffix in (".1", ".5", ".7")]
    assert sorted(pages) == sorted(path.name for path in (ROOT / "man").iterdir() if path.suffix != ".md")
    templates = [
        file for end in ("html", "svg", "css", "txt", "toml") for file in (ROOT / "jitid").rglob(f"*.{end}")
    ]
    assert {str(file.relative_to(ROOT)) for file in templates} <= set(names)
    assert not [name for name in names if name.startswith("tests/")]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=_INSTALLING)
    python = tmp_path / "venv/bin/python"
    _pip(str(python), "install", *lowest())
    _pip(str(python), "install", "--no-deps", str(wheel))
    # The dependencies' own requirements must accept these versions, too.
    _pip(str(python), "check")

    def run(line: str, **more: str) -> str:
        done = subprocess.run(
            ["sh", "-c", line],
            env={"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "COLUMNS": "80", **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert "internal error" not in done.stderr
        return done.stdout

    for line in LINES:
        run(line)
    # Versions of rich before 14.3 leave lines that are longer than the terminal.
    shown = run("jitid list --format table", COLUMNS="40")
    assert not [line for line in shown.splitlines() if len(line) > 40 and " " in line.strip()]
