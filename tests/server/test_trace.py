"""The header `traceparent` (W3C Trace Context, section 3.2): parsed strictly, or replaced by a new one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.server.metrics import trace_id, traceparent

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@pytest.mark.parametrize(
    "said", [f"00-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-more"]
)
def test_what_can_be_meant_is_kept(said: str) -> None:
    assert traceparent(said.encode()) == f"00-{TRACE}-{PARENT}-01"
    assert trace_id(traceparent(said.encode())) == TRACE


@pytest.mark.parametrize(
    "said",
    [
        "",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-0x",
        f" 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
        f"cc-{TRACE}-{PARENT}-01-{'m' * 600}",
    ],
)
def test_what_cannot_be_meant_gives_way_to_a_new_one(said: str) -> None:
    found = traceparent(said.encode())
    assert FORM.fullmatch(found)
    assert TRACE not in found


def test_without_one_each_is_new() -> None:
    assert traceparent(None) != traceparent(None)


@given(st.binary(max_size=80))
def test_whatever_is_said_the_answer_has_the_form(said: bytes) -> None:
    assert FORM.fullmatch(traceparent(said))
