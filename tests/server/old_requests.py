"""Requests of old clients with the answers of the authority of commit e443718c, and how to replay them.

`old_requests.jsonl` has a request and its answer in each line. The group `session` is from commands of that commit,
recorded by a proxy, and from requests in the same session. The group `malformed` has a defect in each valid request.
The group `values` has valid random values for each operation.

A replay starts `jitid serve` over a new ledger and sends the requests in their order. The clock of the service shows
the time of the recording, so all times, event numbers and counts are compared exactly. Other values differ from run
to run. They are placeholders: `{{jti:4}}` is the fourth `jti` of the recording. The first answer with a placeholder
defines its value, and all later requests and answers have the same value:

- `{{jti:4}}` and the like: ids, tokens, keys, certificates, signatures, hashes and trace ids, see `_FORMS`;
- `{{token:1|sha256}}` and the like: hashes of such a value, see `_hashes`;
- `{{idtokenalice}}` and the like: ID tokens; `{{bootstrap}}`: the access token for the first grant;
- `{{login}}`: the user of this process; `{{host}}`: its machine; `{{home}}`: the folder of the service;
- `{{version}}`: the version of jitid; `{{duration}}`: a measured number of milliseconds, see `_DURATIONS`;
- `{{x*5000}}`: a text of 5,000 times `x`.

`python -m tests.server.old_requests replay FILE` prints all differences, and each message that was reworded.
`python -m tests.server.old_requests record FILE` replaces the answers in the file by those of this version.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

import jitid
from tests.crypto.signed import ED25519, jwk, token
from tests.real import libfaketime
from tests.serving import serving

FILE = Path(__file__).with_suffix(".jsonl")
START = 1_803_891_600
"""The time of the first request: Monday, 2027-03-01, 09:00 UTC."""
ISSUER = "https://id.example"
"""The issuer of ID tokens that the configuration trusts."""
PEOPLE = ("alice", "bob", "eve")
"""The persons that have an ID token."""

_LIFE = 200
"""Number of requests that a process of the service answers before the next one starts.

Its last act is to write counts of reads to the audit log.
"""
_UNTIMED = """\
from jitid.authority import read_counts

read_counts.INTERVAL = 10**9
"""
"""Runs first in the service: on a slow machine, counts of reads that are written each minute would be more events."""

_LINES = "application/x-ndjson"
_HEADERS = ("allow", "content-type", "retry-after", "www-authenticate")
"""The headers that are compared."""
_DURATIONS = ("made_in", "dead_in")
"""Members of answers with a measured number of milliseconds."""

_FORMS: Mapping[str, str] = {
    "jid": r"jid_[0-9a-v]{26}",
    "jti": r"jti_[0-9a-v]{26}",
    "acc": r"acc_[0-9a-v]{26}",
    "apr": r"apr_[0-9a-v]{26}",
    "token": r"jitid_[0-9A-Za-z]{38}",
    "jws": r"eyJ[\w-]{10,}\.[\w-]+\.[\w-]+",
    "pem": r"-----BEGIN [A-Z0-9 ]+-----\n[^-]+-----END [A-Z0-9 ]+-----",
    "canary": r"jitid-canary-[0-9a-f]{16}",
    "uuid": r"(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])",
    "trace": r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
    "hex": r"(?<![0-9A-Za-z])[0-9a-f]{64}(?![0-9A-Za-z])",
    "print": r"(?<![\w-])[\w-]{43}(?![\w-])",
    "base64": r"(?<![\w+/-])[\w+/-]{60,}={0,2}",
}
"""The values that differ from run to run, by the first part of their placeholders."""
_MARK = r"(?<![\w-])(?:[\w-]{22}|[0-9a-f]{32})(?![\w-])"
"""The form of a mark of a found string: 16 bytes of a hash."""
_VOLATILE = re.compile("|".join(f"(?P<{name}>{form})" for name, form in {**_FORMS, "mark": _MARK}.items()))
_PLACEHOLDER = re.compile(r"\{\{([a-z0-9]+(?::\d+)?(?:\|[a-z0-9 ]+)?|x\*\d+)\}\}")

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
"""The policy of the service. The default policy of jitid may change, and answers contain its text."""

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
        (shop / f"{{name}}.key").touch()
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
print(json.dumps({{"version": 1, **answer}}))
"""
"""The program of the target `shop`. Its credentials have the same secrets in each run."""


class Exchange(NamedTuple):
    """A request with its answer: a line of the file."""

    group: str
    at: int
    """The time of the request, in seconds after `START`."""
    caller: str
    """A name for readers."""
    bearer: str | None
    """The access token of the caller; None for the user of the socket."""
    path: str
    """The name of the operation; or a path, for a request without a body."""
    request: Any
    """The values of the operation; or the body as text, if it is not the JSON of `dumps`."""
    key: str | None = None
    """The idempotency key."""
    media: str = "application/json"
    """The media type of the body."""
    status: int = 0
    headers: Mapping[str, str] = {"content-type": "application/json"}
    """The headers of the answer that are compared."""
    answer: Any = None
    """The document of the answer, or a list of the documents in its lines; a text if it is spelled differently."""

    def line(self) -> str:
        """Return the line of the file, without fields equal to their default."""
        fields, defaults = self._asdict(), self._field_defaults
        return dumps({name: value for name, value in fields.items() if defaults.get(name, self) != value})


class Answer(NamedTuple):
    """An answer of the service, with volatile values."""

    status: int
    headers: Mapping[str, str]
    document: Any


class Difference(NamedTuple):
    """A difference between a recorded answer and the answer in a replay."""

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


def read(path: Path = FILE) -> list[Exchange]:
    """Return the exchanges of a file."""
    return [Exchange(**json.loads(line)) for line in path.read_text(encoding="ascii").splitlines()]


def write(path: Path, exchanges: Sequence[Exchange]) -> None:
    """Write exchanges into a file."""
    path.write_text("".join(f"{exchange.line()}\n" for exchange in exchanges), encoding="ascii")


class Values:
    """The values of the placeholders in one run."""

    def __init__(self, fixed: Mapping[str, str]) -> None:
        self.of = dict(fixed)
        """By the name of the placeholder."""
        self.names = {value: name for name, value in fixed.items()}
        self._literals: set[str] = set()
        """Volatile values that requests contain: their answers contain the same."""
        self._last: dict[str, int] = {}
        """The last number of each kind of placeholder."""

    def reserve(self, exchanges: Sequence[Exchange]) -> None:
        """Use no number of a placeholder in these exchanges for a new placeholder."""
        for exchange in exchanges:
            for kind, number in re.findall(r"\{\{([a-z0-9]+):(\d+)", exchange.line()):
                self._last[kind] = max(self._last.get(kind, 0), int(number))

    def define(self, name: str, value: str) -> None:
        """Define the value of a placeholder, and the hashes of the value."""
        kind, _, number = name.partition(":")
        self._last[kind] = max(self._last.get(kind, 0), int(number))
        self.of[name], self.names[value] = value, name
        for hash_name, result in _hashes(kind, value):
            self.of[f"{name}|{hash_name}"] = result
            self.names[result] = f"{name}|{hash_name}"

    def fill(self, document: Any) -> Any:
        """Return a document with the values of its placeholders. Raises UndefinedError."""

        def value(match: re.Match[str]) -> str:
            if match[1].startswith("x*"):
                return "x" * int(match[1][2:])
            if match[1] not in self.of:
                raise UndefinedError(match[0])
            return self.of[match[1]]

        return _mapped(document, lambda text: _PLACEHOLDER.sub(value, text))

    def hide_known(self, document: Any) -> Any:
        """Return the document of a request with placeholders instead of known values."""

        def hide(text: str) -> str:
            found = (match[0] for match in _VOLATILE.finditer(text))
            self._literals.update(value for value in found if value not in self.names)
            return self._shown(text)

        return _mapped(document, hide)

    def hide_all(self, document: Any) -> Any:
        """Return the document of an answer with placeholders, also new ones, instead of volatile values."""
        found = [match for text in _texts(document) for match in _VOLATILE.finditer(text)]
        # The hash of a token may precede the token in the document.
        for match in sorted(found, key=lambda match: match.lastgroup not in ("token", "jws", "pem")):
            kind = str(match.lastgroup)
            if kind != "mark" and match[0] not in self.names and match[0] not in self._literals:
                self.define(f"{kind}:{self._last.get(kind, 0) + 1}", match[0])
        return _mapped(document, lambda text: self._hide_fixed(self._shown(text)))

    def compare(self, expected: Any, found: Any, where: str) -> Iterator[tuple[str, str, str]]:
        """Yield the differences between two documents, and define the new placeholders in `expected`.

        A difference is its position, the expected value, and the value found.
        """
        texts: list[tuple[str, str, str]] = []
        yield from _differences(expected, found, where, texts)
        # The hash of a token may precede the token in the document.
        for position, text, actual in sorted(texts, key=lambda each: "|" in each[1]):
            if not self._matches(text, actual):
                yield position, text, self._shown(actual)

    def _matches(self, expected: str, found: str) -> bool:
        """Return whether a text is as expected; define the new placeholders."""
        if expected == found or "{{" not in expected:
            return expected == found
        pattern = ""
        new: dict[str, str] = {}
        for number, part in enumerate(_PLACEHOLDER.split(expected)):
            kind = part.partition(":")[0]
            if number % 2 == 0:
                pattern += re.escape(part)
            elif part in self.of:
                pattern += re.escape(self.of[part])
            elif part in new:
                pattern += f"(?P={new[part]})"
            elif kind in _FORMS and "|" not in part:
                new[part] = part.replace(":", "_")
                pattern += f"(?P<{new[part]}>{_FORMS[kind]})"
            else:
                return False
        match = re.fullmatch(pattern, found)
        if match is None or any(match[group] in self.names for group in new.values()):
            return False
        for name, group in new.items():
            self.define(name, match[group])
        return True

    def _shown(self, text: str) -> str:
        """Return a text with placeholders instead of known values."""

        def shown(match: re.Match[str]) -> str:
            name = self.names.get(match[0])
            return match[0] if name is None else f"{{{{{name}}}}}"

        return _VOLATILE.sub(shown, text).replace(self.of["home"], "{{home}}")

    def _hide_fixed(self, text: str) -> str:
        """Return a text with placeholders instead of the names of the user, the machine and the version."""
        for name in ("host", "version"):
            text = re.sub(rf"(?<![\w.]){re.escape(self.of[name])}(?![\w.])", f"{{{{{name}}}}}", text)
        # The login may be a usual word. It is a name at the beginning of a text, and in quotation marks.
        return re.sub(rf'(?<![^`"]){re.escape(self.of["login"])}(?=$|[`" \\])', "{{login}}", text)


def _hashes(kind: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield the hashes of a value that requests or answers contain, each with its name.

    These are the fingerprint of a token, a certificate or a key, and the marks of strings that a search finds.
    """
    digest = b""
    if kind in ("token", "jws"):
        digest = hashlib.sha256(value.encode()).digest()
    elif kind == "pem":
        digest = hashlib.sha256(_der(value)).digest()
    if digest:
        yield "sha256", base64.urlsafe_b64encode(digest).decode().rstrip("=")
        yield "hex", digest.hex()
    marks: Mapping[str, Mapping[str, bytes]] = {
        "token": {"opaque": digest},
        "jws": dict.fromkeys(("signed", "foreign"), value.encode()),
        "pem": dict.fromkeys(("prints", "keys"), digest),
        "jid": dict.fromkeys(("ids", "cut", "guessed"), value.encode()),
        "jti": dict.fromkeys(("ids", "cut", "guessed"), value.encode()),
    }
    for name, key in marks.get(kind, {}).items():
        mark = hashlib.sha256(name.encode() + b"\0" + key).digest()[:16]
        yield f"mark {name}", mark.hex()
        yield f"mark {name} base64", base64.urlsafe_b64encode(mark).decode().rstrip("=")


def _der(pem: str) -> bytes:
    """Return the bytes of a certificate; for a private key, those of its public key."""
    if "PRIVATE KEY" not in pem:
        with suppress(ValueError):
            return base64.b64decode("".join(pem.splitlines()[1:-1]))
        return b""
    load = load_ssh_private_key if "OPENSSH" in pem else load_pem_private_key
    return load(pem.encode(), None).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _texts(document: Any) -> Iterator[str]:
    """Yield the texts in a document, in their order."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, list):
        for item in document:
            yield from _texts(item)
    elif isinstance(document, dict):
        for name, value in document.items():
            yield name
            yield from _texts(value)


def _mapped(document: Any, change: Callable[[str], str]) -> Any:
    """Return a document with a change of each text, also of the names of members."""
    if isinstance(document, str):
        return change(document)
    if isinstance(document, list):
        return [_mapped(item, change) for item in document]
    if isinstance(document, dict):
        return {change(name): _mapped(value, change) for name, value in document.items()}
    return document


def _without_durations(document: Any) -> Any:
    """Return a document with a placeholder instead of each measured duration."""
    if isinstance(document, list):
        return [_without_durations(item) for item in document]
    if isinstance(document, dict):
        return {
            name: "{{duration}}" if name in _DURATIONS and value is not None else _without_durations(value)
            for name, value in document.items()
        }
    return document


def _differences(
    expected: Any, found: Any, where: str, texts: list[tuple[str, str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Yield the differences between two documents except those of texts; append the pairs of texts to `texts`."""
    if isinstance(expected, str) and isinstance(found, str):
        texts.append((where, expected, found))
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{where}: number of items", str(len(expected)), str(len(found))
        for number, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _differences(one, other, f"{where}[{number}]", texts)
    elif isinstance(expected, dict) and isinstance(found, dict):
        if len(expected) == len(found) and any("{{" in name for name in expected):
            for name, other_name in zip(expected, found, strict=True):
                texts.append((f"{where}: name of a member", name, other_name))
                yield from _differences(expected[name], found[other_name], f"{where}.{name}", texts)
            return
        if [*expected] != [*found]:
            yield f"{where}: members", dumps([*expected]), dumps(found if "error" in found else [*found])
        for name in expected:
            if name in found:
                yield from _differences(expected[name], found[name], f"{where}.{name}", texts)
    elif dumps(expected) != dumps(found):
        yield where, dumps(expected), dumps(found)


class Authority:
    """A service over a new ledger. Its clock is set before each request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket = str(folder / "jitid.sock")
        self._bootstrap = folder / "first.bearer"
        self._clock = folder / "clock"
        self._sent = 0
        self._running = ExitStack()
        folder.chmod(0o700)
        _configure(folder)
        self.set_clock(0)
        self._start("--bootstrap", str(self._bootstrap))

    @property
    def clock(self) -> Mapping[str, str]:
        """The environment in which a process has the clock of the service."""
        return {
            # The other library is not safe for threads: from time to time it returns the real time.
            "LD_PRELOAD": str(Path(libfaketime()).with_name("libfaketimeMT.so.1")),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",
            # Time limits are real. Without the second variable, each wait for Python's lock ends at once, and threads
            # that wait for it keep a core busy.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_WAIT_MS": "1",
            "TZ": "UTC",
        }

    def values(self) -> Values:
        """Return the values of the placeholders that no answer defines."""
        fixed = {
            "login": _login(),
            "host": socket.gethostname(),
            "home": str(self.folder),
            "version": jitid.__version__,
            "bootstrap": self._bootstrap.read_text().strip(),
        }
        return Values({**fixed, **{f"idtoken{name}": id_token(name) for name in PEOPLE}})

    def set_clock(self, at: int) -> None:
        """Set the clock of the service, in seconds after `START`."""
        new = self._clock.with_suffix(".new")
        new.write_text(datetime.fromtimestamp(START + at, UTC).strftime("%Y-%m-%d %H:%M:%S\n"))
        new.rename(self._clock)

    def send(self, at: int, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request at a time, and return the answer. Without a body, the method is GET."""
        self.set_clock(at)
        if self._sent and self._sent % _LIFE == 0:
            self.close()
            self._start()
        self._sent += 1
        connection = HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        try:
            connection.sock.connect(self._socket)
            connection.request("GET" if body is None else "POST", path, body, dict(headers))
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        compared = {name: value for name in _HEADERS if (value := response.headers.get(name)) is not None}
        document = _document(text, lines=compared.get("content-type") == _LINES)
        return Answer(response.status, compared, document)

    def close(self) -> None:
        """Stop the service."""
        self._running.close()

    def _start(self, *arguments: str) -> None:
        environment = {
            **self.clock,
            "JITID_POLICY": str(self.folder / "policy"),
            "PYTHONPATH": f"{self.folder / 'site'}:{Path(jitid.__file__).parent.parent}",
        }
        command = ("--socket", self._socket, "--log-format", "none", *arguments)
        self._running.enter_context(serving(self.folder, *command, more=environment))


def _document(text: str, *, lines: bool) -> Any:
    """Return the document of an answer, or the documents of its lines; the text if it is not spelled by `dumps`."""
    try:
        document = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
    except ValueError:
        return text
    spelled = "".join(f"{dumps(line)}\n" for line in document) if lines else dumps(document)
    return _without_durations(document) if text == spelled else text


def _login() -> str:
    """Return the name that the service has for the user of this process."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def id_token(name: str) -> str:
    """Return an ID token of a person. It is the same in each run."""
    times = {"iat": START, "exp": START + 20 * 86_400}
    claims = {"iss": ISSUER, "aud": "jitid", "sub": name, **times, "jti": name}
    return token({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims, ED25519)


def _configure(folder: Path) -> None:
    """Write the configuration, the policy, the keys of the issuer of ID tokens, and the program of the target."""
    policy, shop, config, site = (folder / name for name in ("policy", "shop", ".config/jitid", "site"))
    for made in (policy, shop, config, site):
        made.mkdir(mode=0o700, parents=True)
    program, keys = shop / "shop.py", folder / "jwks.json"
    files = {
        site / "sitecustomize.py": _UNTIMED,
        policy / "policy.cedar": _POLICY,
        program: _SHOP.format(python=sys.executable),
        # A key that the target had before: it can be adopted.
        shop / "role.key": "",
        keys: dumps({"keys": [jwk(ED25519, kid="k1")]}),
        config / "config.toml": f"""\
issuer = "https://authority.example"
trust_domain = "agents.example"
publish_url = "https://status.example"
# A ledger of that commit signs tokens for services with EdDSA.
[algorithm.audience]
"https://api.example" = "EdDSA"
[oidc."{ISSUER}"]
jwks = "{keys}"
audience = "jitid"
[socket.delegator]
"{_login()}" = "user:operator"
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
    """Yield an authority with its files in an empty folder, and stop it after the block."""
    started = Authority(folder)
    try:
        yield started
    finally:
        started.close()


def send(served: Authority, values: Values, exchange: Exchange) -> Answer:
    """Send the request of an exchange, and return the answer. Raises UndefinedError."""
    headers = {"User-Agent": "jitid"}
    if exchange.bearer is not None:
        headers["Authorization"] = f"Bearer {values.fill(exchange.bearer)}"
    if exchange.key is not None:
        headers["Idempotency-Key"] = exchange.key
    if exchange.path.startswith("/"):
        return served.send(exchange.at, exchange.path, None, headers)
    headers["Content-Type"] = exchange.media
    filled = values.fill(exchange.request)
    body = filled if isinstance(filled, str) else dumps(filled)
    path = f"/v1/operations/{exchange.path}"
    return served.send(exchange.at, path, body.encode("utf-8", "surrogateescape"), headers)


def replay(exchanges: Sequence[Exchange], folder: Path) -> Iterator[Difference]:
    """Send the requests to a new authority, and yield the differences between its answers and the recorded ones."""
    with authority(folder) as served:
        values = served.values()
        for line, exchange in enumerate(exchanges, 1):
            where = f"{exchange.path} of {exchange.caller}"
            try:
                answer = send(served, values, exchange)
            except UndefinedError as error:
                yield Difference(line, where, "a request", f"no value of {error} in earlier answers")
                continue
            except (OSError, HTTPException, ValueError) as error:
                yield Difference(line, where, "an answer", repr(error))
                continue
            expected = (exchange.status, exchange.headers, exchange.answer)
            for name, one, other in zip(("status", "headers", "answer"), expected, answer, strict=True):
                for difference in values.compare(one, other, f"{where}: {name}"):
                    yield Difference(line, *difference)


def record(exchanges: Sequence[Exchange], folder: Path) -> Iterator[Exchange]:
    """Send the requests to a new authority, and yield them with its answers."""
    with authority(folder) as served:
        values = served.values()
        values.reserve(exchanges)
        for exchange in exchanges:
            values.hide_known(exchange.request)
            answer = send(served, values, exchange)
            # Values in the same positions keep their placeholders.
            for _ in values.compare(exchange.answer, answer.document, ""):
                pass
            yield answered(values, exchange, answer)


def answered(values: Values, exchange: Exchange, answer: Answer) -> Exchange:
    """Return an exchange with an answer, in which placeholders replace the volatile values."""
    headers = values.hide_all(dict(answer.headers))
    return exchange._replace(status=answer.status, headers=headers, answer=values.hide_all(answer.document))


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
    print(f"{len(exchanges)} requests, {len(found)} differences, {len(reworded)} messages or hints reworded")
    for old, new in sorted(reworded):
        print(f"- {old}\n+ {new}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
