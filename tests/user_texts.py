"""The texts that users read, from the sources: messages, help, pages, web pages, manual pages.

`python -m tests.user_texts PATH...` prints the habits of the old idiom and the long sentences in these files.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import jitid

ROOT = Path(jitid.__file__).parents[1]

MESSAGE, PAGE = 20, 30
"""The maximum number of words of a sentence, in a message or a help, and on a page."""

_SQL = re.compile(
    r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|WHERE|NOT NULL|ORDER BY|LEFT JOIN|UNION ALL|PRIMARY KEY|CASE WHEN"
    r"|FROM \w+ \w JOIN|json_extract)\b"
)
_SENTENCE_END = re.compile(r"(?<=[.;:!?])\s+")
_ITEM_END = re.compile(r"(?<=\)),\s+")
"""The end of an item with its explanation in brackets, in an enumeration of fields."""


class Text(NamedTuple):
    """A text for users."""

    line: int
    words: str
    longest: int
    """The maximum number of words of a sentence in it."""


def texts_of(path: Path) -> Iterator[Text]:
    """Yield the texts for users in a file: by its kind, which the ending of its name states."""
    source = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".py":
            yield from _of_python(path.name, source)
        case ".toml":
            for words in _of_page(tomllib.loads(source)):
                yield Text(_line_of(source, words), words, PAGE)
        case ".html":
            for line, words in _Page(source).texts:
                yield Text(line, words, PAGE)
        case ".1" | ".5" | ".7":
            yield from _of_manual(source)
        case ".md":
            yield from _of_markdown(source)


def _of_python(name: str, source: str) -> Iterator[Text]:
    """Yield the texts of a module that have at least three words, and the help of verbs."""
    tree = ast.parse(source)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=parts):
                skipped.update(id(part) for part in parts)
                words = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)
            case ast.Constant(value=str() as words):
                pass
            case ast.ClassDef() if name.endswith(("commands.py", "operations.py")):
                words = ast.get_docstring(node) or ""
            case _:
                continue
        if id(node) not in skipped and _is_prose(words):
            yield Text(node.lineno, words, MESSAGE)


def _is_prose(words: str) -> bool:
    tokens = words.split()
    return (
        len(tokens) > 1
        and len(re.findall(r"[a-z]{2,}", words)) >= 3
        and _SQL.search(words) is None
        and not (len(tokens) > 2 and all(map(_FIELD.fullmatch, tokens)) and _GRAMMAR.isdisjoint(tokens))
        and words not in kept_texts()
    )


_FIELD = re.compile(r"[a-z_0-9.]+(=[a-z_0-9.]+)?")
_GRAMMAR = frozenset(
    {"the", "a", "an", "of", "to", "is", "are", "in", "for", "and", "or", "not", "no", "with"}
)
"""Words that a list of fields does not have."""


@cache
def kept_texts() -> frozenset[str]:
    """Return the texts that keep their words: files of users, or other versions, contain them."""
    with Path(__file__).with_name("prose.toml").open("rb") as file:
        return frozenset(tomllib.load(file)["kept_texts"]["texts"])


_NOT_PROSE = frozenset({"command", "related", "output", "before"})


def _of_page(value: Any, key: str = "") -> Iterator[str]:
    """Yield the prose of a page: no commands."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name not in _NOT_PROSE:
                yield from _of_page(member, name)
    elif isinstance(value, list):
        for member in value:
            yield from _of_page(member, key)
    elif isinstance(value, str):
        yield from (paragraph for paragraph in value.split("\n\n") if paragraph.strip())


def _line_of(source: str, words: str) -> int:
    return source.count("\n", 0, max(source.find(words), 0)) + 1


_TEMPLATE = re.compile(r"\{%.*?%\}|\{#.*?#\}|\{\{.*?\}\}", re.DOTALL)


class _Page(HTMLParser):
    """The texts of a page for browsers, without its scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.texts: list[tuple[int, str]] = []
        self._skipped = 0
        self.feed(source)

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self._skipped += tag in ("script", "style", "code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style", "code", "pre")

    def handle_data(self, data: str) -> None:
        data = _TEMPLATE.sub("x", data)
        if not self._skipped and len(data.split()) >= 3:
            self.texts.append((self.getpos()[0], data))


_BLOCK = re.compile(r"\.(Sh|Ss|Pp|Bl|It|El|Dd|Dt|Os|Nm|Nd|ad|na)\b")


def _of_manual(source: str) -> Iterator[Text]:
    """Yield the paragraphs of a manual page in mdoc(7), without its examples; a macro in a line counts as a word."""
    begun, words, example = 0, "", False
    for number, line in enumerate([*source.splitlines(), ".Pp"], 1):
        if line.startswith(".Bd"):
            example = True
        elif line.startswith(".Ed"):
            example = False
        if example or _BLOCK.match(line) or line.startswith(".Ed"):
            if words:
                yield Text(begun, words, PAGE)
            words = ""
            continue
        begun = begun if words else number
        # Punctuation after the arguments ends a sentence.
        end = line.rpartition(" ")[2] if line.rpartition(" ")[2] in (".", ":", ";", ",") else ""
        words += f" `x`{end}" if line.startswith(".") else f" {line}"


def _of_markdown(source: str) -> Iterator[Text]:
    """Yield the paragraphs of a README, without its code."""
    begun, words, code = 0, "", False
    for number, line in enumerate([*source.splitlines(), ""], 1):
        if line.startswith("```"):
            code = not code
        if code or line.startswith(("```", "|", "#")) or not line.strip():
            if words:
                yield Text(begun, words, PAGE)
            words = ""
            continue
        begun = number if not words else begun
        words += " " + line
    if words:
        yield Text(begun, words, PAGE)


def long_sentences(text: Text) -> Iterator[str]:
    """Yield the sentences of a text that have too many words; names in an enumeration of a page do not count."""
    for paragraph in text.words.split("\n\n"):
        for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
            items = _ITEM_END.split(sentence) if text.longest == PAGE else [sentence]
            for item in items:
                words = [
                    word for word in item.split() if text.longest == MESSAGE or not word.startswith("`x`")
                ]
                if len(words) > text.longest:
                    yield item


def problems(path: Path) -> list[str]:
    """Return a line for each habit of the old idiom, and for each long sentence, in the texts of a file."""
    from tests.test_prose import in_plain_words, user_patterns

    found = []
    for text in texts_of(path):
        where = f"{path.relative_to(ROOT)}:{text.line}"
        plain = in_plain_words(text.words)
        for pattern in user_patterns():
            found += [f"{where}: {words!r}: better: {pattern.better}" for words in pattern.found_in(plain)]
        found += [
            f"{where}: {len(sentence.split())} words, {text.longest} at most: {sentence}"
            for sentence in long_sentences(text)
        ]
    return found


def files_in(paths: Iterable[str]) -> Iterator[Path]:
    """Yield the files with texts for users, of files and folders relative to the checkout."""
    for name in paths:
        path = ROOT / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (each for each in files if each.suffix in (".py", ".toml", ".html", ".5", ".7", ".md"))


if __name__ == "__main__":
    for each in files_in(sys.argv[1:]):
        print(*problems(each), sep="\n", end="\n" if problems(each) else "")
