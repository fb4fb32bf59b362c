"""From a command to a page that listens, and to its end.

In: photos or results, and options. Out: a server on one address, until it is stopped.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hedgerow.app.album import Album
from hedgerow.app.jobs import Jobs
from hedgerow.app.workshop import Workshop
from hedgerow.config import CallerError, Serve, UsageError

CONNECTIONS = 200  # at once; more are told to come back
LINGER = 1  # seconds that answers under way are given when the server ends


def serve(inputs: Sequence[Path], config: Serve) -> None:
    """Returns, or raises KeyboardInterrupt, when it is told to stop."""
    _check(config)
    uvicorn = _packages()
    from hedgerow.app.guard import Guard, is_loopback
    from hedgerow.app.routes import application

    local = is_loopback(config.host)
    with tempfile.TemporaryDirectory(prefix="hedgerow-", ignore_cleanup_errors=True) as place:
        album = Album(Path(os.path.realpath(place)), config.keep)
        if inputs:
            album.add_places(inputs, local)
        listening = _listen(config)
        workshop = Workshop(config)
        jobs = Jobs(workshop)
        with closing(listening):
            try:
                workshop.start()
                token = None if local else secrets.token_urlsafe(24)
                guarded = Guard(application(album, jobs, config, album.roots), config.host, token)
                _tell(_address(listening, config, token), config.open)
                _run(uvicorn, guarded, listening)
            finally:
                jobs.end()
                for left in Path(place).iterdir():
                    shutil.rmtree(left, ignore_errors=True)


def _check(config: Serve) -> None:
    for name, least in (("keep", 1), ("port", 0)):
        if (value := getattr(config, name)) < least:
            raise UsageError(f"--{name} is at least {least}, got {value}")
    for name in ("max_upload", "max_megapixels"):
        if not 0 < (value := getattr(config, name)) < 1e5:
            raise UsageError(f"--{name.replace('_', '-')} is above 0, got {value}")
    if config.port > 65535:
        raise UsageError(f"--port is at most 65535, got {config.port}")


def _packages() -> Any:
    """Before anything is done."""
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise CallerError(f"the page needs {error.name}: install hedgerow with its extra [serve]") from None
    return uvicorn


def _listen(config: Serve) -> socket.socket:
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((config.host, config.port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            told = f"port {config.port} of {config.host} is in use: give another, --port, or 0 for any that is free"
            raise CallerError(told) from None
        reason = (error.strerror or str(error)).partition(" (")[0]  # the address again
        told = f"cannot listen on {config.host}, port {config.port} ({reason})"
        raise CallerError(f"{told}: give another --host or --port") from None


def _address(listening: socket.socket, config: Serve, token: str | None) -> str:
    port = listening.getsockname()[1]
    host = socket.gethostname() if config.host in ("0.0.0.0", "::") else config.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/{f'?token={token}' if token else ''}"


def _tell(address: str, opening: bool) -> None:
    print(f"Hedgerow is at {address} (Ctrl-C ends it)", flush=True)
    seen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if opening and seen:  # without a screen a browser of the terminal's would take the terminal
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _run(uvicorn: Any, app: Any, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_graceful_shutdown=LINGER,
    )
    uvicorn.Server(config).run(sockets=[listening])
