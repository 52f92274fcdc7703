"""The status lists that tokens refer to (draft-ietf-oauth-status-list, section 8), as a public endpoint."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jitid.capabilities.trust import publication, status_lists
from jitid.capabilities.trust.operations import MakeStatusList
from jitid.crypto import status_list
from jitid.crypto.jws import ALGORITHMS
from jitid.errors import NotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.server.service import Service

_FRESH = 60
"""Seconds for which a list is cached: making it may read the tokens of a whole day."""
_MOST = 32
"""Maximum number of cached lists."""


class _KeptList(NamedTuple):
    text: str
    etag: str
    made_at: float


class _Lists:
    """A cache of recent lists."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: dict[str, _KeptList] = {}
        # Only one list is made at a time, even if many requests need missing lists.
        self._making = asyncio.Lock()

    async def get(self, name: str) -> _KeptList:
        """Return the list with that file name. Raises NotFoundError."""
        fresh_list = self._fresh(name)
        if fresh_list is not None:
            return fresh_list
        list_number = publication.number_of(name)
        if list_number < 0:
            raise NotFoundError("there is no such status list")
        (algorithm,) = [
            candidate for candidate in ALGORITHMS if status_list.file_name(list_number, candidate) == name
        ]
        operation = MakeStatusList(number=list_number, algorithm=algorithm)
        async with self._making:
            fresh_list = self._fresh(name)
            if fresh_list is not None:
                return fresh_list
            text = await self._service.within(lambda authority: authority.perform(operation), long=True)
            if len(self._kept) >= _MOST:
                self._kept.clear()
            new_list = self._kept[name] = _KeptList(
                text, f'"{sha256(text.encode()).hexdigest()[:32]}"', monotonic()
            )
            return new_list

    def _fresh(self, name: str) -> _KeptList | None:
        kept_list = self._kept.get(name)
        return kept_list if kept_list is not None and monotonic() - kept_list.made_at < _FRESH else None


def routes(service: Service) -> list[BaseRoute]:
    """Return the route of the lists."""
    lists = _Lists(service)

    async def listed(request: Request) -> Response:
        kept_list = await lists.get(request.path_params["name"])
        headers = {"cache-control": f"public, max-age={_FRESH}", "etag": kept_list.etag}
        known_etags = [etag.strip() for etag in request.headers.get("if-none-match", "").split(",")]
        if kept_list.etag in known_etags or f"W/{kept_list.etag}" in known_etags:
            return Response(None, 304, headers)
        return Response(kept_list.text, 200, headers, status_list.MEDIA_TYPE)

    return [Route(f"/{status_lists.FOLDER}/{{name}}", listed)]
