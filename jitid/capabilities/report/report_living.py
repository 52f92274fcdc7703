"""The part of the report's page about what is alive: what it is made up of, whether it is used, who answers for it."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.report.report_document import NO_DIRECTORY_THEN, over_scoped
from jitid.capabilities.report.sprawl_report import Report
from jitid.formats.figures import count, counted, percent
from jitid.formats.page import card, folded, prose, sentence, table
from jitid.formats.page import text as shown
from jitid.formats.plot import Bar, bars, read_out
from jitid.model.survey import Breakdown

# In this order: those with few names make one row of cards, those with many another.
_HEADINGS = {
    "kind": "By kind",
    "sensitivity": "By sensitivity",
    "delegator_proof": "By proof of the delegator",
    "delegator_state": "By state of the delegator",
    "agent_record": "By record of the agent",
    "task": "By task",
    "agent": "By agent",
    "delegator": "By root delegator",
}
_USE_BEFORE = "task"
"""The card about use has as few names as those before this one."""


def composition(report: Report) -> Iterator[str]:
    """Yield a card for each property of the live credentials, and one for the use of the live identities."""
    every = report.survey.live_by
    for name, title in _HEADINGS.items():
        if name == _USE_BEFORE:
            yield _use(report)
        found = every[name]
        if not found.live:
            yield card(title, '<p class="small soft">Nothing is alive.</p>')
            continue
        parts = [Bar(part.name, part.live, _share(part.live, found.live)) for part in found.top]
        if found.others.live:
            parts.append(
                Bar(found.others.name, found.others.live, _share(found.others.live, found.live), "other")
            )
        plot = bars(f"by-{name}", f"Live credentials {title.lower()}", read_out(parts), parts, found.live)
        yield card(title, plot, folded("As a table", _table(name, found)))


def _table(name: str, found: Breakdown) -> str:
    parts = [*found.top, *([found.others] if found.others.live else [])]
    rows: list[tuple[object, ...]] = [
        (part.name, count(part.live), percent(part.live / found.live)) for part in parts
    ]
    head = name.replace("_", " ").capitalize()
    return table("Live credentials, and their share.", (head, "Live", "Share"), rows)


def _share(part: int, whole: int) -> str:
    return f"{count(part)} · {percent(part / whole)}"


def _use(report: Report) -> str:
    use = report.survey.use
    title = "By use of the identity"
    if not use.identities:
        return card(title, '<p class="small soft">Nothing is alive.</p>')
    known = {
        "on record": (use.identities - use.never, "bar"),
        "none": (use.never - use.unknown, "warn"),
        "not known": (use.unknown, "other"),
    }
    parts = [
        Bar(name, each, _share(each, use.identities), mark) for name, (each, mark) in known.items() if each
    ]
    told = f"{counted(use.authorized, 'identity', 'identities')} allowed something by `authorize`."
    wide = over_scoped(report)
    if wide is not None:
        told += f" {sentence(wide)}."
    plot = bars("use", f"Live identities {title.lower()}", read_out(parts), parts, use.identities)
    data = table(
        "Live identities, and their share.",
        ("Use", "Live", "Share"),
        [(name, count(each), percent(each / use.identities)) for name, (each, _) in known.items()],
    )
    return card(title, f'<p class="small soft">{prose(told)}</p>', plot, folded("As a table", data))


def directory(report: Report) -> str:
    """Return the cards about what the directory has."""
    found = report.directory
    if found is None:
        return f'<p class="card soft">{prose(sentence(NO_DIRECTORY_THEN))}.</p>'
    well = found.agents - found.overdue - found.suspended
    known = found.delegators - found.disabled
    people = [
        Bar("May delegate", known, count(known)),
        Bar("Disabled", found.disabled, count(found.disabled), "other"),
    ]
    agents = [
        Bar("May be given identities", well, count(well)),
        Bar("Overdue for review", found.overdue, count(found.overdue), "warn"),
        Bar("Suspended", found.suspended, count(found.suspended), "other"),
    ]
    owners = counted(found.owners, "owner")
    told = f"Of {owners}; {counted(found.ownerless, 'agent')} without an owner who may delegate."
    if report.excess is not None:
        told += f" Allowed more than the owner may hand out: {count(report.excess.over_privileged)}."
    return (
        '<div class="two">'
        + _counted("Delegators in the directory", "delegators", people, found.delegators)
        + _counted("Registered agents", "agents", agents, found.agents, told)
        + "</div>"
    )


def _counted(title: str, key: str, parts: list[Bar], whole: int, told: str = "") -> str:
    more = f'<p class="small soft">{shown(told)}</p>' if told and whole else ""
    if not whole:
        return card(title, '<p class="small soft">None.</p>')
    return card(title, more, bars(key, title, read_out(parts), parts, whole))
