"""Names of agents: only callers that the record of a registered agent permits may issue under its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.operations import DisableDelegator, EnableDelegator
from jitid.capabilities.directory.registry import Due, StatedAgent
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity import store as identity_store
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.revocation_result import TooManyError
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import token_perform
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange
from jitid.capabilities.use.authorization import UseRequest, check_action, check_resource
from jitid.capabilities.use.operations import Authorize
from jitid.errors import IntegrityError, InvalidCredentialError, PolicyDeniedError, UsageError
from jitid.model.access import Caller
from jitid.model.credential import Credential
from jitid.model.request import AttachRequest, RenewRequest
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue, told
from tests.builders import World, edit, request
from tests.capabilities.issue.test_issuance import claims

OWNER, EVE = caller("user:alice"), caller("user:eve")
SERVICE = "https://api.example"


def register(world: World, name: str = "deploy-bot", most: int | None = None, **stated: Any) -> Any:
    """Register an agent of user:alice's, as an administrator."""
    world.know("user:alice")
    fields = {"owner": "user:alice", "purpose": "roll out", "scopes": ("repo:*",), **stated}
    operation = directory_operations.RegisterAgent(
        name=name, stated=StatedAgent(**fields), due=Due(), most=most
    )
    return ask(world, caller("user:root", "admin"), operation)


def as_bot(world: World, who: Caller, **fields: Any) -> Issued:
    """Issue under the name of the registered agent."""
    return issue(
        world, who, **{"delegator": None, "agent": "deploy-bot", "task": f"T-{who.name[5:]}", **fields}
    )


def agent(issued: Issued) -> Caller:
    """Return the agent that holds a credential, as a caller."""
    name, jti = issued.agent, issued.credentials[0].jti
    return Caller(f"agent:{name}", frozenset(), None, "credential", jti, name)


def test_nobody_but_its_owner_uses_the_name_of_a_registered_agent(world: World) -> None:
    assert as_bot(world, EVE).agent == "deploy-bot"
    register(world)
    with pytest.raises(PolicyDeniedError, match="does not let `user:eve` use its name") as denied:
        as_bot(world, EVE)
    assert denied.value.facts["rules"] == ["agent-users"]
    assert as_bot(world, OWNER).agent == "deploy-bot"
    assert as_bot(world, caller("system:launcher", "issuer"), delegator="user:eve").agent == "deploy-bot"
    # A local caller has every right.
    assert world.issue(agent="deploy-bot", delegator="user:eve", task="T-local")


@pytest.mark.parametrize("users", [("user:eve",), ("group:release",), ("user:evelyn",)])
def test_those_whom_the_record_lists_use_it(world: World, users: tuple[str, ...]) -> None:
    world.know("user:eve", groups=("release",), aliases=("user:evelyn",))
    register(world, users=users)
    assert as_bot(world, EVE).agent == "deploy-bot"
    with pytest.raises(PolicyDeniedError):
        as_bot(world, caller("user:mallory"))
    ask(
        world,
        caller("user:root", "admin"),
        directory_operations.ChangeAgent(name="deploy-bot", stated=StatedAgent(users=())),
    )
    with pytest.raises(PolicyDeniedError):
        as_bot(world, EVE)
    assert told(world, "agent-change")[0]["users"] == []
    assert world.check()


def test_an_agent_is_listed_by_a_name_that_is_proved(world: World) -> None:
    """An unregistered agent with the listed name does not count."""
    register(world, "planner")
    top = issue(world, OWNER, delegator=None, agent="planner", task="T1", scopes=("repo:read",))
    other = issue(world, EVE, delegator=None, agent="scout", task="T2", scopes=("repo:read",))
    register(world, users=("agent:planner", "agent:scout"))
    made = as_bot(world, agent(top), parent=bearer(top), task=None, scopes=("repo:read",))
    assert made.depth == 1
    with pytest.raises(PolicyDeniedError, match="does not let `agent:scout`"):
        as_bot(world, agent(other), parent=bearer(other), task=None)
    # Its own identities may delegate to others of its name, and may be renewed.
    assert as_bot(world, agent(made), parent=bearer(made), task=None).depth == 2
    assert (
        ask(world, agent(made), issue_operations.Renew(request=RenewRequest(bearer(made)))).agent
        == "deploy-bot"
    )


RIGHTS = (
    "the owner",
    "a child",
    "an agent that is listed",
    "an actor",
    "the role issuer",
    "itself by the role",
)
"""The right by which an identity has the name. The last two are rights of the role issuer, which no record changes."""
BY_ROLE = RIGHTS[-2:]


def _named(world: World, right: str) -> Issued:
    """Return an identity under the name of the registered agent, issued by this right."""
    wide = {"may_audience": (SERVICE,), "task": "T-1"}
    below = {"delegator": None, "task": None, "may_audience": (SERVICE,)}
    launcher = caller("system:launcher", "issuer")
    if right == "itself by the role":
        return issue(world, launcher, agent="deploy-bot", delegator=None, **wide)
    if right == "the role issuer":
        return issue(world, launcher, agent="deploy-bot", delegator="user:alice", **wide)
    if right == "an agent that is listed":
        # The role issuer issued the agent's own identity; it counts that the record lists the agent.
        held = issue(world, launcher, agent="planner", delegator="user:alice", **wide)
        return as_bot(world, agent(held), parent=bearer(held), **below)
    held = issue(world, OWNER, agent="deploy-bot", delegator=None, **wide)
    if right == "a child":
        return as_bot(world, agent(held), parent=bearer(held), **below)
    if right == "an actor":
        plain = issue(world, caller("user:eve"), agent="plain", delegator=None, **{**wide, "task": "T-2"})
        return _exchanged(world, agent(held), bearer(plain), bearer(held))
    return held


def _exchanged(world: World, who: Caller, subject: Secret, actor: Secret) -> Issued:
    fields = {"task": None, "delegator": None, "agent": "deploy-bot", "may_audience": (SERVICE,)}
    operation = Exchange(
        request=request(**fields), subject=subject, subject_sort="jwt", actor=actor, actor_sort="jwt"
    )
    return ask(world, who, operation)


@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize("change", ["nothing", "the purpose", "the owner"])
def test_a_name_goes_on_by_the_right_by_which_it_was_had(world: World, right: str, change: str) -> None:
    """An identity may renew, attach, delegate and act for another under its name, as long as that right exists."""
    world.know("user:carl")
    register(world, "planner", audiences=(SERVICE,))
    register(world, audiences=(SERVICE,), users=("agent:planner",))
    held = _named(world, right)
    stated = (
        StatedAgent(purpose="another")
        if change == "the purpose"
        else StatedAgent(owner="user:carl", users=())
    )
    if change != "nothing":
        admin = caller("user:root", "admin")
        ask(world, admin, directory_operations.ChangeAgent(name="deploy-bot", stated=stated))
    bot, token = agent(held), bearer(held)
    plain = issue(
        world, caller("user:eve"), agent="plain", delegator=None, task="T-9", may_audience=(SERVICE,)
    )
    below = {"delegator": None, "task": None}
    doors: tuple[Callable[[], Any], ...] = (
        lambda: as_bot(world, bot, parent=token, **below),
        lambda: _exchanged(world, bot, bearer(plain), token),
        lambda: ask(world, bot, Attach(request=AttachRequest(token, "jwt", audiences=(SERVICE,)))),
        lambda: ask(world, bot, issue_operations.Renew(request=RenewRequest(token))),
    )
    goes_on = change != "the owner" or right in BY_ROLE
    for door in doors:
        if goes_on:
            door()
        else:
            with pytest.raises(PolicyDeniedError, match="agent-users"):
                door()
    # It may delegate under another name in any case: its own rights are unchanged.
    assert issue(world, bot, agent="other", parent=token, **below).agent == "other"
    assert world.check()


def test_what_was_issued_under_a_name_is_allowed_as_long_as_the_right_to_it_is_there(world: World) -> None:
    register(world, audiences=(SERVICE,), scopes=("repo:*",), users=("user:eve",))
    held = issue(world, EVE, agent="deploy-bot", delegator=None, scopes=("repo:read",), audiences=(SERVICE,))
    asked = UseRequest(bearer(held), check_action("repo:read"), check_resource("web"))

    def verdict() -> tuple[bool, bool, tuple[str, ...]]:
        (one,) = world.authority.perform(Authorize(asked=(asked,), audiences=(SERVICE,))).verdicts
        return one.allowed, one.valid, () if one.allowed else one.rules

    assert verdict() == (True, True, ())
    for users, said in ((("user:bob",), (False, True, ("agent-users",))), (("user:eve",), (True, True, ()))):
        ask(
            world,
            caller("user:root", "admin"),
            directory_operations.ChangeAgent(name="deploy-bot", stated=StatedAgent(users=users)),
        )
        assert verdict() == said
    world.check()


@pytest.mark.parametrize("ended", ["suspended", "unregistered"])
def test_an_agent_out_of_service_lends_no_name(world: World, ended: str) -> None:
    """It cannot lend its name beside another credential of its delegator either."""
    bob, admin = caller("user:bob"), caller("user:root", "admin")
    world.know("user:bob")
    register(world, users=("agent:planner",))
    register(world, "planner", owner="user:bob")
    held = issue(world, bob, delegator=None, agent="planner")
    plain = issue(world, bob, delegator=None, agent="plain")
    planner = agent(held)
    assert as_bot(world, planner, parent=bearer(plain), task=None).agent == "deploy-bot"
    ending = (
        directory_operations.SuspendAgent if ended == "suspended" else directory_operations.UnregisterAgent
    )
    ask(world, admin, ending(name="planner", most=None, keep_live=True))
    for parent in (held, plain):
        with pytest.raises(PolicyDeniedError, match=r"agent-(users|suspended|unregistered)"):
            as_bot(world, planner, parent=bearer(parent), task=None)


LENT = ("an actor", "a caller")
"""How an identity lends its name to another chain: with its token as the actor's token, or as the caller."""


def _lent(world: World, how: str, lender: Issued, **fields: Any) -> tuple[Issued, Secret]:
    """Give eve's identity a child under a name that another identity lends; return it and its parent's token."""
    eve = issue(world, EVE, agent="plain", delegator=None, task="T-eve", may_audience=(SERVICE,))
    if how == "an actor":
        return _exchanged(world, EVE, bearer(eve), bearer(lender)), bearer(eve)
    below = {"task": None, "may_audience": (SERVICE,), **fields}
    return as_bot(world, agent(lender), parent=bearer(eve), **below), bearer(eve)


def _doors(world: World, held: Issued, above: Secret) -> dict[str, Callable[[], object]]:
    """Return the ways in which an identity uses or lends its name again."""
    bot, token = agent(held), bearer(held)
    return {
        "delegate": lambda: as_bot(world, bot, parent=token, task=None),
        "exchange": lambda: _exchanged(world, EVE, above, token),
        "beside": lambda: as_bot(world, bot, parent=above, task=None),
        "attach": lambda: ask(world, bot, Attach(request=AttachRequest(token, "jwt", audiences=(SERVICE,)))),
        "renew": lambda: ask(world, bot, issue_operations.Renew(request=RenewRequest(token))),
    }


def _end_lender(world: World, how: str, lender: Issued) -> None:
    if how == "revoked":
        world.revoke(lender.credentials[0].id)
    elif how == "handed back":
        ask(
            world,
            agent(lender),
            identity_operations.HandBack(token=bearer(lender), id=lender.credentials[0].id),
        )
    elif how == "the task retired":
        ask(world, caller(lender.delegator), inventory_operations.Retire(task=lender.task))
    else:
        assert how == "its person disabled"
        world.authority.perform(DisableDelegator(name=lender.delegator, most=None))


@pytest.mark.parametrize("how", LENT)
@pytest.mark.parametrize("ended", ["revoked", "handed back", "the task retired", "its person disabled"])
def test_what_was_lent_goes_on_no_longer_than_the_lender(world: World, how: str, ended: str) -> None:
    """The same holds if the name was lent further: otherwise a token of a few seconds would give the name for ever."""
    carl = caller("user:carl")
    world.know("user:carl")
    register(world, audiences=(SERVICE,), users=("user:carl",))
    lender = as_bot(world, carl, may_audience=(SERVICE,))
    held, above = _lent(world, how, lender)
    further = _exchanged(world, EVE, above, bearer(held))
    assert told(world, "issue")[-1]["named_by"] == held.credentials[0].jti
    for door in (door for one in (held, further) for door in _doors(world, one, above).values()):
        door()
    held, further = (_again(world, above, how, lender) for _ in range(2))
    _end_lender(world, ended, lender)
    for one in (held, further):
        for name, door in _doors(world, one, above).items():
            with pytest.raises(PolicyDeniedError, match="agent-users"):
                door()
            assert name
    # The identity keeps its own rights: it is valid until it expires, but may not use the name again.
    assert ask(world, agent(held), identity_operations.Verify(token=bearer(held)))
    assert world.check()


def _again(world: World, above: Secret, how: str, lender: Issued) -> Issued:
    if how == "an actor":
        return _exchanged(world, EVE, above, bearer(lender))
    return as_bot(world, agent(lender), parent=above, task=None, may_audience=(SERVICE,))


@pytest.mark.parametrize("who", ["the owner", "who is listed"])
def test_the_right_of_a_disabled_person_is_gone(world: World, who: str) -> None:
    """This holds in another delegator's chain too, which disabling the person does not end."""
    carl = caller("user:carl")
    world.know("user:carl")
    people: dict[str, Any] = {"owner": "user:carl"} if who == "the owner" else {"users": ("user:carl",)}
    register(world, audiences=(SERVICE,), **people)
    above = bearer(issue(world, EVE, agent="plain", delegator=None, task="T-eve", may_audience=(SERVICE,)))
    held = as_bot(world, carl, parent=above, task=None, may_audience=(SERVICE,))
    assert told(world, "issue")[-1]["named_by"] == "user:carl"
    world.authority.perform(DisableDelegator(name="user:carl", most=None))
    for door in _doors(world, held, above).values():
        with pytest.raises(PolicyDeniedError, match=r"agent-(users|suspended)"):
            door()
    world.authority.perform(EnableDelegator(name="user:carl"))
    if who == "the owner":
        ask(world, caller("user:root", "admin"), directory_operations.ResumeAgent(name="deploy-bot"))
    assert ask(world, agent(held), issue_operations.Renew(request=RenewRequest(bearer(held))))


@pytest.mark.parametrize("how", LENT)
@pytest.mark.parametrize("by", ["the owner", "the role issuer"])
def test_what_was_lent_expires_with_the_lender(world: World, how: str, by: str) -> None:
    """The lender may be the owner's or the role issuer's, and the borrower may be renewed repeatedly."""
    register(world, audiences=(SERVICE,))
    fields: dict[str, Any] = {"agent": "deploy-bot", "ttl": 60, "may_audience": (SERVICE,), "task": "T-1"}
    if by == "the owner":
        lender = issue(world, OWNER, delegator=None, **fields)
    else:
        lender = issue(world, caller("system:launcher", "issuer"), delegator="user:alice", **fields)
    held, above = _lent(world, how, lender)
    assert held.expires_at == lender.expires_at == world.clock.now + 60
    assert held.notes == () or "that lends it the agent's name" in held.notes[0]
    attached = ask(
        world, agent(held), Attach(request=AttachRequest(bearer(held), "jwt", audiences=(SERVICE,)))
    )
    further = _exchanged(world, EVE, above, bearer(held))
    assert {attached.expires_at, further.expires_at} == {lender.expires_at}
    world.clock.now += 10
    # After the lender was renewed, the identity that borrows its name may be renewed too.
    renewed = ask(world, agent(lender), issue_operations.Renew(request=RenewRequest(bearer(lender))))
    assert (
        ask(world, agent(held), issue_operations.Renew(request=RenewRequest(bearer(held)))).expires_at
        == renewed.expires_at
    )
    world.clock.now = renewed.expires_at
    with pytest.raises(InvalidCredentialError, match="expired"):
        ask(world, agent(held), identity_operations.Verify(token=bearer(held)))
    assert world.check()


def test_by_whose_right_a_name_is_used_costs_no_more_for_what_its_lender_holds(world: World) -> None:
    """Each check reads one row, regardless of the number of credentials of an identity."""
    register(world, audiences=(SERVICE,))
    lender = as_bot(world, OWNER, may_audience=(SERVICE,))
    held, _ = _lent(world, "an actor", lender)

    def attach(one: Issued) -> None:
        wanted = AttachRequest(bearer(one), "jwt", audiences=(SERVICE,))
        ask(world, agent(one), Attach(request=wanted))

    def rows() -> int:
        """Return the number of credentials that an attachment reads."""
        read: list[object] = []
        from_row = identity_store._from_row

        def counted(row: Any) -> Credential:
            read.append(row)
            return from_row(row)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(identity_store, "_from_row", counted)
            attach(held)
        return len(read)

    attach(held)
    before = rows()
    for one in [lender, held] * 5:
        attach(one)
    assert rows() == before < 20


def test_an_actor_that_ended_while_its_request_waited_acts_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(world, audiences=(SERVICE,))
    lender = as_bot(world, OWNER, may_audience=(SERVICE,))
    plain = issue(world, OWNER, agent="plain", delegator=None, task="T-2")
    above = bearer(issue(world, EVE, agent="plain", delegator=None, task="T-eve", may_audience=(SERVICE,)))
    look = token_perform._actor

    def waiting(*asked: Any) -> Any:
        found = look(*asked)
        for one in (lender, plain):
            world.revoke(one.credentials[0].id)
        return found

    monkeypatch.setattr(token_perform, "_actor", waiting)
    for actor in (lender, plain):
        with pytest.raises(InvalidCredentialError, match=r"the actor's token is not valid: .*revoked"):
            _exchanged(world, EVE, above, bearer(actor))
        monkeypatch.undo()
        with pytest.raises(InvalidCredentialError, match=r"the actor's token is not valid: .*revoked"):
            _exchanged(world, EVE, above, bearer(actor))


def test_whoever_may_use_a_name_lets_it_go_on_whose_right_is_gone(world: World) -> None:
    """From then on that caller's right counts. Other callers get an error that names the lost right."""
    world.know("user:bob")
    register(world, "planner", owner="user:bob", audiences=(SERVICE,))
    register(world, audiences=(SERVICE,), users=("agent:planner",))
    lender = issue(world, caller("user:bob"), agent="planner", delegator=None, task="T-1")
    above = bearer(issue(world, OWNER, agent="plain", delegator=None, task="T-2", may_audience=(SERVICE,)))
    held = as_bot(world, agent(lender), parent=above, task=None, may_audience=(SERVICE,))
    suspend = directory_operations.SuspendAgent(name="planner", most=None, keep_live=True)
    ask(world, caller("user:root", "admin"), suspend)
    for who in (agent(held), EVE):
        with pytest.raises(PolicyDeniedError, match=r"which lent it the name, has ended or lost that right"):
            ask(world, who, issue_operations.Renew(request=RenewRequest(bearer(held))))
    renewed = ask(world, OWNER, issue_operations.Renew(request=RenewRequest(bearer(held))))
    assert told(world, "renew")[-1]["named_by"] == "user:alice"
    again = ask(world, agent(renewed), issue_operations.Renew(request=RenewRequest(bearer(renewed))))
    assert as_bot(world, agent(again), parent=bearer(again), task=None).depth == 2
    assert told(world, "renew")[-1]["named_by"] == "user:alice"
    ask(
        world,
        caller("user:root", "admin"),
        directory_operations.ChangeAgent(name="deploy-bot", stated=StatedAgent(owner="user:bob")),
    )
    with pytest.raises(PolicyDeniedError, match="does not let `user:alice` use its name"):
        ask(world, agent(again), issue_operations.Renew(request=RenewRequest(bearer(again))))
    assert world.check()


@pytest.mark.parametrize("change", ["suspended", "another owner", "lent by one that ended"])
def test_an_agent_that_may_not_go_on_obtains_nothing_by_what_it_was_given(world: World, change: str) -> None:
    """This holds for a person whose token names it as the client, and beside another chain."""
    world.know("user:carl")
    register(world, audiences=(SERVICE,))
    held = as_bot(world, OWNER, may_audience=(SERVICE,))
    above = bearer(issue(world, EVE, agent="plain", delegator=None, task="T-eve", may_audience=(SERVICE,)))
    bot = agent(held)
    if change == "lent by one that ended":
        lender, held = held, _exchanged(world, EVE, above, bearer(held))
        bot = agent(held)
        world.revoke(lender.credentials[0].id)
    elif change == "suspended":
        operation = directory_operations.SuspendAgent(name="deploy-bot", most=None, keep_live=True)
        ask(world, caller("user:root", "admin"), operation)
    else:
        stated = StatedAgent(owner="user:carl")
        ask(
            world,
            caller("user:root", "admin"),
            directory_operations.ChangeAgent(name="deploy-bot", stated=stated),
        )
    with pytest.raises(PolicyDeniedError, match=r"agent-(users|suspended)"):
        issue(world, bot, parent=above, agent="other", task=None, delegator=None)


def test_an_agent_of_the_owner_s_is_not_the_owner(world: World) -> None:
    register(world)
    top = issue(world, OWNER, delegator=None, agent="planner", task="T1")
    with pytest.raises(PolicyDeniedError):
        as_bot(world, agent(top), parent=bearer(top), task=None)


def test_registering_ends_what_lives_under_the_name_without_a_record(world: World) -> None:
    first = as_bot(world, EVE)
    child = issue(world, agent(first), parent=bearer(first), agent="other", task=None)
    kept = register(world)
    assert kept.ended == 2
    assert (told(world, "agent-register")[0]["count"], kept.live) == (2, 0)
    with world.ledger.read() as snapshot:
        found = CredentialStore(snapshot).credentials(
            Filter(live=True), "id", descending=False, after=None, limit=9
        )
    assert found == []
    assert child.credentials
    assert world.check()
    with pytest.raises(UsageError, match="registered already"):
        register(world)


def unregister(world: World, name: str = "deploy-bot") -> None:
    """Unregister an agent, and keep its credentials valid."""
    operation = directory_operations.UnregisterAgent(name=name, keep_live=True, most=None)
    ask(world, caller("user:root", "admin"), operation)


def test_a_name_that_another_owner_registers_again_is_not_used_on(world: World) -> None:
    """The former owner's credentials can neither be renewed nor delegate."""
    world.know("user:bob")
    register(world)
    made = as_bot(world, OWNER)
    child = issue(world, agent(made), parent=bearer(made), agent="other", task=None)
    unregister(world)
    # Until the new registration, the former owner has lost only the record: the credentials are valid.
    assert ask(world, agent(made), identity_operations.Verify(token=bearer(made)))
    kept = register(world, owner="user:bob")
    assert (kept.ended, kept.live) == (2, 0)
    (_, event) = told(world, "agent-register")
    assert (event["count"], event["again"]) == (2, True)
    for one in (made, child):
        with pytest.raises(InvalidCredentialError, match="revoked"):
            ask(world, agent(one), identity_operations.Verify(token=bearer(one)))
    attempts: list[Callable[[], object]] = [
        lambda: ask(world, OWNER, issue_operations.Renew(request=RenewRequest(bearer(made)))),
        lambda: as_bot(world, OWNER, parent=bearer(made), task=None),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidCredentialError, match="revoked"):
            attempt()
    with pytest.raises(PolicyDeniedError, match="does not let `user:alice` use its name"):
        as_bot(world, OWNER, task="T-again")
    assert world.check()


@pytest.mark.parametrize(
    ("stated", "goes_on"),
    [
        ({}, True),
        ({"owner": "user:al"}, True),
        ({"owner": "user:bob", "users": ("user:alice",)}, True),
        ({"owner": "user:bob", "users": ("group:release",)}, True),
        ({"owner": "user:bob", "users": ("user:eve",)}, False),
        # A listed agent is not the delegator that it acts for.
        ({"owner": "user:bob", "users": ("agent:deploy-bot",)}, False),
    ],
    ids=str,
)
def test_what_the_new_record_permits_goes_on(world: World, stated: Mapping[str, Any], goes_on: bool) -> None:
    world.know("user:bob")
    register(world)
    world.know("user:alice", groups=("release",), aliases=("user:al",))
    made = as_bot(world, OWNER)
    unregister(world)
    kept = register(world, **stated)
    assert (kept.ended, kept.live) == ((0, 1) if goes_on else (1, 0))
    if goes_on:
        assert ask(world, OWNER, issue_operations.Renew(request=RenewRequest(bearer(made))))
    assert world.check()


def test_registering_again_ends_no_more_than_it_may(world: World) -> None:
    world.know("user:bob")
    register(world)
    as_bot(world, OWNER, copies=3)
    unregister(world)
    with pytest.raises(TooManyError, match="would revoke more than 2"):
        register(world, owner="user:bob", most=2)
    assert register(world, owner="user:bob", most=3).ended == 3


@pytest.mark.deep
@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("user:alice", "user:bob", "user:eve")),
            st.sets(st.sampled_from(("user:alice", "user:bob", "user:eve")), max_size=2),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_lives_under_a_registered_name_its_record_lets(
    tmp_path_factory: pytest.TempPathFactory, registrations: list[tuple[str, set[str]]]
) -> None:
    """This holds for every number of registrations, with every owner and user."""
    with World(tmp_path_factory.mktemp("again") / "ledger") as world:
        for person in ("user:alice", "user:bob", "user:eve"):
            world.know(person)
            as_bot(world, caller(person), task="T0")
        for number, (owner, users) in enumerate(registrations):
            if number:
                unregister(world)
            register(world, owner=owner, users=tuple(sorted(users)))
            with world.ledger.read() as snapshot:
                found = CredentialStore(snapshot).credentials(
                    Filter(live=True), "id", descending=False, after=None, limit=99
                )
            assert {one.delegator for one in found} <= {owner, *users}
            for person in {owner, *users}:
                as_bot(world, caller(person), task=f"T{number + 1}")
        assert world.check()


def test_registering_ends_no_more_than_it_may(world: World) -> None:
    as_bot(world, EVE, copies=3)
    with pytest.raises(TooManyError, match="would revoke more than 2"):
        register(world, most=2)
    assert register(world, most=3).ended == 3


def test_unregistered_agents_stand_under_ephemeral(world: World) -> None:
    register(world)
    made, other = as_bot(world, OWNER, kind="jwt"), issue(world, EVE, delegator=None, task="T2")
    for issued, place in ((made, "/agent/deploy-bot/"), (other, "/ephemeral/")):
        said = claims(bearer(issued).reveal())
        assert place in said["act"]["sub"]
        assert ask(world, agent(issued), identity_operations.Verify(token=bearer(issued)))


def test_a_certificate_bears_the_name_of_a_registered_agent_alone(world: World) -> None:
    from jitid.crypto import openssh

    register(world, kinds=("ssh-cert",))
    for issued, principals in (
        (as_bot(world, OWNER, kind="ssh-cert"), ("agent:deploy-bot",)),
        (issue(world, EVE, delegator=None, kind="ssh-cert", agent="root", task="T2"), ()),
    ):
        (one,) = issued.credentials
        found = openssh.parse_certificate(one.secret.reveal("certificate"))
        assert found.principals == (*principals, one.id)


def test_who_may_use_a_name_is_held_to_the_audit_log(kept: World) -> None:
    register(kept, users=("user:bob",))
    assert kept.check()
    edit(kept.path, "UPDATE agent SET users = 'user:bob user:eve'")
    with pytest.raises(IntegrityError):
        kept.check()


def test_an_identity_from_before_keeps_its_spiffe_id(kept: World) -> None:
    """This includes its renewals and the identities that it delegates."""
    own = issue(kept, EVE, delegator=None, task="T1")
    edit(kept.path, "INSERT INTO setting SELECT 'agents_until', max(id) FROM identity")
    renewed = ask(kept, agent(own), issue_operations.Renew(request=RenewRequest(bearer(own))))
    child = issue(kept, agent(renewed), parent=bearer(renewed), agent="coder", task=None)
    assert "/agent/" in claims(bearer(renewed).reveal())["act"]["sub"]
    act = claims(bearer(child).reveal())["act"]
    assert "/ephemeral/" in act["sub"]
    assert "/agent/" in act["act"]["sub"]
