"""The files of the page, the history and the live messages -> a Starlette application.

Every address is relative to the page, so that a proxy may put it anywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from edge.page.access import SESSION_S, Doorman, Hosts
from edge.page.guard import COOKIE, Guard, session_of
from edge.page.hub import Hub
from edge.page.recent import MOST_ANSWERED, History, Query
from edge.page.settings import PageSettings

MOST_BODY_BYTES = 4096
BODY_S = 5.0  # for the body of a request to come

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class BadRequestError(Exception):
    """A request that makes no sense; the message says why."""


def page_app(
    settings: PageSettings,
    doorman: Doorman,
    hub: Hub,
    history: History,
    about: Mapping[str, Any],
    tell: Callable[[Mapping[str, Any]], None],
) -> Guard:
    """Build the application.

    Args:
        settings: the table [page].
        doorman: knows who may see what.
        hub: the open pages.
        history: answers questions about finished events.
        about: what a page has to know about the run, ready for JSON.
        tell: hands a message to the run.
    """

    async def door(request: Request) -> Response:
        """Say whether this page is let in, and what would help."""
        known = doorman.knows(session_of(request.headers), request.headers.get("authorization"))
        return _json({"open": known, "password": doorman.takes_password, "asks": doorman.asks})

    async def login(request: Request) -> Response:
        address = request.client.host if request.client else ""
        password = (await _body(request)).get("password")
        if not isinstance(password, str):
            raise BadRequestError("got no password, wanted one")
        if wait_s := math.ceil(doorman.tries.wait_s(address)):
            error = f"too many wrong passwords: the next try is in {wait_s} s"
            return JSONResponse({"error": error}, 429, {"retry-after": str(wait_s)})
        secret = await doorman.login(password, address)
        if secret is None:
            return JSONResponse({"error": "this is not the password"}, 403)
        answer = _json({"open": True})
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, secret, max_age=int(SESSION_S), httponly=True, samesite="strict", secure=secure)
        return answer

    async def logout(request: Request) -> Response:
        doorman.logout(session_of(request.headers))
        answer = _json({"open": False})
        answer.delete_cookie(COOKIE)
        return answer

    async def told(request: Request) -> Response:
        return _json(about)

    async def events(request: Request) -> Response:
        query = _query(request)
        return _json(await asyncio.to_thread(history.events, query))

    async def counts(request: Request) -> Response:
        query = _query(request)
        return _json(asdict(await asyncio.to_thread(history.counts, query)))

    async def clip(request: Request) -> Response:
        path = await asyncio.to_thread(history.clip, request.path_params["name"])
        if path is None:
            return JSONResponse({"error": "there is no such clip"}, 404)
        return FileResponse(path, headers={"cache-control": "private, max-age=3600"})

    async def pause(request: Request) -> Response:
        paused = (await _body(request)).get("paused")
        if not isinstance(paused, bool):
            raise BadRequestError("got no `paused`, wanted true or false")
        tell({"kind": "pause", "paused": paused})
        return _json({"paused": paused})

    routes = [
        Route("/api/door", door),
        Route("/api/login", login, methods=["POST"]),
        Route("/api/logout", logout, methods=["POST"]),
        Route("/api/about", told),
        Route("/api/events", events),
        Route("/api/counts", counts),
        Route("/api/clips/{name}", clip),
        Route("/api/pause", pause, methods=["POST"]),
        Route("/api/live", _Live(hub)),
        *(Route(path, _file(content, kind)) for path, content, kind in static_files()),
    ]
    app = Starlette(routes=routes, exception_handlers={BadRequestError: _refused})
    return Guard(app, doorman, Hosts(settings.hosts), settings.frame_ancestors)


def static_files() -> list[tuple[str, bytes, str]]:
    """Return the path, the content and the type of each file of the page."""
    found = []
    folder = resources.files("edge.page") / "static"
    for name, item in [(item.name, item) for item in folder.iterdir() if item.is_file()] + [
        (f"js/{item.name}", item) for item in (folder / "js").iterdir()
    ]:
        path = "/" if name == "index.html" else f"/{name}"
        found.append((path, item.read_bytes(), _TYPES["." + name.rpartition(".")[2]]))
    return found


class _Live:
    """The stream of live messages. A class, as Starlette takes a function for one that returns a response."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._hub.full:
            error = "too many pages are open: see max_pages in [page]"
            await JSONResponse({"error": error}, 503, {"retry-after": "10"})(scope, receive, send)
        elif scope["method"] == "HEAD":
            await Response()(scope, receive, send)
        else:
            await self._hub.serve(scope, receive, send)


def _file(content: bytes, kind: str) -> Callable[[Request], Any]:
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return answer


async def _body(request: Request) -> dict[str, Any]:
    """Read a JSON object of limited size, within a limited time."""
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                content += part
                if len(content) > MOST_BODY_BYTES:
                    raise BadRequestError(f"got more than {MOST_BODY_BYTES} bytes")
        found = json.loads(content)
    except TimeoutError:
        raise BadRequestError(f"got no whole body within {BODY_S:.0f} s") from None
    except (ValueError, RecursionError):
        raise BadRequestError("got no JSON") from None
    if not isinstance(found, dict):
        raise BadRequestError("got no JSON object")
    return found


def _query(request: Request) -> Query:
    given = request.query_params
    try:
        numbers = {key: float(given[key]) for key in ("since_s", "until_s") if given.get(key)}
        limit = int(given.get("limit", "100"))
    except ValueError:
        raise BadRequestError("got no number, wanted since_s, until_s and limit as numbers") from None
    if not all(0.0 <= value < 1e11 for value in numbers.values()) or not 1 <= limit <= MOST_ANSWERED:
        raise BadRequestError(f"got numbers out of range, wanted times since 1970 and limit 1 to {MOST_ANSWERED}")
    return Query(given.get("class") or None, given.get("sector") or None, limit=limit, **numbers)


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


def _json(value: Any) -> JSONResponse:
    return JSONResponse(value, headers={"cache-control": "no-store"})
