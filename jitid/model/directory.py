"""What a ledger answers about delegators and recurring agents."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from jitid.model.agent import Agent, AgentState
from jitid.model.delegator import Delegator


class Entry(NamedTuple):
    """What the directory has of a delegator and of an agent, as far as an issue is decided by it."""

    delegator: Delegator | None
    """Without aliases: an issue asks for whom a name stands, not for the other names."""
    agent: Agent | None
    live: int
    """How many identities of the agent live, if it has a limit of that; otherwise 0."""


class Holder(NamedTuple):
    """Who has a name."""

    key: int
    own: str
    """Their own name."""


class Ties(NamedTuple):
    """What hangs on delegators."""

    live: int
    """Live credentials that descend from them."""
    agents: tuple[str, ...]
    """Those that they own and that are in service, sorted."""
    requests: int
    """Their requests for approval that are open."""
    grants: int
    """What they approved and nobody has used yet."""
    others: int
    """Live credentials that those agents hold for other delegators."""
    access: int = 0
    """What lets them ask an authority that serves others."""


class Holding(NamedTuple):
    """What a registered agent has been given."""

    live: int
    """How many identities of it live."""
    last_issued_at: int | None
    """When its latest identity was given a credential for the last time, in seconds since the epoch."""


class LiveUnder(NamedTuple):
    """An identity under the name of an agent, of which anything lives."""

    uid: bytes
    delegator: str
    """The root delegator."""
    recorded: bool
    """Whether it is counted to a record of that name."""


class DirectorySnapshot(Protocol):
    """The part of a consistent view that is about the directory."""

    def entry(self, delegator: str, agent: str) -> Entry:
        """Return what the directory has of a delegator, by any of their names, and of an agent."""

    def delegators_named(self, names: Iterable[str]) -> dict[str, Delegator]:
        """Return who has each of these names or aliases, by that; without aliases, as in an entry."""

    def agents_named(self, names: Iterable[str]) -> dict[str, Agent]:
        """Return the records of the agents of these names, by name; also those that have ended."""

    def find_delegator(self, name: str) -> Delegator | None:
        """Return the delegator who has that name or alias; whole, with their aliases."""

    def delegators(
        self, *, group: str | None, disabled: bool | None, after: str | None, limit: int
    ) -> list[Delegator]:
        """Return delegators in the order of their names."""

    def is_delegator(self, name: str) -> bool:
        """Return whether a delegator in the directory has that name or alias."""

    def own_name(self, name: str) -> str:
        """Return the own name of the delegator who has that name or alias; an unknown one as it is."""

    def names_of(self, name: str) -> tuple[str, ...]:
        """Return every name of the delegator who has that one, the first of them their own; an unknown one's alone."""

    def known_by(self, name: str) -> tuple[str, ...]:
        """Return the same with the subjects of ID tokens that prove them."""

    def lives_of(self, subjects: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return, by subject of ID tokens, how many live credentials descend from what they proved, and until when.

        Only of what was issued before the directory knew the subject, under whatever name the token gave.
        """

    def find_delegators(self, keys: Iterable[int]) -> Iterator[Delegator]:
        """Yield the delegators with these keys, whole, in the order of their keys."""

    def holders(self, names: Iterable[str]) -> dict[str, Holder]:
        """Return who has each of these names or aliases that somebody has."""

    def known_outside(self, externals: Iterable[str]) -> dict[str, Holder]:
        """Return who is called so by their source, for each of these ids that somebody has."""

    def imported_besides(self, keys: Iterable[int]) -> list[Holder]:
        """Return, by name, who came with an import, is not disabled, and has none of these keys."""

    def all_names(self, keys: Iterable[int]) -> list[str]:
        """Return every name of the delegators with these keys; subjects of ID tokens are none."""

    def ties(self, names: Iterable[str]) -> Ties:
        """Return what hangs on the delegators with these names, all of them together."""

    def find_agent(self, name: str) -> Agent | None:
        """Return the record of an agent, also one that has ended."""

    def wrongly_named(self) -> str | None:
        """Return a delegator's own name that stands for another, or a name or group of no delegator; or None."""

    def wrongly_held(self, registered: Mapping[str, int], ended: int, without: str = "") -> str | None:
        """Return whose credentials are not counted to their agent's record, or are to another's; None for none's.

        Args:
            registered: the event that registered each agent first, by name.
            ended: how many ended credentials are counted to a record; not what was adopted.
            without: names a table of identities that are gone.

        """

    def agents(
        self, *, owner: Sequence[str], state: AgentState | None = None, after: str | None, limit: int
    ) -> list[Agent]:
        """Return records of agents in the order of their names; of these owners if any are named."""

    def live_under(self, name: str) -> list[LiveUnder]:
        """Return the identities of an agent of which anything lives; not what was adopted."""

    def holdings(self, agents: Iterable[Agent]) -> dict[int, Holding]:
        """Return what each of these agents has been given, by its number."""


class DirectoryTransaction(Protocol):
    """The part of a durable change that is about the directory; each points to the next event."""

    def put_delegators(self, delegators: Iterable[Delegator]) -> None:
        """Record delegators as they are given: new where their key is 0, otherwise in the place of what was there."""

    def disable(self, keys: Iterable[int], names: Iterable[str]) -> Ties:
        """Disable delegators who are not, suspend the agents they own, withdraw their requests and unused grants.

        `names` are all those by which they are known. Returns what that came to.
        """

    def put_agents(self, agents: Iterable[Agent]) -> None:
        """Record agents as they are given: new where their key is 0, otherwise in the place of what was there."""
