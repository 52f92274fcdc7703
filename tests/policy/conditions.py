"""Conditions of rules that Cedar's validator accepts, for the laws of how jitid reads them."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = ("a", "b", "ab", "user:a", "system:ci", "user:ab", 'x"y', "; // }")
_string = st.sampled_from(['"a"', '"b"', '"user:a"', '"system:ci"', '"x\\"y"', '"\\u{61}"', '"; // }"'])
_number = st.sampled_from(["0", "1", "9", "17", "23", "-1"])
_text = st.builds(
    lambda name, quoted: f'context["{name}"]' if quoted else f"context.{name}",
    st.sampled_from(["agent", "delegator_name", "delegator_kind", "task", "task_owner", "purpose"]),
    st.booleans(),
)
_hour = st.builds("context.{}".format, st.sampled_from(["hour", "minute", "weekday", "now"]))
_flag = st.sampled_from(
    [
        "context.has_purpose",
        "context.delegator_known",
        "context.delegator.known",
        'context.delegator.kind == "user"',
        'context.delegator == Delegator::"user:a"',
        'context.delegator in Group::"g"',
        'principal == Agent::"a"',
        'principal in [Agent::"a", Agent::"b"]',
        'principal is Agent in Agent::"ab"',
        "(principal has owner && principal.owner == context.delegator)",
        'resource == Task::"a"',
        'resource["owner"] == Delegator::"user:a"',
        "resource.owner == context.delegator",
        '{"left": context.agent, "Var": 1}.left == "b"',
        'context.audiences.contains("a")',
    ]
)
_pattern = st.sampled_from(['"a*"', '"*"', '"*a"', '"a"', '"user:*"', '"a\\*"', '"a*b"'])
_flat = st.one_of(
    _flag,
    st.builds("{} == {}".format, _text, _string),
    st.builds("{} != {}".format, _string, _text),
    st.builds("{} == {}".format, _text, _text),
    st.builds("[{}, {}].contains({})".format, _string, _string, _text),
    st.builds("{} like {}".format, _text, _pattern),
    st.builds("{} {} {}".format, _hour, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _number),
    st.builds("{} {} {}".format, _number, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _hour),
    st.builds("[{}, {}].contains({})".format, _number, _number, _hour),
    st.builds("{} * 60 + context.minute < {}".format, _hour, _number),
)
conditions = st.recursive(
    _flat,
    lambda inner: st.one_of(
        st.builds("{} && {}".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("(if {} then {} else {})".format, inner, inner, inner),
        st.builds("({} // )\n)".format, inner),
    ),
    max_leaves=6,
)
