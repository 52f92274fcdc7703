"""The staged versions of files, which the next commit will contain, as a source of items."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

from jitid.capabilities.scan.blobs import BlobReading
from jitid.capabilities.scan.git_repository import EMPTY_TREES, Repository
from jitid.capabilities.scan.history import ObjectShare, output, records
from jitid.capabilities.scan.hits import Hit, Searcher
from jitid.errors import StorageError, UsageError
from jitid.search.find import SecretSearch
from jitid.values.text import quote

_MOST_NAMES = 1 << 28
"""Maximum bytes of the names of all staged files."""
_SUBMODULE = b"160000"


class Staged:
    """The staged versions of files; only strings that are new in them count."""

    locates = True
    unit = "staged file"
    listing = "jitid scan --staged --format tsv"
    root = "The top of the repository."
    processes: int | None = 1

    def __init__(self, repository: Repository) -> None:
        """Keep the repository; `prepare` lists the files. Raises UsageError if the repository has no work tree."""
        if repository.bare:
            raise UsageError(
                f"the git repository {quote(repository.name, 200)} is bare, and has no staged files",
                "to scan its history: jitid scan --git",
            )
        self._repository = repository
        self._paths: dict[str, list[str]] = {}
        """The paths of each staged object, by its id."""
        self._before: dict[str, None] = {}
        """The ids of the objects that HEAD has at these paths."""
        self._searcher: Searcher | None = None

    def prepare(self, processes: int) -> None:
        """List the staged files. Raises StorageError if git fails or their names are too long."""
        del processes  # one process searches all files
        git = self._repository
        head = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        base = EMPTY_TREES[git.width] if head.status else head.output.decode("ascii").strip()
        words = (
            "diff-index",
            "--cached",
            "--raw",
            "-z",
            "--no-abbrev",
            "--no-renames",
            "--ignore-submodules",
        )
        remaining = _MOST_NAMES
        with git.running(*words, "--end-of-options", base, "--") as process:
            entries = records(output(process))
            for record in entries:
                path = next(entries, b"")
                remaining -= len(path)
                if remaining < 0:
                    raise StorageError(f"the names of the staged files have more than {_MOST_NAMES} bytes")
                self._take(record[1:].split(b" "), path.decode("utf-8", "surrogateescape"))
            if process.wait():
                raise StorageError("git cannot list the staged files", "see: git status; git fsck")

    def _take(self, words: list[bytes], path: str) -> None:
        """Note a changed file from its modes and ids, before and after the change."""
        old_mode, new_mode, old_id, new_id = words[:4]
        if old_id.strip(b"0") and old_mode != _SUBMODULE:
            self._before[old_id.decode("ascii")] = None
        if new_id.strip(b"0") and new_mode != _SUBMODULE:
            self._paths.setdefault(new_id.decode("ascii"), []).append(path)

    def search(self, searcher: Searcher) -> Iterator[None]:
        """Search the staged objects."""
        self._searcher = searcher
        yield from self._read(searcher, self._paths)

    def conceal(self, secret_search: SecretSearch | None) -> None:
        """Do nothing: places have no details with other text."""

    def located(self, hits: list[Hit]) -> list[Hit]:
        """Return hits with their paths, without strings that HEAD already has in one of the changed files."""
        if not hits or self._searcher is None:
            return []
        for _ in self._read(self._searcher, self._before):
            pass
        known_marks = {hit.mark for hit in self._searcher.take().hits}
        return [
            hit._replace(place=path, revision=None)
            for hit in hits
            if hit.mark not in known_marks
            for path in self._paths[hit.revision or ""]
        ]

    def close(self) -> None:
        """Do nothing: there is no file to close."""

    def _read(self, searcher: Searcher, ids: dict[str, list[str]] | dict[str, None]) -> Iterator[None]:
        if not ids:
            return
        with tempfile.TemporaryFile() as file:
            file.write("".join(f"{oid}\n" for oid in ids).encode("ascii"))
            file.flush()
            yield from BlobReading(self._repository, ObjectShare(file, len(ids)), searcher).all()
