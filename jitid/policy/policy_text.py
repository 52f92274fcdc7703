"""Fast reading of policy files: names and lifetimes of the rules, and the facts that each rule reads.

Cedar's own syntax tree (`syntax_tree`) has all of this, but every start of `jitid issue` would pay for writing it:
60 ms for 1,000 rules, against 19 ms for this module. So checks and comparisons of policies read the tree. Only this
module reads the text, after Cedar has accepted it. In doubt it assumes more: a rule that may apply counts as applying,
a fact that may be read counts as read. tests/policy/test_source.py compares the two.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from jitid.errors import ConfigurationError, UsageError
from jitid.policy.policy_request import DEFAULT_DENY, EVALUATION_ERROR, FACTS, KIND_BY_NAME
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import parse_duration

# Cedar's tokens: a comment ends at CR or LF, a string holds escapes, all else is a word or one character.
TOKEN = re.compile(r'//[^\n\r]*|"(?:[^"\\]|\\.)*"|\w+|[^\w\s]')

ACTIONS = ("issue", "grant", "authorize")
ALL_FACTS = frozenset(FACTS)
RULE_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-")
MARKED = "the file begins with a byte order mark: save it without one"
RESERVED = (DEFAULT_DENY, EVALUATION_ERROR, KIND_BY_NAME)


class PolicyRule(Record):
    """One policy of a file, named by its `@id`."""

    name: str
    file: str
    effect: str
    """`permit` or `forbid`."""
    max_ttl: int | None
    """Seconds, from `@max_ttl`."""
    renew_ttl: int | None
    """Seconds, from `@renew_ttl`."""
    approval: str | None
    """The group from `@approval`: a permitting rule requires its approval, and its approval lifts a forbidding rule."""
    facts: dict[str, frozenset[str]]
    """The facts it may read, for each action that it may apply to."""
    of_use: bool
    """Whether the rule is explicitly about uses: it names `authorize`, the facts of a use, or a resource.

    A rule for any action applies to `authorize` too, but is not about uses.
    """
    looks_at: frozenset[str]
    """Which of `principal` and `resource` the rule may read."""


def read_rules(file: str, text: str) -> list[PolicyRule]:
    """Return the rules of a text that Cedar has accepted, in their order.

    Raise ConfigurationError for a rule without a name, an unusable `@max_ttl`, or a fact that no request has.
    """
    rules = []
    for tokens in _statements(TOKEN.findall(text)):
        try:
            rules.append(_rule(file, tokens))
        except ConfigurationError as error:
            line = line_of(text, len(rules))
            raise ConfigurationError(f"{quote(file)}, line {line}: {error.message}") from None
    return rules


def rule_of(file: str, statement: str) -> PolicyRule:
    """Return the rule of a statement that Cedar has accepted.

    Raise ConfigurationError, without a place, for the errors that `read_rules` refuses.
    """
    (tokens,) = _statements(TOKEN.findall(statement))
    return _rule(file, tokens)


def name_of(statement: str) -> str | None:
    """Return the name in the `@id` of a statement that Cedar has accepted, even if the rule has other errors."""
    (tokens,) = _statements(TOKEN.findall(statement))
    return _annotations(tokens)[0].get("id")


def line_of(text: str, number: int) -> int:
    """Return the line, from 1, on which the statement of that number, from 0, begins."""
    begins, offset = True, 0
    for match in TOKEN.finditer(text):
        token = match.group()
        if token.startswith("//"):
            continue
        if begins:
            offset = match.start()
            if number == 0:
                break
        begins = token == ";"  # noqa: S105 - syntax
        number -= begins
    return len(re.findall(r"\r\n|\r|\n", text[:offset])) + 1


def statements(text: str) -> list[str]:
    """Return the statements of a text one by one, so that a broken one can be found."""
    texts, start = [], 0
    for match in TOKEN.finditer(text):
        if match.group() == ";":
            texts.append(text[start : match.end()])
            start = match.end()
    return [*texts, text[start:]]


def text_of(files: Iterable[tuple[str, str]], name: str) -> tuple[str, str] | None:
    """Return the file of the rule of that name, and its text without the comments around it; None without such a rule.

    The texts must belong to an accepted policy.
    """
    for file, text in files:
        for rule, statement in zip(read_rules(file, text), statements(text), strict=False):
            if rule.name == name:
                begin = next(match.start() for match in TOKEN.finditer(statement) if match[0][:2] != "//")
                return file, statement[begin:]
    return None


def guarded(text: str) -> str:
    """Return a text with each `@approval` as a condition on the context's `approved`.

    A statement that Cedar refuses may come back unchanged.
    """
    if "approval" not in text:
        return text
    return "".join(_guarded(statement) for statement in statements(text))


def _guarded(statement: str) -> str:
    tokens = [token for token in TOKEN.findall(statement) if not token.startswith("//")]
    if ";" not in tokens:
        return statement
    try:
        annotations, effect_index = _annotations(tokens)
        effect = tokens[effect_index]
    except IndexError:
        # An annotation or the effect is missing.
        return statement
    if "approval" not in annotations:
        return statement
    group = annotations["approval"]
    word = "when" if effect == "permit" else "unless"
    # The semicolon is the statement's last character: a comment after it belongs to the next one.
    return f'{statement[:-1]}\n{word} {{ context.approved.contains("{group}") }};'


def integers(text: str) -> set[int]:
    """Return the integers in a text that have at most 18 digits."""
    return {int(token) for token in TOKEN.findall(text) if token.isdecimal() and len(token) < 19}


def word_at(tokens: Sequence[str], index: int) -> str | None:
    """Return the word of a rule at an index; None if the token is a string that is a value.

    A string is a word where it names a member: `context["owner"]`, `context has "owner"`.
    """
    token = tokens[index]
    if not token.startswith('"'):
        return token
    previous = tokens[index - 1] if index else ""
    if previous == "has" or (previous == "[" and index > 1 and _ends_value(tokens[index - 2])):
        return token[1:-1]
    return None


def _ends_value(token: str) -> bool:
    """Return whether a `[` after a token reads a member, instead of beginning a set."""
    return token[0] in '")]}' or (token not in _OPERATORS and (token[0] == "_" or token.isalnum()))


_OPERATORS = frozenset({"in", "has", "like", "is", "if", "then", "else"})


def _statements(tokens: list[str]) -> Iterator[list[str]]:
    statement: list[str] = []
    for token in tokens:
        if token == ";":  # noqa: S105 - syntax
            yield statement
            statement = []
        elif not token.startswith("//"):
            statement.append(token)


def _annotations(tokens: list[str]) -> tuple[dict[str, str], int]:
    """Return the annotations of a statement, and the index of its effect."""
    annotations = {}
    index = 0
    while tokens[index] == "@":
        if tokens[index + 2] == "(":
            annotations[tokens[index + 1]] = tokens[index + 3][1:-1]
            index += 5
        else:
            annotations[tokens[index + 1]] = ""
            index += 2
    return annotations, index


def _rule(file: str, tokens: list[str]) -> PolicyRule:
    annotations, effect_index = _annotations(tokens)
    effect = tokens[effect_index]
    # The head contains no other parentheses.
    body_index = tokens.index(")", effect_index)
    name = _name(annotations.get("id"))
    facts = _facts(name, tokens[body_index:])
    actions = _actions(tokens[effect_index:body_index])
    looks_at = frozenset(
        variable
        for variable in ("principal", "resource")
        if _looks_at(variable, tokens[effect_index:body_index], tokens[body_index:])
    )
    return PolicyRule(
        name,
        file,
        effect,
        _ttl("max_ttl", name, effect, annotations),
        _ttl("renew_ttl", name, effect, annotations),
        _approval(name, annotations),
        dict.fromkeys(actions, facts),
        "authorize" in actions and _of_use(tokens[effect_index:body_index], tokens[body_index:]),
        looks_at,
    )


def _name(name: str | None) -> str:
    if name is None:
        raise ConfigurationError('a policy has no `@id("NAME")`')
    if not name or len(name) > 64 or not RULE_NAME.issuperset(name):
        raise ConfigurationError(f"`@id` {quote(name)} must have 1 to 64 ASCII letters, digits and `._:/-`")
    if name in RESERVED:
        raise ConfigurationError(f"`@id` {quote(name)} is a reserved word")
    return name


def _ttl(annotation: str, name: str, effect: str, annotations: dict[str, str]) -> int | None:
    text = annotations.get(annotation)
    if text is None:
        return None
    if effect != "permit":
        raise ConfigurationError(f"rule `{name}` forbids: its `@{annotation}` has no effect")
    try:
        return parse_duration(text)
    except UsageError as error:
        raise ConfigurationError(f"rule `{name}`: `@{annotation}`: {error.message}") from None


def _approval(name: str, annotations: dict[str, str]) -> str | None:
    group = annotations.get("approval")
    if group is None:
        return None
    if not group.strip() or len(group) > 128 or "\\" in group or not group.isprintable():
        raise ConfigurationError(
            f"rule `{name}`: `@approval` must be the name of a group, such as `security`, without escapes"
        )
    return group


def _actions(head: list[str]) -> tuple[str, ...]:
    for index, token in enumerate(head):
        if token == "action" and (index + 1 == len(head) or head[index + 1] == ","):  # noqa: S105 - syntax
            return ACTIONS
    names = _named_actions(head)
    if any("\\" in string for string in names):
        return ACTIONS
    return tuple(action for action in ACTIONS if action in names)


def _named_actions(tokens: list[str]) -> set[str]:
    """Return the names of the actions among tokens, written as `Action::"issue"`."""
    return {
        token[1:-1]
        for index, token in enumerate(tokens)
        if token.startswith('"') and tokens[max(index - 3, 0) : index] == ["Action", ":", ":"]
    }


def _of_use(head: list[str], body: list[str]) -> bool:
    """Return whether a rule that may apply to `authorize` is explicitly about uses."""
    # An action that the body reads may be `authorize`, and a member that is read without its name may be `use`.
    if any(
        previous == "context" and following not in (".", "[", "has") for previous, following in pairwise(body)
    ):
        return True
    tokens = [*head, *body]
    if "Resource" in tokens or any(name == "authorize" or "\\" in name for name in _named_actions(tokens)):
        return True
    words = [word_at(body, index) or "" for index in range(len(body))]
    return any(word in ("action", "use") or (word and "\\" in word) for word in words)


def _looks_at(variable: str, head: list[str], body: list[str]) -> bool:
    """Return whether a rule may read the name of the principal or the resource; a bare head does not."""
    indexes = [index for index, token in enumerate(head) if token == variable]
    return variable in body or len(indexes) != 1 or head[indexes[0] + 1 : indexes[0] + 2] not in ([","], [])


def _facts(name: str, body: list[str]) -> frozenset[str]:
    facts = set()
    for index, token in enumerate(body):
        if token != "context" or body[index - 1] == ".":  # noqa: S105 - syntax
            continue
        match body[index + 1 : index + 3]:
            case [".", fact]:
                pass
            case ["[" | "has", fact] if "\\" not in fact:
                fact = fact.strip('"')
            case _:
                return ALL_FACTS
        if fact in ALL_FACTS:
            facts.add(fact)
        elif body[index + 1] != "has":
            known_names = ", ".join(FACTS)
            raise ConfigurationError(
                f"rule `{name}` reads the unknown fact {quote('context.' + fact)} (known: {known_names})"
            )
    return frozenset(facts)


def digest_of(files: Sequence[tuple[str, str]]) -> str:
    """Return the digest of a policy, as `Policy.digest`."""
    digest = hashlib.sha256()
    for part in (part.encode("utf-8", "surrogatepass") for pair in sorted(files) for part in pair):
        # The lengths keep a name from running into its text, and a text into the next name.
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
