"""Pasted strings are found in their original form, after changes by mail, terminals, URLs and quoting."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.issuers.issuer import Order
from jitid.issuers.ssh_cert import SshCertIssuer
from jitid.search.pasted import search_pasted
from jitid.values.secret import fingerprint
from tests.issuers.test_sshcert import draft, new_ids, signer
from tests.search.test_find import JID, JTI, OPAQUE, PAYLOAD, PRINT, SIGNATURE, TOKEN, content, signed

PRINT_OF_OPAQUE = {"opaque": {fingerprint(OPAQUE): 1}}


def found(text: str | bytes) -> dict[str, Any]:
    """Return the non-empty finds in a pasted text, except possible adopted secrets and keys."""
    finds = search_pasted(text.encode() if isinstance(text, str) else text)
    finds.secrets.clear()
    finds.keys.clear()
    return content(finds)


PASSWORD = "wRrLhjFa8Xirfa-pESgc"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        f"  {PASSWORD}\r\n",
        f"PGPASSWORD={PASSWORD} psql",
        f"export PGPASSWORD='{PASSWORD}';",
        f'{{"password": "{PASSWORD}", "username": "x"}}',
        f"password:{PASSWORD}.",
        f"<{PASSWORD}>, ({PASSWORD})",
    ],
)
def test_a_secret_is_among_the_words_of_a_text(text: str) -> None:
    assert fingerprint(PASSWORD) in search_pasted(text.encode()).secrets


@pytest.mark.parametrize(
    "text", [PEM, PEM.strip(), f"x\n{PEM}y", json.dumps({"key": PEM}), PEM.replace("\n", "\r\n")]
)
def test_a_key_in_pem_is_among_them(text: str) -> None:
    assert {fingerprint(PEM), fingerprint(PEM.strip())} <= search_pasted(text.encode()).secrets.keys()


def test_no_more_words_are_looked_up_than_a_request_takes() -> None:
    text = " ".join(f"secret-number-{number}" for number in range(20_000))[: 1 << 16]
    assert 1_000 < len(search_pasted(text.encode()).secrets) <= 5_010


def wrapped(text: str, width: int, before: str = "") -> str:
    """Return a text with line breaks, as a terminal or a mail inserts them."""
    return "\n".join(before + line for line in textwrap.wrap(text, width))


CHANGES: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "wrapped": lambda text: wrapped(text, 33),
    "wrapped with CRLF": lambda text: wrapped(text, 33).replace("\n", "\r\n"),
    "quoted in a mail": lambda text: wrapped(text, 33, "> > "),
    "quoted-printable": lambda text: wrapped(text, 33).replace("\n", "=\r\n"),
    "continued in a shell": lambda text: wrapped(text, 33).replace("\n", "\\\n  "),
    "in quotes": lambda text: f"token: '{text}'",
    "in JSON": lambda text: f'{{"authorization":"Bearer {text}"}}',
    "in a header": lambda text: f"Authorization: Bearer {text}\r\n",
    "in a URL": lambda text: f"https://x/?t={quote(text)}&u=1",
    "percent-encoded throughout": lambda text: "".join(f"%{ord(each):02X}" for each in text),
    "with zero-width spaces": lambda text: "\u200b".join(text),
    "in a box": lambda text: f"| {wrapped(text, 33)} |".replace("\n", " |\n| "),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_token_is_found_whole(change: str) -> None:
    assert found(CHANGES[change](OPAQUE)) == PRINT_OF_OPAQUE
    assert found(CHANGES[change](TOKEN)) == {"signed": {TOKEN: 1}}


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32"])
def test_a_text_of_another_encoding_is_searched(codec: str) -> None:
    assert found(f"token {OPAQUE}\n".encode(codec)) == PRINT_OF_OPAQUE
    assert found(f"token {TOKEN}\n".encode(codec)) == {"signed": {TOKEN: 1}}


@pytest.mark.parametrize("text", [f"user:{OPAQUE}", f"u:{OPAQUE}", f"{OPAQUE}:", OPAQUE])
def test_a_token_inside_base64_is_found(text: str) -> None:
    """Basic authentication writes it in this form (RFC 7617, section 2)."""
    assert found("Authorization: Basic " + base64.b64encode(text.encode()).decode()) == PRINT_OF_OPAQUE


def encoded(text: str, times: int = 1) -> str:
    """Return a text with base64 applied a number of times."""
    return text if not times else encoded(base64.b64encode(text.encode()).decode(), times - 1)


@pytest.mark.parametrize(
    "text",
    [
        encoded(TOKEN),
        encoded(f"{TOKEN}\n"),
        "Authorization: Basic " + encoded(f"x-access-token:{TOKEN}"),
        f'  token: "{encoded(TOKEN)}"\n  user: "{encoded("somebody")}"',
        wrapped(encoded(TOKEN), 76),
        base64.b64encode(TOKEN.encode("utf-16-le")).decode(),
        encoded(json.dumps({"auths": {"r.example": {"auth": encoded(f"user:{TOKEN}")}}})),
    ],
    ids=["plain", "line", "basic", "secret", "wrapped", "utf-16", "twice"],
)
def test_a_signed_token_inside_base64_is_found_whole(text: str) -> None:
    """Kubernetes Secrets and basic authentication have this form."""
    assert found(text) == {"signed": {TOKEN: 1}}


def test_a_fingerprint_and_a_part_of_a_token_are_found_inside_base64() -> None:
    assert found(encoded(f"digest={PRINT}")) == {"prints": {bytes.fromhex(PRINT): 1}}
    assert found(encoded(f"{PAYLOAD}.{SIGNATURE}")) == {"cut": {JTI: 1}}


@pytest.mark.parametrize("lost", range(51, 100))
def test_a_signed_token_without_its_beginning_tells_its_identity(lost: int) -> None:
    """The acting agent's id is the first id after the jti. It is found as long as all of its bits are there."""
    begins_at = base64.urlsafe_b64decode(PAYLOAD + "=" * (-len(PAYLOAD) % 4)).index(JID.encode())
    there = lost <= begins_at * 8 // 6
    assert found(f"{PAYLOAD[lost:]}.{SIGNATURE}") == ({"cut": {JID: 1}} if there else {})


@pytest.mark.parametrize("start", range(1, 11))
def test_a_payload_that_lost_its_first_characters_tells_its_jti(start: int) -> None:
    assert found(PAYLOAD[start:]) == {"cut": {JTI: 1}}


def test_an_id_over_two_lines_is_a_guess() -> None:
    assert found(f"{JTI[:20]}\n{JTI[20:]}") == {"guessed": {JTI: 1}}


def test_what_is_found_in_both_ways_counts_once() -> None:
    text = f"{JTI} {OPAQUE} {TOKEN}\n{PRINT}\n{PAYLOAD[:60]}"
    assert found(text) == {
        "ids": {JTI: 1},
        **PRINT_OF_OPAQUE,
        "signed": {TOKEN: 1},
        "prints": {bytes.fromhex(PRINT): 1},
        "cut": {JTI: 1},
    }


def test_a_whole_token_counts_for_its_part() -> None:
    assert found(wrapped(TOKEN, 400)) == {"signed": {TOKEN: 1}}
    other = signed(JTI[:-1] + "0", purpose="other")
    assert set(search_pasted(f"{wrapped(TOKEN, 90)}\n\n{other}".encode()).signed) == {TOKEN, other}


@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(raw: bytes) -> None:
    search_pasted(raw)
    search_pasted(raw + b"%ZZ%4" + SIGNATURE.encode() + b"." + PAYLOAD.encode())


def test_a_certificate_for_ssh_is_known_by_its_fingerprint_and_no_part_of_a_token_is_in_it() -> None:
    (made,) = SshCertIssuer(signer()).mint([Order(draft(), [new_ids()])])
    line = made.secret.reveal("certificate").rpartition(" ")[0]
    for text in (line, f"debug1: Offering public key: {line} agent\n", f"a {line}\nb {line}\n{TOKEN}"):
        found = search_pasted(text.encode())
        assert found.prints == {made.fingerprint: text.count("ssh-ed25519")}
        assert not found.ids
        assert not found.cut
        assert not found.guessed
        assert set(found.signed) == ({TOKEN} if TOKEN in text else set())


def test_what_is_no_certificate_is_searched_as_any_text() -> None:
    kind = "ssh-ed25519-cert-v01@openssh.com"
    assert set(search_pasted(f"{kind} {wrapped(TOKEN, 2000)}".encode()).signed) == {TOKEN}
    inside = base64.b64encode(TOKEN.encode()).decode()
    assert set(search_pasted(f"{kind} {inside}".encode()).signed) == {TOKEN}
