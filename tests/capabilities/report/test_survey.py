"""Laws of the survey: it equals a count row by row at any time, and its parts add up."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.report import operations as report_operations
from jitid.capabilities.report import store as report_store
from jitid.capabilities.sweep.finding import Thresholds
from jitid.errors import UsageError
from jitid.model.request import RenewRequest
from jitid.model.survey import People, Survey, SurveyedUse
from jitid.values.secret import Secret
from tests.builders import DAY, NOW, World, edit, put
from tests.capabilities.leak.test_leaks import add
from tests.capabilities.report.history import histories, live_through
from tests.capabilities.report.recount import LIMITS, counted


def midnight(now: int, days: int) -> int:
    """Return when a period of `days` UTC days began that ends today."""
    return (now // DAY - days + 1) * DAY


def check_sums(survey: Survey, now: int) -> None:
    """Check that the parts of a survey add up to its totals."""
    totals = survey.totals
    assert totals.tasks_open + totals.tasks_overdue + totals.tasks_ended == totals.tasks
    for found in survey.live_by.values():
        assert sum(part.live for part in (*found.top, found.others)) == found.live == totals.live
    assert (
        sum(band.live for band in survey.bands) == sum(each.live for each in survey.sensitive) == totals.live
    )
    assert survey.lifetimes.number == totals.live
    assert survey.trend[-1].live == totals.live
    assert survey.trend[-1].start <= now < survey.trend[-1].start + DAY
    for before, day in zip(survey.trend, survey.trend[1:], strict=False):
        assert day.live == before.live + day.issued - day.ended
    leaks = survey.leaks
    assert leaks.valid + leaks.exposure.number + leaks.dead_before == leaks.secrets
    assert leaks.aged + leaks.young_dead + leaks.young_valid + leaks.dead_before == leaks.secrets
    assert survey.use.identities == totals.live_identities


@pytest.mark.deep
@settings(max_examples=60)
@given(
    steps=histories,
    later=st.sampled_from([0, 1, 600, 2 * DAY, 8 * DAY]),
    ago=st.integers(0, 12 * DAY),
    days=st.integers(1, 9),
)
def test_a_survey_counts_what_each_row_says(
    steps: list[dict[str, Any]], later: int, ago: int, days: int
) -> None:
    """This holds for the present and for any time before."""
    with TemporaryDirectory() as name, World(Path(name, "ledger")) as world:
        live_through(world, steps)
        world.clock.now += later
        now = world.clock.now
        for at, then in ((None, now), (now, now), (now - ago, now - ago), (NOW, NOW)):
            since = midnight(then, days)
            with world.ledger.read() as snapshot:
                survey = report_store.survey(snapshot, at, since, LIMITS)
            assert survey == counted(world.path, then, since)
            check_sums(survey, then)


@settings(max_examples=20)
@given(steps=histories)
def test_the_report_of_this_very_second_is_the_present_one(steps: list[dict[str, Any]]) -> None:
    """The history in the rows gives the same result as the ledger's present state."""
    with TemporaryDirectory() as name, World(Path(name, "ledger")) as world:
        live_through(world, steps)
        present = world.authority.perform(
            report_operations.MakeReport(days=30, limits=Thresholds(), accept_clock=True)
        )
        dated = world.authority.perform(
            report_operations.MakeReport(at=world.clock.now, days=30, limits=Thresholds(), accept_clock=True)
        )
        assert dated == present


def test_a_leak_counts_as_valid_after_five_days_only_beyond_the_fifth(tmp_path: Path) -> None:
    """A credential that ended exactly after five days was not valid for longer."""
    for number, more in enumerate((-1, 0, 1)):
        with World(tmp_path / str(number), now=NOW) as world:
            with world.ledger.write() as transaction:
                row = put(transaction, ttl=5 * DAY + more)
            edit(
                world.path,
                "INSERT INTO leak (credential, source, reported_at, added_at, event) "
                f"VALUES ({row.key}, 's', {NOW}, {NOW}, 1)",
            )
            world.clock.now = NOW + 6 * DAY
            with world.ledger.read() as snapshot:
                leaks = report_store.survey(snapshot, None, midnight(world.clock.now, 1), LIMITS).leaks
        assert (leaks.aged, leaks.aged_valid) == (1, int(more > 0))
        assert leaks.exposure.longest == 5 * DAY + more


def test_a_renewed_identity_counts_once_and_for_its_own_delegator(tmp_path: Path) -> None:
    """While predecessor and successor both work, there are two credentials, but one identity of one person."""
    with World(tmp_path / "ledger") as world:
        names = ("user:a", "user:a", "user:b")
        made = [world.issue(delegator=name, task=f"T-{name}", agent="planner") for name in names]
        for one in made:
            request = RenewRequest(token=Secret.single(one.token))
            world.authority.perform(issue_operations.Renew(request=request))
        with world.ledger.read() as snapshot:
            survey = report_store.survey(snapshot, None, midnight(NOW, 1), LIMITS)
    assert (survey.totals.live, survey.totals.live_identities) == (6, 3)
    assert survey.people == People(2, 3, 2, "user:a")
    assert survey.use == SurveyedUse(3, 3, 0, 0, 0, 0)


@pytest.mark.parametrize("at", [NOW + 1, NOW - 1, 0])
def test_there_is_no_report_of_the_future_nor_of_before_the_ledger(tmp_path: Path, at: int) -> None:
    """The ledger has no data about these times."""
    with World(tmp_path / "ledger") as world, pytest.raises(UsageError):
        world.authority.perform(report_operations.MakeReport(at=at, days=30, limits=Thresholds()))


@pytest.mark.parametrize("days", [0, -1, 367])
def test_the_trend_is_told_for_a_year_at_most(tmp_path: Path, days: int) -> None:
    """The minimum is one day."""
    with World(tmp_path / "ledger") as world, pytest.raises(UsageError):
        world.authority.perform(report_operations.MakeReport(days=days, limits=Thresholds()))


def test_what_lived_is_told_after_its_end(tmp_path: Path) -> None:
    """A report about a time stays the same later, regardless of later events."""
    with World(tmp_path / "ledger") as world:
        one = world.issue(task="T1")
        world.issue(task="T2")
        world.clock.now += 60
        before = world.authority.perform(report_operations.MakeReport(days=3, limits=Thresholds()))
        world.clock.now += 1
        world.revoke(one.id)
        world.retire("T2")
        world.clock.now += 3_600
        world.issue(task="T3")
        after = world.authority.perform(
            report_operations.MakeReport(at=before.at, days=3, limits=Thresholds())
        )
        assert after.survey == before.survey
        assert after.past
        assert after.offenders is None


def test_a_leak_that_lives_on_is_told_as_of_its_time(tmp_path: Path) -> None:
    """Closed leaks are counted separately. A past report has both counts as of its time."""
    with World(tmp_path / "ledger", overlap=10) as world:
        made = [world.issue(task=name, kind="opaque") for name in ("T1", "T2")]
        for one in made:
            add(world, one.token)
            world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(one.token))))
        world.authority.perform(leak_operations.CloseLeaks(numbers=(2,), reason="renewed", valid_too=True))

        def leaks(at: int | None = None) -> tuple[int, ...]:
            found = world.authority.perform(
                report_operations.MakeReport(at=at, days=1, limits=Thresholds())
            ).survey.leaks
            return (
                found.valid,
                found.valid_closed,
                found.living_on,
                found.living_on_closed,
                found.proved,
                found.secrets,
            )

        assert leaks() == (2, 1, 0, 0, 0, 2)
        world.clock.now += 10
        assert leaks() == (0, 0, 2, 1, 0, 2)
        world.clock.now += 10
        # A leak that is closed and reported again counts once, as an open leak.
        add(world, made[1].token)
        assert leaks() == (0, 0, 2, 0, 0, 2)
        world.clock.now += 10
        world.revoke(made[0].id)
        assert leaks() == (0, 0, 1, 0, 1, 2)
        assert leaks(NOW + 20) == (0, 0, 2, 0, 0, 2)
        assert leaks(NOW + 15) == (0, 0, 2, 1, 0, 2)
        assert leaks(NOW + 9) == (2, 1, 0, 0, 0, 2)
