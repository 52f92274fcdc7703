"""Kinds of credential in their text form: `KIND[:TEMPLATE]`, and `exec:NAME[:TEMPLATE]` for programs."""

from __future__ import annotations

import pytest

from jitid.errors import UsageError
from jitid.model.credential import Kind, base_kind, is_outside, parse_kind


@pytest.mark.parametrize(
    ("text", "kind", "template"),
    [
        ("jwt", "jwt", None),
        ("jwt:reader", "jwt", "reader"),
        ("jwt:db/reader", "jwt", "db/reader"),
        ("aws-sts:deploy", "aws-sts", "deploy"),
        ("postgres-role:db/reader", "postgres-role", "db/reader"),
        ("exec:vault", "exec:vault", None),
        ("exec:vault:reader", "exec:vault", "reader"),
        ("exec:a.b_c-1:t/x", "exec:a.b_c-1", "t/x"),
    ],
)
def test_a_kind_is_read_with_its_template(text: str, kind: str, template: str | None) -> None:
    assert parse_kind(text) == (kind, template)
    assert is_outside(kind) is (base_kind(kind) in (Kind.AWS_STS, Kind.POSTGRES_ROLE, Kind.EXEC))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "JWT",
            "jwt:",
            ":x",
            "jwt:a:b",
            "jwt:a/b/c",
            "jwt:/a",
            "jwt:a/",
            "jwt: a",
            "jwt:-a",
            "jwt:.a",
            "exec",
        ),
        *(
            "exec:",
            "exec::x",
            "exec:a:",
            "exec:a/b",
            "exec:a:b:c",
            "exec:\u00e9",
            f"exec:{'a' * 65}",
            "jwt:a\n",
            "jwt:\u0661",
        ),
    ],
)
def test_what_names_no_kind_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_kind(text)


@pytest.mark.parametrize("kind", ["exec", "exec:", "exec:a:b", "jwt:a", "opaque:", "none"])
def test_the_ledger_keeps_no_template_in_a_kind(kind: str) -> None:
    with pytest.raises(UsageError):
        base_kind(kind)
