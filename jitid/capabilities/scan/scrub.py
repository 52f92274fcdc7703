"""Replacement of secrets in text files by stars of the same length; the rest of each file stays unchanged.

A file in use is left alone: a process has it open or has just written it, or its agent runs. So is a file that is not
plain text, or changes meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import signal
import stat
import sys
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from jitid.capabilities.scan.agent_places import PROJECT, PROJECT_FILES, FoundPlace, all_places, own_places
from jitid.capabilities.scan.hits import Hit, Item, Searcher
from jitid.formats.cell import counted
from jitid.model.agent_program import agent_of
from jitid.model.leak import starred
from jitid.redaction.token_format import MAX_TOKEN
from jitid.search.find import LONGEST_ESCAPE, SecretSearch, is_word, mark
from jitid.system import processes
from jitid.values.record import Record
from jitid.values.secret import fingerprint

REPLACED = frozenset({"opaque", "signed", "secrets"})
"""The kinds of strings that are replaced."""
QUIET = 300
"""Seconds since its last change after which a file counts as unused."""
_PIECE = 1 << 20
_LONGEST = LONGEST_ESCAPE * MAX_TOKEN
"""Maximum bytes of a string with escapes of JSON."""
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPAQUE = re.compile(rb"jitid_[0-9A-Za-z]{38}")
# A signature has 64 bytes, one of RS256 has 256.
_SIGNED = (
    re.compile(rb"[\w-]+\.[\w-]+\.[\w-]{86}"),
    re.compile(rb"[\w-]+\.[\w-]+\.[\w-]{342}"),
)
_PROJECT_FILES = sorted(PROJECT_FILES, key=len, reverse=True)
_USER = re.compile(rb"^Uid:\t(\d+)", re.MULTILINE)


class ScrubbedFile(Record):
    """The result for one file."""

    path: str
    client: str
    state: str
    """`scrubbed`, `would-scrub` or `kept`."""
    places: int
    """The number of places that were replaced, or would be."""
    reason: str | None
    """Why the file was kept, or a part of it."""


class _Places(Record):
    """The places of some strings in a file."""

    ranges: list[tuple[int, int]]
    """Start and end of each place that can be replaced, in order; none overlaps another one."""
    within: set[bytes]
    """The marks of the strings that are part of another string somewhere."""


class _KeptError(Exception):
    """A file must be left alone; the message is the reason."""


class Scrub:
    """The replacement of secrets in the files in which they were found."""

    def __init__(
        self, secret_search: SecretSearch | None, home: str, *, dry_run: bool, quiet: int = QUIET
    ) -> None:
        """Take the search for adopted secrets, and the home folder of the agents whose files these are.

        A file that was changed in the last `quiet` seconds is in use.
        """
        self._search = secret_search
        self._home = home
        self._dry_run = dry_run
        self._quiet = quiet
        self._found: list[FoundPlace] | None = None

    def files(self, hits: Iterable[Hit], kept: Iterable[tuple[Hit, str]] = ()) -> Iterator[ScrubbedFile]:
        """Replace the strings of these places, and yield the result for each file.

        `kept` are places of strings that stay, each with the reason.
        """
        by_file: dict[str, list[Hit]] = {}
        clients: dict[str, str] = {}
        reasons: dict[str, dict[str, set[bytes]]] = {}
        for hit in hits:
            by_file.setdefault(hit.place, []).append(hit)
            clients.setdefault(hit.place, hit.context.client if hit.context else "")
        for hit, reason in kept:
            reasons.setdefault(hit.place, {}).setdefault(reason, set()).add(hit.mark)
            clients.setdefault(hit.place, hit.context.client if hit.context else "")
        for path, client in sorted(clients.items()):
            count, facts = 0, []
            if path in by_file:
                try:
                    count, left, within = self._file(path, by_file[path])
                except _KeptError as error:
                    facts.append(str(error))
                except OSError as error:
                    facts.append((error.strerror or "it cannot be read").lower())
                else:
                    facts += [f"{left} in another encoding stay"] if left else []
                    facts += [f"{within} within another string stay"] if within else []
            facts += [
                f"{counted(len(marks), 'secret stays', 'secrets stay')}: {reason}"
                for reason, marks in sorted(reasons.get(path, {}).items())
            ]
            state = "kept" if not count else "would-scrub" if self._dry_run else "scrubbed"
            yield ScrubbedFile(starred(path), client, state, count, "; ".join(facts) or None)

    def _file(self, path: str, hits: Sequence[Hit]) -> tuple[int, int, int]:
        """Replace the strings in a file.

        Return the numbers of replaced places, and of strings that stay: in another encoding, and within other strings.
        """
        if any(hit.inside is not None for hit in hits):
            raise _KeptError("a database or an archive, which only its own program can change safely")
        folder_path, _, name = path.rpartition("/")
        folder = os.open(folder_path or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise _KeptError("a link; scrub the file that it names")
            descriptor = os.open(name, _FILE, dir_fd=folder)
            try:
                status = os.fstat(descriptor)
                self._check(status, folder, name)
                marks = {hit.mark for hit in hits}
                found = self._places(descriptor, marks)
                left = marks
                if found.ranges:
                    left = self._replaced(folder, name, descriptor, status, found.ranges) & marks
                return len(found.ranges), len(left - found.within), len(left & found.within)
            finally:
                os.close(descriptor)
        finally:
            os.close(folder)

    def _check(self, status: os.stat_result, folder: int, name: str) -> None:
        """Raise _KeptError if a file, which is open, may not be changed."""
        if not stat.S_ISREG(status.st_mode):
            raise _KeptError("not a regular file")
        if status.st_uid != os.geteuid():
            raise _KeptError("the file of another user")
        if status.st_nlink != 1:
            raise _KeptError("a file with further names (hard links)")
        if time.time() - status.st_mtime < self._quiet:
            raise _KeptError(f"in use: changed in the last {self._quiet} seconds")
        process = _opener(status)
        if process is not None:
            raise _KeptError(f"in use: process {process} has it open")
        # The path of the search may have led through a link, and may lead to another folder by now.
        process = self._user(f"{os.readlink(f'/proc/self/fd/{folder}').rstrip('/')}/{name}")
        if process is not None:
            raise _KeptError(f"in use: its agent runs as process {process}")

    def _user(self, real: str) -> int | None:
        """Return a process of an agent that uses a file, or None. Raises _KeptError outside of all places."""
        if self._found is None:
            self._found = all_places(self._home)
        clients = {each.client for each in self._found if _is_below(real, each.real)}
        if not clients:
            raise _KeptError("not in a place of an agent")
        of_project = clients == {PROJECT}
        home = os.path.realpath(self._home)
        for client, process, environ in _agents():
            if environ is None:
                if of_project or client in clients:
                    return process
                continue
            its_home = environ.get("HOME") or self._home
            # An agent may use the files of each project of its user, and of the one in which it works.
            if of_project and (os.path.realpath(its_home) == home or _works_near(process, real)):
                return process
            if any(
                each.client == client and _is_below(real, each.real) for each in own_places(its_home, environ)
            ):
                return process
        return None

    def _places(self, descriptor: int, marks: set[bytes]) -> _Places:
        """Return the places of the strings with these marks, in plain text or with escapes of JSON.

        A place that another string overlaps is left out: that one may still be valid.
        """
        known: dict[bytes, set[bytes]] = {}
        own: set[tuple[int, int, bytes]] = set()
        others: set[tuple[int, int]] = set()
        within: set[bytes] = set()
        for hit in _hits(descriptor, self._search):
            form = self._form(descriptor, hit, known.setdefault(hit.mark, set()))
            if form is None:
                continue
            end = hit.offset + len(form)
            if hit.mark not in marks:
                others.add((hit.offset, end))
            elif hit.sort == "secrets" and not is_word(*_around(descriptor, hit.offset, end)):
                within.add(hit.mark)
            else:
                own.add((hit.offset, end, hit.mark))
        overlapped = _Overlap(others)
        ranges: list[tuple[int, int]] = []
        for start, end, mark_ in sorted(own):
            if overlapped.has(start, end):
                within.add(mark_)
                continue
            first = max(start, ranges[-1][1]) if ranges else start
            if first < end:
                ranges.append((first, end))
        return _Places(ranges, within)

    def _form(self, descriptor: int, hit: Hit, known: set[bytes]) -> bytes | None:
        """Return the text of a string at its place, in plain text or with escapes of JSON; None in another encoding.

        `known` are the texts of equal strings at earlier places.
        """
        for form in known:
            if os.pread(descriptor, len(form), hit.offset) == form:
                return form
        text = os.pread(descriptor, _LONGEST, hit.offset)
        longest = max(self._forms(text, hit), key=len, default=None)
        if longest is not None:
            known.add(longest)
        return longest

    def _forms(self, text: bytes, hit: Hit) -> Iterator[bytes]:
        """Yield each beginning of a text that is the string."""
        if hit.sort == "opaque":
            found = _OPAQUE.match(text)
            if found and mark("opaque", fingerprint(found[0].decode("ascii"))) == hit.mark:
                yield found[0]
        elif hit.sort == "signed":
            for pattern in _SIGNED:
                found = pattern.match(text)
                if found and mark("signed", found[0].decode("ascii")) == hit.mark:
                    yield found[0]
        elif self._search is not None:
            for end, print_ in self._search.ends(text):
                if mark("secrets", print_) == hit.mark:
                    yield text[:end]

    def _replaced(
        self,
        folder: int,
        name: str,
        descriptor: int,
        status: os.stat_result,
        ranges: Sequence[tuple[int, int]],
    ) -> set[bytes]:
        """Write a copy with stars, and put it in the place of the file unless that has changed meanwhile.

        Return the marks of all strings that the copy has, in any encoding.
        """
        copy = f".jitid-{secrets.token_hex(8)}"
        target = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            _star(descriptor, target, ranges)
            left = {hit.mark for hit in _hits(target, self._search)}
            if self._dry_run:
                return left
            os.fchmod(target, stat.S_IMODE(status.st_mode))
            if os.fstat(target).st_gid != status.st_gid:
                os.fchown(target, -1, status.st_gid)
            # Some file systems have no attributes.
            with suppress(OSError):
                for attribute in os.listxattr(descriptor):
                    os.setxattr(target, attribute, os.getxattr(descriptor, attribute))
            # Agents list the sessions by the time of their files.
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(target)
            with _alone(descriptor):
                _check_same(status, os.fstat(descriptor))
                _check_same(status, os.stat(name, dir_fd=folder, follow_symlinks=False))
                if _opener(status) is not None:
                    raise _KeptError("in use: a process has opened it")
                os.rename(copy, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
            return left
        finally:
            with suppress(FileNotFoundError):
                os.unlink(copy, dir_fd=folder)
            os.close(target)


def _check_same(before: os.stat_result, now: os.stat_result) -> None:
    for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_nlink"):
        if getattr(before, name) != getattr(now, name):
            raise _KeptError("it changed meanwhile")


def _around(descriptor: int, start: int, end: int) -> tuple[bytes, bytes]:
    """Return the text before and after a place, as `is_word` requires it."""
    first = max(0, start - LONGEST_ESCAPE)
    return os.pread(descriptor, start - first, first), os.pread(descriptor, 1, end)


class _Overlap:
    """Ranges, to look up whether one of them overlaps another range."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        """The largest end of all ranges up to that start."""
        for start, end in sorted(ranges):
            self._starts.append(start)
            self._ends.append(max(end, self._ends[-1] if self._ends else 0))

    def has(self, start: int, end: int) -> bool:
        """Return whether a range overlaps that one."""
        index = bisect_left(self._starts, end)
        return index > 0 and self._ends[index - 1] > start


def _star(source: int, target: int, ranges: Sequence[tuple[int, int]]) -> None:
    """Copy a text file with stars in these ranges."""
    position = index = 0
    while piece := os.pread(source, _PIECE, position):
        if b"\0" in piece:
            raise _KeptError("not a text file")
        text, stop = bytearray(piece), position + len(piece)
        while index < len(ranges) and ranges[index][0] < stop:
            start, end = max(ranges[index][0], position), min(ranges[index][1], stop)
            text[start - position : end - position] = b"*" * (end - start)
            if ranges[index][1] > stop:
                break
            index += 1
        _write(target, text)
        position = stop


def _write(target: int, content: bytes | bytearray) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(target, view) :]


def _hits(descriptor: int, secret_search: SecretSearch | None) -> Iterator[Hit]:
    """Yield the places of all strings of a file, in any encoding."""
    searcher = Searcher(frozenset(REPLACED), secret_search, most_places=sys.maxsize)
    searcher.begin(Item(""))
    position = 0
    while piece := os.pread(descriptor, _PIECE, position):
        searcher.feed(piece)
        position += len(piece)
        yield from searcher.take().hits
    searcher.end()
    yield from searcher.take().hits


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Hold a lease: the system refuses it while another process has the file open, and lets new ones wait (fcntl(2)).

    Where there are no leases, the search of open files must do.
    """
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    held = False
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            held = True
        except BlockingIOError:
            raise _KeptError("in use: a process has opened it") from None
        except OSError:
            pass
        yield
    finally:
        if held:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        signal.signal(signal.SIGIO, before)


def _processes() -> Iterator[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        names = []
    if str(os.getpid()) not in names:
        raise _KeptError("open files cannot be listed on this system")
    return (int(name) for name in names if name.isdigit() and int(name) != os.getpid())


def _opener(status: os.stat_result) -> int | None:
    """Return a process that has a file open, or None. Processes of other users cannot be seen."""
    for process in _processes():
        with suppress(OSError), os.scandir(f"/proc/{process}/fd") as entries:
            for entry in entries:
                with suppress(OSError):
                    opened = entry.stat()
                    if (opened.st_dev, opened.st_ino) == (status.st_dev, status.st_ino):
                        return process
    return None


def _agents() -> Iterator[tuple[str, int, Mapping[str, str] | None]]:
    """Yield the agents that run as this user, each with its process and its environment.

    A process that hides its memory, as Codex does, yields None for the environment: it may use any folder.
    """
    for process in _processes():
        with suppress(OSError):
            with open(f"/proc/{process}/status", "rb") as file:
                # The folder of a process that hides its memory belongs to root.
                user = _USER.search(file.read())
            if user is None or int(user[1]) != os.geteuid():
                continue
            words = processes.words(process)
            # A process that only claims to be an agent is taken for one: its file stays unchanged.
            agent = agent_of(words, (*processes.program_names(process), *words[:1]))
            if agent is not None:
                yield agent, process, _environment(process)


def _environment(process: int) -> Mapping[str, str] | None:
    try:
        with open(f"/proc/{process}/environ", "rb") as file:
            lines = os.fsdecode(file.read(1 << 20)).split("\0")
    except PermissionError:
        return None
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _works_near(process: int, path: str) -> bool:
    """Return whether a process works in the project of a file, or in a folder above the file."""
    project = next((path[: -len(name)] for name in _PROJECT_FILES if path.endswith(f"/{name}")), path)
    try:
        folder = os.readlink(f"/proc/{process}/cwd")
    except OSError as error:
        return not isinstance(error, FileNotFoundError)  # that one has ended
    return _is_below(folder, project) or _is_below(path, folder)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root.rstrip('/')}/")
