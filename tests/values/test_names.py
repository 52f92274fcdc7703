from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.redaction.token_format import SIGNED_MARK, name_holds_token
from jitid.values.names import (
    check_audience,
    check_delegator,
    check_issuer,
    check_name,
    check_trust_domain,
    encode_segment,
    may_reach,
    spiffe_id,
)
from jitid.values.secret import new_opaque
from tests.values.hostile import INTRUDERS, NAUGHTY
from tests.values.segments import decode_segment

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:/+-"
# Hypothesis also draws constants of the code under test, such as the prefix of jitid's tokens.
names = st.text(ALPHABET, min_size=1, max_size=128).filter(lambda name: not name_holds_token(name))

CHECKS: list[Callable[[str], str]] = [
    lambda text: check_name(text, "task"),
    check_delegator,
    check_trust_domain,
    check_issuer,
    check_audience,
    encode_segment,
    decode_segment,
]


@given(names)
def test_a_name_is_returned_unchanged(name: str) -> None:
    """Every character of the alphabet is allowed at every place."""
    assert check_name(name, "task") == name


@pytest.mark.parametrize("around", ["{}", "user-{}", "{}:x", "a/{}@b"])
@pytest.mark.parametrize(
    "token",
    [
        SIGNED_MARK,
        f"{SIGNED_MARK}4242",
        "jitid_aB3dE5gH7jK9",
        new_opaque(os.urandom),
        new_opaque(os.urandom)[6:],
    ],
    ids=["payload", "more of a payload", "prefix", "opaque", "opaque without its prefix"],
)
def test_what_holds_a_token_is_no_name(token: str, around: str) -> None:
    """Names are stored and shown everywhere. The message does not repeat the token."""
    with pytest.raises(UsageError, match="a token was passed as the task name") as caught:
        check_name(around.format(token), "task")
    assert token not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "name", ["", "a" * 129, "a b", " a", "a\n", "a\\b", "a*b", "a~", "a%", "a,b", "<b>", "a|b"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    """The message states the kind of the name."""
    with pytest.raises(UsageError, match="the task name"):
        check_name(name, "task")


@pytest.mark.parametrize("check", CHECKS)
@given(before=st.text(max_size=3), intruder=st.sampled_from(INTRUDERS), after=st.text("ab:/.", max_size=3))
def test_no_intruder_passes_in_any_name(
    check: Callable[[str], str], before: str, intruder: str, after: str
) -> None:
    """Control characters, look-alikes, digits of other scripts and a trailing newline are refused."""
    for text in (
        before + intruder + after,
        "https://a" + intruder,
        "urn:ab:c" + intruder,
        "user:a" + intruder,
    ):
        with pytest.raises(UsageError):
            check(text)


@pytest.mark.parametrize("check", CHECKS)
def test_a_hostile_string_is_plain_or_refused_safely(check: Callable[[str], str]) -> None:
    """An accepted text is printable ASCII without a space. The message of a refusal is one printable line."""
    for text in NAUGHTY:
        try:
            passed = check(text)
        except UsageError as error:
            assert error.message.isprintable()
        else:
            assert re.fullmatch(r"[!-~]+", passed)


@pytest.mark.parametrize("check", CHECKS)
def test_a_megabyte_is_refused_with_a_short_message(check: Callable[[str], str]) -> None:
    """The message does not repeat the text."""
    for text in ("a" * 1_000_000, "_2E" * 300_000, "https://" + "a." * 500_000, "\x1b" * 1_000_000):
        with pytest.raises(UsageError) as caught:
            check(text)
        assert len(caught.value.message) < 200


@given(names)
def test_a_bare_delegator_is_a_user(name: str) -> None:
    """A delegator with its kind stays unchanged."""
    if ":" not in name:
        assert check_delegator(name) == f"user:{name}"
    for kind in ("user", "system", "agent"):
        assert check_delegator(f"{kind}:{name}") == f"{kind}:{name}"


@given(st.one_of(names, names.map(lambda name: "agent:" + name)))
def test_checking_a_delegator_twice_changes_nothing_more(text: str) -> None:
    """A stored name can be given again."""
    try:
        checked = check_delegator(text)
    except UsageError:
        return
    assert check_delegator(checked) == checked


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "user:",
        "system:",
        ":alice",
        "User:alice",
        "root:alice",
        "user :alice",
        "user:a b",
        "user:" + "a" * 129,
        "https://example.com",
        "spiffe://jitid.local/agent/a/b/c",
    ],
)
def test_what_is_no_delegator_is_refused(text: str) -> None:
    """An unknown kind is a mistake, never a part of a bare name."""
    with pytest.raises(UsageError):
        check_delegator(text)


@given(names)
@example(".")
@example("..")
@example("_2E")
@example("/")
def test_a_name_survives_the_way_through_spiffe(name: str) -> None:
    """The encoding is reversible and a valid path segment: SPIFFE-ID section 2.2."""
    segment = encode_segment(name)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", segment)
    assert segment not in {".", ".."}
    assert decode_segment(segment) == name


@given(names, names)
def test_two_names_never_share_a_segment(first: str, second: str) -> None:
    """The encoding is injective: one agent cannot pass for another."""
    assert (encode_segment(first) == encode_segment(second)) == (first == second)


@given(st.text("aZ0-._2EF5f", max_size=12))
def test_a_segment_has_one_spelling(segment: str) -> None:
    """Only the output of the encoding can be decoded."""
    try:
        name = decode_segment(segment)
    except UsageError:
        return
    assert encode_segment(name) == segment


@pytest.mark.parametrize(
    "segment",
    [
        "",
        ".",
        "..",
        "a.b",
        "_",
        "a_",
        "_2",
        "_2e",
        "_41",
        "_2D",
        "_20",
        "_00",
        "_2A",
        "__2E",
        "a/b",
        "a:b",
        "%2E",
        "_2E\n",
        "_+2",
        "_ 2",
        "_\uff12E",
        "a" * 129,
        "_2E" * 129,
    ],
)
def test_what_no_name_encodes_to_is_refused(segment: str) -> None:
    """Lower-case codes, codes of plain characters, codes of characters that are invalid in names, and cut codes."""
    with pytest.raises(UsageError):
        decode_segment(segment)


def test_a_spiffe_id_has_its_five_parts() -> None:
    """It has at most 2048 bytes (SPIFFE-ID section 2.3), with the longest names as well."""
    ident = "jid_" + "0" * 26
    made = spiffe_id("jitid.local", "team/deploy-bot", "INC-4821", ident, registered=True)
    assert made == f"spiffe://jitid.local/agent/team_2Fdeploy-bot/INC-4821/{ident}"
    other = spiffe_id("jitid.local", "team/deploy-bot", "INC-4821", ident, registered=False)
    assert other == f"spiffe://jitid.local/ephemeral/team_2Fdeploy-bot/INC-4821/{ident}"
    assert len(spiffe_id("a" * 255, "/" * 128, "/" * 128, ident, registered=False)) <= 2048


@given(names, names, names, names)
def test_two_pairs_of_names_never_share_a_spiffe_id(agent: str, task: str, other: str, another: str) -> None:
    """A slash in a name does not move the boundary."""
    ident = "jid_" + "0" * 26
    same = (agent, task) == (other, another)
    assert (
        spiffe_id("td", agent, task, ident, registered=True)
        == spiffe_id("td", other, another, ident, registered=True)
    ) == same


@pytest.mark.parametrize("text", ["jitid.local", "example.com", "a", "prod_1.eu-west", "a" * 255])
def test_a_trust_domain_is_returned_unchanged(text: str) -> None:
    """SPIFFE-ID section 2.1."""
    assert check_trust_domain(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a.",
        "Example.com",
        "a/b",
        "a:443",
        "a@b",
        "a b",
        "a\n",
        "a%2e",
        "a" * 256,
    ],
)
def test_what_is_no_trust_domain_is_refused(text: str) -> None:
    """Capitals, ports, users, paths and empty labels."""
    with pytest.raises(UsageError):
        check_trust_domain(text)


@pytest.mark.parametrize(
    "text", ["x", "https://api.example.com/", "urn:jitid:1", "sts.amazonaws.com", "a" * 255]
)
def test_an_audience_is_returned_unchanged(text: str) -> None:
    """A name or a URI."""
    assert check_audience(text) == text


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7F), max_size=8))
def test_an_audience_has_no_character_that_quotes(text: str) -> None:
    """Of ASCII, only spaces, quotes, backslashes, angle brackets and control characters are refused."""
    if text and not set(text) & set(" \"'`\\<>\x7f"):
        assert check_audience(text) == text
    else:
        with pytest.raises(UsageError):
            check_audience(text)


@pytest.mark.parametrize(
    "text",
    [
        "urn:jitid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "urn:ab:c",
        "urn:example:a/b:c@d",
        "https://issuer.example.com",
        "https://issuer.example.com/",
        "https://issuer.example.com:8443/tenant/1",
        "https://issuer.example.com/a%20b",
        "https://192.0.2.1",
        "https://[2001:db8::1]:443/x",
        "http://localhost",
        "http://localhost:8080/x",
        "http://127.0.0.1:1",
        "http://127.255.255.254",
        "http://[::1]:65535/",
        "https://a/" + "b" * 245,
    ],
)
def test_an_issuer_is_returned_unchanged(text: str) -> None:
    """`urn:`, `https:`, and `http:` on a loopback address."""
    assert check_issuer(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "issuer", "urn:", "urn:jitid", "urn:jitid:", "urn:a:b", "urn:-a:b", "urn:a-:b", "urn::b",
        "urn:ab:/c", "urn:ab:c[d", "urn:" + "a" * 33 + ":b", "URN:ab:c", "Https://a", "HTTP://localhost",
        "ftp://a", "javascript:alert(1)", "https:", "https:/a", "https://", "https:///a", "https://:443",
        "https://a:", "https://a:0", "https://a:65536", "https://a:+1", "https://a:1a",
        "https://a:99999999", "https://a?b", "https://a/?", "https://a#b", "https://a/#",
        "https://user@a", "https://user:pass@a", "https://a@", "https://a..b", "https://a.", "https://.a",
        "https://a_b", "https://a b", "https://a/\n", " https://a", "https://a/%", "https://a/%2",
        "https://a/%zz", "https://a\\b", "https://[::1", "https://::1]", "https://[]", "https://[:]",
        "https://[::1]x", "https://[::1]:", "https://[::g]", "https://]::[", "https://a/[b",
        "https://a/b]", "https://a,b", "https://a%2eb", "http://a", "http://example.com",
        "http://localhost.example.com", "http://localhost@example.com", "http://127.0.0.1.example.com",
        "http://127.1", "http://127.0.0.01", "http://127.0.0.256", "http://0x7f.0.0.1",
        "http://2130706433", "http://0.0.0.0", "http://[::]", "http://[::ffff:127.0.0.1]",
        "http://[0:0:0:0:0:0:0:1]", "http://LOCALHOST", "https://a/'b", "https://a/" + "b" * 246,
    ],
)  # fmt: skip
def test_what_is_no_issuer_is_refused(text: str) -> None:
    """Queries, fragments, users, bad hosts and ports, and plain HTTP to anywhere but this machine."""
    with pytest.raises(UsageError):
        check_issuer(text)


@pytest.mark.parametrize(
    ("origin", "audience", "expected"),
    [
        ("https://api.example", "https://api.example", True),
        ("https://api.example", "https://api.example/v1?x#y", True),
        ("https://API.example.:443/", "https://api.example", True),
        ("https://*.example", "https://api.example", True),
        ("https://*.example", "https://api.example/v1", True),
        ("https://*.*", "https://api.example", True),
        ("https://*.example:8443", "https://api.example:8443", True),
        ("https://*.example", "https://a.api.example", False),
        ("https://*.example", "https://example", False),
        ("https://*.example", "https://api.example.org", False),
        ("https://*.example", "http://api.example", False),
        ("https://*.example", "https://api.example:8443", False),
        ("https://*.example", "https://api.example@evil.org", False),
        ("https://[::1]:8443", "https://[::1]:8443/x", True),
        ("https://[::1]", "https://[::2]", False),
        ("https://*.example", "urn:bank", False),
        ("urn:bank", "urn:bank", True),
        ("urn:bank", "urn:banks", False),
        ("*", "https://api.example", True),
        ("urn:*", "urn:bank", True),
    ],
)
def test_an_origin_may_reach_whatever_it_may_stand_for(origin: str, audience: str, *, expected: bool) -> None:
    assert may_reach(origin, audience) is expected


@given(st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4), st.data())
def test_an_origin_with_wildcards_reaches_each_host_of_as_many_labels(
    labels: list[str], data: st.DataObject
) -> None:
    host = [data.draw(st.sampled_from(["a", "b"])) if label == "*" else label for label in labels]
    assert may_reach(f"https://{'.'.join(labels)}", f"https://{'.'.join(host)}/path")
    assert not may_reach(f"https://{'.'.join(labels)}", f"https://{'.'.join([*host, 'a'])}")
