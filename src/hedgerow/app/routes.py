"""What the page asks, and what it is answered.

    GET  /                        the page
    GET  /api/state               photos, limits, what cannot be done here and why
    POST /api/photos              a photo's bytes; X-Name says what to call it -> its id
    POST /api/photos/ID/open      a photo of the folders given is to be opened
    POST /api/photos/ID/stop      it is no longer wanted
    GET  /api/photos/ID           how far that is
    GET  /api/photos/ID/shown     its picture;  .../forest  its forest file;  .../thumb  a small picture
    POST /api/photos/ID/names     {"names": "dog, grass"} -> a job
    POST /api/photos/ID/alike     {"row": 12} -> a job
    GET  /api/jobs/ID             how far that is, and what came of it

What goes wrong is {"error": "one line"} and a status. A photo comes as the body itself, not as a form: there is nothing
to parse, and a request of that kind cannot be sent by another site unasked.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import unquote

from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from hedgerow.app.album import Album, Entry
from hedgerow.app.alike import Source
from hedgerow.app.guard import refused
from hedgerow.app.jobs import Busy, Jobs
from hedgerow.app.policy import page
from hedgerow.app.tasks import Alike, Name, Open, Where, claimed
from hedgerow.config import VERSION, CallerError, Serve
from hedgerow.photos import PhotoRef, open_photo

AT_ONCE = 8  # uploads that are received side by side; their bytes go to the disk as they come
STALLED, LONGEST = 15.0, 300.0  # seconds that an upload may send nothing, and take in all
SHORT = 64 * 1024  # bytes of any other body
RETRY = "3"  # seconds, about as long as a photo takes
THUMB, THUMBS = 200, 600  # pixels of a small picture's longer side; how many are kept, 8 kB each
log = logging.getLogger(__name__)
TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def application(album: Album, jobs: Jobs, config: Serve, roots: tuple[str, ...]) -> Starlette:
    """The routes, bound to what they speak of."""
    desk = _Desk(album, jobs, config, roots)
    one = "/api/photos/{id}"
    routes = [
        Route("/", desk.page),
        Route("/api/state", desk.state),
        Route("/api/photos", desk.upload, methods=["POST"]),
        Route(one, desk.told),
        Route(f"{one}/open", desk.open, methods=["POST"]),
        Route(f"{one}/stop", desk.stop, methods=["POST"]),
        Route(f"{one}/shown", desk.shown),
        Route(f"{one}/forest", desk.forest),
        Route(f"{one}/thumb", desk.thumb),
        Route(f"{one}/names", desk.names, methods=["POST"]),
        Route(f"{one}/alike", desk.alike, methods=["POST"]),
        Route("/api/jobs/{id}", desk.job),
    ]
    handlers: dict[Any, Any] = {HTTPException: _http, CallerError: _mistake, Exception: _fault}
    return Starlette(routes=routes, exception_handlers=handlers)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refused(error.status_code, error.detail)


async def _mistake(_: Request, error: Exception) -> Response:
    if isinstance(error, Busy):
        return refused(503, str(error), retry_after=RETRY)
    return refused(400, str(error))


async def _fault(request: Request, error: Exception) -> Response:
    told = f"a fault of Hedgerow's, {type(error).__name__}: {' '.join(str(error).split())}"
    log.error("%s %s: %s", request.method, request.url.path, told)
    return refused(500, told)


class _Desk:
    """Answers."""

    def __init__(self, album: Album, jobs: Jobs, config: Serve, roots: tuple[str, ...]) -> None:
        self.album, self.jobs, self.config, self.roots = album, jobs, config, roots
        self.receiving = 0
        self.thumbs: OrderedDict[str, bytes] = OrderedDict()
        self.drawing = asyncio.Semaphore(1)

    async def page(self, _: Request) -> Response:
        return Response(page(), media_type="text/html")

    async def state(self, _: Request) -> Response:
        return JSONResponse(
            {
                "version": VERSION,
                "photos": [entry.told() for entry in self.album.entries.values()],
                "left_out": self.album.left_out,
                "lacks": self.jobs.workshop.lacks,
                "max_upload": self.config.max_upload,
                "max_megapixels": self.config.max_megapixels,
            }
        )

    async def told(self, request: Request) -> Response:
        return JSONResponse(self._entry(request).told() | {"waiting": self.jobs.waiting})

    # ------------------------------------------------------------------ opening

    async def upload(self, request: Request) -> Response:
        most = int(self.config.max_upload * 1e6)
        too_large = refused(413, f"larger than the {self.config.max_upload:g} MB that are taken: reduce it first")
        if int(request.headers.get("content-length") or 0) > most:
            return too_large
        self.jobs.check_room()
        if self.receiving >= AT_ONCE:
            raise Busy("other photos are being received: try again in a moment")
        stored = self.album.workplace / f"{secrets.token_hex(8)}.upload"
        self.receiving += 1
        try:
            size = await _receive(request, stored, most)
            if size == 0:
                return refused(400, "the file is empty: fetch or export it again")
            if size > most:
                return too_large
            self.jobs.check_room()  # others may have come meanwhile
            entry = self.album.add_upload(_harmless(request.headers.get("x-name", "")), stored)
            self._begin(entry)
            stored = None  # type: ignore[assignment]  # it is the entry's now
            return JSONResponse(entry.told(), 202)
        except ClientDisconnect:
            return refused(400, "cut short: send it again")
        except TimeoutError:
            return refused(408, "nothing came for too long: send it again")
        finally:
            self.receiving -= 1
            if stored is not None:
                stored.unlink(missing_ok=True)

    async def open(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry.state == "idle" or (entry.state == "failed" and not entry.upload):
            self.jobs.check_room()
            self._begin(entry)
        return JSONResponse(entry.told(), 202)

    def _begin(self, entry: Entry) -> None:
        folder = self.album.make_room(entry)
        entry.state, entry.stage, entry.reason, entry.since = "waiting", "", "", monotonic()

        def begin() -> None:
            entry.since, entry.state = monotonic(), "working"

        def hear(word: str) -> None:
            kind, _, name = word.partition(" ")
            if kind == "shown":
                entry.shown = folder / name
            entry.stage = kind

        def finish(_: Any, error: str) -> None:
            entry.seconds, entry.used = monotonic() - entry.since, monotonic()
            entry.reason, entry.state = error, "failed" if error else "ready"
            if entry.upload and entry.stored is not None:  # its picture is all that is needed from now on
                entry.stored.path.unlink(missing_ok=True)

        roots = (str(self.album.workplace),) if entry.upload else self.roots
        task = Open(entry.name, entry.stored, entry.results, roots, folder)
        urgent = entry.results is not None  # made before: there at once
        entry.job = self.jobs.give(task, urgent=urgent, begin=begin, finish=finish, hear=hear)

    async def stop(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry.job is not None:
            self.jobs.stop(entry.job)
        return JSONResponse(entry.told(), 202)

    # ------------------------------------------------------------------ what is there

    async def shown(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry.shown is None:
            return refused(404, "its picture is not there yet")
        return FileResponse(entry.shown, media_type=TYPES[entry.shown.suffix])

    async def forest(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry.forest is None:
            return refused(404, "its forest is not there yet")
        return FileResponse(entry.forest, media_type="application/json")

    async def thumb(self, request: Request) -> Response:
        """A small picture of a photo of the folders given; an upload has one once it was opened."""
        entry = self._entry(request)
        source = entry.shown or (None if entry.upload else entry.stored)
        if source is None:
            return refused(404, "there is no small picture of it")
        if (jpeg := self.thumbs.get(entry.id)) is None:
            async with self.drawing:
                jpeg = await asyncio.to_thread(_thumb, source, self.roots, self.config.max_megapixels)
            self.thumbs[entry.id] = jpeg
            while len(self.thumbs) > THUMBS:
                self.thumbs.popitem(last=False)
        return Response(jpeg, media_type="image/jpeg")

    # ------------------------------------------------------------------ names and look-alikes

    async def names(self, request: Request) -> Response:
        asked = (await _json(request)).get("names")
        if not isinstance(asked, str) or not asked.strip():
            raise CallerError('no name was given: {"names": "dog, grass"}')
        entry = self._ready(request)
        assert entry.shown is not None
        assert entry.forest is not None
        where = Where(f"{entry.id} {entry.shown.parent.name}", entry.shown, entry.forest)
        return self._job(Name(where, asked), "language")

    async def alike(self, request: Request) -> Response:
        row = (await _json(request)).get("row")
        if not isinstance(row, int) or isinstance(row, bool):
            raise CallerError('which region? {"row": 12}')
        asked = _source(self._ready(request))
        assert asked is not None
        return self._job(Alike(asked, row, tuple(self._sources())), "backbone")

    async def job(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return refused(404, "there is no such job any more: ask again")
        return JSONResponse({"state": job.state, "told": job.told, "value": job.value, "error": job.error})

    def _job(self, task: Any, needs: str) -> Response:
        if reason := self.jobs.workshop.lacks.get(needs):
            return refused(501, reason)
        return JSONResponse({"job": self.jobs.give(task, urgent=True).id}, 202)

    def _sources(self) -> list[Source]:
        """The photos that have a forest, those looked at last first."""
        latest = sorted(self.album.entries.values(), key=lambda entry: -entry.used)
        return [source for entry in latest if (source := _source(entry)) is not None]

    def _ready(self, request: Request) -> Entry:
        entry = self._entry(request)
        if entry.forest is None or entry.shown is None:
            raise CallerError("its photo and its forest are not both there")
        return entry

    def _entry(self, request: Request) -> Entry:
        entry = self.album.get(request.path_params["id"])
        self.album.trim()  # those that were waiting are done by now
        if entry is None:
            raise HTTPException(404, "this photo is no longer kept: open it again")
        return entry


def _source(entry: Entry) -> Source | None:
    """Where look-alikes are looked for: a photo that is ready, or whose forest was made before."""
    if entry.forest is not None and entry.shown is not None:
        return Source(entry.id, entry.shown, entry.forest)
    if entry.results is not None and entry.stored is not None:
        return Source(entry.id, entry.stored, entry.results)
    return None


# ---------------------------------------------------------------------- bodies


async def _receive(request: Request, path: Path, most: int) -> int:
    """The body into a file as it comes, at most one piece more than `most` bytes; how many came."""
    size, stream = 0, request.stream().__aiter__()
    with open(path, "xb") as file:
        async with asyncio.timeout(LONGEST):
            while True:
                try:
                    piece = await asyncio.wait_for(anext(stream), STALLED)
                except StopAsyncIteration:
                    return size
                size += len(piece)
                if size > most:
                    return size
                file.write(piece)


async def _json(request: Request) -> dict[str, Any]:
    body = b""
    async with asyncio.timeout(STALLED):
        async for piece in request.stream():
            body += piece
            if len(body) > SHORT:
                raise HTTPException(413, "this is far too long")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CallerError("expected an object of JSON")
    return found


def _harmless(name: str) -> str:
    """A name to show; no file is ever called by it."""
    last = unquote(name, errors="replace").replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:120].strip() or "photo"


def _thumb(source: PhotoRef | Path, roots: tuple[str, ...], most: float) -> bytes:
    if isinstance(source, PhotoRef):
        place = Path(os.path.realpath(source.path))
        if not any(place.is_relative_to(root) for root in roots):
            raise HTTPException(404, "it leads out of the folders given")
        if claimed(source) > most * 1e6:
            raise HTTPException(404, "it is too large")
    image = Image.fromarray(open_photo(source, 4 * THUMB * THUMB).pixels)
    image.thumbnail((THUMB, THUMB))
    memory = BytesIO()
    image.save(memory, "JPEG", quality=80)
    return memory.getvalue()
