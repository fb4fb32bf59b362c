"""Who may ask: a request that did not come from our own page is refused before anything reads it.

In: an ASGI application. Out: the same behind a guard, as one.

- The Host header names us, or the request is refused: a page elsewhere whose name is made to point to 127.0.0.1 (DNS
  rebinding) would otherwise be of our origin. Addresses in digits cannot be rebound; names are those known to be ours.
- What is not the page itself is refused to other sites (Origin, Sec-Fetch-Site), and what changes anything needs a
  header that no other site can send without asking first, which we never answer.
- Bound to anything but loopback, a random token is asked for, once in the address, then in a cookie.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from hedgerow.app.policy import headers

OURS = "x-hedgerow"  # sent by our page with all that changes anything
COOKIE = "hedgerow_token"

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Guard:
    """`token` is None on loopback; `host` is what the server was told to listen on."""

    app: App
    host: str
    token: str | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in headers().items()]
                known = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in ours if pair[0] not in known)]
            await send(message)

        answer = self._refusal(Request(scope)) or self.app
        await answer(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        """Why this request goes no further; or the way to the page for who has just shown the token."""
        host = request.headers.get("host", "")
        if not self._is_us(host):
            return refused(403, "the Host header names another machine: use the address that was printed")
        if not _same_origin(request, host):
            return refused(403, "asked from another site")
        if request.method not in ("GET", "HEAD") and OURS not in request.headers:
            return refused(403, f"asked without the header {OURS}")
        return None if self.token is None else self._unless_known(request, self.token)

    def _unless_known(self, request: Request, token: str) -> Response | None:
        if request.url.path == "/" and (shown := request.query_params.get("token")) is not None:
            if not hmac.compare_digest(shown.encode(), token.encode()):
                return refused(403, "this is not the token: use the address that was printed")
            way = RedirectResponse("/", 303)
            way.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return way
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), token.encode()):
            return refused(403, "a token is needed: use the address that was printed")
        return None

    def _is_us(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
        except ValueError:
            return False
        if is_loopback(self.host):
            return is_loopback(name)
        return _is_address(name) or name in {"localhost", self.host.lower(), socket.gethostname().lower()}


def refused(status: int, reason: str, **more: str) -> Response:
    """An answer of one line."""
    return JSONResponse({"error": reason}, status, {name.replace("_", "-"): value for name, value in more.items()})


def is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(request: Request, host: str) -> bool:
    origin = request.headers.get("origin")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return False
    if request.url.path == "/" and request.method == "GET":
        return True  # a link may lead to the page
    return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
