"""The form of jitid's tokens: how to recognize one in other text, without a ledger and without a key."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator

_LONGEST_REFERENCE = 10
_LONGEST_NUMBER = 3
_ESCAPE, _SEQUENCE = "\x1b", "\x9b"
_MARKS = f"\\%&^{_ESCAPE}{_SEQUENCE}"
"""The characters with which escapes begin."""
_NUMBERS = {"x": 2, "u": 4, "U": 8}
"""The number of digits after the letter of a numeric escape."""
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
"""The references of XML. No other name stands for an ASCII letter or digit, except `fjlig`, two letters."""


def has_escapes(text: str) -> bool:
    """Return whether a text may contain an escape; decided by C code."""
    # Not a loop: this runs for every message.
    return "\\" in text or "%" in text or "&" in text or "^" in text or _ESCAPE in text or _SEQUENCE in text


def meant(text: str) -> str:
    """Return a text with its escapes decoded."""
    if not has_escapes(text):
        return text
    pieces: list[str] = []
    offset = 0
    for start, end, character in escapes(text):
        pieces += (text[offset:start], character)
        offset = end
    return "".join((*pieces, text[offset:]))


def escapes(text: str) -> Iterator[tuple[int, int, str]]:
    r"""Yield the start and the end of each escape, and its decoded character, which may be empty.

    Decoded are `\n`, `\x41`, `\u0041`, `%41` and `&#65;`, also if their mark is escaped once more. Empty are line
    breaks, named references except those of XML, color sequences of terminals (ECMA-48, section 5.4), and a single
    backslash.
    """
    end = 0
    for start, mark in enumerate(text):
        if mark not in _MARKS or start < end:
            continue
        character, end = _read(text, start)
        if character == _ESCAPE:
            character, end = "", _sequence_end(text, end)
        elif character == _SEQUENCE:
            character, end = "", _parameters_end(text, end)
        yield start, end, character


def _read(text: str, start: int) -> tuple[str, int]:
    """Return the decoded character of an escape and its end; the mark itself if it does not begin an escape."""
    mark, position = text[start], start + 1
    if mark == "\\":
        return _backslash(text, position)
    if mark == "%":
        while text.startswith("25", position):
            position += 2
        return _number(text[position : position + 2], position + 2, digits=2) or (mark, position)
    if mark == "&":
        while text.startswith("amp;", position):
            position += 4
        end = text.find(";", position, position + _LONGEST_REFERENCE)
        return (end > position and _reference(text[position:end], end + 1)) or (mark, position)
    if mark == "^" and text.startswith("[", position):
        # The notation of `cat -v`.
        return _ESCAPE, position + 1
    return mark, position


def _backslash(text: str, start: int) -> tuple[str, int]:
    kind = text[start : start + 1]
    if kind == "e" or text.startswith("033", start):
        # Each of these is an escape character only before `[`; otherwise it is a letter or digits after a backslash.
        end = start + (1 if kind == "e" else _LONGEST_NUMBER)
        return (_ESCAPE, end) if text.startswith("[", end) else ("", start)
    digits = _NUMBERS.get(kind)
    if digits is None:
        return "", start + (kind in ("n", "r", "t"))
    end = start + 1 + digits
    return _number(text[start + 1 : end], end, digits=digits) or ("", min(end, len(text)))


def _number(text: str, end: int, *, digits: int) -> tuple[str, int] | None:
    return _character(text, 16, end) if len(text) == digits else None


def _reference(name: str, end: int) -> tuple[str, int] | None:
    """Return the decoded character of a reference (HTML, section 13.5), and its end; None for any other text."""
    if name.startswith(("#x", "#X")):
        return _character(name[2:], 16, end)
    if name.startswith("#"):
        return _character(name[1:], 10, end)
    return (_NAMED.get(name, ""), end) if name.isascii() and name.isalnum() else None


def _character(digits: str, base: int, end: int) -> tuple[str, int] | None:
    """Return the character with that number, and the end of its escape; None if the digits are not a number."""
    if not (digits.isascii() and digits.isalnum()):
        return None
    try:
        code_point = int(digits, base)
    except ValueError:
        return None
    return (chr(code_point) if code_point < 0x110000 else "", end)


def _sequence_end(text: str, start: int) -> int:
    """Return the end of a terminal sequence; `start` is the position after its escape character."""
    if text.startswith("[", start):
        return _parameters_end(text, start + 1)
    # A sequence that selects a character set has one more character; the others do not matter here.
    return start + 2 if text.startswith(("(", ")"), start) else start


def _parameters_end(text: str, start: int) -> int:
    end = next((end for end in range(start, len(text)) if not " " <= text[end] <= "?"), len(text))
    return end + ("@" <= text[end : end + 1] <= "~")


OPAQUE_PREFIX = "jitid_"
SIGNED_MARK = "eyJqdGkiOiJqdGlf"
"""The beginning of the payload of each signed jitid token: `{"jti":"jti_` in base64url."""
CERTIFICATE = "-----BEGIN CERTIFICATE-----"
"""The beginning of a certificate in text (RFC 7468, section 5.1)."""
_SSH_CERTIFICATE = "-cert-v01@openssh.com "
"""The end of the type of an SSH certificate, which begins its line (OpenSSH's PROTOCOL.certkeys)."""
_LONGEST_TYPE = 64
MAX_TOKEN = 16384
"""The longest token that is read, in bytes; a longer one is refused before anything is decoded."""
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 32
_CHECKED_LENGTH = 6
_DIGITS_LENGTH = RANDOM_LENGTH + _CHECKED_LENGTH
"""The random part and its checksum."""
_MOST_MISSING = 2
"""The maximum number of missing characters: with four characters of the checksum, a token is still recognized."""
_FIRST_CHECKED = DIGITS[: (1 << 32) // 62 ** (_CHECKED_LENGTH - 1) + 1]
"""The possible first digits of a checksum: 62**6 is much more than 2**32."""
_PREFIX_WORD = OPAQUE_PREFIX.removesuffix("_")
_LENGTH = len(OPAQUE_PREFIX) + _DIGITS_LENGTH
_BASE64URL = DIGITS + "-_"
_RECOGNIZABLE_LENGTH = 12
"""The number of characters after the prefix from which a text is refused as a part of a token."""
_SIGNATURE_LENGTH = 80
"""The minimum length of a signature or a part of one: a signature has 86 characters, and some may be missing."""

MASK = "****"
_BLANKS = " \t\r\n"
_JSON_MARK = "eyJ"
"""The beginning of each part of a signed token that is a JSON object: `{"` in base64url."""
_JSON_LENGTH = 16
_OPAQUE_MARK = "aml0aWRf"
"""`jitid_` in base64."""
_THUMBPRINT_LENGTH = 43
"""A word of base64url of exactly this length counts as a SHA-256 thumbprint, which is public."""
_SHORTEST_SECRET = 16
_FOREIGN = (
    # OpenBao and Vault, of today and of old
    *("hvs.", "hvb.", "hvr.", "s.", "b.", "r."),
    # GitHub
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
)
"""The prefixes of other systems' secrets that users of jitid often have."""
_FOREIGN_LENGTH = 16
"""The number of further characters, with lower case, upper case and digits, that make a secret after such a prefix."""
_PRIVATE_KEY = "PRIVATE KEY-----"
_SEPARATE = bytes(byte if chr(byte) in f"{_BASE64URL}.%" else ord(" ") for byte in range(256))
_BETWEEN = bytes(byte for byte in range(256) if chr(byte) not in DIGITS)


def bare(text: str) -> str:
    """Return a token without surrounding blanks: only space, tab, CR and LF of ASCII.

    Any other character beside a token makes it a different text: each token has one spelling.
    """
    return text.strip(_BLANKS)


def is_opaque(text: str) -> bool:
    """Return whether the text has the form and the checksum of an opaque token, which detects a typo offline."""
    if len(text) != _LENGTH or not text.startswith(OPAQUE_PREFIX):
        return False
    digits = text[len(OPAQUE_PREFIX) :]
    if digits.strip(DIGITS):
        return False
    return checksum(digits[:RANDOM_LENGTH].encode("ascii")) == digits[RANDOM_LENGTH:]


def is_ssh_certificate(text: str) -> bool:
    """Return whether a text looks like the line of an SSH certificate."""
    return _SSH_CERTIFICATE in text[:_LONGEST_TYPE]


def holds_token(text: str) -> bool:
    """Return whether free text contains a jitid token, or a sufficient part of one.

    A sufficient part is one of these: `jitid_` (also with the underscore as `%5F`) and 12 base62 characters; 32 base62
    characters in a row, like the random part of an opaque token; 80 base64url characters in a row (a signature has
    86); or the beginning of the payload of a signed token. A whole opaque token in base64 has such a row as well. A
    row without prefix counts only if it has lower case, upper case and digits. Hexadecimal hashes and rows of one
    letter lack some of these; so does one random part in 270.
    """
    if SIGNED_MARK in text:
        return True
    # The usual case, decided without a search: too short for a row that counts without a prefix.
    if len(text) < RANDOM_LENGTH and _PREFIX_WORD not in text:
        return False
    if any(len(run) >= _RECOGNIZABLE_LENGTH for run in _prefixed(text)):
        return True
    return any(_is_mixed(run) for run in _runs(text, DIGITS, RANDOM_LENGTH)) or any(
        _is_mixed(run) for run in _runs(text, _BASE64URL, _SIGNATURE_LENGTH)
    )


def name_holds_token(text: str) -> bool:
    """Return whether a name, a scope or an audience contains a jitid token.

    Other systems make many of these, as random as jitid's tokens: subjects of ID tokens, ids of clients. So a text
    without the prefix counts only with a valid checksum, even if one or two of its characters are cut off. A name such
    as `jitid_documentation` is allowed.
    """
    if SIGNED_MARK in text:
        return True
    # The usual case, decided without a search: too short for a token that lacks its prefix.
    if len(text) < _DIGITS_LENGTH - _MOST_MISSING and _PREFIX_WORD not in text:
        return False
    # A token with its prefix, or a sufficient part of one.
    if any(len(run) >= _RECOGNIZABLE_LENGTH and _is_mixed(run) for run in _prefixed(text)):
        return True
    # A whole token without its prefix: the checksum is valid.
    if any(
        digit in _FIRST_CHECKED and is_opaque(OPAQUE_PREFIX + run[start : start + _DIGITS_LENGTH])
        for run in _runs(text, DIGITS, _DIGITS_LENGTH)
        for start, digit in enumerate(run[RANDOM_LENGTH : len(run) - _CHECKED_LENGTH + 1])
    ):
        return True
    # A token without its prefix that lacks a character or two: some completion has a valid checksum.
    if any(
        len(run) < _DIGITS_LENGTH and _is_mixed(run) and _can_be_completed(run)
        for run in _runs(text, DIGITS, _DIGITS_LENGTH - _MOST_MISSING)
    ):
        return True
    # A token with line breaks, blanks or invisible characters inside.
    return not is_unbroken(text) and bool(_broken(text))


def masked(text: str, *, wide: bool = False) -> str:
    """Return a message with stars instead of each word that looks like a credential or a part of one.

    Masked are tokens of jitid and parts of them, as in `name_holds_token`, also with line breaks, blanks or invisible
    characters inside; signed tokens of other issuers; tokens of OpenBao and GitHub; passwords in URLs (RFC 3986,
    section 3.2.1); private keys in PEM (RFC 7468). Ids, hexadecimal hashes and SHA-256 thumbprints are not masked. A
    second call changes nothing more.

    `wide` is for text that jitid did not write and that is not a name in a ledger: it also masks all long random
    words, such as AWS secrets, and the parts of tokens of `holds_token`. By default these are shown, since names of
    other systems look alike, and commands contain them.
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
    # The longest first: one secret may be a part of another.
    for word in sorted(secrets, key=len, reverse=True):
        text = text.replace(word.decode("ascii"), MASK)
    return text


def is_unbroken(text: str) -> bool:
    """Return whether a text is one word of visible ASCII without an escape: no token in it can be broken."""
    return text.isascii() and text.isprintable() and " " not in text and not has_escapes(text)


def _broken(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of jitid tokens with blanks, line breaks or the like inside, in order.

    An opaque token is recognized by its checksum, so that prose is never mistaken for one. A signed token is
    recognized by the beginning of its payload. Its end is unknown, so it extends to the end of the text.
    """
    if len(text) < _LENGTH:
        return []
    escaped = has_escapes(text)
    # The usual case, decided by C code.
    compact = text.encode("ascii", "ignore").translate(None, _BETWEEN)
    if not escaped and _PREFIX_WORD.encode() not in compact and SIGNED_MARK.encode() not in compact:
        return []
    spans = list(_broken_spans(text, escaped=False))
    if escaped:
        spans += _broken_spans(text, escaped=True)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if not merged or start >= merged[-1][1]:
            merged.append((start, end))
        else:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
    return merged


def _broken_spans(text: str, *, escaped: bool) -> Iterator[tuple[int, int]]:
    starts, ends, joined = _digits(text, escaped=escaped)
    for prefix_end in _ends(joined, _PREFIX_WORD):
        body = joined[prefix_end : prefix_end + _DIGITS_LENGTH]
        if is_opaque(OPAQUE_PREFIX + body):
            start, end = starts[prefix_end - len(_PREFIX_WORD)], ends[prefix_end + _DIGITS_LENGTH - 1]
            # An unbroken token is recognized as a word.
            if not text.endswith(body, start, end):
                yield start, end
    judged_end = 0
    for mark_end in _ends(joined, SIGNED_MARK):
        start = starts[mark_end - len(SIGNED_MARK)]
        # Another mark in the same word belongs to the first one.
        if text.startswith(SIGNED_MARK, start) and (
            start < judged_end or not _may_continue(text, judged_end := _run_end(text, start))
        ):
            continue
        yield start, len(text)
        return


def _can_be_completed(run: str) -> bool:
    """Return whether base62 characters are an opaque token from which a few characters at the ends are missing."""
    missing = _DIGITS_LENGTH - len(run)
    for missing_before in range(missing + 1):
        missing_behind = missing - missing_before
        digits = run[: RANDOM_LENGTH - missing_before]
        value = 0
        for digit in run[RANDOM_LENGTH - missing_before :]:
            value = value * 62 + DIGITS.index(digit)
        computed = crc32(b"0" * missing_before + digits.encode())
        checksums = range(value * 62**missing_behind, (value + 1) * 62**missing_behind)
        few, many = sorted((checksums, _changes(missing_before)), key=len)
        if any(computed ^ candidate in many for candidate in few):
            return True
    return False


def _changes(count: int) -> frozenset[int]:
    """Return the changes of a random part's CRC if other digits replace `count` leading zeros.

    The CRC is linear: the change does not depend on the other characters.
    """
    if count in _CHANGES:
        return _CHANGES[count]
    suffix = b"0" * (RANDOM_LENGTH - count)
    zeros = crc32(b"0" * count + suffix)
    prefixes = [b""]
    for _ in range(count):
        prefixes = [prefix + digit.encode() for prefix in prefixes for digit in DIGITS]
    changes = _CHANGES[count] = frozenset([crc32(prefix + suffix) ^ zeros for prefix in prefixes])
    return changes


_CHANGES: dict[int, frozenset[int]] = {}
"""The cached results of `_changes`. `functools` loads slowly, and `--version` needs this module."""


def _ends(text: str, mark: str) -> Iterator[int]:
    """Yield the end of each occurrence of a mark."""
    offset = 0
    while (offset := text.find(mark, offset) + len(mark)) >= len(mark):
        yield offset


def _may_continue(text: str, offset: int) -> bool:
    """Return whether a payload that ends at `offset`, or the signature after it, may continue after a break."""
    offset += text.startswith(".", offset)
    end = _run_end(text, offset)
    return end - offset < _SIGNATURE_LENGTH and end < len(text) and not is_unbroken(text[end])


def _run_end(text: str, start: int) -> int:
    return next((end for end in range(start, len(text)) if text[end] not in _BASE64URL), len(text))


def _digits(text: str, *, escaped: bool) -> tuple[list[int], list[int], str]:
    """Return the starts and ends of the base62 characters of a text, and the characters.

    With `escaped`, escapes are decoded.
    """
    starts: list[int] = []
    ends: list[int] = []
    characters: list[str] = []
    offset = 0
    for start, end, character in (*(escapes(text) if escaped else ()), (len(text), len(text), "")):
        indexes = [index for index in range(offset, start) if text[index] in DIGITS]
        starts += indexes
        ends += [index + 1 for index in indexes]
        characters += [text[index] for index in indexes]
        if character and character in DIGITS:
            starts.append(start)
            ends.append(end)
            characters.append(character)
        offset = end
    return starts, ends, "".join(characters)


def _is_secret(word: str, *, wide: bool) -> bool:
    """Return whether a word of base64url characters, dots and percent signs looks like (part of) a credential."""
    if SIGNED_MARK in word or name_holds_token(word):
        return True
    if any(len(run) >= RANDOM_LENGTH for run in _prefixed(word)):
        return True
    if _OPAQUE_MARK in word:
        return True
    json_start = word.find(_JSON_MARK)
    if json_start >= 0 and len(next(_runs(word[json_start:], _BASE64URL, 0), "")) >= _JSON_LENGTH:
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
    """Return a text without its private keys: each from its first line to its last line, or to the end of the text."""
    result, remaining = "", text
    while _PRIVATE_KEY in remaining:
        before, _, remaining = remaining.partition(_PRIVATE_KEY)
        _, _, remaining = remaining.partition(_PRIVATE_KEY)
        result += before.rpartition("-----BEGIN")[0] + MASK
    return result + remaining


def _around_passwords(text: str) -> Iterator[str]:
    """Yield the pieces of a text between the passwords of its URLs."""
    start = offset = 0
    while (offset := text.find("://", offset)) >= 0:
        offset += len("://")
        end = next(
            (index for index in range(offset, len(text)) if text[index] in "/?#\"'`<> \t\r\n"), len(text)
        )
        host = text.rfind("@", offset, end)
        colon = text.find(":", offset, host) if host >= 0 else -1
        if colon >= 0:
            yield text[start : colon + 1]
            start = host
    yield text[start:]


def _prefixed(text: str) -> Iterator[str]:
    """Yield the base62 characters after each jitid prefix."""
    if _PREFIX_WORD not in text:
        return
    text = text.replace("%5f", "_").replace("%5F", "_")
    for part in text.split(OPAQUE_PREFIX)[1:]:
        yield next(_runs(part, DIGITS, 0))


def _runs(text: str, alphabet: str, length: int) -> Iterator[str]:
    """Yield each maximal run of at least `length` characters of an alphabet."""
    if len(text) < length:
        return
    start = 0
    # Not a regular expression: loading `re` takes longer than an issue may take.
    for index, character in enumerate(text):
        if character not in alphabet:
            if index - start >= length:
                yield text[start:index]
            start = index + 1
    if len(text) - start >= length:
        yield text[start:]


def _is_mixed(run: str) -> bool:
    """Return whether a run has lower case, upper case and digits."""
    return run.lower() != run != run.upper() and any(map(str.isdigit, run))


def checksum(digits: bytes) -> str:
    """Return the last characters of an opaque token, computed from the characters after its prefix."""
    # CRC-32 in base62, the most significant digit first; 62**6 > 2**32, so every value fits.
    value, sixth = divmod(crc32(digits), 62)
    value, fifth = divmod(value, 62)
    value, fourth = divmod(value, 62)
    value, third = divmod(value, 62)
    first, second = divmod(value, 62)
    table = DIGITS
    return f"{table[first]}{table[second]}{table[third]}{table[fourth]}{table[fifth]}{table[sixth]}"
