"""Trace found strings to the credentials of this ledger: live or ended, proved or not.

Fingerprints are matched with the ledger at once, without a look-up for each string.
"""

from __future__ import annotations

from hashlib import sha256

from jitid.capabilities.access.store import AccessStore
from jitid.capabilities.identity import validity
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.leak.store import LeakStore
from jitid.capabilities.leak.trace_result import (
    MISTYPED,
    SHOWN,
    Evidence,
    Match,
    Recognised,
    Stray,
    Traced,
    first_of,
    joined,
    parted,
)
from jitid.capabilities.targets.store import OutsideStore
from jitid.crypto import jws
from jitid.crypto.private_key import UNREADABLE, public_print
from jitid.errors import IntegrityError, InvalidCredentialError, UsageError
from jitid.ledger import expiry as prunings
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.credential import Credential, is_accepted_elsewhere
from jitid.model.ledger_rows import Names, SigningKey
from jitid.search.find import Finds, jti_of_token, mark
from jitid.values.ids import credential_id, parse_id
from jitid.values.record import Record
from jitid.values.secret import fingerprint

_OF_A_FORM = frozenset({"jwt", "jwt-svid", "opaque"})
_UNKNOWN = "the ledger does not know this credential"
_UNKNOWN_KEY = "the token is signed by a key that the ledger does not know"
_LOCKED = "a private key with a passphrase, in a format that does not contain its public key"
_PUBLIC = frozenset(
    {
        "access_key_id",
        "ca_chain",
        "certificate",
        "issuing_ca",
        "private_key_type",
        "serial_number",
        "url",
        "username",
    }
)
"""Parts of a secret that are not secret themselves: a log may contain them."""
_KEY_PART = "key"
"""The part of a secret that is the private key of a certificate."""
_SIGNED = {"jws": "tokens", "x509": "certificates", "ssh": "SSH certificates"}
_String = tuple[str, bytes | str]
"""The type of a string, and its stored form."""


def recognise(snapshot: View, names: Names, finds: Finds) -> Recognised:
    """Return the credentials that were found, each once, with the proof."""
    return _Trace(snapshot, names, finds).recognised()


def trace(snapshot: View, names: Names, finds: Finds) -> Traced:
    """Return the result of a trace: each credential once, with all evidence for it."""
    return _Trace(snapshot, names, finds).traced()


class _Trace:
    """A trace in one snapshot of the ledger."""

    def __init__(self, snapshot: View, names: Names, finds: Finds) -> None:
        self._snapshot = snapshot
        self._names = names
        self._finds = finds
        self._evidence: dict[int, Evidence] = {}
        self._strings: dict[int, list[_String]] = {}
        """The strings that were found for each credential, by its key."""
        self._here: _String = ("", "")
        """The string that is examined now."""
        self._strays: list[Stray] = []
        self._keys = {key.kid: key for key in KeyStore(snapshot).signing_keys()}
        ids = {*finds.ids, *finds.cut, *finds.guessed, *map(jti_of_token, finds.signed)}
        prints = {*finds.prints, *finds.secrets}
        credentials = CredentialStore(snapshot).find_given(filter(_is_id, ids), {*finds.opaque, *prints})
        self._by_key = {credential.key: credential for credential in credentials}
        self._by_jti = {credential.jti: credential for credential in credentials}
        self._by_print = {credential.fingerprint: credential for credential in credentials}
        self._signing: dict[bytes, SigningKey] = {}
        """The ledger's own keys by their fingerprints; empty if no key was found."""
        self._by_public: dict[bytes, list[Credential]] = {}
        self._keyed: set[int] = set()
        """The credentials whose private keys were found."""
        publics = {*finds.keys, *finds.locked}
        if publics:
            self._signing = {public_print(key.algorithm, key.public): key for key in self._keys.values()}
            for raw, credential in CredentialStore(snapshot).find_public(publics):
                self._by_public.setdefault(raw, []).append(credential)
                self._by_key.setdefault(credential.key, credential)
        self._parts: dict[bytes, str] = {}
        """The names of the parts of secrets that were found, by their fingerprints."""
        for raw, name, key in OutsideStore(snapshot).parts_of(prints) if prints else ():
            self._parts[raw] = name
            self._by_print.setdefault(raw, self._by_key[key])
        self._by_identity: dict[str, list[Credential]] = {}
        for credential in credentials:
            self._by_identity.setdefault(credential.id, []).append(credential)

        unknown = {*finds.opaque, *finds.prints} - self._by_print.keys()
        self._access_tokens = AccessStore(snapshot).access_tokens(unknown) if unknown else frozenset[bytes]()
        """The fingerprints of the access tokens that were found."""

    def traced(self) -> Traced:
        """Return the result of the trace, with all further facts from the ledger."""
        recognised = self.recognised()
        listed, unlisted = parted(self._strays)
        others = tuple(mark for stray in unlisted for mark in stray.marks)
        return Traced(self._matches(), listed, recognised.unknown, recognised.words, recognised.now, others)

    def recognised(self) -> Recognised:
        """Return the credentials and strays that were found."""
        finds, words = self._finds, []
        for raw, count in finds.opaque.items():
            self._here = "opaque", raw
            if not self._take("opaque", "fingerprint", self._by_print.get(raw), count):
                self._add_stray(
                    self._access_token("opaque", raw, count) or Stray("opaque", None, _UNKNOWN, count)
                )
        for raw, count in finds.prints.items():
            self._here = "prints", raw
            if not self._take("fingerprint", "fingerprint", self._by_print.get(raw), count):
                access_token = self._access_token("fingerprint", raw, count)
                if access_token is not None:
                    self._add_stray(access_token)
                    continue
                reason = f"no record of this ledger has the fingerprint {raw.hex()}"
                words.append(Stray("fingerprint", None, reason, count))
        for raw, count in finds.keys.items():
            self._here = "keys", raw
            self._take_key(raw, count)
        for raw, count in finds.locked.items():
            self._here = "locked", raw
            if raw == UNREADABLE:
                words.append(Stray("private-key", None, _LOCKED, count))
            for credential in self._by_public.get(raw, ()):
                self._take("private-key", None, credential, count)
        for raw, count in finds.secrets.items():
            self._here = "secrets", raw
            self._take_secret(raw, count)
        for token, count in finds.signed.items():
            self._here = "signed", token
            self._take_signed(token, count)
        first_foreign = len(self._strays)
        for token, count in finds.foreign.items():
            self._here = "foreign", token
            self._take_foreign(token, count)
        foreign_names = {stray.name for stray in self._strays[first_foreign:]}
        # The id of an identity means its credential that another string has shown, or else the newest: hence ids are
        # last.
        for match, kind, counts in (
            ("truncated-jwt", "cut", finds.cut),
            ("id", "ids", finds.ids),
            ("id", "guessed", finds.guessed),
        ):
            for id_, count in counts.items():
                self._here = kind, id_
                if self._take(match, None, self._named(id_), count) or counts is finds.guessed:
                    continue
                # If a header is not in jitid's form, its payload was also found alone.
                if counts is not finds.cut or id_ not in foreign_names:
                    self._add_stray(Stray(match, id_, _UNKNOWN, count))
        unknown = sum(not stray.is_known_here for stray in self._strays) + finds.mistyped
        if finds.mistyped:
            self._strays.append(Stray("opaque", None, MISTYPED, finds.mistyped))
        return Recognised(
            [(self._by_key[key], evidence) for key, evidence in self._evidence.items()],
            first_of(self._strays),
            unknown,
            words[:SHOWN],
            len(words),
            self._snapshot.now,
            self._strings,
        )

    def _access_token(self, match: str, raw: bytes, count: int) -> Stray | None:
        """Return the stray for the access token with that fingerprint; None if it is not an access token."""
        presented = AccessStore(self._snapshot).presented(raw) if raw in self._access_tokens else None
        if presented is None:
            return None
        access = presented.access
        state = access.state_at(self._snapshot.now)
        roles = f", as {', '.join(access.roles)}" if access.roles else ""
        reason = (
            f"the access token of {access.id}, with which {access.name} authenticates{roles}: {state.value}"
        )
        return Stray(match, None, reason, count, access=access.id, whose=access.name, state=state.value)

    def _take(self, match: str, proof: str | None, credential: Credential | None, count: int) -> bool:
        """Keep a string as evidence of a credential; return False if there is none."""
        if credential is None:
            return False
        evidence = Evidence(match, proof, 1, count)
        earlier = self._evidence.get(credential.key)
        self._evidence[credential.key] = evidence if earlier is None else joined(earlier, evidence)
        self._strings.setdefault(credential.key, []).append(self._here)
        return True

    def _add_stray(self, stray: Stray) -> None:
        """Keep a stray with the mark of the examined string, which belongs to no credential."""
        self._strays.append(stray._replace(marks=(mark(*self._here),)))

    def _take_key(self, raw: bytes, count: int) -> None:
        """Keep a private key of a certificate, or of this ledger itself; most keys are neither."""
        for credential in self._by_public.get(raw, ()):
            self._take("private-key", "fingerprint", credential, count)
            self._keyed.add(credential.key)
        key = self._signing.get(raw)
        if key is None:
            return
        description = f"the private half of the ledger's key {key.kid}, which signs {_SIGNED[key.use]}"
        if key.revoked_at is not None:
            self._add_stray(Stray("private-key", None, f"{description} and was revoked", count))
            return
        self._add_stray(
            Stray("private-key", None, f"{description}: its holder can forge any of them", count, key.kid)
        )

    def _take_secret(self, raw: bytes, count: int) -> None:
        """Keep a word if it is the secret of a credential, or a part of it; most words are not."""
        credential = self._by_print.get(raw)
        # jitid's own tokens are found by their form.
        if credential is None or credential.kind in _OF_A_FORM:
            return
        if credential.key in self._keyed and self._parts.get(raw) == _KEY_PART:
            # The same string, which is recognised as a private key already.
            return
        public = self._parts.get(raw) in _PUBLIC
        self._take("id" if public else "secret", None if public else "fingerprint", credential, count)

    def _take_signed(self, token: str, count: int) -> None:
        jti = jti_of_token(token)
        credential = self._by_jti.get(jti)
        if credential is not None and credential.fingerprint == fingerprint(token):
            # Exactly the token that was handed out: this proves more than a signature, and costs no verification.
            self._take("jwt", "fingerprint", credential, count)
            return
        try:
            key, parsed = self._verified(token)
        except InvalidCredentialError as error:
            if not self._take("forged-jwt", None, credential, count):
                self._add_stray(Stray("jwt", jti, error.message, count))
            return
        if credential is not None and credential.claims_hash == sha256(parsed.payload).digest():
            # Another signature over the same claims, as is possible with ES256.
            self._take("jwt", "signature", credential, count)
            return
        if credential is None and self._may_be_pruned(parsed):
            reason = (
                f"signed by the ledger's key {key.kid}, and expired before the ledger was pruned: "
                "only the audit log may still identify it"
            )
            self._add_stray(Stray("jwt", jti, reason, count))
            return
        self._add_stolen(key, jti, known=credential is not None, count=count)

    def _may_be_pruned(self, parsed: jws.Parsed) -> bool:
        """Return whether the ledger may have pruned a token; a forger gains nothing by an old expiry."""
        pruned = prunings.last_pruning(self._snapshot)
        expires = parsed.claims.get("exp")
        return pruned is not None and type(expires) is int and expires < pruned.before

    def _add_stolen(self, key: SigningKey, jti: str | None, *, known: bool, count: int) -> None:
        claims = "other claims than those of its jti" if known else "claims that the ledger does not know"
        reason = f"signed by the ledger's key {key.kid}, with {claims}: another party has that key"
        leaked_kid = None if key.revoked_at is not None else key.kid
        self._add_stray(Stray("jwt", jti, reason, count, leaked_kid))

    def _take_foreign(self, token: str, count: int) -> None:
        """Keep a signed token that is not in jitid's form, if it names a key or an issuer of jitid."""
        try:
            parsed = jws.parse_any(token)
        except InvalidCredentialError:
            return
        key = self._keys.get(parsed.kid)
        if key is None and parsed.claims.get("iss") not in self._names.issuers:
            return
        jti = str(parsed.claims.get("jti"))
        name = jti if jti.startswith("jti_") and _is_id(jti) else None
        from jitid.capabilities.audit.audit_log import HEAD_TYPE

        try:
            if key is None:
                raise InvalidCredentialError(_UNKNOWN_KEY)
            # A thief may write any algorithm; the key has only one.
            jws.verify_signature(parsed._replace(alg=key.algorithm), key.algorithm, key.public)
        except InvalidCredentialError as error:
            self._add_stray(Stray("jwt", name, error.message, count))
            return
        # jitid signs heads of the audit log too, and they may be published.
        if parsed.typ != HEAD_TYPE:
            self._add_stolen(key, name, known=name in self._by_jti, count=count)

    def _verified(self, token: str) -> tuple[SigningKey, jws.Parsed]:
        """Return the key of jitid that signed a token, and the token. Raises InvalidCredentialError."""
        parsed = jws.parse(token, types=jws.TOKENS)
        if parsed.claims.get("iss") not in self._names.issuers:
            raise InvalidCredentialError("the token is from another issuer")
        key = self._keys.get(parsed.kid)
        if key is None:
            raise InvalidCredentialError(_UNKNOWN_KEY)
        jws.verify_signature(parsed, key.algorithm, key.public)
        return key, parsed

    def _named(self, id_: str) -> Credential | None:
        if id_.startswith("jti_"):
            return self._by_jti.get(id_)
        credentials = self._by_identity.get(id_, ())
        return max(
            credentials,
            key=lambda credential: (credential.key in self._evidence, credential.key),
            default=None,
        )

    def _matches(self) -> list[Match]:
        credentials = [self._by_key[key] for key in self._evidence]
        snapshot = self._snapshot
        identities = {credential.identity_key for credential in credentials}
        store = CredentialStore(snapshot)
        lineages, families = store.lineages(identities), store.families(identities)
        resting = (credential.key for credential in credentials if validity.rests(credential))
        grounds_of, offline = store.grounds_of(resting), store.offline_until(identities)
        tasks = TaskStore(snapshot).tasks_numbered({credential.task_key for credential in credentials})
        events = {
            seq: None if (event := snapshot.event(seq)) is None else event.document()
            for seq in {credential.ended_event for credential in credentials}
            if seq is not None
        }
        outside = OutsideStore(snapshot).of(
            [credential.key for credential in credentials if is_accepted_elsewhere(credential.kind)]
        )
        matches = []
        for credential in credentials:
            task = tasks.get(credential.task_key)
            if task is None:
                raise IntegrityError(
                    f"the task of {credential.id} is missing from the ledger", "run: jitid audit verify"
                )
            matches.append(
                Match(
                    credential,
                    self._evidence[credential.key],
                    validity.why_invalid(credential, grounds_of.get(credential.key, ()), snapshot.now),
                    lineages.get(credential.identity_key, []),
                    task,
                    families[credential.identity_key],
                    None if credential.ended_event is None else events[credential.ended_event],
                    offline.get(credential.identity_key),
                    credential.key in outside and outside[credential.key].is_accepted,
                    tuple(mark(*string) for string in self._strings[credential.key]),
                )
            )
        return matches


def _is_id(text: str) -> bool:
    try:
        parse_id(text)
    except UsageError:
        return False
    return True


class Matched(Record):
    """Strings that their fingerprint alone identifies, and the strings that are left to examine."""

    credentials: dict[int, str]
    """Number and jti of each credential that is proved to have been there."""
    alive: int
    """How many of them are live."""
    strings: dict[int, list[_String]]
    """The strings of each of these credentials, in the form of `Recognised`; empty unless requested."""
    left: Finds
    """The strings to examine: all others, without strings that no record has."""
    unknown: int
    """The number of opaque tokens and fingerprints that no record has; they are not in `left`."""


def match(snapshot: View, finds: Finds, *, strings: bool) -> Matched:
    """Match opaque tokens, whole signed tokens and fingerprints with credentials.

    The result is that of `trace_strings.recognise`: a token with the fingerprint of a credential is exactly the token
    that was handed out. Left to examine are strings that another record has, and signed tokens that no record has:
    their signature must be verified.
    """
    signed = {fingerprint(token): token for token in finds.signed}
    printed = LeakStore(snapshot).printed({*finds.opaque, *finds.prints, *signed})
    known_prints = {print_ for _, _, print_, _ in printed.credentials}
    credentials = {key: credential_id(jti) for key, jti, _, _ in printed.credentials}
    strings_of: dict[int, list[_String]] = {}
    if strings:
        strings_of = {key: _strings(print_, finds, signed) for key, _, print_, _ in printed.credentials}
    remaining = finds.copy()
    others = printed.others - known_prints
    remaining.opaque = {raw: finds.opaque[raw] for raw in others & finds.opaque.keys()}
    remaining.prints = {raw: finds.prints[raw] for raw in others & finds.prints.keys()}
    matched_tokens = {signed[print_] for print_ in known_prints & signed.keys()}
    remaining.signed = {token: count for token, count in finds.signed.items() if token not in matched_tokens}
    unknown = sum(
        len(counts.keys() - known_prints - printed.others) for counts in (finds.opaque, finds.prints)
    )
    alive = sum(live for _, _, _, live in printed.credentials)
    return Matched(credentials, alive, strings_of, remaining, unknown)


def _strings(print_: bytes, finds: Finds, signed: dict[bytes, str]) -> list[_String]:
    strings: list[_String] = []
    if print_ in finds.opaque:
        strings.append(("opaque", print_))
    if print_ in finds.prints:
        strings.append(("prints", print_))
    if print_ in signed:
        strings.append(("signed", signed[print_]))
    return strings
