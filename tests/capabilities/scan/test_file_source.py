"""Hostile file trees, and files that change while they are read."""

from __future__ import annotations

import gzip
import io
import os
import signal
import socket
import threading
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from jitid.capabilities.scan import archives, file_source
from jitid.capabilities.scan.file_source import FileSource, Tree
from jitid.capabilities.scan.hits import Hit, ScanTally, hole_after, is_sparse
from jitid.capabilities.scan.workers import Search
from jitid.errors import StorageError, UsageError
from jitid.search.find import mark
from jitid.values.secret import fingerprint
from tests.capabilities.scan.test_hits import opaque

TOKEN = opaque(1).encode()


def scanned(*paths: str | Path, processes: int = 1, ignore: bool = True) -> tuple[list[Hit], ScanTally]:
    """Return the hits in files, and the tally of the scan."""
    hits: list[Hit] = []
    tally = ScanTally()
    with Search(FileSource([str(path) for path in paths], ignore=ignore), processes=processes) as search:
        for batch in search.batches():
            hits += batch.hits
            tally.add(batch.tally)
    return hits, tally


def places(root: Path) -> list[str]:
    """Return the places of the token in a tree."""
    return sorted(f"{hit.place}:{hit.line}".removeprefix(f"{root}/") for hit in scanned(root)[0])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder that contains a token."""
    root = tmp_path / "tree"
    (root / "one/two").mkdir(parents=True)
    (root / "one/two/a.txt").write_bytes(b"\n" + TOKEN)
    return root


def test_several_processes_find_what_one_finds(tmp_path: Path) -> None:
    for number in range(300):
        folder = tmp_path / f"{number % 7}" / f"{number % 11}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_bytes(opaque(number).encode())
    one, tally = scanned(tmp_path)
    three, other = scanned(tmp_path, processes=3)
    assert sorted(one) == sorted(three)
    assert (len(one), tally.pack()) == (300, other.pack())


def test_the_files_of_one_large_folder_are_shared(tmp_path: Path) -> None:
    for number in range(2_000):
        (tmp_path / f"{number}").write_bytes(b"x")
    assert scanned(tmp_path, processes=2)[1].items == 2_000


def test_a_process_that_is_killed_is_an_error(tree: Path) -> None:
    """Its share was not searched: a result without it would look clean."""
    with Search(FileSource([str(tree)]), processes=2) as search:
        # The process waits for work that only this process has.
        os.kill(next(iter(search._helpers.values())), signal.SIGKILL)
        with pytest.raises(StorageError):
            list(search.batches())


def test_no_link_is_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(TOKEN)
    (tree / "file").symlink_to(tmp_path / "outside")
    (tree / "folder").symlink_to(tmp_path)
    (tree / "one/loop").symlink_to(tree)
    hits, tally = scanned(tree)
    assert [hit.line for hit in hits] == [2]
    assert tally.passed == {"links": 3}


def test_a_link_that_is_named_is_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree)
    assert places(tmp_path / "link") == ["one/two/a.txt:2"]


def test_what_is_no_file_is_passed_over(tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "socket"))
        hits, tally = scanned(tree)
    assert len(hits) == 1
    assert tally.passed == {"FIFOs, sockets and devices": 2}
    assert not tally.missed


def test_a_fifo_that_is_named_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writing = threading.Thread(target=fifo.write_bytes, args=[b"\n\n" + TOKEN])
    writing.start()
    hits, _ = scanned(fifo)
    writing.join()
    assert [(hit.place, hit.line) for hit in hits] == [(str(fifo), 3)]


def test_a_tree_of_1500_levels_is_walked(tmp_path: Path) -> None:
    """Its path is longer than the system's limit, and it has more levels than there are file descriptors."""
    root = tmp_path / "deep"
    root.mkdir()
    name = "nnn"
    here = os.open(root, os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    leaf = os.open("leaf", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(leaf, TOKEN)
    os.close(leaf)
    os.close(here)
    try:
        ((hit,), tally) = scanned(root)
        assert hit.place == f"{root}/{'/'.join([name] * 1_500)}/leaf"
        assert not tally.missed
    finally:
        _remove(root, name)


def test_what_is_deeper_than_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "DEEPEST", 2)
    (tmp_path / "a/b/c/d").mkdir(parents=True)
    (tmp_path / "a/b/leaf").write_bytes(TOKEN)
    (tmp_path / "a/b/c/leaf").write_bytes(TOKEN)
    hits, tally = scanned(tmp_path)
    assert [hit.place for hit in hits] == [f"{tmp_path}/a/b/leaf"]
    assert tally.named == {file_source.TOO_DEEP: [f"{tmp_path}/a/b/c"]}


def _remove(root: Path, name: str) -> None:
    """Remove the tree from its leaf up, because pytest's own cleanup cannot do it."""
    descriptors = [os.open(root, os.O_RDONLY)]
    window = 200
    for depth in range(1_500, 0, -window):
        here = os.dup(descriptors[0])
        chain = []
        for _ in range(depth):
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            chain.append(here)
            here = below
            if len(chain) > window:
                os.close(chain.pop(0))
        if depth == 1_500:
            os.unlink("leaf", dir_fd=here)
        os.close(here)
        for above in reversed(chain):
            os.rmdir(name, dir_fd=above)
            os.close(above)
    os.close(descriptors[0])


def test_names_that_are_no_text_are_told_as_they_are(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe\x1b[31m\n.txt")
    (tmp_path / name).write_bytes(TOKEN)
    ((hit,), _) = scanned(tmp_path)
    assert os.fsencode(hit.place) == os.fsencode(tmp_path) + b"/\xff\xfe\x1b[31m\n.txt"


def test_a_sparse_file_of_ten_gigabytes_is_no_matter(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.write(b"\n" + TOKEN)
        file.seek(10 << 30)
        file.write(b"\n" + opaque(2).encode())
    hits, tally = scanned(tmp_path)
    assert [(hit.line, hit.offset) for hit in hits] == [(2, 1), (3, (10 << 30) + 1)]
    assert tally.bytes == (10 << 30) + 45


def test_a_token_between_two_reads_of_a_large_file_is_found(tmp_path: Path) -> None:
    for before in (1 << 20, (1 << 20) - 20, 3 << 20):
        (tmp_path / "large").write_bytes(b"\n" * before + TOKEN + b"x" * (1 << 20))
        assert [hit.offset for hit in scanned(tmp_path)[0]] == [before]


def test_a_file_that_cannot_be_read_is_named(tree: Path) -> None:
    """Root can read every file, so that the test uses a folder that is removed."""
    reading = FileSource([str(tree)])
    with Search(reading, processes=1) as search:
        (tree / "one/two/a.txt").unlink()
        (tree / "one/two").rmdir()
        (tree / "one").rmdir()
        tree.rmdir()
        (batch,) = search.batches()
    assert batch.tally.missed == {"no such file or directory": 1}
    assert batch.tally.named == {"no such file or directory": [f"{tree}/"]}


def test_a_path_that_is_not_there_is_refused_before_anything_is_read(tree: Path) -> None:
    with pytest.raises(UsageError, match="cannot be scanned: no such file"):
        scanned(tree, tree / "nothing")


def test_a_file_that_grows_is_searched_up_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x" * (2 << 20))

    def growing() -> Iterator[None]:
        source = FileSource([str(path)])
        with Search(source, processes=1) as search:
            for number, batch in enumerate(search.batches()):
                assert batch is not None
                if not number:
                    with path.open("ab") as file:
                        file.write(TOKEN)
                yield

    assert len(list(growing())) >= 1
    os.truncate(path, 10)
    assert scanned(path)[1].bytes == 10


def test_the_current_folder_is_told_without_a_prefix(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert [hit.place for hit in scanned(".")[0]] == ["one/two/a.txt"]


def test_folders_of_the_kernel_are_not_entered() -> None:
    walked = Tree("/", one_file_system=False)
    assert walked.beyond(walked.enter(("proc",))) == "folders of the kernel"
    assert walked.beyond(walked.enter(())) is None
    walked.close()
    itself = Tree("/proc", one_file_system=False)
    assert itself.beyond(itself.enter(())) == "folders of the kernel"
    itself.close()
    alone = Tree("/", one_file_system=True)
    assert alone.beyond(alone.enter(("proc",))) == "folders of other file systems"
    alone.close()


@pytest.mark.parametrize("name", ["x.gz", "no-name-tells"])
def test_gzip_is_opened(tmp_path: Path, name: str) -> None:
    members = gzip.compress(b"a\n" * 10) + gzip.compress(b"b\n" + TOKEN) + b"\0" * 100
    (tmp_path / name).write_bytes(members)
    assert places(tmp_path) == [f"{name}:12"]


def zipped(**members: bytes) -> bytes:
    """Return a zip file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def test_zip_is_opened_and_what_is_in_it_too(tmp_path: Path) -> None:
    inner = gzip.compress(b"\n" + TOKEN)
    (tmp_path / "z").write_bytes(zipped(a=TOKEN, b=inner, c=zipped(d=TOKEN)))
    hits, tally = scanned(tmp_path)
    assert sorted((hit.inside, hit.line) for hit in hits) == [("a", 1), ("b", 2), ("c/d", 1)]
    assert not tally.missed


def test_what_is_too_deep_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "z").write_bytes(zipped(a=zipped(b=zipped(c=TOKEN))))
    (tmp_path / "g").write_bytes(gzip.compress(gzip.compress(gzip.compress(TOKEN))))
    hits, tally = scanned(tmp_path)
    assert hits == []
    assert tally.missed == {archives.DEEP: 2}


@pytest.mark.parametrize("sort", ["gzip", "zip"])
def test_a_bomb_is_not_searched_to_its_end(
    tmp_path: Path, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE", 1 << 20)
    zeros = bytes(40 << 20)
    text = gzip.compress(zeros) if sort == "gzip" else zipped(a=zeros, b=TOKEN)
    (tmp_path / "bomb").write_bytes(text)
    (tmp_path / "after").write_bytes(TOKEN)
    hits, tally = scanned(tmp_path)
    assert [hit.place for hit in hits] == [f"{tmp_path}/after"]
    assert tally.missed == {archives.BOMB: 1}
    assert tally.bytes < 20 << 20


@pytest.mark.parametrize("cut", [10, 100, 1_000, -1])
def test_damage_is_told_and_no_crash(tmp_path: Path, cut: int) -> None:
    chance = os.urandom(5_000)
    for name, whole in (("g", gzip.compress(chance)), ("z", zipped(a=chance))):
        damaged = whole[:cut] if cut > 0 else whole[:200] + bytes(100) + whole[300:]
        (tmp_path / name).write_bytes(damaged)
    assert scanned(tmp_path)[1].missed == {archives.DAMAGED: 2}


def test_a_member_that_has_no_name_is_searched(tmp_path: Path) -> None:
    whole = zipped(a=TOKEN)
    at = whole.index(b"PK\x01\x02")
    # The name in the directory (APPNOTE 6.3.10, section 4.3.12), and its length.
    nameless = bytearray(whole[: at + 46] + whole[at + 47 :])
    nameless[at + 28] = 0
    end = nameless.index(b"PK\x05\x06")
    nameless[end + 12] -= 1
    (tmp_path / "z").write_bytes(bytes(nameless))
    hits, tally = scanned(tmp_path)
    assert len(hits) + sum(tally.missed.values()) == 1


def test_members_that_are_locked_are_named(tmp_path: Path) -> None:
    whole = bytearray(zipped(a=b"x", b=TOKEN))
    # The encryption flag (APPNOTE 6.3.10, section 4.4.4), in both headers of the first member.
    whole[6] |= 1
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "z").write_bytes(bytes(whole))
    hits, tally = scanned(tmp_path)
    assert [hit.inside for hit in hits] == ["b"]
    assert tally.named == {archives.LOCKED: [f"{tmp_path}/z (a)"]}


def test_a_directory_that_claims_too_much_is_not_read(tmp_path: Path) -> None:
    whole = bytearray(zipped(a=TOKEN))
    end = whole.index(b"PK\x05\x06")
    whole[end + 12 : end + 16] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "z").write_bytes(bytes(whole))
    assert scanned(tmp_path)[1].missed == {archives.MANY: 1}


def test_a_key_that_is_a_file_of_its_own_is_known(tmp_path: Path) -> None:
    """The key is stored like in a keyring, or in DER. Its public half identifies it."""
    private = ed25519.Ed25519PrivateKey.generate()
    raw = private.private_bytes_raw()
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "raw").write_bytes(raw)
    (tmp_path / "der").write_bytes(der)
    public = sha256(
        private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()
    hits, _ = scanned(tmp_path)
    found = {
        (hit.place.removeprefix(f"{tmp_path}/"), hit.sort) for hit in hits if hit.mark == mark("keys", public)
    }
    assert found == {("raw", "keys"), ("der", "keys")}


def test_what_an_archive_holds_besides_its_members_is_found_too(tmp_path: Path) -> None:
    """Comments, names, replaced members and bytes after the end are found, like in a search of the archive's bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", opaque(2))
        archive.writestr("a/", opaque(3))
        archive.writestr(opaque(4), b"")
        archive.writestr("gone", opaque(5))
        del archive.NameToInfo["gone"]
        archive.filelist.pop()
        archive.comment = opaque(6).encode()
    (tmp_path / "z").write_bytes(made.getvalue())
    (tmp_path / "g").write_bytes(gzip.compress(b"a" + opaque(7).encode()) + opaque(8).encode())
    hits, tally = scanned(tmp_path)
    wanted = [mark("opaque", fingerprint(opaque(number))) for number in range(2, 9)]
    assert set(wanted) == {hit.mark for hit in hits}
    assert {hit.inside for hit in hits if hit.mark in wanted[:2]} == {"a", "a/"}
    # A member that is stored uncompressed is found once, and not again in the bytes of the archive.
    assert [hit.mark for hit in hits].count(wanted[0]) == 1
    assert tally.named == {archives.DAMAGED: [f"{tmp_path}/g"]}


def test_a_member_is_searched_whatever_size_the_directory_says(tmp_path: Path) -> None:
    whole = bytearray(zipped(a=b"\n" + TOKEN))
    at = whole.index(b"PK\x01\x02") + 24
    assert whole[at : at + 4] == (len(TOKEN) + 1).to_bytes(4, "little")
    whole[at : at + 4] = bytes(4)
    (tmp_path / "z").write_bytes(bytes(whole))
    hits, tally = scanned(tmp_path)
    assert [(hit.inside, hit.line) for hit in hits] == [("a", 2)]
    assert not tally.missed


def test_a_directory_that_is_cut_is_no_empty_one(tmp_path: Path) -> None:
    whole = bytearray(zipped(a=TOKEN))
    end = whole.index(b"PK\x05\x06")
    whole[end + 12 : end + 16] = bytes(4)
    (tmp_path / "z").write_bytes(bytes(whole))
    assert scanned(tmp_path)[1].missed == {archives.DAMAGED: 1}


def test_one_damaged_member_hides_no_other(tmp_path: Path) -> None:
    whole = bytearray(zipped(a=b"x", b=TOKEN))
    # The name in front of the member differs from the name in the directory.
    whole[30] = ord("X")
    (tmp_path / "z").write_bytes(bytes(whole))
    hits, tally = scanned(tmp_path)
    assert [hit.inside for hit in hits] == ["b"]
    assert tally.named == {archives.DAMAGED: [f"{tmp_path}/z (a)"]}


def test_a_directory_with_more_members_than_it_says_is_not_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 2)
    whole = bytearray(zipped(a=b"x", b=b"y", c=b"z"))
    end = whole.index(b"PK\x05\x06")
    whole[end + 10 : end + 12] = b"\1\0"
    (tmp_path / "z").write_bytes(bytes(whole))
    assert scanned(tmp_path)[1].missed == {archives.MANY: 1}


@pytest.mark.parametrize("beginning", [b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"])
def test_what_is_compressed_in_another_way_is_counted(tmp_path: Path, beginning: bytes) -> None:
    (tmp_path / "a").write_bytes(beginning + TOKEN)
    (tmp_path / "z").write_bytes(zipped(b=beginning))
    hits, tally = scanned(tmp_path)
    assert len(hits) == 1
    assert tally.passed == {archives.OTHER: 2}


def test_a_sparse_file_that_shrinks_while_it_is_read_is_searched_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(TOKEN)
        file.truncate(1 << 30)
    with path.open("rb") as file:
        assert is_sparse(file.fileno())
        os.lseek(file.fileno(), 1 << 20, os.SEEK_SET)
        os.truncate(path, 1 << 10)
        assert hole_after(file.fileno()) == 0
        assert file.read(1) == b""


def test_a_key_in_an_archive_is_known(tmp_path: Path) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "z").write_bytes(zipped(raw=private.private_bytes_raw(), der=der))
    assert sorted((hit.sort, hit.inside) for hit in scanned(tmp_path)[0]) == [
        ("keys", "der"),
        ("keys", "raw"),
        ("keys", "raw"),
    ]


def test_a_key_that_is_named_is_known_too(tmp_path: Path) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "raw").write_bytes(private.private_bytes_raw())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert mark("keys", sha256(public).digest()) in {hit.mark for hit in scanned(tmp_path / "raw")[0]}


def test_a_text_of_two_bytes_a_character_is_searched(tmp_path: Path) -> None:
    (tmp_path / "wide").write_text(f"a\nb {opaque(1)}", encoding="utf-16")
    assert places(tmp_path) == ["wide:2"]
