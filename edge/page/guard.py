"""Requests -> those that may reach the application, and its answers -> the same with the headers of security.

The layer around the application. It refuses names that are not this machine's, requests that another site sends, and
everything under /api/ without a session or token; the files of the page itself hold no secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.page.access import Doorman, Hosts

COOKIE = "seld_edge_session"
OPEN_PATHS = ("/api/door", "/api/login")  # what somebody without a session may ask

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "media-src": "'self' blob:",
    "base-uri": "'none'",
    "form-action": "'none'",
}
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware: see above."""

    def __init__(self, app: ASGIApp, doorman: Doorman, hosts: Hosts, frame_ancestors: Sequence[str] = ()) -> None:
        """Stand before an application.

        Args:
            app: what is guarded.
            doorman: knows who may see what.
            hosts: names of this machine.
            frame_ancestors: origins whose pages may show this one inside.
        """
        self._app, self._doorman, self._hosts = app, doorman, hosts
        self._headers = _security_headers(frame_ancestors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse to."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host")
        if not self._hosts.allow(host):
            return JSONResponse({"error": "the Host header does not name this machine: see `hosts` in [page]"}, 421)
        if scope["method"] not in ("GET", "HEAD") and not _from_this_page(headers, host or ""):
            return JSONResponse({"error": "the request comes from another site"}, 403)
        path = scope["path"]
        closed = path.startswith("/api/") and path not in OPEN_PATHS
        if closed and not self._doorman.knows(session_of(headers), headers.get("authorization")):
            return JSONResponse({"error": "a password or a token is needed"}, 401)
        return None


def session_of(headers: Mapping[str, str]) -> str | None:
    """Return the secret of the session in the cookie of a request."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _from_this_page(headers: Headers, host: str) -> bool:
    """Whether a request that changes something comes from the page itself, or from a program rather than a browser."""
    if (site := headers.get("sec-fetch-site")) is not None:  # browsers send it by https and to localhost only
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == host


def _security_headers(frame_ancestors: Sequence[str]) -> dict[str, str]:
    ancestors = " ".join(["'self'", *frame_ancestors]) if frame_ancestors else "'none'"
    policy = {**_POLICY, "frame-ancestors": ancestors}
    headers = {"content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()), **_HEADERS}
    return headers if frame_ancestors else headers | {"x-frame-options": "DENY"}
