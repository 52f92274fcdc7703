"""`jitid publish`, and `jitid verify` with its files: real files, a real web server, and faults in between."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from jitid.crypto import jws
from jitid.system.public_folder import PublicFolder
from tests.builders import modes
from tests.nginx import get, nginx
from tests.real import Shell, need, tmpfs, until

URL = "https://tokens.example"
ISSUE = ("-q", "issue", "--task", "T1", "--delegator", "alice", "--ttl", "1h")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a token in the file `token`, and a ledger that is an issuer and publishes."""
    return publisher(tmp_path)


def publisher(home: Path, issuer: str = URL, url: str = URL) -> Shell:
    """Return a shell with a ledger that is an issuer and publishes."""
    shell = Shell(home)
    shell.environment |= {"JITID_ISSUER": issuer, "JITID_PUBLISH_URL": url}
    (home / "token").write_text(shell.good(*ISSUE))
    return shell


def verifier(home: Path) -> Shell:
    """Return a shell without a ledger and without the variable that names one."""
    home.mkdir()
    shell = Shell(home)
    del shell.environment["JITID_LEDGER"]
    return shell


def published(shell: Shell, *more: str) -> dict[str, str]:
    """Publish to the folder `out`, and return the state of each file."""
    rows = json.loads(shell.good("publish", "out", *more, "--format", "json"))["items"]
    return {row["file"]: row["state"] for row in rows}


def place_of(token: Path) -> tuple[str, int]:
    """Return the name of a token's status list, and the token's index in it."""
    found = jws.parse(token.read_text().strip(), types=jws.TOKENS).claims["status"]["status_list"]
    return found["uri"].removeprefix(f"{URL}/"), found["idx"]


def kids(folder: Path) -> set[str]:
    """Return the ids of the keys in a published key set."""
    return {key["kid"] for key in json.loads((folder / "jwks.json").read_text())["keys"]}


def signed_by(folder: Path) -> set[str]:
    """Return the ids of the keys that signed the published lists; each list must be complete."""
    types = frozenset({"statuslist+jwt"})
    return {
        jws.parse(one.read_text(), types=types, most=1 << 22).kid for one in (folder / "status").glob("*.jwt")
    }


def test_what_is_published_is_for_everybody_and_says_what_others_look_for(shell: Shell) -> None:
    states = published(shell)
    out = shell.home / "out"
    today = int(time.time()) // 86_400
    lists = {f"status/{day}.jwt" for day in range(today, today + 8)}
    assert lists <= states.keys()
    assert set(states) - lists <= {
        "jitid.json",
        "jwks.json",
        "jwks.eddsa.json",
        f"status/{today - 1}.jwt",
        ".well-known/openid-configuration",
        ".well-known/oauth-authorization-server",
    }
    assert set(states.values()) == {"written"}
    assert {mode for name, mode in modes(out).items() if (out / name).is_file()} == {0o644}
    assert {mode for name, mode in modes(out).items() if (out / name).is_dir()} == {0o755}
    found = json.loads((out / ".well-known/openid-configuration").read_text())
    # AWS and Kubernetes require these fields of an issuer (OpenID Connect Discovery, section 3).
    assert found["issuer"] == URL
    assert found["jwks_uri"] == f"{URL}/jwks.json"
    assert found["response_types_supported"] == ["id_token"]
    assert found["subject_types_supported"] == ["public"]
    assert found["id_token_signing_alg_values_supported"] == ["EdDSA"]
    assert signed_by(out) <= kids(out)


def test_a_closed_umask_closes_nothing(tmp_path: Path) -> None:
    shell = publisher(tmp_path)
    done = shell.run("publish", "out", umask=0o077)
    assert done.returncode == 0, done.stderr
    assert {mode & 0o044 for mode in modes(tmp_path / "out").values()} == {0o044}


def test_what_has_not_changed_is_left_as_it_is(shell: Shell) -> None:
    """A mirror of the folder does not fetch unchanged files again; a dry run changes nothing."""
    published(shell)
    before = {path: path.stat().st_mtime_ns for path in (shell.home / "out").rglob("*")}
    assert set(published(shell).values()) == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shell.good("revoke", "--task", "T1")
    name, _ = place_of(shell.home / "token")
    again = published(shell, "--dry-run")
    assert {file for file, state in again.items() if state != "unchanged"} == {name}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert published(shell) == again
    assert "out2" not in [path.name for path in shell.home.iterdir()]
    shell.good("publish", "out2", "--dry-run")
    assert not (shell.home / "out2").exists()


@pytest.mark.deep
def test_a_verifier_without_a_ledger_sees_what_was_ended(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "child").write_text(shell.good("-q", "issue", "--parent-file", "token", "--agent", "coder"))
    published(shell)
    elsewhere = verifier(tmp_path / "elsewhere")
    for name in ("token", "child"):
        done = elsewhere.run("verify", "--published", "../out", f"../{name}")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "later revocations are not included" in done.stderr
    shell.good("revoke", "--token-file", "token")
    done = elsewhere.run("verify", "--published", "../out", "../token")
    assert done.returncode == 0
    published(shell)
    for name in ("token", "child"):
        done = elsewhere.run("verify", "--published", "../out", f"../{name}")
        assert (done.returncode, done.stdout) == (8, "")
        assert "was revoked" in done.stderr
    # The verifier neither makes nor looks for a ledger.
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.deep
def test_two_files_do_as_well_as_the_folder(shell: Shell, tmp_path: Path) -> None:
    published(shell)
    elsewhere = verifier(tmp_path / "elsewhere")
    name, _ = place_of(tmp_path / "token")
    files = ("--jwks", "../out/jwks.json", "--status-list", f"../out/{name}")
    for line, status, what in (
        (("--issuer", URL), 0, ""),
        ((), 2, "an issuer is required"),
        (("--issuer", "https://other.example"), 8, "another issuer"),
        (("--issuer", URL, "--audience", "https://api.example"), 8, "another audience"),
        (
            ("--issuer", URL, "--audience", "https://api.example"),
            8,
            "hint: an identity token is for jitid alone",
        ),
        (("--issuer", URL, "--audience", URL), 0, ""),
        (("--issuer", URL, "--published", "../out"), 2, "--published excludes --jwks and --status-list"),
    ):
        done = elsewhere.run("verify", "../token", *files, *line)
        assert done.returncode == status, (line, done.stderr)
        assert what in done.stderr
    for line, what in (
        (files[:2], "require each other"),
        (files[2:], "require each other"),
        (("--issuer", URL), "--issuer requires"),
        (("--published", " "), "blank"),
        (("--published", "nowhere"), "jitid.json"),
        (("--published", "nowhere"), "from there, copy jitid.json, jwks.json and status/"),
        (("--published", URL), f"expects a folder, not the address `{URL}`"),
        (("--published", URL), "from there, copy jitid.json, jwks.json and status/"),
        (("--published", "../out", "--issuer", "https://other.example"), "is of the issuer"),
    ):
        done = elsewhere.run("verify", "../token", *line)
        assert done.returncode == 2, (line, done.stderr)
        assert what in done.stderr


@pytest.mark.deep
def test_whatever_is_doubtful_is_refused(shell: Shell, tmp_path: Path) -> None:
    """Refused: another list, an expired list, another issuer's list, an opaque token, a token without a status list."""
    (tmp_path / "opaque").write_text(shell.good(*ISSUE, "--kind", "opaque"))
    quiet = shell.run(*ISSUE, more={"JITID_PUBLISH_URL": "https://other.example"})
    (tmp_path / "foreign").write_text(quiet.stdout)
    del shell.environment["JITID_PUBLISH_URL"]
    (tmp_path / "unlisted").write_text(shell.good(*ISSUE))
    shell.environment["JITID_PUBLISH_URL"] = URL
    published(shell)
    other = tmp_path / "other"
    other.mkdir()
    published(publisher(other))
    name, _ = place_of(tmp_path / "token")
    day = int(name.removeprefix("status/").removesuffix(".jwt"))
    good = ("--jwks", "out/jwks.json", "--status-list", f"out/{name}", "--issuer", URL)
    assert shell.run("verify", "token", *good).returncode == 0
    for token, files, what in (
        ("token", (*good[:3], f"out/status/{day + 1}.jwt", *good[4:]), "refers to another status list"),
        (
            "token",
            (*good[:3], f"out/status/{day + 1}.jwt", *good[4:]),
            f"use the list that it names: `{URL}/{name}`",
        ),
        ("token", (*good[:3], f"other/out/{name}", *good[4:]), "does not belong to the issuer"),
        ("token", ("--jwks", "other/out/jwks.json", *good[2:]), "no published key"),
        ("token", (*good[:3], "token", *good[4:]), "type is not accepted"),
        ("opaque", good, "opaque token"),
        ("foreign", good, "refers to another status list"),
        ("foreign", ("--published", "out"), "not published here"),
        ("unlisted", good, "names no status list"),
        ("unlisted", ("--published", "out"), "names no status list"),
    ):
        done = shell.run("verify", token, *files)
        assert done.returncode == 8, (token, files, done.stderr)
        assert what in done.stderr
    (tmp_path / "out" / name).unlink()
    done = shell.run("verify", "token", "--published", "out")
    assert done.returncode == 8
    assert "is not in `out`" in done.stderr
    shell.good("config", "set", "publish_lifetime", "1s")
    shutil.rmtree(tmp_path / "out")
    published(shell)
    until(lambda: "stale" in shell.run("verify", "token", *good).stderr, "the list never becomes stale", 20)


def test_any_web_server_can_serve_it(shell: Shell, tmp_path: Path) -> None:
    """The server is nginx with the documented media types, and verifiers accept the files that it serves."""
    published(shell)
    out = tmp_path / "out"
    types = "types { application/json json; application/statuslist+jwt jwt; } default_type application/json;"
    with nginx(tmp_path, f"location / {{ root {out}; {types} }}") as address:
        name, _ = place_of(tmp_path / "token")
        fetched = tmp_path / "fetched"
        for path, media in (
            ("jwks.json", "application/json"),
            (name, "application/statuslist+jwt"),
            (".well-known/openid-configuration", "application/json"),
        ):
            status, headers, body = get(f"{address}/{path}")
            assert (status, headers["Content-Type"]) == (200, media)
            assert headers["ETag"]
            (fetched / path).parent.mkdir(parents=True, exist_ok=True)
            (fetched / path).write_text(body)
        line = ("--jwks", str(fetched / "jwks.json"), "--status-list", str(fetched / name), "--issuer", URL)
        shell.good("verify", "token", *line)


def test_others_read_the_same_in_it(shell: Shell, tmp_path: Path) -> None:
    """The reader is PyJWT with the published keys, and a few lines for the list, without jitid's code."""
    (tmp_path / "ended").write_text(shell.good("-q", "issue", "--task", "T2", "--delegator", "alice"))
    shell.good("retire", "T2")
    published(shell)
    keys = {
        key["kid"]: jwt.PyJWK(key) for key in json.loads((tmp_path / "out/jwks.json").read_text())["keys"]
    }

    def read(text: str, **options: Any) -> dict[str, Any]:
        key = keys[jwt.get_unverified_header(text)["kid"]]
        found: dict[str, Any] = jwt.decode(text, key, algorithms=["EdDSA", "ES256"], **options)
        return found

    for name, state in (("token", 0), ("ended", 1)):
        claims = read((tmp_path / name).read_text().strip(), audience=URL, issuer=URL)
        place = claims["status"]["status_list"]
        listed = read((tmp_path / "out" / place["uri"].removeprefix(f"{URL}/")).read_text())
        assert listed["sub"] == place["uri"]
        packed = listed["status_list"]["lst"]
        data = zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        assert listed["status_list"]["bits"] == 1
        assert data[place["idx"] // 8] >> place["idx"] % 8 & 1 == state


def test_keys_stay_published_until_no_list_names_them(shell: Shell) -> None:
    published(shell)
    out = shell.home / "out"
    (first,) = kids(out)
    shell.good("keys", "revoke", first, "--yes")
    states = published(shell)
    assert states["jwks.json"] == "written"
    assert first not in kids(out)
    assert signed_by(out) == kids(out)


def test_a_verifier_of_one_algorithm_alone_gets_a_list_in_that(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / ".config/jitid").mkdir(parents=True)
    (tmp_path / ".config/jitid/config.toml").write_text(
        '[algorithm.audience]\n"https://aws.example" = "ES256"\n'
    )
    (tmp_path / "token").write_text(shell.good(*ISSUE, "--audience", "https://aws.example"))
    name, _ = place_of(tmp_path / "token")
    assert name.endswith(".es256.jwt")
    assert published(shell)[name] == "written"
    discovery = json.loads((tmp_path / "out/.well-known/openid-configuration").read_text())
    assert discovery["id_token_signing_alg_values_supported"] == ["ES256", "EdDSA"]
    shell.good("verify", "token", "--published", "out", "--audience", "https://aws.example")


def test_lists_of_days_that_are_over_go_and_nothing_else_does(shell: Shell) -> None:
    published(shell)
    status = shell.home / "out/status"
    for name in ("100.jwt", "100.es256.jwt", "0100.jwt", "readme.txt", "100.jwt.bak"):
        (status / name).write_text("old")
    states = published(shell)
    removed = {name for name, state in states.items() if state == "removed"}
    assert removed == {"status/100.jwt", "status/100.es256.jwt"}
    assert {"0100.jwt", "readme.txt", "100.jwt.bak"} <= {path.name for path in status.iterdir()}
    del shell.environment["JITID_PUBLISH_URL"]
    before = sorted(status.iterdir())
    done = shell.run("publish", "out")
    assert done.returncode == 0
    assert "no status list is published" in done.stderr
    assert sorted(status.iterdir()) == before


def test_a_folder_of_others_is_left_alone(shell: Shell, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    published(publisher(other))
    web = tmp_path / "web"
    web.mkdir()
    (web / "index.html").write_text("<p>hello")
    (web / "jwks.json").write_text("{}")
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "jitid.json").write_text('{"schema": "none"}')
    for folder, what in (
        ("other/out", "another ledger"),
        ("web", "jwks.json"),
        ("strange", "cannot verify"),
    ):
        before = {path: path.read_bytes() for path in (tmp_path / folder).rglob("*") if path.is_file()}
        done = shell.run("publish", folder)
        assert done.returncode == 2, done.stderr
        assert what in done.stderr
        assert {
            path: path.read_bytes() for path in (tmp_path / folder).rglob("*") if path.is_file()
        } == before
    (web / "jwks.json").unlink()
    shell.good("publish", "web")
    assert (web / "index.html").read_text() == "<p>hello"


def test_whoever_cannot_federate_is_told(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.good(*ISSUE)
    done = shell.run("publish", "out")
    assert done.returncode == 0
    assert "is not an address" in done.stderr
    assert "set publish_url" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "jitid.json",
        "jwks.eddsa.json",
        "jwks.json",
    ]
    far = tmp_path / "far"
    far.mkdir()
    done = publisher(far, issuer="https://id.example/jitid").run("publish", "out")
    assert "must be served at https://id.example/jitid/.well-known/openid-configuration" in done.stderr


def test_a_folder_in_the_place_of_a_file_is_told(shell: Shell, tmp_path: Path) -> None:
    """The folder was not made by jitid, and a later publication succeeds once it is removed."""
    published(shell)
    (tmp_path / "out" / "jwks.json").unlink()
    (tmp_path / "out" / "jwks.json").mkdir()
    done = shell.run("publish", "out")
    assert done.returncode == 74
    assert "could not be written: is a directory" in done.stderr
    (tmp_path / "out" / "jwks.json").rmdir()
    assert published(shell)["jwks.json"] == "written"


def test_no_link_in_the_folder_is_followed(shell: Shell, tmp_path: Path) -> None:
    """A link at the path of a file is replaced; a link at the path of a folder is refused."""
    published(shell)
    out = tmp_path / "out"
    victim = tmp_path / "victim"
    victim.write_text("mine")
    name, _ = place_of(tmp_path / "token")
    for one in ("jwks.json", name):
        (out / one).unlink()
        (out / one).symlink_to(victim)
    states = published(shell)
    assert (states["jwks.json"], states[name]) == ("written", "written")
    assert victim.read_text() == "mine"
    assert not (out / "jwks.json").is_symlink()
    shutil.rmtree(out / "status")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / "status").symlink_to(elsewhere)
    done = shell.run("publish", "out")
    assert done.returncode == 74
    assert "which is never followed" in done.stderr
    assert list(elsewhere.iterdir()) == []


@pytest.mark.deep
def test_two_publishers_do_not_mix(shell: Shell, tmp_path: Path) -> None:
    published(shell)
    with PublicFolder(str(tmp_path / "out"), 1.0):
        done = shell.run("--timeout", "1s", "publish", "out")
    assert done.returncode == 5
    assert "another process publishes" in done.stderr
    published(shell)


def test_a_full_disk_leaves_what_was_there(shell: Shell, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=128k") as disk:
        shell.good("publish", "disk/out")
        before = {path.name: path.read_bytes() for path in (disk / "out").rglob("*") if path.is_file()}
        shell.good("revoke", "--task", "T1")
        with (disk / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"\0" * 4096):
                    pass
            except OSError:
                pass
        done = shell.run("publish", "disk/out")
        assert done.returncode == 74
        assert "no space left" in done.stderr
        after = {path.name: path.read_bytes() for path in (disk / "out").rglob("*") if path.is_file()}
        assert after == before
        (disk / "filler").unlink()
        shell.good("publish", "disk/out")
        assert shell.run("verify", "token", "--published", "disk/out").returncode == 8


def test_a_folder_that_cannot_be_written_is_said(shell: Shell, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=1m") as disk:
        shell.good("publish", "disk/out")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        shell.good("publish", "disk/out")  # nothing to write
        shell.good("revoke", "--task", "T1")
        done = shell.run("publish", "disk/out")
        assert done.returncode == 74
        assert "read-only" in done.stderr
    (tmp_path / "file").write_text("")
    assert shell.run("publish", "file").returncode == 74
    assert shell.run("publish", "no/such/place").returncode == 74
    assert shell.run("publish", " ").returncode == 2


def deaths(shell: Shell, call: str) -> Iterator[None]:
    """Publish, killed before each call of the given kind; yield after each kill, until it succeeds."""
    strace = [need("strace"), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    when = 1
    while True:
        done = shell.run(
            "-q", "publish", "out", before=[*strace, "-e", f"inject={call}:signal=KILL:when={when}"]
        )
        if done.returncode == 0:
            return
        assert done.returncode == -signal.SIGKILL, done.stderr
        yield
        when += 5 if call in ("write", "fsync") else 3


@pytest.mark.deep
def test_a_publisher_killed_at_any_moment_leaves_a_folder_in_order(shell: Shell, tmp_path: Path) -> None:
    """After a key change and a revocation, each file is the old or the new one, and every list's key is published."""
    published(shell)
    out, before = tmp_path / "out", tmp_path / "before"
    old = kids(out)
    shell.good("keys", "revoke", *old, "--yes")
    (tmp_path / "token").write_text(shell.good("-q", "issue", "--task", "T2", "--delegator", "alice"))
    out.rename(before)
    seen = set()
    died = 0
    for call in ("fsync", "rename,renameat,renameat2", "write"):
        shutil.copytree(before, out, dirs_exist_ok=True)
        for _ in deaths(shell, call):
            died += 1
            assert json.loads((out / "jitid.json").read_text())["issuer"] == URL
            assert signed_by(out) <= kids(out), (call, died)
            seen.add(len(signed_by(out)))
            # The next publisher removes the leftovers of the killed one, and completes the work.
            if died % 4 == 0:
                published(shell)
                assert not list(out.rglob("*.part"))
                assert signed_by(out) == kids(out) != old
                shell.good("verify", "token", "--published", "out")
            shutil.rmtree(out)
            shutil.copytree(before, out)
        shutil.rmtree(out)
    assert died >= 6
    assert 2 in seen, "no death fell between two lists"


def test_a_first_use_killed_at_any_moment_can_be_repeated(shell: Shell, tmp_path: Path) -> None:
    died = 0
    for _ in deaths(shell, "mkdir,mkdirat"):
        died += 1
        published(shell)
        shell.good("verify", "token", "--published", "out")
        shutil.rmtree(tmp_path / "out")
    assert died


def test_what_is_unclear_in_an_index_is_refused(shell: Shell, tmp_path: Path) -> None:
    """A verifier trusts the statements of the index and nothing beyond them."""
    published(shell)
    index = tmp_path / "out/jitid.json"
    said: dict[str, Any] = json.loads(index.read_text())
    for change in ({"schema": "jitid.published/2"}, {"issuer": None}, {"url": 1}, {"ledger": None}):
        index.write_text(json.dumps({**said, **change}))
        assert shell.run("verify", "token", "--published", "out").returncode == 2
    index.write_text(json.dumps({**said, "url": None}))
    assert shell.run("verify", "token", "--published", "out").returncode == 8
    index.write_text("{")
    assert shell.run("verify", "token", "--published", "out").returncode == 2
    done = shell.run("verify", "token", "--published", "elsewhere")
    assert done.returncode == 2
    assert "a published file cannot be read from `elsewhere/jitid.json`" in done.stderr
    assert shell.run("publish", "out").returncode == 2


def test_tokens_of_a_former_issuer_are_accepted_by_what_is_published(shell: Shell) -> None:
    """They are accepted until the last of them expires, as on the ledger's machine; `--issuer` may be either name."""
    old, new = URL, "https://id.example"
    shell.good("ledger", "issuer", "set", new, "--yes")
    (shell.home / "new").write_text(shell.good(*ISSUE))
    published(shell)
    index = json.loads((shell.home / "out/jitid.json").read_text())
    assert (index["issuer"], list(index["former_issuers"])) == (new, [old])
    del shell.environment["JITID_ISSUER"]
    for token in ("token", "new"):
        shell.good("verify", "--published", "out", token)
    for issuer in (old, new):
        shell.good("verify", "--published", "out", "--issuer", issuer, "token")
    assert shell.run("verify", "--published", "out", "--issuer", "https://x.example", "token").returncode == 2
    index["former_issuers"][old] = int(time.time()) - 1
    (shell.home / "out/jitid.json").write_text(json.dumps(index))
    refused = shell.run("verify", "--published", "out", "token")
    assert (refused.returncode, refused.stdout) == (8, "")
