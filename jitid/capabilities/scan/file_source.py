"""Files and folders as a source: each file is opened once, read into one buffer with others, and closed again.

The walk of folders never leaves their root: it follows no link and opens no long path.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from itertools import islice

from jitid.capabilities.scan import archives, chat_store
from jitid.capabilities.scan.gitignore import NOTHING, REPOSITORY, Rules, rules_above, rules_in
from jitid.capabilities.scan.hits import (
    ENCODING_SHOWN,
    Hit,
    Item,
    ScanTally,
    Searcher,
    hole_after,
    is_sparse,
)
from jitid.capabilities.scan.workers import Sharing
from jitid.crypto.private_key import SEED
from jitid.errors import UsageError
from jitid.redaction.token_format import MAX_TOKEN
from jitid.search.find import SecretSearch
from jitid.search.hidden import AFTER
from jitid.search.strings import is_wide
from jitid.values.text import quote, token_warning

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WINDOW = 1 << 20
"""Bytes of small files that are searched together."""
_ROOM = 1 << 17
"""Bytes that must be free in the buffer before a file is read into it."""
_BEGINNING = 64
"""Bytes at the beginning of a text that show its encoding."""
PART = 1 << 23
"""Bytes of a part of a long file, which one process searches."""
_SMALL = MAX_TOKEN
"""Maximum bytes of a file that is only a key or certificate."""
_FIRST = frozenset(
    magic[0] for magic in (archives.GZIP, *archives.ZIP, *archives.OTHERS, b"\xff\xfe", b"\xfe\xff")
)
"""First bytes of files that may be compressed or UTF-16."""
_FIRST_ZERO = b"0"[0]
STDIN = "-"
SPECIAL = "FIFOs, sockets and devices"


def why(error: OSError) -> str:
    """Return the reason why a file could not be read, in a few words."""
    return (error.strerror or "it cannot be read").lower()


class FileReading:
    """A reader that collects files in one buffer, which is searched when it is full."""

    def __init__(self, searcher: Searcher, *, databases: bool = False) -> None:
        """Read for a searcher. `databases` searches the values of SQLite databases, too."""
        self.searcher = searcher
        self._databases = databases
        self._window = bytearray(_WINDOW + 1)
        self._view = memoryview(self._window)
        self._end = 0
        self._starts: list[int] = []
        self._items: list[tuple[str, str]] = []

    def flush(self) -> None:
        """Search the files that were read."""
        if self._items:
            self.searcher.whole(self._window, self._end, self._starts, self._items, _item)
            # The NUL after each file was counted.
            self.searcher.tally.bytes -= len(self._items)
        self._end = 0
        self._starts.clear()
        self._items.clear()

    def root(self, path: str) -> Iterator[None]:
        """Search a file that the caller named, of any type."""
        location = "stdin" if path == STDIN else path
        descriptor = -1
        try:
            # Opening a FIFO waits until another process opens it for writing.
            descriptor = 0 if path == STDIN else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            yield from self.opened(descriptor, Item(location))
        except OSError as error:
            self.searcher.tally.miss(why(error), location)
        finally:
            if descriptor > 0:
                os.close(descriptor)

    def opened(self, descriptor: int, item: Item) -> Iterator[None]:
        """Search a file that is open. Raises OSError."""
        beginning = b""
        while len(beginning) <= _SMALL and (piece := os.read(descriptor, _ROOM)):
            beginning += piece
        if Searcher.may_be_alone(len(beginning), beginning):
            self.searcher.alone(item, beginning)
        yield from self._long(descriptor, item, beginning)

    def files(
        self, folder: int, prefix: str, names: list[str], split: Callable[[str, int], None] | None = None
    ) -> Iterator[None]:
        """Search files of a folder.

        With `split`, a file is searched up to its size when it was opened, and the later parts of a long one are left
        to `part`: `split` is called with its name and the offset of each part.
        """
        window, view = self._window, self._view
        for name in names:
            if _WINDOW - self._end < _ROOM:
                self.flush()
                yield
            start = self._end
            descriptor = -1
            try:
                descriptor = os.open(name, _FILE, dir_fd=folder)
                count = os.readv(descriptor, [view[start:_WINDOW]])
                # The usual case first: plain text, according to its beginning.
                usual = window[start] not in _FIRST and window.find(b"\0", start, start + _BEGINNING) < 0
                if count < _WINDOW - start and (
                    usual or not self._is_special(bytes(view[start : start + min(count, _BEGINNING)]))
                ):
                    if count <= _SMALL and (count == SEED or window[start] == _FIRST_ZERO):
                        self.searcher.alone(Item(prefix + name), bytes(view[start : start + count]))
                    self._starts.append(start)
                    self._items.append((prefix, name))
                    window[start + count] = 0
                    self._end = start + count + 1
                    continue
                # Another process may have replaced the file after the folder was listed.
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    self.searcher.tally.skip(SPECIAL)
                    continue
                beginning, item = bytes(view[start : start + count]), Item(prefix + name)
                if self._databases and chat_store.is_database(beginning):
                    yield from chat_store.search(self.searcher, descriptor, item)
                    continue
                is_one = archives.is_archive(beginning) or is_wide(beginning[:ENCODING_SHOWN])
                if split is None or is_one or is_sparse(descriptor):
                    yield from self._long(descriptor, item, beginning)
                    continue
                size = os.fstat(descriptor).st_size
                for later in range(PART, size, PART):
                    split(name, later)
                self.searcher.begin(item)
                yield from self._part(descriptor, 0, min(size, PART))
            except OSError as error:
                self.searcher.tally.miss(why(error), prefix + name)
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def _is_special(self, beginning: bytes) -> bool:
        return archives.is_special(beginning) or (self._databases and chat_store.is_database(beginning))

    def part(self, folder: int, prefix: str, name: str, start: int) -> Iterator[None]:
        """Search the part of a long file that begins at `start`."""
        descriptor = -1
        try:
            descriptor = os.open(name, _FILE, dir_fd=folder)
            # A file that was replaced has other parts: its strings in this part are found.
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                offset = self.searcher.begin_part(Item(prefix + name), start)
                os.lseek(descriptor, offset, os.SEEK_SET)
                yield from self._part(descriptor, offset, min(os.fstat(descriptor).st_size, start + PART))
                self.searcher.tally.bytes -= start - offset
        except OSError as error:
            self.searcher.tally.miss(why(error), prefix + name)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _part(self, descriptor: int, offset: int, stop: int) -> Iterator[None]:
        """Search a file from `offset`, where its search has begun, for strings that begin before `stop`."""
        searcher = self.searcher
        if not offset:
            os.lseek(descriptor, 0, os.SEEK_SET)
        end = stop + AFTER
        try:
            while offset < end:
                count = os.readv(descriptor, [searcher.room()[: end - offset]])
                if not count:
                    break
                searcher.filled(count)
                offset += count
                yield
        finally:
            searcher.end_part(stop)
            searcher.tally.bytes -= max(0, offset - stop)

    def _long(self, descriptor: int, item: Item, beginning: bytes) -> Iterator[None]:
        """Search a file that is long, compressed or not plain text; its `beginning` was read already."""
        if archives.is_archive(beginning):
            yield from archives.search(self.searcher, descriptor, item, beginning)
            return
        searcher = self.searcher
        if archives.is_other(beginning):
            searcher.tally.skip(archives.OTHER)
        searcher.begin(item)
        try:
            searcher.feed(beginning)
            hole = hole_after if is_sparse(descriptor) else None
            while True:
                if hole is not None:
                    searcher.skip(hole(descriptor))
                count = os.readv(descriptor, [searcher.room()])
                if not count:
                    return
                searcher.filled(count)
                yield
        finally:
            searcher.end()


def _item(names: tuple[str, str]) -> Item:
    return Item("".join(names))


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MOST_OPEN = 64
"""Maximum number of folders that stay open on the way to the current one; others are opened again."""

KERNEL = frozenset(
    {
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "efivarfs",
        "fusectl",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    }
)
"""File systems without stored files: their contents are made on reading, and may be endless."""


class Tree:
    """A tree of folders below a root, each opened by one step from its parent."""

    def __init__(self, root: str, *, one_file_system: bool) -> None:
        """Open the root; its path may contain links. Raises OSError."""
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._device = os.fstat(self._root).st_dev
        self._known = -1
        """The device of the file system that was last accepted."""
        self._one = one_file_system
        self._kernel: frozenset[int] | None = None
        self._open: list[tuple[str, int]] = []
        """The open folders on the way to the current one: the last `_MOST_OPEN` of them."""
        self._path: list[str] = []
        """The names of the folders from the root to the current one."""

    def close(self) -> None:
        """Close all folders."""
        for _, descriptor in self._open:
            os.close(descriptor)
        self._open.clear()
        if self._root >= 0:
            os.close(self._root)
        self._root = -1

    def enter(self, names: tuple[str, ...]) -> int:
        """Return the descriptor of a folder, which the tree closes. Raises OSError if it is no longer a folder."""
        path = self._path
        common = 0
        for mine, requested in zip(path, names, strict=False):
            if mine != requested:
                break
            common += 1
        while len(path) > common:
            path.pop()
            if self._open:
                os.close(self._open.pop()[1])
        if path and not self._open:
            # The parent is closed: start from the root again.
            path.clear()
        for name in names[len(path) :]:
            above = self._open[-1][1] if self._open else self._root
            self._open.append((name, os.open(name, _FOLDER, dir_fd=above)))
            path.append(name)
            if len(self._open) > _MOST_OPEN:
                os.close(self._open.pop(0)[1])
        return self._open[-1][1] if self._open else self._root

    def beyond(self, descriptor: int) -> str | None:
        """Return why the file system of a folder is skipped; None if the folder is walked."""
        device = os.fstat(descriptor).st_dev
        if device == self._known:
            return None
        if self._one and device != self._device:
            return "folders of other file systems"
        if self._kernel is None:
            self._kernel = frozenset(_kernel_devices())
        if device in self._kernel:
            return "folders of the kernel"
        self._known = device
        return None


def _kernel_devices() -> Iterator[int]:
    """Yield the devices of mounted file systems that hold no files (proc_pid_mountinfo(5))."""
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            mount, _, filesystem = line.partition(b" - ")
            major, _, minor = mount.split()[2].partition(b":")
            if filesystem.split()[0].decode("ascii", "replace") in KERNEL:
                yield os.makedev(int(major), int(minor))


_MOST_RULES = 4_000
"""Maximum number of folders whose ignore rules are cached."""
_MOST_ENTRIES = 10_000
"""Number of entries of a folder that are handled together."""
_MOST_WORK = 4_000
"""Length of the work list from which the files of a folder are searched at once, and no longer split off as work."""
DEEPEST = 4_000
"""Maximum nesting of folders that are entered; a path that the system accepts has at most half as many."""
_MOST_NAMES = 256
"""Maximum number of files of one folder in a piece of work."""

_BARE = frozenset({"HEAD", "objects", "refs"})
"""Entries of every bare repository (gitrepository-layout(5))."""

LINKS = "links"
TOO_DEEP = f"folders below more than {DEEPEST:,} others"
IGNORED = "files and folders that .gitignore names"
OWN = "the ledger's own folder"


class FileSource:
    """The files that paths name, and the files below the folders among them."""

    locates = False
    unit = "file"
    listing = "jitid scan PATH --format tsv"
    root = "The folder that the scan was run in."
    processes: int | None = None

    def __init__(
        self,
        paths: Sequence[str],
        *,
        ignore: bool = True,
        one_file_system: bool = False,
        spared: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        """Keep the paths and the options of the scan.

        `ignore` applies git's ignore rules. `one_file_system` skips other file systems. `spared` are folders to skip,
        by device and inode.
        """
        self._paths = paths
        self._ignore = ignore
        self._one = one_file_system
        self._spared = spared
        self._databases = False
        self._splits = False
        """Whether several processes search the parts of a long file."""
        self._sharing = Sharing(1)
        self._trees: dict[int, Tree] = {}
        self._rules: dict[tuple[int, tuple[str, ...]], Rules] = {}
        """Ignore rules of visited folders, by the number of the path and the names below it."""
        self._above: dict[int, str] = {}
        """The repositories that contain named folders, by the number of the path: each repository once."""

    def prepare(self, processes: int) -> None:
        """Create the shared work list, and check that each path can be read. Raises UsageError."""
        self._sharing.close()
        self._sharing = Sharing(processes)
        for path_index, path in enumerate(self._paths):
            self._sharing.work.append((path_index, () if self._is_folder(path) else None, None, None))
        # The last piece is done first.
        self._sharing.work.reverse()
        self._above = _repositories_above(self._paths)

    def search(self, searcher: Searcher) -> Iterator[None]:
        """Search a share of the files."""
        reading = FileReading(searcher, databases=self._databases)
        try:
            for piece in self._sharing.pieces():
                if piece is None:
                    # A process that waits must not hold back files that it has read.
                    reading.flush()
                    yield
                    continue
                path_index, names, files, start = piece
                path = self._paths[path_index]
                if names is None:
                    steps = self._named(reading, path)
                else:
                    steps = self._folder(reading, path_index, path, names, files, start)
                for _ in steps:
                    # No process waits until this piece is done.
                    self._sharing.share()
                    yield
            reading.flush()
        finally:
            for tree in self._trees.values():
                tree.close()
            self._sharing.close()

    def conceal(self, secret_search: SecretSearch | None) -> None:
        """Do nothing: places have no details with other text."""

    def located(self, hits: list[Hit]) -> list[Hit]:
        """Return the hits unchanged: files have their final place already."""
        return hits

    def close(self) -> None:
        """Close the shared work list."""
        self._sharing.close()

    def _is_folder(self, path: str) -> bool:
        """Return whether a path is searched as a folder. Raises UsageError if it cannot be read."""
        return path != STDIN and is_readable_folder(path)

    def _named(self, reading: FileReading, path: str) -> Iterator[None]:
        """Search a file that the caller named."""
        return reading.root(path)

    def _splitting(self, path_index: int, names: tuple[str, ...]) -> Callable[[str, int], None] | None:
        """Return a function that notes the parts of a long file of a folder as work; None if files have no parts."""
        if not self._splits:
            return None
        work = self._sharing.work

        def split(name: str, start: int) -> None:
            work.append((path_index, names, [name], start))

        return split

    def _folder(
        self,
        reading: FileReading,
        path_index: int,
        path: str,
        names: tuple[str, ...],
        files: list[str] | None,
        start: int | None,
    ) -> Iterator[None]:
        prefix = _prefix(path) + "".join(f"{name}/" for name in names)
        if not names and files is None and path_index in self._above:
            reading.searcher.tally.meet(self._above[path_index])
        try:
            tree = self._tree(path_index, path)
            descriptor = tree.enter(names)
            if files is not None and start is not None:
                yield from reading.part(descriptor, prefix, files[0], start)
                return
            if files is not None:
                yield from reading.files(descriptor, prefix, files, self._splitting(path_index, names))
                return
            reason = tree.beyond(descriptor) or self._sparing(descriptor)
            if reason is not None:
                reading.searcher.tally.skip(reason)
                return
            with os.scandir(descriptor) as listed:
                yield from self._entries(reading, tree, path_index, names, prefix, listed)
        except OSError as error:
            reading.searcher.tally.miss(why(error), prefix or path)

    def _entries(
        self,
        reading: FileReading,
        tree: Tree,
        path_index: int,
        names: tuple[str, ...],
        prefix: str,
        listed: Iterator[os.DirEntry[str]],
    ) -> Iterator[None]:
        """Search the files of a folder, and note its folders as work. A large folder is handled in parts."""
        rules: Rules | None = None if self._ignore else NOTHING
        work = self._sharing.work
        while entries := list(islice(listed, _MOST_ENTRIES)):
            present = {entry.name for entry in entries}
            if rules is None:
                known_names = present if len(entries) < _MOST_ENTRIES else None
                rules = self._rules_in(tree, path_index, names, known_names)
            if REPOSITORY not in names and present >= _BARE:
                reading.searcher.tally.meet(self._place(path_index, names))
            files = self._kept(reading.searcher.tally, rules, path_index, names, entries)
            # Other processes may take some of the files.
            while len(files) > _MOST_NAMES and len(work) < _MOST_WORK:
                work.append((path_index, names, files[-_MOST_NAMES:], None))
                del files[-_MOST_NAMES:]
            self._sharing.share()
            split = self._splitting(path_index, names)
            yield from reading.files(tree.enter(names), prefix, files, split)

    def _tree(self, path_index: int, path: str) -> Tree:
        if path_index not in self._trees:
            for tree in self._trees.values():
                tree.close()
            self._trees = {path_index: Tree(path, one_file_system=self._one)}
        return self._trees[path_index]

    def _sparing(self, descriptor: int) -> str | None:
        if not self._spared:
            return None
        status = os.fstat(descriptor)
        return OWN if (status.st_dev, status.st_ino) in self._spared else None

    def _kept(
        self,
        tally: ScanTally,
        rules: Rules,
        path_index: int,
        names: tuple[str, ...],
        entries: Sequence[os.DirEntry[str]],
    ) -> list[str]:
        """Return the files to search among these entries of a folder, and note its folders as work."""
        files, work = [], self._sharing.work
        for entry in entries:
            name = entry.name
            if name == REPOSITORY:
                # A folder, or in a worktree and a submodule a file that names one (gitrepository-layout(5)).
                tally.meet(self._place(path_index, names))
            if entry.is_file(follow_symlinks=False):
                if rules and rules.ignores(name, is_folder=False):
                    tally.skip(IGNORED)
                else:
                    files.append(name)
            elif entry.is_dir(follow_symlinks=False):
                if name == REPOSITORY and self._ignore:
                    tally.skip("folders of git")
                elif rules and rules.ignores(name, is_folder=True):
                    tally.skip(IGNORED)
                elif len(names) >= DEEPEST:
                    tally.miss(TOO_DEEP, self._place(path_index, (*names, name)))
                else:
                    work.append((path_index, (*names, name), None, None))
            else:
                tally.skip(LINKS if entry.is_symlink() else SPECIAL)
        return files

    def _place(self, path_index: int, names: tuple[str, ...]) -> str:
        path = self._paths[path_index]
        return _prefix(path) + "/".join(names) if names else path

    def _rules_in(
        self, tree: Tree, path_index: int, names: tuple[str, ...], entries: AbstractSet[str] | None
    ) -> Rules:
        """Return the ignore rules of a folder with these entries. The rules of its parent are usually cached."""
        cache = self._rules
        depth = len(names)
        rules: Rules | None = None
        while depth and rules is None:
            depth -= 1
            rules = cache.get((path_index, names[:depth]))
        if len(cache) >= _MOST_RULES:
            cache.clear()
        if rules is None:
            rules = cache[path_index, ()] = rules_in(
                tree.enter(()), rules_above(self._paths[path_index]), None
            )
        for below in range(depth + 1, len(names) + 1):
            folder_names = names[:below]
            folder_entries = entries if below == len(names) else None
            rules = cache[path_index, folder_names] = rules_in(
                tree.enter(folder_names), rules.below(folder_names[-1]), folder_entries
            )
        return rules


def _prefix(path: str) -> str:
    """Return the prefix for the names of entries below a folder."""
    if path == ".":
        return ""
    return path if path.endswith("/") else f"{path}/"


def is_readable_folder(path: str) -> bool:
    """Return whether a path names a folder. Raises UsageError if it cannot be read."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        raise UsageError(
            f"{quote(path, 200)} cannot be scanned: {why(error)}", token_warning(path)
        ) from error
    return stat.S_ISDIR(mode)


def _repositories_above(paths: Sequence[str]) -> dict[int, str]:
    """Return the repositories that contain folders, by the number of the folder; none that is searched itself."""
    folders = {
        path_index: os.path.realpath(path) for path_index, path in enumerate(paths) if os.path.isdir(path)
    }
    repositories: dict[str, int] = {}
    for path_index, folder in folders.items():
        above = _repository_above(folder)
        # A repository that is a named folder, or below one, is counted when its entries are listed.
        if above is not None and all(
            os.path.commonpath([above, other]) != other for other in folders.values()
        ):
            repositories.setdefault(above, path_index)
    return {
        path_index: above if os.path.isabs(paths[path_index]) else os.path.relpath(above)
        for above, path_index in repositories.items()
    }


def _repository_above(folder: str) -> str | None:
    while not _is_repository(folder):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return folder


def _is_repository(folder: str) -> bool:
    return any(
        all(os.path.lexists(os.path.join(folder, name)) for name in names) for names in ((REPOSITORY,), _BARE)
    )
