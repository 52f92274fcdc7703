"""The settings: their names, meanings, valid values, and permitted sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

from jitid.errors import ConfigurationError, JitidError
from jitid.model.task import SENSITIVITIES
from jitid.values.record import Record
from jitid.values.text import quote, refuse_token

if TYPE_CHECKING:
    from datetime import tzinfo

Value = str | int | tuple[str, ...] | None
"""Durations are seconds; lists are tuples of text; None is "not set"."""

ValueType = Literal[
    "name",
    "text",
    "place",
    "issuer",
    "trust domain",
    "audiences",
    "texts",
    "duration",
    "count",
    "sensitivity",
    "format",
    "colour",
    "delegators",
    "time zone",
    "authority",
    "url",
    "mode",
    "log format",
]

FORMATS = ("table", "tsv", "json", "jsonl", "csv")
DELEGATORS = ("any", "known")
COLOURS = ("auto", "always", "never")
ALGORITHMS = ("EdDSA", "ES256")
LOG_FORMATS = ("json", "text", "none")


class Setting(Record):
    """One setting of the configuration."""

    name: str
    kind: ValueType
    meaning: str
    default: Value = None
    project: Literal["no", "yes", "stricter"] = "no"
    """Whether the `.jitid.toml` of a working directory may set it.

    Such a file comes from the authors of the code there. It may name the task, and make it stricter; it must not
    choose the ledger, the trusted issuers, or the permissions.
    """
    environment: bool = True
    """Whether `variable` is read.

    A setting without a variable is a guard rail: an environment that the command line does not show must not loosen
    it. `Trusted` determines the files that count fully.
    """
    strict: Literal["least", "most", "none"] = "least"
    """The stricter one of two values of a guard rail: the lower, the higher, or neither."""

    @property
    def variable(self) -> str:
        """The name of the environment variable, such as `JITID_TTL`."""
        return f"JITID_{self.name.upper()}"


def _guard_rail(
    name: str,
    kind: ValueType,
    meaning: str,
    default: Value,
    strict: Literal["least", "most", "none"] = "least",
) -> Setting:
    """Return a setting that no environment variable sets."""
    return Setting(name, kind, meaning, default, environment=False, strict=strict)


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("ledger", "place", "the folder of ledger and keys"),
        Setting("remote", "authority", "the address of a remote authority, instead of a local ledger"),
        Setting(
            "remote_ca", "place", "the CA certificates (PEM) of the remote authority, instead of the system's"
        ),
        Setting("remote_credential_file", "place", "the file of the credential for the remote authority"),
        Setting(
            "home",
            "place",
            "the folder of keys and policy on this machine, for a ledger in a database",
        ),
        Setting("issuer", "issuer", "the issuer of a new ledger's credentials (`iss`)"),
        Setting("trust_domain", "trust domain", "the SPIFFE trust domain of a new ledger"),
        Setting("audience", "audiences", "the audiences of new credentials and of `verify`", ()),
        Setting("task", "name", "the task of `issue`", project="yes"),
        Setting("agent", "name", "the acting agent", "agent", project="yes"),
        Setting("purpose", "text", "the purpose of a new task", project="yes"),
        Setting(
            "sensitivity", "sensitivity", "the sensitivity of a new task", "moderate", project="stricter"
        ),
        Setting("ttl", "duration", "the lifetime of a credential", 900, project="stricter"),
        Setting(
            "task_deadline",
            "duration",
            "the time until the deadline of a new task",
            86_400,
            project="stricter",
        ),
        Setting("overlap", "duration", "the time for which a renewed credential stays valid", 30),
        _guard_rail("max", "count", "the maximum number of revocations without --yes", 100),
        _guard_rail(
            "max_issue", "count", "the maximum number of credentials of one command without --yes", 10_000
        ),
        *(
            _guard_rail(
                f"sweep_standing_{sensitivity}",
                "duration",
                f"the maximum lifetime without a finding, for {sensitivity} sensitivity",
                longest,
            )
            for sensitivity, longest in zip(SENSITIVITIES, (28_800, 3_600, 900, 300), strict=True)
        ),
        _guard_rail(
            "sweep_duplicates",
            "count",
            "the maximum number of live identities with the same agent, task and scopes",
            25,
        ),
        _guard_rail(
            "sweep_identities",
            "count",
            "the maximum number of live credentials that descend from one delegator",
            100,
        ),
        _guard_rail(
            "sweep_agents_per_person", "count", "the maximum number of them per person on average", 80
        ),
        _guard_rail(
            "sweep_pending", "duration", "the maximum time for which a recorded credential is unconfirmed", 60
        ),
        _guard_rail("sweep_key_age", "duration", "the maximum time for which a key signs", 90 * 86_400),
        _guard_rail(
            "sweep_asserted",
            "sensitivity",
            "the highest sensitivity for which a delegator may be unverified",
            "moderate",
        ),
        _guard_rail(
            "sweep_unused",
            "duration",
            "the maximum age of a credential without use, if use is reported",
            300,
        ),
        Setting("policy", "place", "the folder of the Cedar policies, instead of the ledger's own"),
        _guard_rail(
            "delegators",
            "delegators",
            "the permitted delegators: `any`, or only those `known` to the directory",
            "any",
        ),
        _guard_rail(
            "timezone",
            "time zone",
            "the time zone of the policy's hour, minute and weekday (IANA name)",
            "UTC",
            strict="none",
        ),
        _guard_rail(
            "approval_lifetime",
            "duration",
            "the maximum time from the grant of an approval to its use",
            900,
        ),
        _guard_rail(
            "approval_patience", "duration", "the time for which a request for approval stays open", 86_400
        ),
        _guard_rail("login_lifetime", "duration", "the lifetime of a login", 28_800),
        _guard_rail(
            "recurs_tasks", "count", "the number of tasks from which an agent's name counts as recurring", 5
        ),
        _guard_rail(
            "recurs_days",
            "count",
            "the number of days with issued credentials from which a name counts as recurring",
            3,
        ),
        _guard_rail(
            "detail_types",
            "texts",
            "the permitted types of authorization details (RFC 9396); by default, any type",
            (),
        ),
        Setting("publish_url", "url", "the address of the published files of `publish`"),
        _guard_rail(
            "publish_lifetime", "duration", "the time for which verifiers may use a status list", 900
        ),
        _guard_rail(
            "retain_rows",
            "duration",
            "the time for which `ledger prune` keeps ended records",
            30 * 86_400,
            strict="most",
        ),
        _guard_rail(
            "retain_evidence",
            "duration",
            "the time for which `prune --export` keeps audit events",
            400 * 86_400,
            strict="most",
        ),
        Setting("timeout", "duration", "the maximum wait of a command for ledger, server and targets", 30),
        Setting("serve_bind", "text", "the address of `serve`: HOST:PORT"),
        Setting("serve_socket", "place", "the Unix socket of `serve`"),
        Setting("serve_socket_mode", "mode", "the mode of that socket, which determines its users", "0660"),
        Setting("serve_tls_cert", "place", "the certificate of `serve` with its chain (PEM)"),
        Setting("serve_tls_key", "place", "the private key of that certificate (PEM)"),
        Setting("serve_public_url", "url", "the address of `serve` for clients, if it differs"),
        Setting("serve_workers", "count", "the number of worker processes of `serve`", 1),
        Setting("serve_log", "log format", "the log format of `serve`", "json"),
        _guard_rail(
            "serve_connections", "count", "the maximum number of connections to one process of `serve`", 1_000
        ),
        _guard_rail("serve_requests", "count", "the maximum number of requests in progress", 256),
        _guard_rail("serve_threads", "count", "the maximum number of them that use the ledger", 8),
        _guard_rail("serve_rate", "count", "the maximum number of requests a second from one caller", 1_000),
        _guard_rail("serve_body", "count", "the maximum number of bytes in the body of a request", 1 << 20),
        _guard_rail("serve_time", "duration", "the maximum time for a request, or for its answer", 30),
        _guard_rail(
            "serve_long_time", "duration", "the maximum time for an answer that reads the whole ledger", 900
        ),
        _guard_rail("serve_stop", "duration", "the time for open requests to finish when `serve` stops", 30),
        _guard_rail("serve_hung", "duration", "the silence after which a worker of `serve` is replaced", 30),
        Setting("format", "format", "the output format", project="yes"),
        Setting("color", "colour", "the use of colours", "auto", project="yes"),
    )
}

VARIABLES = frozenset(
    {
        "JITID_CONFIG",
        "JITID_PROFILE",
        *(setting.variable for setting in SETTINGS.values() if setting.environment),
    }
)
"""The environment variables that every command reads."""
GUARD_RAILS = frozenset(setting.name for setting in SETTINGS.values() if not setting.environment)
"""The settings that never come from the environment."""


def strictest(setting: Setting, trusted: Value, configured: Value) -> Value:
    """Return the stricter of two values of a guard rail; the `trusted` one if neither is stricter."""
    if isinstance(trusted, int) and isinstance(configured, int) and setting.strict != "none":
        return min(trusted, configured) if setting.strict == "least" else max(trusted, configured)
    if isinstance(trusted, tuple) and isinstance(configured, tuple):
        # An empty list is not a limit.
        narrower = configured and (not trusted or set(configured) <= set(trusted))
        return configured if narrower else trusted
    for order in (SENSITIVITIES, tuple(reversed(DELEGATORS))):
        if trusted in order and configured in order:
            return min(trusted, configured, key=order.index)
    return trusted


_CLOSE = 0.65
"""The least similarity of a suggested name, from 0 to 1."""
_MOST_NAMED = 40
"""The greatest number of names in a hint: only the settings of the configuration have more."""


def nearest(name: str, known_names: tuple[str, ...]) -> str:
    """Return the hint for an unknown name: the most similar known names, or all of them."""
    hint = meant(name, known_names)
    if hint is None and len(known_names) > _MOST_NAMED:
        return "for all names: jitid config show"
    return hint or f"known names: {', '.join(known_names)}"


def meant(name: str, known_names: tuple[str, ...]) -> str | None:
    """Return a hint with the known names most similar to an unknown one; None if none is similar."""
    from difflib import get_close_matches

    words = name[:100].lower().replace("-", "_")
    close = get_close_matches(words, known_names, n=2, cutoff=_CLOSE) or [
        each for each in known_names if each in words.split("_")
    ]
    return f"did you mean {' or '.join(f'`{candidate}`' for candidate in close)}?" if close else None


def named(name: str) -> Setting:
    """Return the setting of that name. Raises ConfigurationError, which suggests the nearest name."""
    if name not in SETTINGS:
        raise ConfigurationError(f"there is no setting {quote(name)}", nearest(name, tuple(SETTINGS)))
    return SETTINGS[name]


def convert(setting: Setting, raw: object, where: str, folder: str) -> Value:
    """Return a raw value, a text or a TOML value, converted to the setting's own type.

    `where` is the place of the value for error messages; relative paths are relative to `folder`. Raises
    ConfigurationError.
    """
    try:
        return _converted(setting, raw, folder)
    except JitidError as error:
        raise ConfigurationError(f"{where}: {error.message}", error.hint) from None


def _converted(setting: Setting, raw: object, folder: str) -> Value:
    kind = setting.kind
    match kind:
        case "name":
            from jitid.values.names import check_name

            return check_name(_text(raw), setting.name)
        case "text":
            return _text(raw)
        case "place":
            return absolute(_text(raw), folder)
        case "issuer":
            from jitid.values.names import check_issuer

            return check_issuer(_text(raw))
        case "trust domain":
            from jitid.values.names import check_trust_domain

            return check_trust_domain(_text(raw))
        case "audiences":
            from jitid.values.names import check_audience

            return tuple(dict.fromkeys(check_audience(audience) for audience in _texts(raw)))
        case "texts":
            return tuple(dict.fromkeys(_texts(raw)))
        case "duration":
            from jitid.values.times import parse_duration

            return parse_duration(str(raw) if type(raw) is int else _text(raw))
        case "count":
            text = str(raw) if type(raw) is int else _text(raw)
            if not (text.isascii() and text.isdigit() and len(text) <= 9):
                raise ConfigurationError(f"expected a whole number, not {quote(text)}")
            return int(text)
        case "sensitivity":
            return one_of(_text(raw), SENSITIVITIES)
        case "format":
            return one_of(_text(raw), FORMATS)
        case "colour":
            return one_of(_text(raw), COLOURS)
        case "delegators":
            return one_of(_text(raw), DELEGATORS)
        case "time zone":
            name = _text(raw)
            zone(name)
            return name
        case "authority":
            from jitid.system.authority_address import parse_address

            return str(parse_address(_text(raw)))
        case "url":
            return _url(_text(raw))
        case "mode":
            text = _text(raw)
            if not (text.isascii() and text.isdigit() and len(text) <= 4 and set(text) <= set("01234567")):
                raise ConfigurationError(f"expected a mode such as 0660, not {quote(text)}")
            return text
        case "log format":
            return one_of(_text(raw), LOG_FORMATS)
        case _:
            assert_never(kind)


def _url(text: str) -> str:
    """Return a web address without a slash at its end."""
    scheme, colon, address = text.partition("://")
    host = address.partition("/")[0]
    plain = text.isascii() and text.isprintable() and not set(text) & set(' "\\<>^`{|}?#@')
    if scheme not in ("https", "http") or not colon or not host or not plain:
        raise ConfigurationError(
            f"{quote(text, 200)} is not a web address", "such as https://jitid.example.com"
        )
    return text.rstrip("/")


def zone(name: str) -> tzinfo | None:
    """Return the time zone of an IANA name; None for UTC, which needs no table. Raises ConfigurationError."""
    if name == "UTC":
        return None
    from jitid.system.time_zones import load

    return load(name)


def one_of(text: object, allowed: tuple[str, ...]) -> str:
    """Return `text` if it is allowed. Raises ConfigurationError."""
    if text not in allowed:
        raise ConfigurationError(
            f"{quote(str(text))} is not one of: {', '.join(allowed)}", meant(str(text), allowed)
        )
    return str(text)


def absolute(path: str, folder: str) -> str:
    """Return a path as an absolute one: relative to `folder`, or to the home folder after `~`.

    An address with `://` is returned unchanged.
    """
    if "://" in path or path.startswith("/"):
        return path
    if path == "~" or path.startswith("~/"):
        from jitid.system.xdg import home

        return home() + path[1:]
    return f"{folder.rstrip('/')}/{path}"


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ConfigurationError(f"expected a string, not {_type(raw)}")
    if not raw.strip():
        raise ConfigurationError("the value is blank", "set a value, or omit the setting")
    refuse_token(raw, "the value")
    return raw


def _texts(raw: object) -> list[str]:
    if isinstance(raw, str):
        # The form of an environment variable and of `config set`: audiences contain no spaces.
        return _text(raw).split()
    if not isinstance(raw, (list, tuple)):
        raise ConfigurationError(f"expected a list of strings, not {_type(raw)}")
    return [_text(item) for item in raw]


def _type(raw: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", dict: "a table", list: "a list"}
    return names.get(type(raw), "a date or time")
