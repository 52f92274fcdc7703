"""`scan --agents` of one transcript of 1 GiB, against ripgrep for a fixed string in the same file."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import sysconfig
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench import ground
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, duration, in_turns, seconds
from tests.real import need

_SIZE = 1 << 30
_SESSION = "5cd016a2-ec3c-480d-87fa-8ef6033dff77"
_FOUND = (0, 1, 10)


def rows(place: Ground) -> Iterator[Row]:
    """Measure whole processes over a file that is in the page cache already."""
    folder = place.new("scan-agents")
    command = ground.Command(folder)
    authority = ground.authority(command.ledger)
    tokens = [
        each.credentials[0].secret.reveal()
        for each in ground.issue(authority, [ground.request(number, "opaque") for number in range(10)])
    ]
    authority.close()
    transcript = folder / ".claude" / "projects" / "-work" / f"{_SESSION}.jsonl"
    transcript.parent.mkdir(parents=True)
    _write(transcript, tokens)

    def running(*line: str) -> Callable[[], float]:
        return lambda: seconds(lambda: _run(line, command.environment, folder))

    words = ("-F", "--no-messages", "-q", "--no-config", "--hidden", "jitid_no_such_token", str(transcript))
    found = in_turns(
        place.rounds,
        {"scan": running(*command("scan", "--agents", "-q")), "rg": running(need("rg"), *words)},
    )
    own = Series("scan", [1 / each for each in found["scan"]], _speed)
    other = Series("ripgrep, a fixed string", [1 / each for each in found["rg"]], _speed)
    yield Row("`jitid scan --agents` of a transcript of 1 GiB, whole process", own, other, at_least(0.25))
    transcript.unlink()


def _speed(value: float) -> str:
    return duration(1 / value)


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


def _write(path: Path, tokens: Sequence[str]) -> None:
    """Write calls of tools with their outputs, as source code; one answer in four has a signature in base64."""
    chance = random.Random(7)
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py"))[:1_500]
    texts = [each.read_text(encoding="utf-8", errors="replace") for each in sources]
    left = list(tokens)
    size = number = 0
    with path.open("wb") as file:
        while size < _SIZE:
            number += 1
            text = chance.choice(texts)
            start = chance.randrange(max(1, len(text) - 4_000))
            output = text[start : start + chance.randrange(200, 6_000)]
            if left and size > _SIZE // 12 * (11 - len(left)):
                output += f"\nTOKEN={left.pop()}"
            thought = {"type": "thinking", "thinking": output[:300], "signature": ""}
            if number % 4 == 0:
                thought["signature"] = b64encode(chance.randbytes(400)).decode()
            call = {
                "type": "tool_use",
                "id": f"toolu_{number:024}",
                "name": "Bash",
                "input": {"command": "cat file"},
            }
            result = {"tool_use_id": call["id"], "type": "tool_result", "content": output}
            for kind, content in (("assistant", [thought, call]), ("user", [result])):
                record = {
                    "type": kind,
                    "message": {"role": kind, "content": content},
                    "timestamp": "2026-12-01T12:14:50.011Z",
                    "sessionId": _SESSION,
                }
                size += file.write(json.dumps(record).encode() + b"\n")
