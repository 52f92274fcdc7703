"""Old clients: an authority answers their recorded requests like the version that they were made for."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.server import old_requests
from tests.server.old_requests import Difference, Exchange

_MOST_SHOWN = 40
_LONGEST_REQUEST = 400


def _report(found: Sequence[Difference], exchanges: Sequence[Exchange]) -> str:
    """Return a text with the first differences, each with its request."""
    lines, last = [f"{len(found)} differences in {len({each.line for each in found})} answers"], 0
    for difference in found[:_MOST_SHOWN]:
        if difference.line != last:
            last = difference.line
            request = old_requests.dumps(exchanges[last - 1].request)
            lines.append(f"request of line {last}: {request[:_LONGEST_REQUEST]}")
        lines.append(f"  {difference}")
    if len(found) > _MOST_SHOWN:
        lines.append("... all differences: python -m tests.server.old_requests replay FILE")
    return "\n".join(lines)


def test_every_old_client_request_gets_the_same_answer(tmp_path: Path) -> None:
    """Status, document, order of members and events are compared; see `old_requests.py` for the placeholders."""
    exchanges = old_requests.read()
    assert len(exchanges) >= 1_000
    exchanges = list(map(_as_this_python, exchanges))
    found = list(old_requests.replay(exchanges, tmp_path))
    assert not found, _report(found, exchanges)


def _as_this_python(exchange: Exchange) -> Exchange:
    """Return an exchange with the position of a trailing comma: before Python 3.13, that of the next character."""
    if sys.version_info < (3, 13) or not str(exchange.request).endswith(",}"):
        return exchange
    error = exchange.answer["error"]
    position = len(str(exchange.request))
    before, found, after = error["message"].partition(f"at character {position};")
    assert found
    message = f"{before}at character {position - 1};{after}"
    return exchange._replace(answer={"error": {**error, "message": message}})


def test_a_replay_reports_each_changed_answer(tmp_path: Path) -> None:
    """Each changed answer has another status, time, value of a placeholder, order of members, member, or spelling."""
    exchanges = old_requests.read()[:12]
    first = next(
        number for number, each in enumerate(exchanges) if each.path == "GrantAccess" and each.status == 200
    )
    documents = [each.answer for each in exchanges[first : first + 5]]
    access = documents[0]["access"]
    answers = (
        {**documents[0], "access": {**access, "issued_at": access["issued_at"] + 1}},
        {**documents[1], "secret": documents[0]["secret"]},
        dict(reversed(documents[2].items())),
        {**documents[3], "new": 1},
        old_requests.dumps(documents[4]),
    )
    for number, answer in enumerate(answers, first):
        exchanges[number] = exchanges[number]._replace(answer=answer)
    exchanges[0] = exchanges[0]._replace(status=201)
    found = list(old_requests.replay(exchanges, tmp_path))
    assert {each.line for each in found} == {1, *range(first + 1, first + 6)}, found


def test_the_recording_has_no_data_of_a_machine() -> None:
    """Folders, and tokens of services, must be placeholders."""
    text = old_requests.FILE.read_text(encoding="ascii")
    assert not re.search(r"/(?:tmp|root|home|work|usr|var)/", text)
    tokens = {token for token in re.findall(r"jitid_[0-9A-Za-z]{38}", text) if len(set(token[6:])) > 1}
    assert not tokens
