"""The laws of templates for `sub`, for any names: injective, closed by a delimiter, reversible."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.model.subject_template import FIELDS, SubjectNames, fields_of, parse_template, render, unproved

_NAMES = st.text("abz019._@:/+-", min_size=1, max_size=12)
_IDS = st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=26, max_size=26).map(lambda text: f"jid_{text}")
_DOMAINS = st.sampled_from(["jitid.local", "jitid.local.evil", "a", "a-b_c.d"])
NAMES = st.builds(
    SubjectNames,
    trust_domain=_DOMAINS,
    delegator=st.sampled_from(["user:", "system:", "agent:"]).flatmap(lambda kind: _NAMES.map(kind.__add__)),
    delegator_proof=st.sampled_from(["oidc", "os-user"]),
    agent=_NAMES,
    registered=st.just(True),
    id=_IDS,
)
_FIELD = st.sampled_from(sorted(FIELDS)).map("{{{}}}".format)
_WORD = st.text("ab:.@-", max_size=4)
TEMPLATES = st.builds(
    lambda first, rest: f"{first}/{''.join(rest)}",
    _WORD,
    st.lists(st.builds(lambda field, word: f"{field}/{word}/", _FIELD, _WORD), min_size=1, max_size=3),
)


@given(template=TEMPLATES, one=NAMES, other=NAMES)
def test_two_identities_have_one_subject_only_if_the_template_says_so(
    template: str, one: SubjectNames, other: SubjectNames
) -> None:
    """`sub` is equal exactly if the names that the template uses are."""
    used = fields_of(template)
    alike = all(getattr(one, field) == getattr(other, field) for field in used)
    assert (render(template, one) == render(template, other)) == alike


@given(template=TEMPLATES, one=NAMES, other=NAMES)
def test_a_rule_for_one_name_matches_no_other_name(
    template: str, one: SubjectNames, other: SubjectNames
) -> None:
    """A vendor's rule that ends after a field, with `*`, matches only identities with equal names up to there."""
    parts = parse_template(template)
    for length in range(1, len(parts) + 1):
        start, following = parts[:length], parts[length : length + 1]
        if not start[-1].is_field or not following:
            continue
        cut = "".join(f"{{{part.text}}}" if part.is_field else part.text for part in start) + "/"
        rule = render(cut, one)
        if render(template, other).startswith(rule):
            used = [part.text for part in start if part.is_field]
            assert [getattr(one, field) for field in used] == [getattr(other, field) for field in used]


@given(template=TEMPLATES, names=NAMES)
def test_each_name_can_be_read_back(template: str, names: SubjectNames) -> None:
    """The encoding is reversible, and has only characters that vendors accept and JSON does not escape."""
    rendered = render(template, names)
    assert re.fullmatch(r"[A-Za-z0-9:/._@-]*", rendered)
    pattern = "".join(
        "([^/]*)" if part.is_field else re.escape(part.text) for part in parse_template(template)
    )
    found = re.fullmatch(pattern, rendered)
    assert found is not None
    fields = [part.text for part in parse_template(template) if part.is_field]
    for field, text in zip(fields, found.groups(), strict=True):
        read = re.sub("_([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), text)
        assert (text if field in ("id", "trust_domain") else read) == getattr(names, field)


def test_a_name_is_no_prefix_of_a_longer_one() -> None:
    """`deploy` and `deploy-evil`, `deploy/evil`, `deploy/`."""
    names = SubjectNames("jitid.local", "user:alice", "oidc", "deploy", True, "jid_x")
    rule = render("jitid/{agent}/", names)
    assert rule == "jitid/deploy/"
    for evil in ("deploy-evil", "deploy/evil", "deploy/", "deploy_2F", "deplo"):
        if "_" not in evil:
            assert not render("jitid/{agent}/", names._replace(agent=evil)).startswith(rule)


def test_a_delegator_of_the_greatest_length_is_encoded_with_its_kind() -> None:
    """`user:` and 128 characters."""
    names = SubjectNames("d", f"user:{'a' * 128}", "oidc", "x", True, "jid_x")
    assert render("{delegator}/", names) == f"user_3A{'a' * 128}/"


@pytest.mark.parametrize(
    "template",
    [
        "",
        "jitid/{agent}",
        "jitid/{agent}-{id}/",
        "jitid/{agent}{id}/",
        "team{agent}/",
        "jitid/{task}/",
        "jitid/{purpose}/",
        "jitid/{}/",
        "jitid/{agent/",
        "jitid/agent}/",
        "jitid/{{agent}}/",
        "jitid/}{agent}{/",
        "jitid/*/{agent}/",
        "jitid/{agent}/ ",
        "jitid/{agent}/é",
        'jitid/{agent}/"',
        "jitid/{AGENT}/",
        "x" * 256,
        "jitid/{agent}:x/",
        "a_b/{agent}/",
        "user:{agent}/",
        "system:x/{agent}/",
        "agent:{agent}/",
        "spiffe://jitid.local/agent/{agent}/",
    ],
)
def test_what_is_no_template_is_refused(template: str) -> None:
    """Above all a template that could render two names alike."""
    with pytest.raises(UsageError):
        parse_template(template)


@pytest.mark.parametrize(
    "template", ["jitid/", "{agent}/", "ab:{agent}/b/{id}/c", "{trust_domain}/{delegator}/"]
)
def test_what_is_a_template_keeps_its_text(template: str) -> None:
    assert (
        "".join(f"{{{part.text}}}" if part.is_field else part.text for part in parse_template(template))
        == template
    )


def test_a_name_that_a_caller_chose_is_not_proved() -> None:
    """The reason names the part."""
    names = SubjectNames("jitid.local", "user:alice", "asserted", "deploy", False, "jid_x")
    assert unproved("jitid/{trust_domain}/{id}/", names) is None
    assert "the delegator `user:alice`" in str(unproved("x/{delegator}/", names))
    assert "the agent `deploy` is not registered" in str(unproved("x/{agent}/", names))
    assert unproved("x/{delegator}/", names._replace(delegator_proof="oidc")) is None
    assert unproved("x/{agent}/", names._replace(registered=True)) is None
