"""The comparison of OpenBao's leases with the ledger's records, against the bare LIST calls for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, cast

from jitid.authority.local import LocalAuthority
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.sweep.finding import Coverage, Finding, Thresholds
from jitid.capabilities.sweep.operations import Sweep
from jitid.capabilities.targets.store import OutsideChanges
from jitid.issuers.openbao.lease import OpenbaoLeaseIssuer
from jitid.model.request import IssueRequest
from jitid.model.target import Target
from tests.bench import secretstore
from tests.bench.ground import Ground, authority, copies, issue
from tests.bench.measure import Row, Series, at_most, duration, in_turns, seconds
from tests.bench.secretstore import Store

_LEASES = 10_000
_CLIENTS = 8
_PATH = "ssh/creds/otp"
_RULES = ("orphaned-untracked", "orphaned-ledger-only", "revoked-live")
_LISTS = (f"sys/leases/lookup/{_PATH}/", "auth/token/accessors", "sys/leases/lookup/auth/token/create/jitid")


def rows(place: Ground) -> Iterator[Row]:
    """Measure the comparison of 10,000 leases, each with its token."""
    folder = place.new("leases")
    with secretstore.in_memory(folder) as store:
        names = _made(store)
        issuer = _issuer(store, folder)
        ledger = _recorded(folder, names, store.port)

        def ours() -> float:
            return seconds(lambda: _reconciled(issuer, names))

        def swept() -> float:
            return seconds(lambda: _swept(ledger))

        def bare() -> float:
            return seconds(lambda: [_listed(store.port, path) for path in _LISTS])

        found = in_turns(place.rounds, {"ours": ours, "swept": swept, "bare": bare})
        issuer.close()
        ledger.close()
        for what, which in (
            ("10,000 leases of OpenBao and their tokens, held against what is remembered of them", "ours"),
            ("`sweep` of the same by the three rules that compare, ledger and all, in process", "swept"),
        ):
            yield Row(
                what,
                Series("ours", found[which], duration),
                Series("the bare LIST calls", found["bare"], duration),
                at_most(1.2),
            )


def _swept(ledger: LocalAuthority) -> None:
    sweep = Sweep(rules=_RULES, limits=Thresholds(), targets=("store",), target_timeout=600)
    found: list[object] = list(ledger.perform(cast("Any", sweep)))
    assert not [one for one in found if isinstance(one, Finding)], found[0]
    missed = [one.missed for one in found if isinstance(one, Coverage) and one.missed]
    assert not missed, missed


def _recorded(folder: Path, names: list[str], port: int) -> LocalAuthority:
    """Return the authority over a ledger with live credentials for those leases, as `mint` records them."""
    configuration = folder / ".config/jitid/config.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        f'''[target.store]
kind = "openbao-lease"
address = "http://127.0.0.1:{port}"
token_file = "{folder / "token"}"
token_role = "jitid"
[target.store.template.otp]
path = "{_PATH}"
policies = ["otp"]
'''
    )
    found = authority(folder / "ledger")
    request = IssueRequest(task="T1", delegator="user:alice", agent="bot", kind="opaque", ttl=3600)
    left = iter(names)
    for requests in copies(request, len(names)):
        (issued,) = issue(found, requests)
        jtis = [one.jti for one in issued.credentials]
        with found._ledger.write() as transaction:
            for one in CredentialStore(transaction).find_given(jtis, ()):
                OutsideChanges(transaction).add(one.key, "store", one.jti)
                OutsideChanges(transaction).remember(one.key, next(left))
    return found


def _reconciled(issuer: OpenbaoLeaseIssuer, names: list[str]) -> None:
    issuer.expect(names)
    there = {each.name for each in issuer.inventory() if each.live}
    assert there == set(names), len(there)


def _listed(port: int, path: str) -> list[str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("LIST", f"/v1/{path}", headers={"X-Vault-Token": "root"})
        answer: Any = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    keys: list[str] = answer["data"]["keys"]
    return keys


def _issuer(store: Store, folder: Path) -> OpenbaoLeaseIssuer:
    token = folder / "token"
    token.touch(0o600)
    token.write_text("root")
    options = {"address": f"http://127.0.0.1:{store.port}", "token_file": str(token), "token_role": "jitid"}
    target = Target("store", "openbao-lease", options, {"otp": {"path": _PATH, "policies": ["otp"]}})
    return OpenbaoLeaseIssuer(target, timeout=600.0, issuer="urn:jitid:bench")


def _made(store: Store) -> list[str]:
    """Make the leases as `mint` does, and return the ledger's records of them."""
    store.ask("POST", "sys/mounts/ssh", {"type": "ssh"})
    store.ask("POST", "ssh/roles/otp", {"key_type": "otp", "default_user": "agent", "cidr_list": "0.0.0.0/0"})
    store.ask("PUT", "sys/policies/acl/otp", {"policy": f'path "{_PATH}" {{ capabilities = ["update"] }}'})
    store.ask("POST", "auth/token/roles/jitid", {"orphan": True, "allowed_policies": ["otp"]})
    with ThreadPoolExecutor(_CLIENTS) as pool:
        return list(pool.map(partial(_one, store), range(_LEASES)))


def _one(store: Store, number: int) -> str:
    auth = store.ask("POST", "auth/token/create/jitid", {"policies": ["otp"], "ttl": "24h"})["auth"]
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    lease = store.ask("POST", _PATH, {"ip": address}, auth["client_token"])["lease_id"]
    return f"{auth['accessor']} lease {lease}"
