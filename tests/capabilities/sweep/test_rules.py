"""Laws of all rules: a rule reports its case once, spares the nearest other case, and its remedy ends the finding."""

from __future__ import annotations

import json
from inspect import getdoc

import pytest

from jitid.capabilities.identity.revocation_result import TooManyError
from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.sweep.finding import Coverage, Severity, Swept, Thresholds
from jitid.capabilities.sweep.rule import RuleContext, RuleGroup
from jitid.capabilities.sweep.rules import NAMES as EVERY
from jitid.capabilities.sweep.rules import rule_of
from jitid.cli.verbs import all_verbs
from jitid.config.settings import SETTINGS
from jitid.errors import InvalidCredentialError
from jitid.model.credential import LEEWAY
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import NOW, World, edit
from tests.capabilities.sweep.asking import fixed, found, swept
from tests.capabilities.sweep.cases import APART, CASES, leak

# A database has its own clock, so that the rule `clock` does not apply.
pytestmark = [pytest.mark.usefixtures("kept_in"), pytest.mark.of_files("database-clock")]

NAMES = tuple(name for name in EVERY if name not in APART)


def alive(world: World) -> int:
    """Return the number of live credentials."""
    return next(each.live for each in swept(world, "clock") if isinstance(each, Swept))


def test_every_rule_has_its_cases() -> None:
    assert list(CASES) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_reports_its_case_once(world: World, name: str) -> None:
    subject = CASES[name].reported(world)
    (finding,) = found(world, name)
    assert (finding.rule, finding.subject, finding.credentials) == (name, subject, CASES[name].live)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_spares_the_nearest_that_is_in_order(world: World, name: str) -> None:
    CASES[name].spared(world)
    assert found(world, name) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_finds_nothing_in_a_new_ledger(world: World, name: str) -> None:
    examined = rule_of(name).examines if name != "audit-gap" else "audit events 1 to 1"
    unknown = (
        "whether credentials are used: no audience reports use"
        if name in ("never-used", "over-scoped")
        else None
    )
    assert [each for each in swept(world, name) if isinstance(each, Coverage)] == [
        Coverage(name, examined, (), unknown)
    ]
    assert found(world, name) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_finding_can_be_read_and_acted_on(world: World, name: str) -> None:
    CASES[name].reported(world)
    (finding,) = found(world, name)
    assert not finding.summary.endswith(".")
    assert finding.severity.rank <= rule_of(name).highest.rank
    assert finding.since is None or finding.since <= world.clock.now + 60
    assert json.loads(json.dumps(finding.evidence)) == finding.evidence
    if finding.remedy is None:
        assert finding.severity is Severity.INFO
    else:
        words = finding.remedy.split()
        assert words[0] == "jitid"
        assert words[1] in all_verbs() or " ".join(words[1:3]) in all_verbs()


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
def test_a_remedy_ends_what_was_found_and_nothing_else(world: World, name: str) -> None:
    other = world.issue(task="OTHER", agent="other", delegator="user:other", kind="opaque")
    CASES[name].reported(world)
    (finding,) = found(world, name)
    before = alive(world)
    done = fixed(world, name)
    rule = rule_of(name)
    at_target = rule.clears
    if finding.ends is None and rule.pick is None and not rule.closes and not at_target:
        assert done == []
        assert found(world, name) == [finding]
        return
    (one,) = done
    count = CASES[name].live
    assert (one.findings, one.credentials, one.accepted) == ((finding,), count, 0)
    assert before - alive(world) == (0 if rule.closes or at_target else count)
    assert found(world, name) == []
    assert fixed(world, name) == []
    if not rule.closes:
        assert world.verify(other.token).id == other.id


def test_what_rests_on_a_line_that_expired_early_is_an_orphan_until_somebody_writes(world: World) -> None:
    parent = world.issue(kind="opaque")
    world.issue(parent=parent.token, agent="coder")
    world.authority.perform(Renew(request=RenewRequest(Secret.single(parent.token), ttl=40)))
    world.clock.now += 60
    (finding,) = found(world, "orphaned-parent")
    assert (finding.subject, finding.credentials) == (parent.id, 1)
    # The transaction that would end the credential has recorded its end before.
    assert fixed(world, "orphaned-parent") == []
    assert found(world, "orphaned-parent") == []
    world.check()


@pytest.mark.parametrize("name", [name for name in NAMES if not CASES[name].edited])
def test_the_audit_log_tells_of_a_remedy(world: World, name: str) -> None:
    CASES[name].reported(world)
    done = fixed(world, name)
    world.check()
    for one in done:
        (event,) = [each for each in world.events() if each["seq"] == one.event]
        if rule_of(name).closes:
            assert event["op"] in ("expire", "supersede")
        elif rule_of(name).abroad:
            assert (event["op"], event["target"]) == (
                "clear" if name == "orphaned-untracked" else "settle",
                "shop",
            )
        else:
            assert (event["op"], event["sweep"], event["finding"]) == ("revoke", "the sweep", name)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_says_what_it_is_for(name: str) -> None:
    rule = rule_of(name)
    assert rule.name == name
    for text in (rule.title, rule.reports, rule.spares, rule.examines):
        assert text
        assert not text.endswith(".")
    for number in rule.owasp:
        assert number in {f"NHI{each}" for each in range(1, 11)}
    assert bool(rule.owasp) or rule.group is RuleGroup.HEALTH
    # By default, the edit of a limit must not end any credential.
    also = ("leaked-live", "revoked-live", "revocation-stuck")
    # A credential that this ledger does not know may belong to another ledger with the same target.
    never = ("orphaned-untracked",)
    assert rule.mended == ((rule.group is RuleGroup.ORPHAN or name in also) and name not in never)


def test_a_rule_is_a_file_of_its_own() -> None:
    modules = {rule_of(name).find.__module__ for name in EVERY}
    assert len(modules) == len(EVERY)
    for name in EVERY:
        assert getdoc(__import__(rule_of(name).find.__module__, fromlist=["RULE"]))


def test_the_limits_are_settings_with_the_same_defaults() -> None:
    limits = Thresholds()._asdict()
    # It follows from the setting `delegators`, and is not a setting of the sweep alone.
    assert limits.pop("known_only") == (SETTINGS["delegators"].default == "known")
    for name, value in limits.items():
        assert SETTINGS[f"sweep_{name}"].default == value
        # A value that is not visible on the command line must not hide a finding.
        assert not SETTINGS[f"sweep_{name}"].environment
    assert {name for name in SETTINGS if name.startswith("sweep_")} == {f"sweep_{name}" for name in limits}


@pytest.mark.parametrize("name", NAMES)
def test_what_ends_is_selected_by_one_sort_of_name_and_never_by_nothing(world: World, name: str) -> None:
    """Different kinds narrow one another, so that the selections of several findings could not be joined."""
    CASES[name].reported(world)
    (finding,) = found(world, name)
    rule = rule_of(name)
    with world.ledger.read() as snapshot:
        rule_context = RuleContext(
            snapshot,
            world.ledger.names,
            world.ledger.condition().clock(),
            Thresholds(),
            terms=lambda: world.terms,
        )
        selection = rule.ends(rule_context, finding)
    assert selection is None or sum(bool(values) for values in selection) == 1


def test_what_is_found_twice_counts_once_for_the_guard_rail(world: World) -> None:
    from jitid.capabilities.sweep.operations import ForeseeFix

    made = [world.issue(task="T1") for _ in range(3)]
    for one in made:
        leak(world, one.jti)
    edit(world.path, "UPDATE task SET deadline = 1")
    foreseen = world.authority.perform(
        ForeseeFix(rules=("orphaned-task", "leaked-live"), limits=Thresholds())
    )
    assert (foreseen.radius.credentials, foreseen.radius.identities) == (3, 3)
    assert foreseen.rules == ("orphaned-task", "leaked-live")


@pytest.mark.of_files
def test_a_row_that_cannot_be_read_keeps_one_rule_from_its_remedy_and_no_other(world: World) -> None:
    leaked, other = world.issue(task="T1"), world.issue(task="T2")
    leak(world, leaked.jti)
    edit(world.path, "UPDATE leak SET reported_at = 'x'", "UPDATE task SET deadline = 1 WHERE name = 'T2'")
    (one,) = fixed(world, "leaked-live", "orphaned-task")
    assert (one.rule, one.findings[0].subject) == ("orphaned-task", "user:alice/T2")
    assert not any(each.complete for each in swept(world, "leaked-live") if isinstance(each, Coverage))
    with pytest.raises(InvalidCredentialError):
        world.verify(other.token)


@pytest.mark.parametrize("table", ["identity", "task", "term"])
def test_what_belongs_to_nobody_is_never_passed_over_silently(world: World, table: str) -> None:
    world.issue()
    edit(world.path, f"DELETE FROM {table}")
    assert not any(each.complete for each in swept(world, "standing") if isinstance(each, Coverage))


def test_a_credential_beside_its_successor_is_told_until_when_it_works(world: World) -> None:
    first = world.issue(kind="opaque", sensitivity="low", ttl=28_800)
    leak(world, first.jti)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(first.token), ttl=900)))
    limits = Thresholds(standing_low=3_600)
    assert found(world, "standing", limits=limits) == []
    (finding,) = found(world, "leaked-live")
    assert finding.evidence["expires_at"] == NOW + 30


def test_a_leak_that_was_renewed_is_found_by_what_was_made_with_it(world: World) -> None:
    """All credentials obtained with it end too. The leak that its own holder renewed is closed, and not found."""
    leaked, mine = world.issue(kind="opaque"), world.issue(task="T2")
    child = world.issue(parent=leaked.token, agent="mole", kind="opaque", ttl=600)
    for one in (leaked, mine):
        leak(world, one.jti, closed=one is mine)
        world.authority.perform(Renew(request=RenewRequest(Secret.single(one.token))))
    world.clock.now += 60
    head = world.head()
    (finding,) = found(world, "leaked-live")
    assert (finding.subject, finding.severity, finding.credentials) == (leaked.jti, Severity.CRITICAL, 2)
    assert finding.summary == (
        "the opaque of planner on T1 was reported leaked 1m ago (`a log`); it ended, but credentials made with it "
        "are valid until 2026-11-24T12:15:00Z: 1 successor, 1 delegated"
    )
    told = {
        name: finding.evidence[name] for name in ("died_at", "successors", "delegated", "last_expires_at")
    }
    assert told == {
        "died_at": NOW + 30,
        "successors": 1,
        "delegated": 1,
        "last_expires_at": NOW + 900,
    }
    assert world.head() == head
    world.revoke(child.jti)
    (finding,) = found(world, "leaked-live")
    assert finding.summary.endswith(": 1 successor")
    (ended,) = fixed(world, "leaked-live")
    assert (ended.credentials, ended.accepted) == (1, 0)
    assert found(world, "leaked-live") == []


def test_what_was_proved_by_a_clock_that_was_ahead_is_found(world: World) -> None:
    """A proof with a future time proves nothing about today."""
    leaked = world.issue(kind="opaque")
    leak(world, leaked.jti)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(leaked.token))))
    world.clock.now += 60
    edit(world.path, f"UPDATE leak SET proved_at = {NOW + 61}")
    assert len(found(world, "leaked-live")) == 1


def test_a_superseded_token_is_told_while_it_is_honoured_offline(world: World) -> None:
    first = world.issue(sensitivity="low", ttl=28_800)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(first.token), ttl=900)))
    assert found(world, "offline-valid") == []
    world.clock.now += 60
    (unrecorded,) = found(world, "offline-valid")
    world.issue(task="T9")
    (finding,) = found(world, "offline-valid")
    for each in (unrecorded, finding):
        assert (each.credentials, each.since, each.evidence["honoured_until"]) == (
            1,
            NOW + 30,
            NOW + 28_800 + LEEWAY,
        )
    assert "no event records it yet" in unrecorded.summary
    assert finding.evidence["event"]


@pytest.mark.of_files
def test_a_scope_of_an_edited_ledger_runs_nothing_in_the_remedy(world: World) -> None:
    """The remedy names the finding by its fingerprint, without any text of the ledger."""
    hostile = '\'; touch pwned #" {system("touch pwned")} "\\'
    CASES["duplicate"].reported(world)
    edit(
        world.path,
        "UPDATE credential SET scopes = x'" + hostile.encode().hex() + "' WHERE scopes = 'web:read'",
    )
    edit(world.path, "UPDATE credential SET scopes = CAST(scopes AS TEXT)")
    (finding,) = found(world, "duplicate")
    assert finding.remedy == f"jitid sweep --fix --rule duplicate --finding {finding.fingerprint}"


@pytest.mark.parametrize("name", ["duplicate", "unproved-delegator"])
def test_the_remedy_of_one_finding_leaves_the_others_of_its_rule(world: World, name: str) -> None:
    """The other finding is about a task of the same name, of another delegator."""
    for delegator in ("user:alice", "user:bob"):
        for _ in range(2):
            world.issue(delegator=delegator, agent="crawler", scopes=("web:read",))
    limits = Thresholds(duplicates=1, asserted="low")
    first, second = found(world, name, limits=limits)
    assert first.remedy == f"jitid sweep --fix --rule {name} --finding {first.fingerprint}"
    with pytest.raises(TooManyError):
        fixed(world, name, limits=limits, finding=first.fingerprint, most=1)
    assert found(world, name, limits=limits) == [first, second]
    (done,) = fixed(world, name, limits=limits, finding=first.fingerprint, most=2)
    assert (done.findings, done.credentials) == ((first,), 2)
    assert found(world, name, limits=limits) == [second]
    assert fixed(world, name, limits=limits, finding=first.fingerprint) == []
    world.check()


@pytest.mark.parametrize("name", NAMES)
def test_a_remedy_is_one_command(world: World, name: str) -> None:
    CASES[name].reported(world)
    (finding,) = found(world, name)
    assert " | " not in (finding.remedy or "")
