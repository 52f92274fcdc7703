"""Laws of the survey: it counts what is there, one by one, at any time; and its parts add up."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.authority import operations as ops
from jitid.ledger.survey import Survey
from jitid.sweep.limits import Limits
from tests.builders import DAY, NOW, World
from tests.report.history import LIMITS, counted, histories, live_through


def midnight(now: int, days: int) -> int:
    """Return when the first of so many days began."""
    return (now // DAY - days + 1) * DAY


def check_sums(survey: Survey, now: int) -> None:
    """Insist that the parts of a survey are its totals."""
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
    assert leaks.valid + leaks.exposure.number == leaks.secrets
    assert leaks.aged + leaks.young_dead + leaks.young_valid == leaks.secrets
    assert survey.use.identities == totals.live_identities


@settings(deadline=None, max_examples=60)
@given(
    steps=histories,
    later=st.sampled_from([0, 1, 600, 2 * DAY, 8 * DAY]),
    ago=st.integers(0, 12 * DAY),
    days=st.integers(1, 9),
)
def test_a_survey_counts_what_each_row_says(
    steps: list[dict[str, Any]], later: int, ago: int, days: int
) -> None:
    """Now, and at any time before: looked at one by one, the rows come to the same."""
    with TemporaryDirectory() as name, World(Path(name, "ledger")) as world:
        live_through(world, steps)
        world.clock.now += later
        now = world.clock.now
        for at, then in ((None, now), (now, now), (now - ago, now - ago), (NOW, NOW)):
            since = midnight(then, days)
            with world.ledger.read() as snapshot:
                survey = snapshot.survey(at, since, LIMITS)
            assert survey == counted(world.path, then, since)
            check_sums(survey, then)


@settings(deadline=None, max_examples=20)
@given(steps=histories)
def test_the_report_of_this_very_second_is_the_present_one(steps: list[dict[str, Any]]) -> None:
    """The rows' own history gives the same as what the ledger calls alive."""
    with TemporaryDirectory() as name, World(Path(name, "ledger")) as world:
        live_through(world, steps)
        present = world.authority.perform(ops.MakeReport(days=30, limits=Limits(), accept_clock=True))
        dated = world.authority.perform(
            ops.MakeReport(at=world.clock.now, days=30, limits=Limits(), accept_clock=True)
        )
        assert dated == present
