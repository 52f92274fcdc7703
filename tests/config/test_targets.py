"""Targets in the configuration: the source of their tables, the choice of a target, and the allowed contents."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.config.effective import load
from jitid.errors import ConfigurationError, JitidError, StorageError, UsageError
from jitid.issuers.targets import COMMON, Targets, check, options_of
from jitid.keys.keyring import Signer
from jitid.model.credential import OUTSIDE, Kind
from jitid.model.target import StatedTarget, Target, jti_of, name_at
from tests.config.test_config import surroundings, write
from tests.issuers.places import new_jti

EXEC = {"kind": "exec", "program": "/bin/true"}


def targets(**tables: dict[str, Any]) -> Targets:
    """Return the targets that these tables define."""
    return Targets(
        [StatedTarget(name, table, "/etc/jitid", "user f") for name, table in tables.items()], "urn:x"
    )


def test_the_nearest_file_has_the_whole_table() -> None:
    with surroundings() as environ:
        write(
            environ,
            "system",
            "[target.a]\nkind = 'exec'\nprogram = 'p'\ntimeout = '5s'\n[target.b]\nkind = 'jwt'\n",
        )
        write(environ, "user", "[target.a]\nkind = 'exec'\nprogram = 'q'\n")
        config = load(environ=environ)
        found = {each.name: each for each in config.targets()}
        assert found.keys() == {"a", "b"}
        assert found["a"].table == {"kind": "exec", "program": "q"}
        assert found["a"].origin.startswith("user ")
        target = Targets(config.targets(), "urn:x").get("a")
        assert target.options == {"program": f"{found['a'].folder}/q"}
        shown = dict(config.tables())["target"]
        assert {key: text for key, (text, _) in shown.items()} == {
            "a.kind": "exec",
            "a.program": "q",
            "b.kind": "jwt",
        }


def test_a_project_names_no_target() -> None:
    with surroundings() as environ:
        write(environ, "project", "task = 'T'\n[target.a]\nkind = 'exec'\nprogram = '/tmp/evil'\n")
        config = load(environ=environ)
        assert config.targets() == ()
        assert config.text("task") is None
        assert len(config.warnings) == 1


def test_a_profile_lays_its_targets_over() -> None:
    with surroundings() as environ:
        write(
            environ,
            "user",
            "[target.a]\nkind = 'exec'\nprogram = '/a'\n[profile.p.target.a]\nkind = 'exec'\nprogram = '/p'\n",
        )
        (plain,), (laid,) = load(environ=environ).targets(), load(environ=environ, profile="p").targets()
        assert (plain.table["program"], laid.table["program"]) == ("/a", "/p")


@pytest.mark.parametrize(
    "text",
    [
        "target = 1",
        "[target]\na = 1",
        "[target.'a/b']\nkind = 'exec'",
        "[target.'']\nkind = 'exec'",
        "[target.'-a']\nkind = 'exec'",
        "[target.a]\nkind = 'exec'\ntemplate = 1",
        "[target.a.template]\nb = 1",
    ],
)
def test_what_is_no_table_of_targets_is_refused_at_once(text: str) -> None:
    with surroundings() as environ:
        write(environ, "user", text)
        with pytest.raises(ConfigurationError):
            load(environ=environ)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "has no option `kind`"),
        ({"kind": 1}, "has no option `kind`"),
        ({"kind": "x"}, "is not a kind"),
        ({"kind": "exec:a"}, "is not a kind"),
        ({"kind": "exec"}, "lacks the option `program`"),
        ({**EXEC, "programm": 1}, "has no option `programm`"),
        ({**EXEC, "program": 1}, "option `program`: expected a text"),
        ({**EXEC, "program": " "}, "option `program`"),
        ({**EXEC, "arguments": "a"}, "option `arguments`: expected a list"),
        ({**EXEC, "arguments": [1]}, "option `arguments`"),
        ({**EXEC, "environment": {"A": 1}}, "option `environment`"),
        ({**EXEC, "environment": "A=1"}, "option `environment`"),
        ({**EXEC, "timeout": "soon"}, "option `timeout`"),
        ({**EXEC, "timeout": True}, "option `timeout`"),
        ({**EXEC, "timeout": "61s"}, "maximum is 60 seconds"),
        ({**EXEC, "template": {"t": {"optoins": {}}}}, "template.t` has no option"),
        ({**EXEC, "template": {"t/u": {}}}, "a template name consists of"),
    ],
)
def test_a_table_that_cannot_be_meant_is_told_by_its_option(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"target\.a") as caught:
        targets(a=table).get("a")
    assert words in caught.value.message


values = st.recursive(
    st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(list(Kind)), st.data())
def test_any_table_is_taken_or_refused(kind: Kind, data: st.DataObject) -> None:
    options, of_templates = options_of(kind)
    table = data.draw(st.dictionaries(st.sampled_from([*options, *COMMON, "other"]), values, max_size=6))
    entries = data.draw(st.dictionaries(st.sampled_from([*of_templates, "other"]), values, max_size=3))
    stated = StatedTarget("a", {**table, "kind": kind.value, "template": {"t": entries}}, "/", "user f")
    try:
        found = check(stated)
    except JitidError:
        return
    assert found.options.keys() == table.keys() - {"kind", "template"}


def test_no_option_of_any_kind_is_for_a_secret() -> None:
    """Passwords and keys are in files, and options contain their paths."""
    for kind in Kind:
        for name, option in options_of(kind)[0].items():
            secretive = name.endswith(("password", "secret", "credentials", "token", "key"))
            assert not secretive or option.sort == "place", (kind, name)


@pytest.mark.parametrize(
    ("kind", "template", "told"),
    [
        ("exec:one", None, None),
        ("exec:one", "reader", "one/reader"),
        ("exec:one", "one/reader", "one/reader"),
        ("postgres-role", "writer", "db/writer"),
        ("postgres-role", "spare/reader", "spare/reader"),
        ("jwt", None, None),
        ("ssh-cert", "ops", "hosts/ops"),
    ],
)
def test_the_one_target_that_can_be_meant_is_found(kind: str, template: str | None, told: str | None) -> None:
    chosen = stated().choose(kind, template)
    assert chosen.qualified_template == told
    assert (chosen.target is None) is (kind == "jwt")


@pytest.mark.parametrize(
    ("kind", "template", "words"),
    [
        ("postgres-role", None, "2 targets match"),
        ("postgres-role", "reader", "2 targets match `postgres-role:reader`"),
        ("postgres-role", "nothing", "no target of the kind `postgres-role` has a template `nothing`"),
        ("postgres-role", "one/reader", "no target of the kind"),
        ("exec:one", "two/reader", "no target of the kind"),
        ("exec:three", None, "the configuration has no target for credentials of the kind `exec:three`"),
        ("aws-sts", None, "the configuration has no target for"),
        ("jwt", "reader", "the configuration has no target for"),
    ],
)
def test_what_names_none_or_several_is_a_usage_error(kind: str, template: str | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        stated().choose(kind, template)
    assert words in caught.value.message


def stated() -> Targets:
    """Return some targets. Missing options do not matter as long as a target is not selected."""
    postgres = {"kind": "postgres-role", "host": "db.example", "user": "jitid", "database": "d"}
    postgres |= {name: "/x" for name, option in options_of(Kind.POSTGRES_ROLE)[0].items() if option.required}
    templates = {name: _template(Kind.POSTGRES_ROLE) for name in ("reader", "writer")}
    known = options_of(Kind.POSTGRES_ROLE)[0].keys() | {"kind"}
    postgres = {name: value for name, value in postgres.items() if name in known}
    return targets(
        one={**EXEC, "template": {"reader": {}}},
        two={**EXEC, "template": {"reader": {}}},
        db={**postgres, "template": templates},
        spare={**postgres, "template": {"reader": templates["reader"]}},
        hosts={"kind": "ssh-cert", "template": {"ops": _template(Kind.SSH_CERT)}},
    )


def _template(kind: Kind) -> dict[str, Any]:
    made = {
        "text": "x",
        "texts": ["x"],
        "table": {"x": "x"},
        "count": 1,
        "duration": "1m",
        "place": "/x",
        "flag": True,
    }
    return {name: made[option.sort] for name, option in options_of(kind)[1].items() if option.required}


@given(st.sampled_from(["jitid_", "jti_", "a-", "x"]))
def test_a_name_at_a_target_leads_back_to_its_credential(prefix: str) -> None:
    target = Target("a", "exec:a", {"prefix": prefix}, {})
    jti = new_jti()
    name = name_at(target, jti)
    assert jti_of(target, name) == jti
    for other in (name[1:], f"{name}0", f"y{name}", name.removeprefix(prefix), "", prefix, name.upper()):
        assert jti_of(target, other) != jti


def test_every_kind_that_a_target_makes_can_be_opened() -> None:
    """A new kind must be in both tables, and have options."""
    assert {
        kind for kind in Kind if options_of(kind)[0] and kind not in (Kind.SSH_CERT, Kind.X509_SVID)
    } == OUTSIDE


def test_what_signs_is_looked_up_each_time_and_other_threads_have_what_was_prepared() -> None:
    """A ledger belongs to one thread, and a rotated key is no longer published."""
    home = threading.get_ident()
    numbers = itertools.count(1)

    def look() -> Signer:
        assert threading.get_ident() == home
        return Signer(f"key {next(numbers)}", "ES256", b"", bytes)

    table = {"kind": "aws-sts", "region": "eu-central-1", "web_identity": True}
    other = {"kind": "aws-sts", "region": "eu-central-1", "credentials_file": "keys"}
    stated = [StatedTarget("cloud", table, "/", "f"), StatedTarget("other", other, "/", "f")]
    found = Targets(stated, "https://id.example.com", signer=look)
    with ThreadPoolExecutor(1) as pool:
        # None of these targets signs.
        found.prepare(["other", "unknown"])
        with pytest.raises(StorageError):
            pool.submit(found._sign).result()
        found.prepare(["cloud"])
        assert pool.submit(found._sign).result().kid == "key 1"
        assert found._sign().kid == "key 2"
        assert pool.submit(found._sign).result().kid == "key 2"
