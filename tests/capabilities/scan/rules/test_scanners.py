"""The real scanners with jitid's rules: they find all tokens, their reports are read; some check and revoke too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jitid.capabilities.scan.reports.any_report import ReportFormat, parse
from jitid.capabilities.scan.reports.reported_finding import ReportedFinding
from jitid.capabilities.scan.rules.rule_file import RuleFormat, rules
from jitid.redaction.token_format import is_opaque
from jitid.search.find import Finds
from jitid.search.strings import search
from jitid.values.secret import fingerprint
from tests import scanners
from tests.capabilities.scan.rules import samples
from tests.capabilities.scan.rules.samples import Left
from tests.real import Shell, need
from tests.serving import serving

FOUND = (0, 1, 200)
"""Exit statuses of scanners, with and without findings."""
API = "https://api.example"


class Tree(NamedTuple):
    """A repository, the tokens that were left in it, and the authority that issued them."""

    folder: Path
    """The parent folder: rules and reports are beside the repository."""
    left: list[Left]
    shell: Shell
    place: str
    """The address of the authority."""

    def rules(self, format_: RuleFormat, name: str, *, asking: bool = False) -> str:
        """Write the rules for a scanner, and return their path."""
        path = self.folder / name
        path.write_text(rules(format_, self.place if asking else None))
        return str(path)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Write tokens of each kind into a repository, and serve the authority that issued them."""
    folder = tmp_path_factory.mktemp("scanners")
    shell = Shell(folder)
    tokens: list[str] = []
    for kind, count, more in (
        ("opaque", 18, ()),
        ("jwt", 18, ()),
        ("jwt-svid", 9, ("--audience", API)),
        ("opaque", 9, ("--audience", API)),
        ("jwt", 9, ("--audience", API)),
        ("jwt", 9, ("--audience", "api://AzureADTokenExchange")),
    ):
        line = ("--task", "T", "--delegator", "alice", "--kind", kind, "--count", str(count), *more)
        tokens += [json.loads(one)["token"] for one in shell.good("issue", *line).splitlines()]
    repository = folder / "tree"
    repository.mkdir()
    left = samples.leave(repository, tokens, need("git"))
    with serving(folder, ledger=shell.ledger) as served:
        yield Tree(folder, left, shell, served.url)


def reports(folder: Path, name: str, format_: ReportFormat | None = None) -> list[ReportedFinding]:
    """Return the findings of a report."""
    return list(parse([(folder / name).read_bytes()], format_))


def strings(found: list[ReportedFinding]) -> Finds:
    """Return the jitid tokens in the findings of a report."""
    finds = Finds()
    for one in found:
        search(one.text, 0, len(one.text), finds)
    return finds


def check(tree: Tree, found: list[ReportedFinding], *, history: bool) -> None:
    """Check a report against the tokens that were left: each is found, and at its place."""
    left = [one for one in tree.left if history or not one.gone]
    finds = strings(found)
    assert set(finds.opaque) == {fingerprint(one.token) for one in left if is_opaque(one.token)}
    assert set(finds.signed) == {one.token for one in left if not is_opaque(one.token)}
    places = {
        (token, one.sighting.place.removeprefix("tree/"), one.sighting.line)
        for one in found
        for token in (left.token for left in tree.left)
        if token.encode() in one.text
    }
    assert {(one.token, one.place, one.line) for one in left} <= places
    if history:
        commits = {one.sighting.revision for one in found if one.sighting.line and one.sighting.revision}
        assert all(len(commit) == 40 for commit in commits if commit)
        assert commits


def missed(found: list[ReportedFinding]) -> set[bytes]:
    """Return the findings without a jitid token."""
    return {one.text for one in found if not len(strings([one]))}


def test_gitleaks_finds_all_of_ours(tree: Tree) -> None:
    """The rule of gitleaks does not check the checksum: the mistyped token is the only decoy that it reports."""
    config = tree.rules(RuleFormat.GITLEAKS, "gitleaks.toml")
    for verb, name in (("dir", "gitleaks.json"), ("git", "gitleaks-git.json"), ("dir", "gitleaks.sarif")):
        words = ("-c", config, "--no-banner", "-f", name.rpartition(".")[2], "-r", name, "tree")
        scanners.run(tree.folder, scanners.gitleaks(), verb, *words, statuses=FOUND)
        found = reports(tree.folder, name)
        check(tree, found, history=verb == "git")
        assert missed(found) == {samples.mistyped().encode()}


def test_betterleaks_finds_all_of_ours(tree: Tree) -> None:
    """The results are those of gitleaks, from which betterleaks is derived."""
    config = tree.rules(RuleFormat.BETTERLEAKS, "betterleaks.toml")
    assert (
        "OK: 2 rules"
        in scanners.run(tree.folder, scanners.betterleaks(), "config", "check", "-c", config).stdout
    )
    for verb, name in (("fs", "betterleaks.json"), ("git", "betterleaks-git.jsonl")):
        options = ("-c", config, "--no-banner", "--silent", "-o", name, "tree")
        scanners.run(tree.folder, scanners.betterleaks(), verb, *options, statuses=FOUND)
        found = reports(tree.folder, name, ReportFormat.BETTERLEAKS)
        check(tree, found, history=verb == "git")
        assert missed(found) == {samples.mistyped().encode()}


def test_kingfisher_finds_all_of_ours_and_nothing_else(tree: Tree) -> None:
    """Kingfisher checks the checksum. It searches the files and the history of a repository together."""
    rules_ = tree.rules(RuleFormat.KINGFISHER, "kingfisher.yml")
    checked = ("rules", "check", "--rules-path", rules_, "--load-builtins=false", "--no-update-check")
    scanners.run(tree.folder, scanners.kingfisher(), *checked)
    for name in ("kingfisher.json", "kingfisher.jsonl", "kingfisher.sarif"):
        words = (
            "--rules-path",
            rules_,
            "--load-builtins=false",
            "--no-update-check",
            "--no-validate",
            "--no-dedup",
        )
        form = ("-f", name.rpartition(".")[2], "-o", name, "tree")
        scanners.run(tree.folder, scanners.kingfisher(), "scan", *words, *form, statuses=FOUND)
        found = reports(tree.folder, name)
        check(tree, found, history=True)
        assert missed(found) == set()


def test_our_own_scan_finds_the_same(tree: Tree) -> None:
    """It scans the current files. Unlike the scanners, it reports the decoy that is a part of a token."""
    done = tree.shell.run("scan", "tree", "--fail-on", "low", "--format", "json")
    assert done.returncode == 10, done.stderr
    found = [one["evidence"] | one for one in json.loads(done.stdout)["findings"]]
    unknown = [(one["path"], one["match"]) for one in found if one["rule"] == "secret-unknown"]
    assert unknown == [("tree/decoys.txt", "truncated-jwt")]
    places = {(one["path"], one["line"]) for one in found if one["rule"] in ("secret-live", "secret-dead")}
    left = {(f"tree/{one.place}", one.line) for one in tree.left if not one.gone}
    assert left <= places
    assert {path for path, _ in places} == {path for path, _ in left}


def test_what_a_scanner_reports_is_recorded_with_its_places(tree: Tree) -> None:
    """All findings are jitid tokens except the mistyped token, which the ledger does not know."""
    config = tree.rules(RuleFormat.GITLEAKS, "gitleaks.toml")
    words = ("-c", config, "--no-banner", "-f", "json", "-r", "recorded.json", "tree")
    scanners.run(tree.folder, scanners.gitleaks(), "git", *words, statuses=FOUND)
    findings = len(reports(tree.folder, "recorded.json"))
    shown = tree.shell.run(
        "leak", "add", "--from", "recorded.json", "--source", "git:tree", "--format", "json"
    )
    assert shown.returncode == 0
    assert f"{findings - 1} of {findings} findings show a secret of this ledger" in shown.stderr
    document = json.loads(shown.stdout)
    assert document["recorded"] == len({one.token for one in tree.left})
    assert {one["place"] for one in document["items"]} == {f"{one.place}:{one.line}" for one in tree.left}


def test_a_redacted_report_is_known_for_one(tree: Tree) -> None:
    """A redacted report of betterleaks has fingerprints instead of the strings."""
    config = tree.rules(RuleFormat.GITLEAKS, "gitleaks.toml")
    words = ("-c", config, "--no-banner", "--redact", "-f", "json", "-r", "redacted.json", "tree")
    scanners.run(tree.folder, scanners.gitleaks(), "dir", *words, statuses=FOUND)
    found = reports(tree.folder, "redacted.json")
    assert found
    assert all(one.redacted and not one.text for one in found)
    config = tree.rules(RuleFormat.BETTERLEAKS, "betterleaks.toml")
    options = ("-c", config, "--no-banner", "--silent", "--redact", "-o", "redacted-better.json", "tree")
    scanners.run(tree.folder, scanners.betterleaks(), "fs", *options, statuses=FOUND)
    found = reports(tree.folder, "redacted-better.json")
    assert not any(one.redacted for one in found)
    prints = {fingerprint(one.token) for one in tree.left if not one.gone and is_opaque(one.token)}
    assert prints <= set(strings(found).prints)


def alive(tree: Tree, token: str) -> bool:
    """Return whether the ledger accepts a token."""
    return tree.shell.run("verify", "--audience", API, stdin=token).returncode == 0 or (
        tree.shell.run("verify", stdin=token).returncode == 0
    )


def test_kingfisher_tells_what_works_and_ends_it(tree: Tree) -> None:
    """The token authenticates itself: the rules, the command line and the environment contain no other credential."""
    rules_ = tree.rules(RuleFormat.KINGFISHER, "asking.yml", asking=True)
    own, signed, others = (tree.left[number].token for number in (0, 18, 45))
    place = tree.folder / "asked"
    place.mkdir()
    (place / "all.txt").write_text("".join(f"x={token}\n" for token in (own, signed, others)))
    common = ("--rules-path", rules_, "--no-update-check", "--allow-internal-ips")

    def outcomes() -> dict[str, str]:
        words = (
            "scan",
            *common,
            "--load-builtins=false",
            "--no-dedup",
            "-f",
            "jsonl",
            "-o",
            "asked.jsonl",
            "asked",
        )
        scanners.run(tree.folder, scanners.kingfisher(), *words, statuses=(0, 200, 205))
        lines = [json.loads(line) for line in (tree.folder / "asked.jsonl").read_text().splitlines()]
        found = [line["finding"] for line in lines if "finding" in line]
        return {one["snippet"]: one["validation"]["outcome"] for one in found}

    assert outcomes() == dict.fromkeys((own, signed, others), "verified_active")
    for token, rule, ends in ((own, "token", True), (signed, "signed-token", True), (others, "token", False)):
        words = (
            "revoke",
            *common,
            "--no-builtins",
            "--rule",
            f"custom.jitid-{rule}",
            "--format",
            "json",
            "-",
        )
        done = scanners.run(tree.folder, scanners.kingfisher(), *words, stdin=token, statuses=(0, 1))
        assert json.loads(done.stdout)["revoked"] is ends
        # A token for other audiences may not call this authority. The scanner reports that it still works.
        assert alive(tree, token) is not ends
    told = dict.fromkeys((own, signed), "verified_inactive")
    assert outcomes() == {**told, others: "verified_active"}


def test_betterleaks_tells_what_works_and_ends_it(tree: Tree) -> None:
    """The rule of betterleaks does the same as that of kingfisher, with expressions."""
    config = tree.rules(RuleFormat.BETTERLEAKS, "asking.toml", asking=True)
    own, others = (tree.left[number].token for number in (1, 46))

    def told(verb: str, token: str) -> str:
        words = (verb, "-c", config, "--rule", "jitid-token", "--simple")
        done = scanners.run(tree.folder, scanners.betterleaks(), *words, stdin=token, statuses=(0, 1))
        return done.stdout.strip()

    assert told("validate", own) == told("validate", others) == "VALID"
    assert told("revoke", own) == "REVOKED"
    assert told("revoke", others) == "UNKNOWN"
    assert told("validate", own) == "INVALID"
    assert not alive(tree, own)
    assert alive(tree, others)
