"""The page about federation: its settings, variables and figures are those of the table in the code."""

from __future__ import annotations

import tomllib

import pytest

from jitid.model.federation import COMMON, check_table
from jitid.model.subject_template import FIELDS
from jitid.model.vendor import UNSUPPORTED, VENDORS
from jitid.values.times import format_duration
from tests.man.source import displays, items, plain, read, section

PAGE = read("jitid-federation.7")


def of(vendor: str) -> str:
    """Return the source of a vendor's section."""
    return PAGE.split(f".Ss {vendor}\n")[1].split("\n.Ss ")[0].split("\n.Sh ")[0]


def test_the_settings_of_every_table_are_told() -> None:
    common = section(PAGE, "SETTINGS").split("\n.Ss ")[0]
    assert set(items(common)) == set(COMMON)


@pytest.mark.parametrize("name", VENDORS)
def test_each_vendor_is_told_with_its_settings_and_figures(name: str) -> None:
    """And no setting that the code does not have."""
    vendor, text = VENDORS[name], of(name)
    assert set(items(text)) == set(vendor.settings)
    told = plain(text)
    assert vendor.audience.partition("{")[0] in told
    assert f"algorithm {vendor.algorithm}" in told
    assert format_duration(vendor.lifetime) in told
    missing = [variable for variable in vendor.variables if variable not in told]
    assert missing == []
    required = [setting for setting in vendor.settings.values() if setting.required]
    assert told.count("Required.") == len(required)


def test_what_cannot_be_done_is_told() -> None:
    told = plain(of("Others")).lower()
    assert [name for name in UNSUPPORTED if name not in told] == []


def test_the_fields_of_templates_are_told() -> None:
    assert set(items(section(PAGE, "THE SUBJECT"))) == {f"{{{field}}}" for field in FIELDS}


def test_the_example_is_a_configuration() -> None:
    (text,) = [text for text in displays(PAGE) if text.startswith("[federate")]
    for name, table in tomllib.loads(text)["federate"].items():
        check_table(name, table)
