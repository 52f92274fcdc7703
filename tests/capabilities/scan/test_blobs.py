"""Search of a git repository's objects: each is searched once, by any path and in any state of the repository."""

from __future__ import annotations

import gzip
import os
import random
import signal
import zlib
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from jitid.capabilities.scan import history
from jitid.capabilities.scan.blobs import ELSEWHERE, Blobs
from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.history import (
    BROKEN,
    BROKEN_REF,
    DAMAGED,
    INDEX,
    MESSAGE,
    MISSING,
    SHALLOW,
    SUBMODULES,
    ObjectSelection,
)
from jitid.capabilities.scan.hits import CHUNK, MOST_PLACES, Origin, Searcher
from jitid.search.find import mark
from tests.capabilities.scan.gitrepo import WHEN, Made, Searched, opaque


def test_a_string_that_was_committed_and_removed_is_found_where_it_came_in(tmp_path: Path) -> None:
    """The hit has the path, the line, the oldest commit with its time, and whether the tip still has the string."""
    made = Made(tmp_path / "with a space")
    made.commit({"a": "nothing\n"})
    first = made.commit({"deploy/env": f"\n\nTOKEN={opaque(1)}\n", "b": f"x{opaque(2)}"})
    made.commit({"deploy/env": "TOKEN=\n", "copy": f"x{opaque(2)}"})
    made.commit({"deploy/env": f"\n\nTOKEN={opaque(1)}\n"}, "once more")
    made.commit({"deploy/env": ""})
    found = Searched(made.path)
    assert found.places == [("b", 1, first), ("deploy/env", 3, first)]
    assert found.origins == {"b": Origin(WHEN + 60, True, 0, 1), "deploy/env": Origin(WHEN + 60, False, 0, 1)}
    assert not found.batch.tally.missed


def test_what_any_ref_leads_to_is_searched(tmp_path: Path) -> None:
    """Refs are branches, tags and their messages, notes, stashes, detached worktrees. The index is searched too."""
    made = Made(tmp_path / "repo")
    first = made.commit({"a": ""}, f"message {opaque(1)}")
    made.git("tag", "-a", "v1", "-m", f"see {opaque(2)}")
    made.git("notes", "add", "-m", f"note {opaque(3)}")
    made.git("checkout", "-q", "-b", "side")
    made.commit({"side": opaque(4)})
    made.git("checkout", "-q", "main")
    for number in (5, 6):
        made.write("a", opaque(number))
        made.git("stash")
    made.git("worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    made.write("../tree/b", opaque(7))
    made.git("add", "b", folder=tmp_path / "tree")
    made.git("commit", "-q", "-m", "detached", folder=tmp_path / "tree")
    made.write("staged", opaque(8))
    made.git("add", "staged")
    found = Searched(made.path)
    assert len(found.batch.finds.opaque) == 8
    assert (MESSAGE, None, first) in found.places
    assert ("(annotation of a tag v1)", None, made.git("rev-parse", "v1")) in found.places
    assert ("staged", 1, None) in found.places
    # A search from any folder or worktree of the repository gives the same.
    (made.path / "deep").mkdir()
    for other in (made.path / "deep", made.path / ".git", tmp_path / "tree"):
        assert len(Searched(other).batch.finds.opaque) == 8


def test_a_range_is_what_it_adds(tmp_path: Path) -> None:
    """CI uses a range to search the additions of a branch."""
    made = Made(tmp_path / "repo")
    made.commit({"old": opaque(1)})
    made.git("checkout", "-q", "-b", "topic")
    mine = made.commit({"new": opaque(2), "dir/other": opaque(2)})
    made.commit({"new": "", "dir/other": ""})
    assert Searched(made.path, "main..topic").places == [("dir/other", 1, mine)]
    (one,) = Searched(made.path, "main..").origins.values()
    assert (one.others, one.in_head) == (1, False)
    assert Searched(made.path, "main...topic").places == [("dir/other", 1, mine)]
    assert Searched(made.path, "topic", "^main").places == [("dir/other", 1, mine)]
    assert not Searched(made.path, "topic..main").hits


def test_of_many_versions_the_oldest_is_told(tmp_path: Path) -> None:
    """A file may change while it keeps a string."""
    made = Made(tmp_path / "repo")
    made.commit({"log": ""})
    first = made.commit({"log": f"a\n{opaque(1)}"})
    texts = ["b\n" * number + f"{opaque(1)}\n" for number in range(MOST_PLACES + 5)]
    commits = [
        f"commit refs/heads/main\ncommitter C <c@example.com> {WHEN + 600} +0000\ndata 0\n"
        f"M 644 inline log\ndata {len(text)}\n{text}\n"
        for text in texts
    ]
    # The first commit continues the existing branch; each later one follows the commit before it.
    start = "reset refs/heads/main\nfrom refs/heads/main^0\n\n"
    made.git("fast-import", "--quiet", given=(start + "".join(commits)).encode())
    found = Searched(made.path)
    assert found.places == [("log", 2, first)]
    assert found.origins["log"] == Origin(WHEN + 60, True, 0, MOST_PLACES + 6)


def test_a_merge_that_brings_a_string_itself_is_named(tmp_path: Path) -> None:
    """The merge is named for a string that neither parent has. Otherwise, the parent's commit is named."""
    made = Made(tmp_path / "repo")
    made.commit({"a": ""})
    made.git("checkout", "-q", "-b", "side")
    side = made.commit({"b": opaque(1)})
    made.git("checkout", "-q", "main")
    made.commit({"c": ""})
    made.git("merge", "-q", "--no-commit", "side")
    merge = made.commit({"evil": opaque(2)}, "merge")
    assert Searched(made.path).places == [("b", 1, side), ("evil", 1, merge)]


def test_what_nothing_leads_to_is_found_if_it_is_asked_for(tmp_path: Path) -> None:
    """An amended commit is still in the repository."""
    made = Made(tmp_path / "repo")
    made.commit({"a": opaque(1)})
    made.write("a", "clean")
    made.git("commit", "-q", "--all", "--amend", "-m", "amended")
    assert not Searched(made.path).hits
    (hit,) = Searched(made.path, unreachable=True).hits
    assert hit.place.startswith("(object ")
    assert hit.revision is None


@pytest.mark.parametrize("options", [["--object-format=sha256"], ["--bare"]], ids=" ".join)
def test_each_sort_of_repository_is_read(tmp_path: Path, options: list[str]) -> None:
    """SHA-256 object ids do not count as fingerprints."""
    made = Made(tmp_path / "repo", *options)
    stream = (
        f"commit refs/heads/main\ncommitter C <c@example.com> {WHEN} +0000\ndata 1\nm\nM 644 inline a/ä\n"
    )
    text = f"\n{opaque(1)}\n"
    made.git("fast-import", "--quiet", given=f"{stream}data {len(text)}\n{text}\n".encode())
    found = Searched(made.path)
    assert found.places == [("a/ä", 2, made.git("rev-parse", "main"))]
    assert len(found.batch.finds) == 1
    assert found.batch.tally.items == 2


def test_objects_of_any_size_and_encoding_are_searched(tmp_path: Path) -> None:
    """Windows contain many objects or a part of one object; one object is in UTF-16."""
    made = Made(tmp_path / "repo")
    files: dict[str, str | bytes] = {f"{number:04}": f"{number}\n{opaque(number)}" for number in range(300)}
    for number, size in enumerate([CHUNK // 4 - 50, CHUNK // 4, 2 * CHUNK - 20, 3 * CHUNK]):
        files[f"long{number}"] = b"\n" * size + opaque(1000 + number).encode() + b"\n" * size
    files["wide"] = opaque(2000).encode("utf-16")
    files["packed.gz"] = gzip.compress(opaque(4000).encode())
    files["large.gz"] = gzip.compress(random.Random(1).randbytes(CHUNK) + opaque(5000).encode())
    files["zeros"] = b"\0" * 300 + opaque(3000).encode() + b"\0" * 2 * CHUNK
    commit = made.commit(files)
    found = Searched(made.path)
    assert len(found.hits) == len(files)
    assert {hit.place for hit in found.hits} == files.keys()
    assert not found.batch.tally.missed
    assert {hit.line for hit in found.hits if hit.place == "long3"} == {3 * CHUNK + 1}
    assert {hit.revision for hit in found.hits} == {commit}
    assert found.batch.tally.items == len(files) + 1
    sizes = made.git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectsize)").split(
        "\n"
    )
    plain = sum(int(line.split()[1]) for line in sizes if not line.startswith("tree"))
    packed = {name: text for name, text in files.items() if name.endswith(".gz")}
    inside = sum(len(gzip.decompress(text)) for text in packed.values() if isinstance(text, bytes))
    assert found.batch.tally.bytes == plain + inside - sum(map(len, packed.values()))


def test_what_is_missing_or_damaged_is_named_and_the_rest_is_searched(tmp_path: Path) -> None:
    """The tally names a missing object, a damaged object and a broken ref."""
    made = Made(tmp_path / "repo")
    commit = made.commit({f"f{number}": opaque(number) for number in range(5)})
    gone, damaged = (made.git("rev-parse", f"HEAD:f{number}") for number in (1, 3))
    made.loose(gone).unlink()
    made.loose(damaged).chmod(0o600)
    made.loose(damaged).write_bytes(made.loose(damaged).read_bytes()[:-8] + b"damaged!")
    (made.path / ".git" / "refs" / "heads" / "nowhere").write_text("no id\n")
    found = Searched(made.path)
    assert found.batch.tally.named == {MISSING: [gone], DAMAGED: [damaged], BROKEN_REF: ["0" * 40]}
    assert found.places == [("f0", 1, commit), ("f2", 1, commit), ("f4", 1, commit)]


def test_an_object_of_no_known_type_hides_no_other(tmp_path: Path) -> None:
    """Git exits when it reads such an object."""
    made = Made(tmp_path / "repo")
    made.commit({f"f{number}": opaque(number) for number in range(6)})
    odd = [made.git("rev-parse", f"HEAD:f{number}") for number in (1, 4)]
    for oid in odd:
        made.loose(oid).chmod(0o600)
        made.loose(oid).write_bytes(zlib.compress(b"weird 3\0abc"))
    (made.path / ".git" / "index").unlink()
    for unreachable in (False, True):
        found = Searched(made.path, unreachable=unreachable)
        assert sorted(found.batch.tally.named[DAMAGED]) == sorted(odd)
        assert {hit.place for hit in found.hits} == {"f0", "f2", "f3", "f5"}
        assert found.batch.tally.items == 5


@pytest.mark.parametrize("text", [bytes(30), zlib.compress(b"tree 5\0abcde")], ids=["zeros", "no tree"])
def test_a_damaged_tree_hides_no_other(tmp_path: Path, text: bytes) -> None:
    """Git stops there, but the objects behind it are searched."""
    made = Made(tmp_path / "repo")
    made.commit({"a": opaque(1), "sub/b": opaque(2), "z": opaque(3)})
    tree = made.loose(made.git("rev-parse", "HEAD:sub"))
    (made.path / ".git" / "index").unlink()
    tree.chmod(0o600)
    tree.write_bytes(text)
    found = Searched(made.path)
    assert len(found.batch.finds.opaque) == 3
    assert BROKEN in found.batch.tally.missed


def test_a_damaged_index_hides_no_history(tmp_path: Path) -> None:
    """The staged files are unknown then, and the tally says so."""
    made = Made(tmp_path / "repo")
    made.commit({"a": opaque(1)})
    (made.path / ".git" / "index").write_text("damaged")
    found = Searched(made.path)
    assert [hit.place for hit in found.hits] == ["a"]
    assert found.batch.tally.missed == {INDEX: 1}


def test_a_missing_tree_or_commit_is_named(tmp_path: Path) -> None:
    """The objects below it cannot be found, and the tally says so."""
    made = Made(tmp_path / "repo")
    first = made.commit({"a/b": opaque(1)})
    made.commit({"c": opaque(2)})
    tree = made.git("rev-parse", "HEAD:a")
    made.loose(tree).unlink()
    made.loose(first).unlink()
    (made.path / ".git" / "index").unlink()
    found = Searched(made.path)
    assert sorted(found.batch.tally.named[MISSING]) == sorted([tree, first])
    assert [hit.place for hit in found.hits] == ["c"]


def test_a_shallow_clone_and_submodules_are_told(tmp_path: Path) -> None:
    """Missing objects must not be reported as clean."""
    inner = Made(tmp_path / "inner")
    inner.commit({"a": opaque(1)})
    made = Made(tmp_path / "repo")
    made.commit({"a": opaque(2)})
    made.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "sub")
    last = made.commit({"a": ""})
    made.git("clone", "-q", "--depth=1", f"file://{made.path}", str(tmp_path / "clone"))
    found = Searched(tmp_path / "clone")
    assert found.batch.tally.named == {SHALLOW: [last]}
    assert SUBMODULES in found.batch.tally.passed
    assert not found.hits


def test_files_that_are_kept_elsewhere_are_told(tmp_path: Path) -> None:
    """The file in the repository does not have the content."""
    made = Made(tmp_path / "repo")
    made.commit(
        {"a": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n", "b": "b"}
    )
    assert Searched(made.path).batch.tally.passed == {ELSEWHERE: 1}


def test_a_git_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """If memory is short, the kernel may kill git."""
    made = Made(tmp_path / "repo")
    made.commit({f"f{number}": opaque(number) + "\n" * 3 * CHUNK for number in range(3)})
    searcher = Searcher()
    killed = False
    # Servers of other tests may be children of this process too.
    before = _children()
    with closing(Blobs(Repository(str(made.path)), ObjectSelection())) as blobs:
        blobs.prepare(1)
        for _ in blobs.search(searcher):
            if not killed:
                killed = True
                for child in _children() - before:
                    os.kill(child, signal.SIGKILL)
    batch = searcher.take()
    assert killed
    assert len(batch.finds.opaque) == 3
    assert not batch.tally.missed


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def test_a_tree_without_an_end_is_searched_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten folders contain the next one ten times each, which makes ten billion paths."""
    made = Made(tmp_path / "repo")
    blob = made.git("hash-object", "-w", "--stdin", given=opaque(1).encode())
    entry = f"100644 blob {blob}\tf"
    for _ in range(10):
        tree = made.git("mktree", given=f"{entry}\n".encode())
        entry = "\n".join(f"040000 tree {tree}\td{number}" for number in range(10))
    made.git("update-ref", "refs/heads/main", made.git("commit-tree", "-m", "bomb", tree))
    monkeypatch.setattr(history, "_MOST_RECORDS", 10_000)
    monkeypatch.setattr(history, "_MOST_MEMORY", 16 << 20)
    found = Searched(made.path)
    assert found.places == [("d0/" * 9 + "f", 1, made.git("rev-parse", "main"))]
    assert [one.in_head for one in found.origins.values()] == [None]


def test_a_key_that_is_an_object_of_its_own_is_known(tmp_path: Path) -> None:
    """The key is stored like in a keyring, or in DER."""
    private = ed25519.Ed25519PrivateKey.generate()
    made = Made(tmp_path / "repo")
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    made.commit({"raw": private.private_bytes_raw(), "der": der, "text": "0"})
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    wanted = mark("keys", sha256(public).digest())
    assert {hit.place for hit in Searched(made.path).hits if hit.mark == wanted} == {"raw", "der"}
