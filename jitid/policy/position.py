"""Places in a policy file: Cedar's messages describe an error, but not its place.

Also the validation of statements against the schema, and a catalogue of a policy's rules.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from jitid.policy.policy_text import ALL_FACTS, TOKEN, PolicyRule, rule_of, statements, word_at
from jitid.policy.safe_cedarpy import cedarpy
from jitid.values.record import Record

MOST_TOKENS = 3_000
"""Number of tokens that are tried to find a wrong token; each try parses the text up to there."""

QUOTED = re.compile(r"`([^`]+)`")
"""The names in a message."""

# Cedar reads these as one token, and a text that ends between the two is wrong there.
_PAIRS = frozenset({"::", "==", "!=", "<=", ">=", "&&", "||"})
_SLOT = re.compile(r"\?(?:principal|resource)")
_AFTER_COLON = re.compile(r": @?(\w[\w:]*)$")
_LARGEST = 2**63 - 1


class FilePlace(Record):
    """A place in a file, both counted from 1; a column is a character."""

    line: int
    column: int


class Token(Record):
    """A token of Cedar's grammar, and where it begins in its text."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """The index after its last character."""
        return self.start + len(self.text)


class Statement(Record):
    """A statement of a file with its own text, from its first token to the semicolon."""

    file: str
    text: str
    start: int
    """The index in the file at which it begins."""

    @property
    def tokens(self) -> list[Token]:
        """Its tokens, without comments."""
        return tokens_of(self.text)


class FilePlaces:
    """A converter from an index in a text to line and column."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]

    def __call__(self, offset: int) -> FilePlace:
        """Return the place of the character with that number, from 0."""
        from bisect import bisect_right

        line = bisect_right(self._starts, offset)
        return FilePlace(line, offset - self._starts[line - 1] + 1)


def statements_of(file: str, text: str) -> Iterator[Statement]:
    """Yield the statements of a text that have more than comments, as far as they can be separated."""
    start = 0
    for piece in statements(text):
        tokens = tokens_of(piece)
        if tokens:
            first_start = tokens[0].start
            yield Statement(file, piece[first_start : tokens[-1].end], start + first_start)
        start += len(piece)


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a text as Cedar joins them, without comments."""
    tokens: list[Token] = []
    for match in TOKEN.finditer(text):
        token = match.group()
        if token.startswith("//"):
            continue
        if tokens and tokens[-1].end == match.start() and tokens[-1].text + token in _PAIRS:
            tokens[-1] = Token(tokens[-1].text + token, tokens[-1].start)
        else:
            tokens.append(Token(token, match.start()))
    return tokens


def wrong_token(text: str, refusal: Callable[[str], str | None]) -> tuple[int, str] | None:
    """Return the place of the first wrong token of a text, and the message about it; None without one.

    `refusal` returns the error of a text, or None. A text that merely ends too early has no wrong token.
    """
    tokens = tokens_of(text)
    for token in tokens[:MOST_TOKENS]:
        message = refusal(text[: token.end])
        if message is not None and ("unexpected token" in message or "invalid token" in message):
            return token.start, message
    return None


def find(text: str, message: str, start: int = 0) -> int | None:
    """Return the place of the name from a message in a text, from `start` on; None if it is not there."""
    tokens = [token for token in tokens_of(text) if token.start >= start]
    if message.startswith("duplicate"):
        # Of several duplicates, the last is the wrong one.
        tokens.reverse()
    names = QUOTED.findall(message) + _AFTER_COLON.findall(message) + _SLOT.findall(message)
    for name in names:
        name_tokens = [token.text for token in tokens_of(name)]
        for sought in (name_tokens, name_tokens[-1:], [f'"{name.rpartition(".")[2]}"']):
            for index in range(len(tokens) - len(sought) + 1):
                window = tokens[index : index + len(sought)]
                if sought and [token.text for token in window] == sought:
                    return window[0].start
        # A part of a string, such as an escape.
        for token in tokens:
            if token.text.startswith('"') and name in token.text:
                return token.start
    if "number too large" in message:
        for token in tokens:
            if token.text.isdecimal() and (
                len(token.text) > len(str(_LARGEST)) or int(token.text) > _LARGEST
            ):
                return token.start
    return None


def nearest(text: str, words: Sequence[str]) -> int:
    """Return the place of the last of some words in a statement's body, where it is nearest to the first.

    If it cannot be found, return the place of the statement's effect.
    """
    tokens, body = tokens_of(text), head_end(text)
    texts = [token.text for token in tokens]
    occurrences = [
        [
            index
            for index, token_text in enumerate(texts)
            if token_text == word or word_at(texts, index) == word
        ]
        for word in words
    ]
    if not occurrences or not all(occurrences):
        return effect_start(text)
    candidates = [index for index in occurrences[-1] if tokens[index].start >= body] or occurrences[-1]
    return tokens[
        min(candidates, key=lambda index: min(abs(index - other) for other in occurrences[0]))
    ].start


def parts(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the ranges of an expression's operands, split at the weakest operator; empty without operands.

    For an expression in brackets or after a `!`, return the range of the inner expression.
    """
    tokens = [token for token in tokens_of(text) if start <= token.start and token.end <= end]
    for operator in ("||", "&&"):
        ranges, level, begin = [], 0, start
        for token in tokens:
            level += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
            if token.text == operator and level == 0:
                ranges.append((begin, token.start))
                begin = token.end
        # The condition of an `if` extends as far as it can: an operator in it does not split the whole.
        if ranges and tokens[0].text != "if":
            return [*ranges, (begin, end)]
    if len(tokens) > 1 and tokens[0].text == "!":
        return [(tokens[0].end, end)]
    if len(tokens) > 2 and tokens[0].text == "(" and _closes(tokens) == len(tokens) - 1:
        return [(tokens[0].end, tokens[-1].start)]
    return []


def conditions(text: str) -> list[tuple[int, int]]:
    """Return the ranges of the conditions of a statement, without the braces of `when` and `unless`."""
    tokens = tokens_of(text)
    ranges, index = [], 0
    while index < len(tokens):
        if (
            tokens[index].text in ("when", "unless")
            and index + 1 < len(tokens)
            and tokens[index + 1].text == "{"
        ):
            close_index = index + 1 + _closes(tokens[index + 1 :])
            ranges.append((tokens[index + 1].end, tokens[close_index].start))
            index = close_index
        index += 1
    return ranges


def head_end(text: str) -> int:
    """Return the index at which the head of a statement ends: after the bracket that closes its scope."""
    tokens = tokens_of(text)
    effect_index = _effect(tokens)
    return 0 if effect_index is None else tokens[effect_index + 1 + _closes(tokens[effect_index + 1 :])].end


def effect_start(text: str) -> int:
    """Return the place of a statement's effect, `permit` or `forbid`, after its annotations."""
    tokens = tokens_of(text)
    effect_index = _effect(tokens)
    return 0 if effect_index is None else tokens[effect_index].start


def annotated(text: str) -> Iterator[tuple[int, str]]:
    """Yield the names of a statement's annotations, and where each begins."""
    tokens = tokens_of(text)
    effect_index = _effect(tokens) or 0
    for token, name in pairwise(tokens[: effect_index + 1]):
        if token.text == "@":
            yield token.start, name.text


def _effect(tokens: list[Token]) -> int | None:
    for index, token in enumerate(tokens[:-1]):
        if token.text in ("permit", "forbid") and (index == 0 or tokens[index - 1].text != "@"):
            return index
    return None


def _closes(tokens: list[Token]) -> int:
    """Return the index of the token that closes the bracket of the first one; the last index if none does."""
    level = 0
    for index, token in enumerate(tokens):
        level += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if level == 0:
            return index
    return len(tokens) - 1


class CataloguedRule(Record):
    """One rule."""

    rule: PolicyRule
    line: int
    """The line in the file on which the rule begins, from 1."""
    text: str
    """The unchanged text from the first annotation to the semicolon."""

    @property
    def sha256(self) -> str:
        """The hash of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def reads(self) -> tuple[str, ...]:
        """The names that the rule may read: `context.NAME`, `principal` and `resource`, sorted."""
        facts = {name for names in self.rule.facts.values() for name in names}
        if facts == ALL_FACTS:
            return ("context", *sorted(self.rule.looks_at))
        return (*sorted(f"context.{name}" for name in facts), *sorted(self.rule.looks_at))


def catalogue(files: Sequence[tuple[str, str]]) -> Iterator[CataloguedRule]:
    """Yield the rules of the texts of a usable policy, in their order."""
    for file, text in files:
        file_places = FilePlaces(text)
        for statement in statements_of(file, text):
            yield CataloguedRule(
                rule_of(file, statement.text), file_places(statement.start).line, statement.text
            )


AT_ONCE = 100
"""Number of rules that the validator takes together; its time for each rule grows with this number."""
NO_ACTION = "unable to find an applicable action"

# Cedar numbers the policies of a text, and repeats the number in the message.
_NUMBER = re.compile(r"(?:for policy )?`?policy(\d+)`?,? ?")


def objections(texts: Sequence[str], schema: cedarpy.Schema) -> Iterator[tuple[int, str]]:
    """Yield the validator's objections to statements that parse, each with the statement's number from 0."""
    for start in range(0, len(texts), AT_ONCE):
        chunk = "\n".join(texts[start : start + AT_ONCE])
        for error in cedarpy.validate_policies(chunk, schema).errors:
            yield start + (number_of(error) or 0), _NUMBER.sub("", error.error)


def number_of(error: cedarpy.ValidationError) -> int | None:
    """Return the number, from 0, of the statement that an error is about; None if it names none."""
    match = _NUMBER.match(error.policy_id or "")
    return None if match is None else int(match[1])


def spots(statement: Statement, message: str, schema: cedarpy.Schema) -> list[int]:
    """Return the places in a statement to which the validator objects, as far as they can be found.

    The validator reports no place. The search finds the smallest expressions that cause the same objection.
    """
    text = statement.text
    head = head_end(text)
    if _is_reported(message, text[:head], schema):
        offset = find(text[:head], message)
        return [effect_start(text) if offset is None else offset]
    offsets = []
    for condition in conditions(text):
        for start, stop in _narrowed(text, head, condition, message, schema):
            offset = find(text[:stop], message, start)
            offsets.append(tokens_of(text[start:stop])[0].start + start if offset is None else offset)
    return list(dict.fromkeys(offsets)) or [effect_start(text)]


def _narrowed(
    text: str, head: int, part: tuple[int, int], message: str, schema: cedarpy.Schema
) -> Iterator[tuple[int, int]]:
    # The new line ends a comment at the end of the condition.
    if not _is_reported(message, f"{text[:head]} when {{ {text[slice(*part)]}\n}}", schema):
        return
    inner = [
        spot for smaller in parts(text, *part) for spot in _narrowed(text, head, smaller, message, schema)
    ]
    yield from inner or [part]


def _is_reported(message: str, text: str, schema: cedarpy.Schema) -> bool:
    return any(reported == message for _, reported in objections([f"{text};"], schema))
