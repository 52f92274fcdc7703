"""Free text made safe for display: in terminals, logs and error messages."""

from __future__ import annotations

from jitid.errors import UsageError
from jitid.redaction.token_format import (
    MASK,
    MAX_TOKEN,
    OPAQUE_PREFIX,
    holds_token,
    is_unbroken,
    masked,
    meant,
    name_holds_token,
)

# `str.isprintable` already refuses control, format, surrogate, private and unassigned characters and every separator
# but the space. Unicode calls the following ones printable, although they are invisible: the grapheme joiner, the
# Hangul fillers, inherent Khmer vowels, Mongolian and general variation selectors, the blank Braille pattern, the
# musical null notehead, the Egyptian blanks (printable since Unicode 15), the Khitan filler.
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    "\U0001d159\U00013441\U00013442\U00016fe4" + "".join(map(chr, range(0xFE00, 0xFE10)))
)

MARK = "\ufeff"
"""The byte order mark (RFC 3629, section 6), which some editors write before the first character of a file."""

_UTF_8, _UTF_16 = MARK.encode(), (b"\xff\xfe", b"\xfe\xff")

# A quoted text of at least this length with one of these marks may be a token pasted in the wrong place.
_TOKEN_LENGTH = 40
_TOKEN_MARKS = (OPAQUE_PREFIX, "eyJ")

EXPOSED = (
    "pass a token in a file or a pipe; if you typed it, it is in the shell's history now: revoke it by "
    "`jitid trace --revoke`"
)
"""The hint about a token on a command line."""

_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def mark_of(data: bytes) -> str | None:
    """Return the name of the byte order mark that a file begins with; None without a mark."""
    if data.startswith(_UTF_16):
        return "the byte order mark of UTF-16"
    return "a byte order mark" if data.startswith(_UTF_8) else None


def decoded(data: bytes, label: str) -> str:
    """Return the text of a user's file: settings, a list or a key, but not a secret.

    A byte order mark at its start is skipped, since some editors write one. Raises UsageError if it is not UTF-8.
    """
    if data.startswith(_UTF_16):
        raise UsageError(f"{label} is not UTF-8: it begins with {mark_of(data)}", "save it as UTF-8")
    try:
        return data.decode().removeprefix(MARK)
    except UnicodeDecodeError:
        raise UsageError(f"{label} is not UTF-8") from None


def refuse_mark(text: str, label: str) -> None:
    """Raise UsageError if a user's word has a byte order mark, which is invisible; the error does not show the word."""
    if MARK in text:
        raise UsageError(
            f"{label} has a byte order mark (U+FEFF)", "type it again: a copy would have the mark too"
        )


def check_text(text: str, label: str) -> str:
    """Return free text unchanged if it can be stored and returned.

    Raise UsageError for bytes that are not UTF-8: Python represents them as lone surrogates, which JSON readers
    refuse. Raise it also for a token or a part of one, since the text is stored and shown.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{label} is not UTF-8 text") from None
    refuse_token(text, label)
    if holds_token(text):
        raise UsageError(
            f"{label} may contain a part of a token",
            "the text is stored and shown: remove long random strings",
        )
    return text


def refuse_token(text: str, label: str) -> None:
    """Raise UsageError if a jitid token is in a name, a scope or an audience, which are stored and shown."""
    if name_holds_token(text):
        raise UsageError(
            f"a token was passed as {label}",
            "it is exposed now; to revoke it, paste it into: jitid trace --revoke",
        )


def token_warning(text: str) -> str | None:
    """Return advice for a word of a command line that may be a token; None for any other word."""
    if name_holds_token(text) or _may_be_a_token(text[: MAX_TOKEN + 1]):
        return EXPOSED
    return None


def may_be_secret(text: str) -> bool:
    """Return whether a word of a command line may be a token, a part of one, or another random secret."""
    beginning = text[: MAX_TOKEN + 1]
    return (
        token_warning(beginning) is not None
        or holds_token(beginning)
        or masked(beginning, wide=True) != beginning
    )


def operand(name: str) -> str:
    """Return a name as the last word of a suggested command; a name that begins like an option follows `--`."""
    return f"-- {name}" if name.startswith("-") else name


def with_final_newline(text: str) -> str:
    """Return a text whose last line ends with a newline."""
    return text if text.endswith("\n") else f"{text}\n"


def safe(text: str) -> str:
    r"""Return the text with every character that acts or hides replaced by a visible escape.

    Escaped are C0 and C1 controls (newline and tab too), bidirectional controls, zero-width and blank
    characters, line and paragraph separators, tags, lone surrogates, private and unassigned code points, as
    `\n`, `\x1b`, `\u202e` or `\U000e0041`. Doing it twice changes nothing more, and the result can always be
    encoded. Letters of all scripts stay, and so does markup: Rich, HTML and spreadsheets have other rules.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join([_visible(character) for character in text])


def _visible(character: str) -> str:
    # Plane 14 has only tags and variation selectors, which are invisible.
    if character.isprintable() and character not in _BLANK and not "\U000e0000" <= character <= "\U000effff":
        return character
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def quote(text: str, limit: int = 60) -> str:
    """Return the text for an error message: safe, in backquotes, at most `limit` characters and an ellipsis.

    A possible token is replaced by stars, since an error must not repeat it.
    """
    # The text is cut before it is made safe, because it may be a megabyte, and again afterwards, because escapes are
    # longer. Only a complete token can be recognized.
    beginning = text[: limit + MAX_TOKEN]
    return f"`{MASK}`" if _may_be_a_token(beginning) else _quoted(masked(beginning, wide=True), limit)


def label(name: str, limit: int = 60) -> str:
    """Return a name that jitid accepts for an error message, like `quote`; a random name is shown as well.

    Ids of other systems are as random as secrets, and a command that contains one must be usable.
    """
    return _quoted(masked(name), limit)


def foreign(value: object, limit: int | None = None) -> str:
    """Return a message of another program or library, at most `limit` characters: safe, with stars for secrets."""
    return safe(starred(str(value))[:limit])


def starred(text: str) -> str:
    """Return a message of another program or library with stars for secrets, including secrets with line breaks."""
    joined = _joined(text)
    if joined != text and (masked_text := masked(joined, wide=True)) != joined:
        return masked_text
    return masked(text, wide=True)


def _may_be_a_token(text: str) -> bool:
    """Return whether a user's text may be a token, even with line breaks or invisible characters in it."""
    if len(text) < _TOKEN_LENGTH and is_unbroken(text):
        return False
    joined = _joined(text)
    if len(text) >= _TOKEN_LENGTH and (
        any(mark in joined for mark in _TOKEN_MARKS) or OPAQUE_PREFIX in "".join(joined.split())
    ):
        return True
    return joined != text and masked(joined, wide=True) != joined


def _joined(text: str) -> str:
    """Return a text without line breaks, escapes and other invisible characters; spaces remain."""
    return "".join(
        [character for character in meant(text) if character.isprintable() and character not in _BLANK]
    )


def _quoted(text: str, limit: int) -> str:
    text = safe(text[: limit + 1]).replace("`", "\\x60")
    if len(text) > limit:
        text = text[:limit] + "…"
    return f"`{text}`"


def number_of(count: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 task`, `2 tasks`."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"
