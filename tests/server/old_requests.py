"""Requests of old clients with the answers of the authority of commit e443718c, and how to replay them.

`old_requests.jsonl` has a request and its answer a line. Commands of that commit over a recording proxy made the group
`session`, valid random values made the group `values`, and one defect in a valid request made the group `malformed`.
A replay starts `jitid serve` over a new ledger and sends the requests in their order. The clock of the service shows
the time of the recording, so all times, event numbers and counts are compared exactly.

Values that differ from run to run are placeholders: `{{jti:4}}` is the fourth `jti` of the recording. The first answer
with a placeholder defines its value, and all later requests and answers have that value:

- ids, tokens, signatures, keys, certificates, hashes and trace ids (`_FORMS`); `{{token:1|sha256}}` and the like are
  hashes of such a value;
- `{{login}}`: the user of this test; `{{host}}`, its machine; `{{home}}`, its folder; `{{version}}`, that of jitid.

`python -m tests.server.old_requests replay FILE` prints the differences, and the distinct texts that were reworded.
`... record FILE` writes the answers of this version into the file: then `git diff` shows the differences.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import jitid
from tests.crypto.signed import ED25519, jwk, token
from tests.real import libfaketime
from tests.serving import Served, serving

START = 1_803_891_600
"""The time of the first request: Monday, 2027-03-01 09:00 UTC."""
ISSUER = "https://id.example"
"""The issuer of ID tokens that the configuration trusts."""
FILE = Path(__file__).with_suffix(".jsonl")

Document = dict[str, Any]

_LIFE = 100
"""Number of requests that one process answers. After a minute, it writes counts of reads to the audit log."""
_LONGEST_LIFE = 55.0
_LINES = "application/x-ndjson"
_HEADERS = ("allow", "retry-after", "www-authenticate")
"""The headers that are compared besides the type of the answer."""

_PEM = r"-----BEGIN [A-Z0-9 ]+-----\n[^-]+-----END [A-Z0-9 ]+-----\n?"
_FORMS: Mapping[str, str] = {
    "jid": r"jid_[0-9a-v]{26}",
    "jti": r"jti_[0-9a-v]{26}",
    "acc": r"acc_[0-9a-v]{26}",
    "apr": r"apr_[0-9a-v]{26}",
    "token": r"jitid_[0-9A-Za-z]{38}",
    "jws": r"eyJ[\w-]{10,}\.[\w-]+\.[\w-]+",
    "pem": _PEM,
    "trace": r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
    "hex": r"(?<![0-9A-Za-z])[0-9a-f]{64}(?![0-9A-Za-z])",
    "print": r"(?<![\w-])[\w-]{43}(?![\w-])",
    "base64": r"(?<![0-9A-Za-z+/])[0-9A-Za-z+/]{60,}={0,2}",
}
"""The values that differ from run to run, by the name of their placeholders."""
_VOLATILE = re.compile("|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()))
_PLACEHOLDER = re.compile(r"\{\{([a-z0-9]+(?::\d+)?(?:\|[a-z0-9 ]+)?)\}\}")

_POLICY = """\
@id("low") @max_ttl("8h")
permit (principal, action == Action::"issue", resource) when { context.sensitivity == "low" };
@id("moderate") @max_ttl("1h")
permit (principal, action == Action::"issue", resource) when { context.sensitivity == "moderate" };
@id("high") @max_ttl("15m")
permit (principal, action == Action::"issue", resource) when { context.sensitivity == "high" };
@id("kinds")
permit (principal, action == Action::"issue", resource)
when { ["x509-svid", "jwt-svid", "ssh-cert", "exec:shop"].contains(context.kind) };
@id("high-needs-purpose")
forbid (principal, action == Action::"issue", resource)
when { !context.has_purpose && context.sensitivity == "high" };
@id("depth-limit")
forbid (principal, action == Action::"issue", resource) when { context.depth > 3 };
@id("any-scope")
permit (principal, action == Action::"grant", resource);
@id("high-no-wildcard")
forbid (principal, action == Action::"grant", resource)
when { context.wildcard && context.sensitivity == "high" };
@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource) when { context.scope like "pay:*" };
"""
"""The policy. It is not the default one, whose comments may change."""

_SHOP = """\
#!{python} -I
import json, sys
from pathlib import Path

request = json.load(sys.stdin)
shop = Path(request["options"]["shop"])

def key_of(credential):
    return shop / f"{{credential['reference'] or credential['name']}}.key"

match request["operation"]:
    case "mint":
        name = f"key-{{len(list(shop.glob('*.key*'))) + 1}}"
        (shop / f"{{name}}.key").write_text(f"secret-of-shop-{{name}}")
        answer = {{"secret": {{"token": f"secret-of-shop-{{name}}"}}, "reference": name, "facts": {{"shelf": "7"}}}}
    case "revoke":
        for credential in request["credentials"]:
            if key_of(credential).exists():
                key_of(credential).rename(key_of(credential).with_suffix(".key-revoked"))
        done = {{"settlement": "done", "proof": "the key is not on the shelf"}}
        answer = {{"outcomes": {{credential["jti"]: done for credential in request["credentials"]}}}}
    case "probe":
        live = key_of(request["credential"]).exists()
        answer = {{"life": "live" if live else "dead", "seen": "looked at the shelf"}}
    case "inventory":
        names = [path.stem for path in sorted(shop.glob("*.key"))]
        answer = {{"existing": [{{"name": name, "live": True}} for name in names]}}
    case _:
        sys.exit(2)
print(json.dumps(answer))
"""
"""A program that makes the credentials of the target `shop`, each with the same secret in every run."""


class Exchange(NamedTuple):
    """A request with its answer, as in a line of the file."""

    group: str
    at: int
    """Seconds after `START`."""
    caller: str
    """A name of the caller for readers."""
    bearer: str | None
    """The access token, or None for the user of the socket."""
    path: str
    """The name of the operation, or the path of a request without a body."""
    request: Any
    """The values; or the body as text, if it is not the JSON of `dumps`."""
    key: str | None = None
    """The idempotency key."""
    type: str = "application/json"
    status: int = 0
    answer: Any = None
    """The document of the answer, or a list with the documents of its lines."""
    lines: bool = False
    """Whether the answer is streamed in lines."""
    headers: Mapping[str, str] = {}

    def line(self) -> str:
        """Return the line of the file: the fields that differ from their defaults."""
        defaults = self._field_defaults
        return dumps(
            {name: value for name, value in self._asdict().items() if defaults.get(name, self) != value}
        )


class Answer(NamedTuple):
    """An answer of a service, with its volatile values."""

    status: int
    document: Any
    lines: bool
    headers: Mapping[str, str]


class Difference(NamedTuple):
    """A difference between the recorded answer and the answer in a replay."""

    line: int
    """The line of the request in the file."""
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.where}: expected {self.expected[:300]}, got {self.found[:300]}"


class UndefinedError(Exception):
    """A placeholder that no earlier answer has defined."""


def dumps(document: Any) -> str:
    """Return a document in the spelling of clients and answers."""
    return json.dumps(document, separators=(",", ":"))


def read(path: Path) -> list[Exchange]:
    """Return the exchanges of a file."""
    return [Exchange(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, exchanges: Sequence[Exchange]) -> None:
    """Write exchanges into a file."""
    path.write_text("".join(f"{exchange.line()}\n" for exchange in exchanges), encoding="utf-8")


class Values:
    """The values of the placeholders in one run."""

    def __init__(self, fixed: Mapping[str, str]) -> None:
        self.of = dict(fixed)
        """By the name of the placeholder."""
        self.names = {value: name for name, value in fixed.items()}
        self.literals: set[str] = set()
        """Values of a volatile form that requests contain: their answers repeat them."""
        self._last: dict[str, int] = {}

    def define(self, name: str, value: str) -> None:
        """Define the value of a placeholder, and the hashes of the value."""
        kind, _, number = name.partition(":")
        self._last[kind] = max(self._last.get(kind, 0), int(number))
        self.of[name], self.names[value] = value, name
        for hashed, result in _hashes(kind, value):
            self.of[f"{name}|{hashed}"] = result
            self.names[result] = f"{name}|{hashed}"

    def fill(self, text: str) -> str:
        """Return a text with the values of its placeholders. Raises UndefinedError."""

        def value(match: re.Match[str]) -> str:
            if match[1] not in self.of:
                raise UndefinedError(match[0])
            return self.of[match[1]]

        return _PLACEHOLDER.sub(value, text)

    def fill_all(self, document: Any) -> Any:
        """Return a document with the values of its placeholders. Raises UndefinedError."""
        return _mapped(document, self.fill)

    def hide(self, document: Any) -> Any:
        """Return the document of a request with placeholders instead of known values."""

        def shown(match: re.Match[str]) -> str:
            if match[0] not in self.names:
                self.literals.add(match[0])
                return match[0]
            return "{{%s}}" % self.names[match[0]]

        return _mapped(document, lambda text: _VOLATILE.sub(shown, text))

    def hide_all(self, document: Any) -> Any:
        """Return the document of an answer with placeholders, which may be new, instead of volatile values."""

        def define(match: re.Match[str]) -> str:
            kind = str(match.lastgroup)
            if match[0] not in self.names and match[0] not in self.literals:
                self.define(f"{kind}:{self._last.get(kind, 0) + 1}", match[0])
            return match[0]

        def shown(match: re.Match[str]) -> str:
            name = self.names.get(match[0])
            return match[0] if name is None else "{{%s}}" % name

        # The tokens come first: a hash of a token may precede it in the document.
        for kind in ("token", "jws", "pem"):
            _mapped(document, lambda text, form=_FORMS[kind], kind=kind: re.sub(f"(?P<{kind}>{form})", define, text))
        _mapped(document, lambda text: _VOLATILE.sub(define, text))
        return _mapped(document, lambda text: self._hide_fixed(_VOLATILE.sub(shown, text)))

    def compare(self, expected: Any, found: Any, where: str) -> Iterator[tuple[str, str, str]]:
        """Yield the differences between two documents, and define the new placeholders of `expected`."""
        texts: list[tuple[str, str, str]] = []
        yield from _differences(expected, found, where, texts)
        # A hash of a token may precede it in the document.
        for place, text, actual in sorted(texts, key=lambda each: "|" in each[1]):
            if not self._matches(text, actual):
                yield place, text, str(self.hide_all(actual))

    def _matches(self, expected: str, found: str) -> bool:
        if "{{" not in expected:
            return expected == found
        pattern, new = "", []
        for position, part in enumerate(_PLACEHOLDER.split(expected)):
            if position % 2 == 0:
                pattern += re.escape(part)
            elif part in self.of:
                pattern += re.escape(self.of[part])
            elif part in new:
                pattern += f"(?P={part.replace(':', '_')})"
            elif "|" in part or ":" not in part:
                return False
            else:
                new.append(part)
                pattern += f"(?P<{part.replace(':', '_')}>{_FORMS[part.partition(':')[0]]})"
        match = re.fullmatch(pattern, found)
        if match is None:
            return False
        for name in new:
            value = match[name.replace(":", "_")]
            if value in self.names:
                return False
            self.define(name, value)
        return True

    def _hide_fixed(self, text: str) -> str:
        for name in ("home", "host", "version"):
            text = re.sub(rf"(?<![\w.]){re.escape(self.of[name])}(?![\w.])", "{{%s}}" % name, text)
        login = self.of["login"]
        # Other texts may contain the login as a word.
        return "{{login}}" if text == login else text.replace(f"`{login}`", "`{{login}}`")


def _hashes(kind: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield the hashes of a value that clients compute, with their names: of the value itself, and marks of finds."""
    if kind not in ("token", "jws", "pem"):
        return
    raw = value.encode()
    if kind == "pem":
        with suppress(ValueError):
            raw = base64.b64decode("".join(value.strip().splitlines()[1:-1]))
    digest = hashlib.sha256(raw).digest()
    yield "sha256", base64.urlsafe_b64encode(digest).decode().rstrip("=")
    yield "hex", digest.hex()
    of_find, key = {"token": ("opaque", digest), "jws": ("signed", raw), "pem": ("prints", digest)}[kind]
    yield "mark", hashlib.sha256(of_find.encode() + b"\0" + key).digest()[:16].hex()


def _mapped(document: Any, change: Callable[[str], str]) -> Any:
    """Return a document with a change of each text, also of the names of members."""
    if isinstance(document, str):
        return change(document)
    if isinstance(document, list):
        return [_mapped(each, change) for each in document]
    if isinstance(document, dict):
        return {change(name): _mapped(value, change) for name, value in document.items()}
    return document


def _differences(
    expected: Any, found: Any, where: str, texts: list[tuple[str, str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Yield the differences between two documents; append the pairs of their texts to `texts`."""
    if isinstance(expected, str) and isinstance(found, str):
        texts.append((where, expected, found))
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{where}: number of items", str(len(expected)), str(len(found))
        for number, (one, other) in enumerate(zip(expected, found)):  # noqa: B905 - the lengths may differ
            yield from _differences(one, other, f"{where}[{number}]", texts)
    elif isinstance(expected, dict) and isinstance(found, dict):
        volatile = any("{{" in name for name in expected)
        if volatile and len(expected) == len(found):
            for (name, one), (other_name, other) in zip(expected.items(), found.items(), strict=True):
                texts.append((f"{where}: name", name, other_name))
                yield from _differences(one, other, f"{where}.{name}", texts)
            return
        if [*expected] != [*found]:
            yield f"{where}: members", dumps([*expected]), dumps([*found])
        for name in expected.keys() & found.keys():
            yield from _differences(expected[name], found[name], f"{where}.{name}", texts)
    elif dumps(expected) != dumps(found):
        yield where, dumps(expected), dumps(found)


class Authority:
    """A service over a new ledger, whose clock is set before each request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "jitid.sock"
        self.bootstrap = folder / "first.bearer"
        """The credential for the first grant."""
        self._clock = folder / "clock"
        self._sent = 0
        self._until = 0.0
        self._service: Any = None
        folder.chmod(0o700)
        _configure(folder)

    @property
    def clock(self) -> Mapping[str, str]:
        """The environment in which a process has the clock of the service."""
        return {
            "LD_PRELOAD": libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",
            # Time limits and waits of the service are real.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }

    def values(self) -> Values:
        """Return the values of the fixed placeholders, among them ID tokens."""
        self.set_clock(0)
        self._serve()
        fixed = {
            "login": getpass.getuser(),
            "host": socket.gethostname(),
            "home": str(self.folder),
            "version": jitid.__version__,
            "bootstrap": self.bootstrap.read_text().strip(),
        }
        return Values({**fixed, **{f"idtoken{name}": id_token(name) for name in ("alice", "bob", "eve")}})

    def set_clock(self, at: int) -> None:
        """Set the clock of the service."""
        new = self._clock.with_suffix(".new")
        new.write_text(datetime.fromtimestamp(START + at, UTC).strftime("%Y-%m-%d %H:%M:%S\n"))
        new.rename(self._clock)

    def send(self, at: int, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request at a time, and return the answer; without a body, the method is GET."""
        self.set_clock(at)
        if self._sent % _LIFE == 0 and self._sent:
            self.close()
            self._serve()
        self._sent += 1
        assert time.monotonic() < self._until, "the service wrote counts of reads: this machine is too slow"
        connection = HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        try:
            connection.sock.connect(str(self.socket))
            connection.request("GET" if body is None else "POST", path, body, dict(headers))
            done = connection.getresponse()
            text = done.read().decode("ascii")
        finally:
            connection.close()
        chosen = {name: value for name in _HEADERS if (value := done.headers.get(name)) is not None}
        if done.headers["content-type"] == _LINES:
            lines = [json.loads(line) for line in text.splitlines()]
            assert text == "".join(f"{dumps(line)}\n" for line in lines)
            return Answer(done.status, lines, True, chosen)
        assert done.headers["content-type"] == "application/json", done.headers["content-type"]
        document = json.loads(text)
        assert text == dumps(document)
        return Answer(done.status, document, False, chosen)

    def close(self) -> None:
        """Stop the service."""
        if self._service is not None:
            self._service.__exit__(None, None, None)
            self._service = None

    def _serve(self) -> Served:
        arguments = ["--socket", str(self.socket), "--log-format", "none"]
        if not self._sent:
            arguments += ["--bootstrap", str(self.bootstrap)]
        self._service = serving(self.folder, *arguments, more={**self.clock, "JITID_POLICY": str(self.folder / "policy")})
        self._until = time.monotonic() + _LONGEST_LIFE
        served: Served = self._service.__enter__()
        return served


def id_token(name: str) -> str:
    """Return an ID token of a person."""
    claims = {"iss": ISSUER, "aud": "jitid", "sub": name, "iat": START, "exp": START + 20 * 86_400, "jti": name}
    return token({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims, ED25519)


def _configure(folder: Path) -> None:
    """Write the configuration, the policy, the keys of the issuer of ID tokens, and the program of the target."""
    policy, shop, config = folder / "policy", folder / "shop", folder / ".config/jitid"
    for each in (policy, shop, config):
        each.mkdir(mode=0o700, parents=True)
    program = shop / "shop.py"
    files = {
        policy / "policy.cedar": _POLICY,
        program: _SHOP.format(python=sys.executable),
        folder / "jwks.json": dumps({"keys": [jwk(ED25519, kid="k1")]}),
        config / "config.toml": f"""\
issuer = "https://authority.example"
trust_domain = "agents.example"
publish_url = "https://status.example"
[oidc."{ISSUER}"]
jwks = "{folder / "jwks.json"}"
audience = "jitid"
[socket.delegator]
{getpass.getuser()} = "user:operator"
[target.shop]
kind = "exec"
program = "{program}"
[target.shop.options]
shop = "{shop}"
""",
    }
    for path, text in files.items():
        path.touch(0o600)
        path.write_text(text)
    program.chmod(0o700)


@contextmanager
def authority(folder: Path) -> Iterator[Authority]:
    """Yield an authority, and stop it after the block."""
    made = Authority(folder)
    try:
        yield made
    finally:
        made.close()


def send(to: Authority, values: Values, exchange: Exchange) -> Answer:
    """Send the request of an exchange. Raises UndefinedError."""
    headers = {"User-Agent": "jitid"}
    if exchange.bearer is not None:
        headers["Authorization"] = f"Bearer {values.fill(exchange.bearer)}"
    if exchange.key is not None:
        headers["Idempotency-Key"] = exchange.key
    if exchange.path.startswith("/"):
        return to.send(exchange.at, exchange.path, None, headers)
    headers["Content-Type"] = exchange.type
    filled = values.fill_all(exchange.request)
    body = filled if isinstance(filled, str) else dumps(filled)
    return to.send(exchange.at, f"/v1/operations/{exchange.path}", body.encode(), headers)


def replay(exchanges: Sequence[Exchange], folder: Path) -> Iterator[Difference]:
    """Send the requests to a new authority, and yield the differences between its answers and the recorded ones."""
    with authority(folder) as served:
        values = served.values()
        for number, exchange in enumerate(exchanges, 1):
            values.hide(exchange.request)
            request = f"{exchange.path} of {exchange.caller}"
            try:
                answer = send(served, values, exchange)
            except UndefinedError as error:
                yield Difference(number, request, "a request", f"no value of {error} in earlier answers")
                continue
            expected = {"status": exchange.status, "headers": exchange.headers, "answer": exchange.answer}
            found = {"status": answer.status, "headers": answer.headers, "answer": answer.document}
            if exchange.lines != answer.lines:
                yield Difference(number, f"{request}: lines", str(exchange.lines), str(answer.lines))
            for difference in values.compare(expected, found, request):
                yield Difference(number, *difference)


def record(exchanges: Sequence[Exchange], folder: Path) -> Iterator[Exchange]:
    """Send the requests to a new authority, and yield them with its answers."""
    with authority(folder) as served:
        values = served.values()
        for exchange in exchanges:
            values.hide(exchange.request)
            answer = send(served, values, exchange)
            # Unchanged answers keep their placeholders.
            list(values.compare(exchange.answer, answer.document, ""))
            yield answered(values, exchange, answer)


def answered(values: Values, exchange: Exchange, answer: Answer) -> Exchange:
    """Return an exchange with an answer, whose volatile values become placeholders."""
    return exchange._replace(
        status=answer.status,
        answer=values.hide_all(answer.document),
        lines=answer.lines,
        headers=values.hide_all(dict(answer.headers)),
    )


def main(verb: str, path: Path) -> int:
    """Replay or record a file."""
    exchanges = read(path)
    with tempfile.TemporaryDirectory() as folder:
        if verb == "record":
            write(path, list(record(exchanges, Path(folder))))
            return 0
        found = list(replay(exchanges, Path(folder)))
    for difference in found:
        print(difference)
    reworded = {(each.expected, each.found) for each in found if each.where.endswith((".message", ".hint"))}
    print(f"{len(exchanges)} requests, {len(found)} differences; {len(reworded)} messages and hints were reworded")
    for old, new in sorted(reworded):
        print(f"- {old}\n+ {new}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
