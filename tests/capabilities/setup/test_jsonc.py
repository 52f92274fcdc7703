"""Laws of changes in JSON with comments: the new content is the merge, and every other character stays identical."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.setup import jsonc
from jitid.capabilities.setup.splice import ClientFileError, applied, difference, reversed_splices

NAMES = st.text(alphabet='abk_"\\é/*,{}', min_size=1, max_size=4)
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.just("// no comment")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
BLANKS = st.sampled_from(
    [
        "",
        " ",
        "\n",
        "\r\n",
        "\n  ",
        "\n\t",
        "\t",
        "/* c */",
        " // c }\n",
        '\n// "a": 1,\n  ',
        "/* ,\n */",
        "\n\n",
    ]
)


@st.composite
def documents(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> tuple[str, Any]:
    """Return a document in any layout, with its content."""

    def blank() -> str:
        return draw(BLANKS)

    def render(value: Any) -> str:
        if not isinstance(value, (dict, list)):
            return json.dumps(value, ensure_ascii=draw(st.booleans()))
        items = (
            [f"{json.dumps(name)}{blank()}:{blank()}{render(inner)}" for name, inner in value.items()]
            if isinstance(value, dict)
            else [render(inner) for inner in value]
        )
        body = ",".join(f"{blank()}{item}{blank()}" for item in items)
        trailing: bool = draw(st.booleans())
        if items and trailing:
            body += "," + blank()
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        return f"{opening}{body or blank()}{closing}"

    content = draw(st.dictionaries(NAMES, values, max_size=4))
    mark = draw(st.sampled_from(["", "\ufeff"]))
    return f"{mark}{blank()}{render(content)}{blank()}", content


def content_of(text: str) -> Any:
    root = jsonc.parse(text)
    assert root is not None
    return root.decoded()


def without_blanks(text: str) -> str:
    return "".join(text.split())


@given(documents())
def test_a_document_in_any_layout_has_the_content_that_it_was_written_from(made: tuple[str, Any]) -> None:
    text, content = made
    assert content_of(text) == content


@given(documents(), st.lists(NAMES, min_size=1, max_size=3), VALUES)
def test_a_member_that_is_set_is_merged_and_its_reversal_restores_every_character(
    made: tuple[str, Any], path: list[str], value: Any
) -> None:
    text, content = made
    expected = json.loads(json.dumps(content))
    inner = expected
    for name in path[:-1]:
        if not isinstance(inner, dict):
            break
        inner = inner.setdefault(name, {})
    if not isinstance(inner, dict):
        with pytest.raises(ClientFileError):
            jsonc.setting(text, path, value)
        return
    inner[path[-1]] = value
    splices = jsonc.setting(text, path, value)
    changed = applied(text, splices)
    assert content_of(changed) == expected
    assert list(content_of(changed)) == list(expected)
    assert applied(changed, reversed_splices(splices)) == text


@given(documents(), NAMES, VALUES)
def test_an_appended_element_is_the_last_one_and_its_reversal_restores_every_character(
    made: tuple[str, Any], name: str, value: Any
) -> None:
    text, content = made
    old = content.get(name, [])
    if not isinstance(old, list):
        with pytest.raises(ClientFileError):
            jsonc.appending(text, [name], value)
        return
    splices = jsonc.appending(text, [name], value)
    changed = applied(text, splices)
    assert content_of(changed) == {**content, name: [*old, value]}
    assert applied(changed, reversed_splices(splices)) == text


@given(documents(), st.data())
def test_a_removed_member_is_missing_and_nothing_but_its_text_and_blanks_is_gone(
    made: tuple[str, Any], data: st.DataObject
) -> None:
    text, content = made
    if not content:
        return
    name = data.draw(st.sampled_from(list(content)))
    root = jsonc.parse(text)
    assert root is not None
    item = root.member(name)
    assert item is not None
    splices = jsonc.removing(text, root, item)
    changed = applied(text, splices)
    del content[name]
    assert content_of(changed) == content
    member = text[item.start : item.node.end]
    removed = "".join(splice.removed for splice in splices)
    assert without_blanks(removed.replace(member, "", 1)) in ("", ",")
    assert all(splice.inserted == "" for splice in splices)


@given(documents(), NAMES, VALUES)
def test_a_member_that_is_added_and_removed_leaves_the_other_members(
    made: tuple[str, Any], name: str, value: Any
) -> None:
    text, content = made
    if name in content:
        return
    changed = applied(text, jsonc.setting(text, [name], value))
    root = jsonc.parse(changed)
    assert root is not None
    item = root.member(name)
    assert item is not None
    again = applied(changed, jsonc.removing(changed, root, item))
    assert content_of(again) == content
    if content:
        assert without_blanks(again) == without_blanks(text)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("", '{\n  "k": {\n    "x": 1\n  }\n}\n'),
        ("// mine\n", '// mine\n{\n  "k": {\n    "x": 1\n  }\n}\n'),
        ("{}", '{\n  "k": {\n    "x": 1\n  }\n}'),
        ("{}\n", '{\n  "k": {\n    "x": 1\n  }\n}\n'),
        ('{"a":1}', '{"a":1, "k": {"x": 1}}'),
        ('{\n\t"a": 1 // one\n}\n', '{\n\t"a": 1, // one\n\t"k": {\n\t\t"x": 1\n\t}\n}\n'),
        ('{\r\n    "a": [],\r\n}', '{\r\n    "a": [],\r\n    "k": {\r\n        "x": 1\r\n    },\r\n}'),
        ('{\n  "k": {}\n}', '{\n  "k": {\n    "x": 1\n  }\n}'),
        ('{\n  "k": {"y": 2}\n}', '{\n  "k": {"y": 2, "x": 1}\n}'),
    ],
)
def test_a_new_member_has_the_layout_of_the_document(text: str, changed: str) -> None:
    assert applied(text, jsonc.setting(text, ["k", "x"], 1)) == changed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "line 1: two members have the name `a`"),
        ('{"a": 1\n "b": 2}', "line 2: expected `,` or `}`"),
        ('{"a": 01}', "line 1: a value is missing or invalid"),
        ('{"a": NaN}', "line 1: a value is missing or invalid"),
        ('{"a": "\n"}', "line 1: a string is missing or invalid"),
        ("{} {}", "line 1: text after the end of the document"),
        ("{ /* open", "line 1: a string is missing or invalid"),
        ('{"a"}', "line 1: expected `:`"),
        ("{,}", "line 1: a string is missing or invalid"),
        ("[" * 102 + "]" * 102, "line 1: more than 100 levels of nesting"),
        ('{"a": ' + "1" * 5000 + "}", "line 1: a number is too long"),
    ],
)
def test_a_document_that_readers_may_interpret_differently_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ClientFileError) as refused:
        jsonc.parse(text)
    assert refused.value.message == reason


@given(st.text(alphabet="ab\n", max_size=30), st.text(alphabet="ab\n", max_size=30))
def test_the_difference_of_two_texts_turns_one_into_the_other(old: str, new: str) -> None:
    splices = difference(old, new)
    assert applied(old, splices) == new
    assert applied(new, reversed_splices(splices)) == old
