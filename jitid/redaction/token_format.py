"""How tokens of ours look: what tells one from other text, without a ledger and without a key."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator

from jitid.redaction.escapes import escapes, has_escapes

OPAQUE_PREFIX = "jitid_"
SIGNED_MARK = "eyJqdGkiOiJqdGlf"
"""How the payload of each of our signed tokens begins: `{"jti":"jti_` in base64url."""
CERTIFICATE = "-----BEGIN CERTIFICATE-----"
"""How a certificate in text begins (RFC 7468, section 5.1)."""
_SSH_CERTIFICATE = "-cert-v01@openssh.com "
"""How the type of an SSH certificate ends, which the line of one begins with (OpenSSH's PROTOCOL.certkeys)."""
_LONGEST_TYPE = 64
MAX_TOKEN = 16384
"""The longest token that is looked at, in bytes; a longer one is refused before anything is decoded."""
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 32
_CHECKED_LENGTH = 6
_DIGITS_LENGTH = RANDOM_LENGTH + _CHECKED_LENGTH
"""The random part and its checksum."""
_MOST_MISSING = 2
"""So many characters of these may be missing: four of the checksum, or what they bound, still tell a token."""
_FIRST_CHECKED = DIGITS[: (1 << 32) // 62 ** (_CHECKED_LENGTH - 1) + 1]
"""The first digit of a checksum is one of these: 62**6 is much more than 2**32."""
_PREFIX_WORD = OPAQUE_PREFIX.removesuffix("_")
_LENGTH = len(OPAQUE_PREFIX) + _DIGITS_LENGTH
_BASE64URL = DIGITS + "-_"
_TELLING_LENGTH = 12
"""So much of a token, behind its prefix, is too much to be kept."""
_SIGNATURE_LENGTH = 80
"""A signature has 86 characters; some may be missing."""

MASK = "****"
_BLANKS = " \t\r\n"
_JSON_MARK = "eyJ"
"""How each part of a signed token begins that is a JSON object: `{"` in base64url."""
_JSON_LENGTH = 16
_OPAQUE_MARK = "aml0aWRf"
"""`jitid_` in base64."""
_THUMBPRINT_LENGTH = 43
"""A word of base64url of exactly this length is taken for a SHA-256 thumbprint, which is public."""
_SHORTEST_SECRET = 16
_FOREIGN = (
    # OpenBao and Vault, of today and of old
    *("hvs.", "hvb.", "hvr.", "s.", "b.", "r."),
    # GitHub
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
)
"""How secrets of others begin that a user of jitid has at hand."""
_FOREIGN_LENGTH = 16
"""So many characters behind that, with lower case, upper case and digits, are a secret."""
_PRIVATE_KEY = "PRIVATE KEY-----"
_SEPARATE = bytes(each if chr(each) in f"{_BASE64URL}.%" else ord(" ") for each in range(256))
_BETWEEN = bytes(each for each in range(256) if chr(each) not in DIGITS)


def bare(text: str) -> str:
    """Return a token without the blanks around it: space, tab, CR and LF of ASCII, and no others.

    Whatever else stands beside a token makes another text of it: each token has one spelling.
    """
    return text.strip(_BLANKS)


def is_opaque(text: str) -> bool:
    """Say whether the text has the shape and the checksum of an opaque token: a typo is found offline."""
    if len(text) != _LENGTH or not text.startswith(OPAQUE_PREFIX):
        return False
    digits = text[len(OPAQUE_PREFIX) :]
    if digits.strip(DIGITS):
        return False
    return checksum(digits[:RANDOM_LENGTH].encode("ascii")) == digits[RANDOM_LENGTH:]


def is_ssh_certificate(text: str) -> bool:
    """Say whether a text is meant to be the line of an SSH certificate."""
    return _SSH_CERTIFICATE in text[:_LONGEST_TYPE]


def holds_token(text: str) -> bool:
    """Say whether a token of ours, or what is enough of one, stands somewhere in a text that people write.

    Enough is `jitid_` (also with the underscore as `%5F`) and 12 base62 characters; 32 base62 characters in a row, as
    the random part of an opaque token is, or it whole in base64; 80 base64url characters in a row, as a signature has
    86; or how the payload of a signed token begins. A row counts only if it has lower case, upper case and digits:
    hashes in hexadecimal and rows of one letter have not, and of random parts one in 270 has not.
    """
    if SIGNED_MARK in text:
        return True
    # The usual case, decided without a search: too short for a row that counts without a prefix.
    if len(text) < RANDOM_LENGTH and _PREFIX_WORD not in text:
        return False
    if any(len(run) >= _TELLING_LENGTH for run in _prefixed(text)):
        return True
    return any(_is_mixed(run) for run in _runs(text, DIGITS, RANDOM_LENGTH)) or any(
        _is_mixed(run) for run in _runs(text, _BASE64URL, _SIGNATURE_LENGTH)
    )


def names_token(text: str) -> bool:
    """Say whether a token of ours stands in what is to be a name, a scope or an audience.

    Those are often made by others, and as random as our tokens: subjects of ID tokens, ids of clients. So what has not
    our prefix must have the checksum to count, also where one or two of its characters are cut off; and a name may well
    be `jitid_documentation`.
    """
    if SIGNED_MARK in text:
        return True
    # As above.
    if len(text) < _DIGITS_LENGTH - _MOST_MISSING and _PREFIX_WORD not in text:
        return False
    if any(len(run) >= _TELLING_LENGTH and _is_mixed(run) for run in _prefixed(text)):
        return True
    if any(
        first in _FIRST_CHECKED and is_opaque(OPAQUE_PREFIX + run[at : at + _DIGITS_LENGTH])
        for run in _runs(text, DIGITS, _DIGITS_LENGTH)
        for at, first in enumerate(run[RANDOM_LENGTH : len(run) - _CHECKED_LENGTH + 1])
    ):
        return True
    if any(
        len(run) < _DIGITS_LENGTH and _is_mixed(run) and _can_be_completed(run)
        for run in _runs(text, DIGITS, _DIGITS_LENGTH - _MOST_MISSING)
    ):
        return True
    return not is_unbroken(text) and bool(_broken(text))


def masked(text: str, *, wide: bool = False) -> str:
    """Return a message with stars instead of each word that looks like a credential or a part of one.

    Masked are tokens of jitid and parts of them, as `names_token` has it, also where line breaks, blanks or invisible
    characters stand within; signed tokens of others; tokens of OpenBao and GitHub; passwords in URLs (RFC 3986,
    section 3.2.1); private keys in PEM (RFC 7468). Ids, hashes in hexadecimal and SHA-256 thumbprints are not. Doing it
    twice changes nothing more.

    `wide` is for what jitid did not write and no ledger has as a name: all long random words, as AWS has them, and as
    `holds_token` has it. Without it they are shown, since names of other systems look alike, and commands name them.
    """
    if len(text) < _SHORTEST_SECRET:
        return text
    for start, end in reversed(_broken(text)):
        text = text[:start] + MASK + text[end:]
    if _PRIVATE_KEY in text:
        text = _without_keys(text)
    if "://" in text and "@" in text:
        text = MASK.join(_around_passwords(text))
    words = text.encode("utf-8", "surrogatepass").translate(_SEPARATE).split()
    secrets = {
        word
        for word in words
        if len(word) >= _SHORTEST_SECRET and _is_secret(word.decode("ascii"), wide=wide)
    }
    # The longest first: one may stand within another.
    for word in sorted(secrets, key=len, reverse=True):
        text = text.replace(word.decode("ascii"), MASK)
    return text


def is_unbroken(text: str) -> bool:
    """Say whether a text is one word of visible ASCII characters without an escape: nothing breaks a token in it."""
    return text.isascii() and text.isprintable() and " " not in text and not has_escapes(text)


def _broken(text: str) -> list[tuple[int, int]]:
    """Return where tokens of ours begin and end into which blanks, line breaks or the like were put, in order.

    An opaque one is known by its checksum, so that no prose is taken for one. A signed one is known by how its payload
    begins; where it ends is not known, and so it reaches to the end of the text.
    """
    if len(text) < _LENGTH:
        return []
    escaped = has_escapes(text)
    # The usual case, decided by C code.
    kept = text.encode("ascii", "ignore").translate(None, _BETWEEN)
    if not escaped and _PREFIX_WORD.encode() not in kept and SIGNED_MARK.encode() not in kept:
        return []
    spans = list(_broken_spans(text, escaped=False))
    if escaped:
        spans += _broken_spans(text, escaped=True)
    apart: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if not apart or start >= apart[-1][1]:
            apart.append((start, end))
        else:
            apart[-1] = apart[-1][0], max(end, apart[-1][1])
    return apart


def _broken_spans(text: str, *, escaped: bool) -> Iterator[tuple[int, int]]:
    starts, ends, joined = _digits(text, escaped=escaped)
    for first in _ends(joined, _PREFIX_WORD):
        body = joined[first : first + _DIGITS_LENGTH]
        if is_opaque(OPAQUE_PREFIX + body):
            start, end = starts[first - len(_PREFIX_WORD)], ends[first + _DIGITS_LENGTH - 1]
            # One that is whole is known as a word.
            if not text.endswith(body, start, end):
                yield start, end
    judged = 0
    for last in _ends(joined, SIGNED_MARK):
        start = starts[last - len(SIGNED_MARK)]
        # Another mark in the same word is judged with the first one.
        if text.startswith(SIGNED_MARK, start) and (
            start < judged or not _goes_on(text, judged := _run_end(text, start))
        ):
            continue
        yield start, len(text)
        return


def _can_be_completed(run: str) -> bool:
    """Say whether base62 characters are those of an opaque token but for a few that are missing around them."""
    missing = _DIGITS_LENGTH - len(run)
    for before in range(missing + 1):
        behind = missing - before
        digits = run[: RANDOM_LENGTH - before]
        value = 0
        for each in run[RANDOM_LENGTH - before :]:
            value = value * 62 + DIGITS.index(each)
        found = crc32(b"0" * before + digits.encode())
        checksums = range(value * 62**behind, (value + 1) * 62**behind)
        few, many = sorted((checksums, _changes(before)), key=len)
        if any(found ^ each in many for each in few):
            return True
    return False


def _changes(count: int) -> frozenset[int]:
    """Return what other digits instead of as many zeros before all others change in the CRC of a random part.

    It is linear: that does not depend on the others.
    """
    if count in _CHANGES:
        return _CHANGES[count]
    rest = b"0" * (RANDOM_LENGTH - count)
    zeros = crc32(b"0" * count + rest)
    firsts = [b""]
    for _ in range(count):
        firsts = [first + each.encode() for first in firsts for each in DIGITS]
    found = _CHANGES[count] = frozenset([crc32(first + rest) ^ zeros for first in firsts])
    return found


_CHANGES: dict[int, frozenset[int]] = {}
"""What `_changes` has returned; `functools` takes its time to load, and `--version` needs this module."""


def _ends(text: str, mark: str) -> Iterator[int]:
    """Yield where each occurrence of a mark ends."""
    at = 0
    while (at := text.find(mark, at) + len(mark)) >= len(mark):
        yield at


def _goes_on(text: str, at: int) -> bool:
    """Say whether a payload that ends there, or the signature behind it, may go on after a break."""
    at += text.startswith(".", at)
    end = _run_end(text, at)
    return end - at < _SIGNATURE_LENGTH and end < len(text) and not is_unbroken(text[end])


def _run_end(text: str, at: int) -> int:
    return next((end for end in range(at, len(text)) if text[end] not in _BASE64URL), len(text))


def _digits(text: str, *, escaped: bool) -> tuple[list[int], list[int], str]:
    """Return where base62 characters of a text begin, where they end, and the characters; with `escaped`, as meant."""
    starts: list[int] = []
    ends: list[int] = []
    characters: list[str] = []
    at = 0
    for start, end, character in (*(escapes(text) if escaped else ()), (len(text), len(text), "")):
        places = [place for place in range(at, start) if text[place] in DIGITS]
        starts += places
        ends += [place + 1 for place in places]
        characters += [text[place] for place in places]
        if character and character in DIGITS:
            starts.append(start)
            ends.append(end)
            characters.append(character)
        at = end
    return starts, ends, "".join(characters)


def _is_secret(word: str, *, wide: bool) -> bool:
    """Say whether a word of base64url characters, dots and percent signs looks like a credential or a part of one."""
    if SIGNED_MARK in word or names_token(word):
        return True
    if any(len(run) >= RANDOM_LENGTH for run in _prefixed(word)):
        return True
    if _OPAQUE_MARK in word:
        return True
    at = word.find(_JSON_MARK)
    if at >= 0 and len(next(_runs(word[at:], _BASE64URL, 0), "")) >= _JSON_LENGTH:
        return True
    if word.lstrip("-_.%").startswith(_FOREIGN) and any(
        map(_is_mixed, _runs(word, _BASE64URL, _FOREIGN_LENGTH))
    ):
        return True
    return wide and any(
        len(piece) != _THUMBPRINT_LENGTH
        and any(
            _is_mixed(run)
            for run in (*_runs(piece, DIGITS, RANDOM_LENGTH), *_runs(piece, _BASE64URL, _SIGNATURE_LENGTH))
        )
        for piece in _runs(word, _BASE64URL, RANDOM_LENGTH)
    )


def _without_keys(text: str) -> str:
    """Return a text without the private keys in it: each from its first line to its last, or to the text's end."""
    kept, rest = "", text
    while _PRIVATE_KEY in rest:
        before, _, rest = rest.partition(_PRIVATE_KEY)
        _, _, rest = rest.partition(_PRIVATE_KEY)
        kept += before.rpartition("-----BEGIN")[0] + MASK
    return kept + rest


def _around_passwords(text: str) -> Iterator[str]:
    """Yield what stands around the passwords of the URLs in a text."""
    start = at = 0
    while (at := text.find("://", at)) >= 0:
        at += len("://")
        end = next((place for place in range(at, len(text)) if text[place] in "/?#\"'`<> \t\r\n"), len(text))
        host = text.rfind("@", at, end)
        colon = text.find(":", at, host) if host >= 0 else -1
        if colon >= 0:
            yield text[start : colon + 1]
            start = host
    yield text[start:]


def _prefixed(text: str) -> Iterator[str]:
    """Yield the base62 characters behind each of our prefixes."""
    if _PREFIX_WORD not in text:
        return
    text = text.replace("%5f", "_").replace("%5F", "_")
    for part in text.split(OPAQUE_PREFIX)[1:]:
        yield next(_runs(part, DIGITS, 0))


def _runs(text: str, alphabet: str, length: int) -> Iterator[str]:
    """Yield each longest row of at least `length` characters of an alphabet."""
    if len(text) < length:
        return
    start = 0
    # A regular expression would do; but loading `re` takes longer than an issue may.
    for at, character in enumerate(text):
        if character not in alphabet:
            if at - start >= length:
                yield text[start:at]
            start = at + 1
    if len(text) - start >= length:
        yield text[start:]


def _is_mixed(run: str) -> bool:
    """Say whether a row has lower case, upper case and digits."""
    return run.lower() != run != run.upper() and any(map(str.isdigit, run))


def checksum(digits: bytes) -> str:
    """Return the last characters of an opaque token, by those after its prefix."""
    # CRC-32 in base62, the most significant digit first; 62**6 > 2**32, so that all of it fits.
    rest, sixth = divmod(crc32(digits), 62)
    rest, fifth = divmod(rest, 62)
    rest, fourth = divmod(rest, 62)
    rest, third = divmod(rest, 62)
    first, second = divmod(rest, 62)
    table = DIGITS
    return f"{table[first]}{table[second]}{table[third]}{table[fourth]}{table[fifth]}{table[sixth]}"
