"""A catalogue of a policy's rules: for each rule its effect, place, text and the hash of the text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jitid.policy.policy_text import ALL_FACTS, PolicyRule, rule_of
from jitid.policy.position import FilePlaces, statements_of


class CataloguedRule(NamedTuple):
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
