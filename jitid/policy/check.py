"""Checks of policy files before use: errors, and rules that never apply, each with its place.

Also the types of texts in a context: an address, a decimal or a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.errors import ConfigurationError
from jitid.policy import position
from jitid.policy.dead_rules import ValidRule, never_effective
from jitid.policy.default import USE_NAME, schema
from jitid.policy.policy_text import ACTIONS, MARKED, PolicyRule, name_of, rule_of
from jitid.policy.position import NO_ACTION, FilePlace, FilePlaces, Statement, objections, spots
from jitid.policy.safe_cedarpy import NESTED, Tree, cedarpy, expressions, too_deep, trees
from jitid.values.record import Record
from jitid.values.text import MARK, quote, safe

if TYPE_CHECKING:
    from jitid.policy.position import Token


ANNOTATIONS = ("id", "max_ttl", "renew_ttl", "approval")
"""The annotations that jitid reads."""
MOST_OPERATORS = 1_000
"""Number of operators in a row above which Cedar may give no answer, which is a refusal."""
_LONG = 4_000
"""Minimum number of characters of a statement with more than `MOST_OPERATORS` operators."""
_MOST_PLACED = 200
"""Number of the validator's objections that get the place of the expression; later ones get the place of their rule."""

_ANNOTATION = re.compile(r"@\s*(\w+)")
_OF_ACTION = re.compile(r' for Action::"\w+"')
_OPTIONAL = re.compile(r"access to optional attribute `([\w.]+)`(?: on entity type `(\w+)`)?")
_OF_RULE = re.compile(r"rule `[^`]*`:? ")
_HEADS = (
    "the head fits no action: the principal must be an Agent; the resource a Task (issue), a Scope (grant) or a "
    "Resource (authorize)"
)
_NAMES_USE = (
    "it names `authorize`: from now on each use needs a rule that permits it; if intended, write a separate rule for "
    "`authorize`; otherwise omit it, or use a bare `action`"
)
# A request describes no owner and no manager, so a rule can use only their names.
_REFERENCES = ("owner", "manager")
_MORE_THAN_NAME = (".", "[", "has", "in", "is")
"""The operators that use more of a reference than its name."""


class Problem(Record):
    """A problem at one place. A warning is about a rule that is valid but probably a mistake."""

    file: str
    place: FilePlace
    rule: str | None
    """None if no name could be read."""
    message: str
    warning: bool = False


class Checked(Record):
    """The result of a check, in the order of files and places."""

    problems: list[Problem]
    rules: list[PolicyRule]
    """The rules that were read without an error; the validator may still object to them."""

    @property
    def errors(self) -> list[Problem]:
        """The problems that are not warnings. They must be corrected before anything is issued."""
        return [problem for problem in self.problems if not problem.warning]


class _ReadStatement(Record):
    """A statement that Cedar accepts, with its rule, or without one if the rule cannot be used."""

    statement: Statement
    rule: PolicyRule | None
    refusal: str


def check(files: Sequence[tuple[str, str]], use: str | None = None, *, whole: bool = True) -> Checked:
    """Check the files of a policy.

    Args:
        files: names and texts.
        use: the text of their `use.cedarschema`, if there is one.
        whole: whether these are all the files of the policy.

    """
    examination = _Examination(sorted(files))
    if use is not None:
        examination.read_use(use)
    examination.read()
    examination.validate()
    if whole and not examination.failed:
        examination.look_for_permits()
    return examination.result()


def first_error(files: Sequence[tuple[str, str]], folder: str) -> str | None:
    """Return the first error that prevents the use of a policy, with its place in the folder; None without one."""
    examination = _Examination(sorted(files))
    # An objection of the schema alone does not prevent the use of a policy.
    examination.read()
    return next((_located(problem, folder) for problem in examination.result().errors), None)


def must_be_valid(files: Sequence[tuple[str, str]], use: str | None = None, folder: str = ".") -> int:
    """Return the number of rules in the files of a folder.

    Raises:
        ConfigurationError: the policy has an error; the message names the first one, with file, line, column and rule.

    """
    checked = check(files, use)
    for problem in checked.errors:
        raise ConfigurationError(_located(problem, folder))
    return len(checked.rules)


def _located(problem: Problem, folder: str) -> str:
    rule = "" if problem.rule is None else f"rule `{problem.rule}`: "
    path = problem.file if folder == "." else f"{folder}/{problem.file}"
    return f"{safe(path)}:{problem.place.line}:{problem.place.column}: {rule}{problem.message}"


class _Examination:
    def __init__(self, files: Sequence[tuple[str, str]]) -> None:
        self._files = files
        self._places = {file: FilePlaces(text) for file, text in files}
        self._problems: dict[Problem, None] = {}
        self._read: list[_ReadStatement] = []
        self._schema = cedarpy.Schema.from_str(schema())
        self._use_is_known = True

    @property
    def failed(self) -> bool:
        """Whether there is an error so far."""
        return any(not problem.warning for problem in self._problems)

    def result(self) -> Checked:
        """Return the problems and the rules found so far."""
        order = {file: index for index, (file, _) in enumerate(self._files)}
        return Checked(
            sorted(self._problems, key=lambda problem: (order.get(problem.file, -1), problem.place)),
            [entry.rule for entry in self._read if entry.rule is not None],
        )

    def read_use(self, text: str) -> None:
        """Load the declarations of a `use.cedarschema`, or record why it cannot be used."""
        message, offset = _refusal_of_schema(text), 0
        if message is None:
            self._schema = cedarpy.Schema.from_str(schema(text))
            probe = 'permit (principal, action == Action::"issue", resource) when { context.use has x };'
            if not any(objections([probe], self._schema)):
                return
            message = "the type `Use` must be a record: write `type Use = { NAME?: TYPE };`"
            offset = position.find(text, "`Use`") or 0
        elif (wrong_token := position.wrong_token(text, _refusal_of_schema)) is not None:
            offset, message = wrong_token
        elif "failed to resolve type: Use" in message:
            message = "the declaration `type Use` is missing"
        else:
            offset = position.find(text, message) or 0
        self._use_is_known = False
        message = safe(message.removeprefix("error parsing schema: ")[:200])
        self._problems[Problem(USE_NAME, FilePlaces(text)(offset), None, message)] = None

    def read(self) -> None:
        """Read each statement separately."""
        first_by_name: dict[str, Statement] = {}
        for file, text in self._files:
            for statement in position.statements_of(file, text):
                self._read_one(statement, first_by_name)

    def validate(self) -> None:
        """Validate the readable statements against the schema, and look for valid rules without an effect."""
        candidates = [
            candidate
            for candidate in self._read
            if self._use_is_known
            or candidate.rule is None
            or not any("use" in f for f in candidate.rule.facts.values())
        ]
        reported: dict[int, list[str]] = {}
        # The validator reports its objections to one place in any order.
        for index, message in sorted(
            objections([candidate.statement.text for candidate in candidates], self._schema)
        ):
            reported.setdefault(index, []).append(message)
        remaining = _MOST_PLACED
        for index, messages in reported.items():
            candidate = candidates[index]
            for message in _distinct_objections(messages, candidate.refusal):
                remaining -= 1
                offsets = [position.effect_start(candidate.statement.text)]
                if remaining >= 0:
                    offsets = spots(candidate.statement, message, self._schema)
                shown = _HEADS if message.startswith(NO_ACTION) else _plainer(_OF_ACTION.sub("", message))
                for offset in offsets:
                    self._report(candidate.statement, offset, safe(shown[:200]))
        valid = []
        for index, (candidate, tree) in enumerate(
            zip(candidates, trees([candidate.statement.text for candidate in candidates]), strict=True)
        ):
            reference_errors = list(_beyond_references(candidate.statement, tree))
            for offset, message in reference_errors:
                self._report(candidate.statement, offset, message)
            if (
                candidate.rule is not None
                and index not in reported
                and not reference_errors
                and tree is not None
            ):
                valid.append((candidate.statement, ValidRule(candidate.statement.text, candidate.rule, tree)))
        for index, remark in never_effective([rule for _, rule in valid], self._schema):
            statement, _ = valid[index]
            offset = position.nearest(statement.text, remark.words)
            self._report(statement, offset, safe(remark.message[:200]), warning=True)

    def look_for_permits(self) -> None:
        """Warn about actions that the policy never permits."""
        for action, consequence in (("issue", "nothing can be issued"), ("grant", "no scope can be granted")):
            if not any(
                entry.rule and entry.rule.effect == "permit" and action in entry.rule.facts
                for entry in self._read
            ):
                file = self._files[0][0] if self._files else ""
                self._problems[
                    Problem(
                        file,
                        FilePlace(1, 1),
                        None,
                        f"no rule permits `{action}`: {consequence}",
                        warning=True,
                    )
                ] = None

    def _report(self, statement: Statement, offset: int, message: str, *, warning: bool = False) -> None:
        file_place = self._places[statement.file](statement.start + offset)
        name = None
        if _refusal_of_policy(statement.text) is None:
            name = name_of(statement.text)
        self._problems[Problem(statement.file, file_place, name and safe(name[:64]), message, warning)] = None

    def _read_one(self, statement: Statement, first_by_name: dict[str, Statement]) -> None:
        text = statement.text
        if too_deep(text) is not None:
            file_place = self._places[statement.file](statement.start + position.effect_start(text))
            self._problems[Problem(statement.file, file_place, None, NESTED)] = None
            return
        refusal = _refusal_of_policy(text)
        if refusal is not None:
            self._report(statement, *_refused(text, refusal))
            return
        if "?" in text and cedarpy.PolicySet.from_str(text).templates():
            self._report(
                statement,
                _found(text, "?principal ?resource"),
                "a template, with `?principal` or `?resource`, has no effect",
            )
            return
        try:
            rule = rule_of(statement.file, text)
        except ConfigurationError as error:
            message = _OF_RULE.sub("", error.message, count=1)
            offset = position.effect_start(text) if name_of(text) is None else _found(text, message)
            self._report(statement, offset, message)
            self._read.append(_ReadStatement(statement, None, message))
            return
        earlier = first_by_name.setdefault(rule.name, statement)
        if earlier is not statement:
            line = self._places[earlier.file](earlier.start).line
            offset = _found(text, f'`"{rule.name}"`')
            self._report(
                statement, offset, f"`{rule.name}` is already a rule of {quote(earlier.file)}, line {line}"
            )
            self._read.append(_ReadStatement(statement, None, ""))
            return
        self._read.append(_ReadStatement(statement, rule, ""))
        for offset, advice in _likely_mistakes(statement, rule):
            self._report(statement, offset, advice, warning=True)


def _plainer(message: str) -> str:
    """Return the validator's message; for an optional attribute, return advice instead."""
    optional = _OPTIONAL.search(message)
    if optional is None:
        return message
    *parents, name = optional[1].split(".")
    owner = {"Agent": "principal", "Delegator": "context.delegator"}.get(optional[2] or "")
    owner = owner or ".".join(["context", *parents])
    return f"`{name}` may be missing: check it first, `{owner} has {name} && ...`"


def _refused(text: str, message: str) -> tuple[int, str]:
    """Return the place and the message of the error in a statement that Cedar refuses."""
    if text.startswith(MARK):
        return 0, MARKED
    wrong_token = position.wrong_token(text, _refusal_of_policy)
    if wrong_token is not None:
        offset, message = wrong_token
    elif "unexpected end of input" in message:
        return len(text), "the file ends within a rule: is a `;` missing?"
    else:
        offset = _found(text, message)
    return offset, safe(message[:200])


def _found(text: str, message: str) -> int:
    offset = position.find(text, message)
    return position.effect_start(text) if offset is None else offset


def _refusal_of_policy(text: str) -> str | None:
    if too_deep(text) is not None:
        return NESTED
    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        return str(error)
    return None


def _refusal_of_schema(use: str) -> str | None:
    if too_deep(use) is not None:
        return NESTED
    try:
        cedarpy.Schema.from_str(schema(use))
    except ValueError as error:
        return str(error)
    return None


def _distinct_objections(messages: list[str], refusal: str) -> Iterator[str]:
    """Yield each objection once, without objections that follow from another one or repeat `refusal`."""
    several = len(set(messages)) > 1
    for message in dict.fromkeys(messages):
        name = position.QUOTED.search(message)
        if several and message.startswith(NO_ACTION):
            continue
        if name is not None and " in context" in message and f"`context.{name[1]}`" in refusal:
            continue
        yield message


def _likely_mistakes(statement: Statement, rule: PolicyRule) -> Iterator[tuple[int, str]]:
    """Yield warnings about a statement that is valid but probably a mistake."""
    from difflib import get_close_matches

    text = statement.text
    annotation_names = _ANNOTATION.findall(text)
    for offset, name in position.annotated(text) if not set(ANNOTATIONS).issuperset(annotation_names) else ():
        if name not in ANNOTATIONS and (matches := get_close_matches(name, ANNOTATIONS, 1, 0.75)):
            yield offset, f"unknown annotation `@{name}`: did you mean `@{matches[0]}`?"
    if len(text) > _LONG:
        operators = sum(token.text in ("||", "&&", "+", "-", "*") for token in statement.tokens)
        if operators > MOST_OPERATORS:
            reason = (
                f"{operators:,} operators: Cedar cannot evaluate more than about {MOST_OPERATORS:,} in a row"
            )
            yield (
                position.effect_start(text),
                f"{reason}, and the request is denied; `contains` of a set has no such limit",
            )
    if rule.effect == "permit" and len(rule.facts) > 1:
        head = position.head_end(text)
        tokens = statement.tokens
        for type_token, name_token in zip(tokens, tokens[2:], strict=False):
            if name_token.start < head and (type_token.text, name_token.text) == ("Action", '"authorize"'):
                yield name_token.start, _NAMES_USE
    if not rule.facts:
        actions = ", ".join(f"`{action}`" for action in ACTIONS)
        yield position.effect_start(text), f"it applies to none of the actions: {actions}"


def _beyond_references(statement: Statement, tree: Tree | None) -> Iterator[tuple[int, str]]:
    """Yield each place where a rule uses more of an `owner` or a `manager` than the name.

    A rule whose syntax tree is too high has no tree here; then the tokens alone decide.
    """
    referenced = (
        set(_REFERENCES)
        if tree is None
        else {
            name
            for condition in tree["conditions"]
            for term in expressions(condition["body"])
            for name in _references(term)
        }
    )
    if not referenced:
        return
    body = position.head_end(statement.text)
    # The name may be in brackets, and it may be a string.
    tokens = [token for token in statement.tokens if token.start > body and token.text not in ("(", ")", "]")]
    occurrences = [
        (token.start, name)
        for previous, token, following in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if (name := token.text.strip('"')) in referenced
        and previous.text in (".", "[", "has")
        and following.text in _MORE_THAN_NAME
        and (tree is not None or following.text != "is")
    ]
    if not occurrences and tree is not None:
        # The name is written with escapes, or not beside the operator.
        occurrences = [(position.effect_start(statement.text), name) for name in sorted(referenced)]
    for offset, name in occurrences:
        yield offset, f'a policy can only compare the name of the {name}: `{name} == Delegator::"user:bob"`'


def _references(term: Tree) -> Iterator[str]:
    """Yield `owner` or `manager` if an operator uses more of it than the name."""
    ((operator, inner),) = term.items()
    if operator in (".", "has", "in") or (operator == "is" and "in" in inner):
        yield from _referred(inner["left"])


def _referred(term: Tree) -> Iterator[str]:
    """Yield the `owner` or the `manager` that an expression evaluates to, from both branches of a choice."""
    ((operator, inner),) = term.items()
    if operator == "if-then-else":
        yield from _referred(inner["then"])
        yield from _referred(inner["else"])
    elif operator == "." and inner["attr"] in _REFERENCES:
        yield inner["attr"]


FUNCTIONS = {"ipaddr": "ip", "decimal": "decimal", "datetime": "datetime", "duration": "duration"}
"""By type: the Cedar function that makes a value of the type from a text."""
_MOST_NESTED = 20


class RecordType(Record):
    """A record type, with the members in which a text may represent another type."""

    members: Mapping[str, Type]


class Set(Record):
    """A set type with elements in which a text may represent another type."""

    element: Type


Type = RecordType | Set | str
"""A record, a set, or the name of the function that makes a value from a text."""


def read_use(text: str) -> Type | None:
    """Return the types that a `use.cedarschema` declares; None if no text in it represents another type.

    An invalid schema declares none, so a rule that needs more than text refuses.
    """
    if not any(name in text for name in FUNCTIONS):
        return None
    from jitid.policy.default import schema
    from jitid.policy.position import tokens_of
    from jitid.policy.safe_cedarpy import cedarpy, too_deep

    if too_deep(text) is not None:
        return None
    try:
        # Cedar's own form of the schema has no comments, and each type name refers to its declaration.
        schema_text = str(cedarpy.Schema.from_str(schema(text)))
    except ValueError:
        return None
    return _SchemaReader(tokens_of(schema_text)).read()


def convert(value: Any, type_: Type | None) -> Any:  # noqa: ANN401 - JSON
    """Return a value for Cedar: each text with a declared type becomes a value of that type."""
    match type_:
        case str() if isinstance(value, str):
            return {"__extn": {"fn": type_, "arg": value}}
        case Set() if isinstance(value, list):
            return [convert(element, type_.element) for element in value]
        case RecordType() if isinstance(value, dict):
            return {name: convert(member, type_.members.get(name)) for name, member in value.items()}
    return value


class _SchemaReader:
    """A reader of the declarations in a schema that Cedar has written."""

    def __init__(self, tokens: list[Token]) -> None:
        self._words = [token.text for token in tokens]
        self._declared = {
            self._words[index + 1]: index + 3
            for index, word in enumerate(self._words[:-3])
            if word == "type" and self._words[index + 2] == "="
        }

    def read(self) -> Type | None:
        return self._named("Use", 0)[0]

    def _named(self, name: str, depth: int) -> tuple[Type | None, int]:
        index = self._declared.get(name)
        return (None, 0) if index is None or depth > _MOST_NESTED else self._type(index, depth + 1)

    def _type(self, index: int, depth: int) -> tuple[Type | None, int]:
        """Return the type that begins at an index, and the index after it."""
        words = self._words
        if words[index] == "{":
            return self._record(index + 1, depth)
        if words[index] == "Set" and words[index + 1] == "<":
            element, index = self._type(index + 2, depth)
            return (None if element is None else Set(element)), index + 1
        while words[index + 1] == "::":
            index += 2
        name = words[index]
        return FUNCTIONS.get(name) or self._named(name, depth)[0], index + 1

    def _record(self, index: int, depth: int) -> tuple[Type | None, int]:
        members: dict[str, Type] = {}
        while self._words[index] != "}":
            if self._words[index] == "@":
                index += 5 if self._words[index + 2] == "(" else 2
                continue
            name = self._words[index].strip('"')
            index += 1 + (self._words[index + 1] == "?")
            type_, index = self._type(index + 1, depth)
            if type_ is not None:
                members[name] = type_
            index += self._words[index] == ","
        return (RecordType(members) if members else None), index + 1
