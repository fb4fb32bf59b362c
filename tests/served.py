"""A server of the page, as a process of its own: what tests of routes, of safety and of the page itself ask."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "30", "--alike", "texture"]
PATIENCE = 60.0  # seconds for what takes one on a machine that does nothing else


def scene(seed: int = 0, height: int = 96, width: int = 128) -> Image.Image:
    """A red square with a yellow one in it, on a green ground, and the grain of a photo."""
    pixels = np.full((height, width, 3), (40, 150, 60), float)
    pixels[height // 6 : height * 5 // 6, width // 6 : width * 2 // 3] = (220, 40, 40)
    pixels[height // 3 : height * 2 // 3, width // 3 : width // 2] = (230, 230, 40)
    return Image.fromarray(
        (pixels + np.random.default_rng(seed).normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
    )


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    memory = BytesIO()
    image.save(memory, kind)
    return memory.getvalue()


class Served:
    """`with Served(...) as app`: listens when this returns."""

    def __init__(self, *words: object, port: int = 0) -> None:
        command = [
            sys.executable,
            "-m",
            "hedgerow",
            "serve",
            *map(str, words),
            "--port",
            str(port),
            "--no-open",
            *QUICK,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = re.search(r"http://([^:/]+):(\d+)/(\?token=(\S+))?", self.line)
        if found is None:
            raise AssertionError(self.end()[1])
        self.port, self.token = int(found[2]), found[4]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.headers = {"X-Hedgerow": "1"}

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self, how: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit status, and what it said to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        said = self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode, said

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> HTTPResponse:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, sent, self.headers if headers is None else headers)
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        connection.close()
        return answer

    def json(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status in (200, 202), answer.body  # type: ignore[attr-defined]
        return json.loads(answer.body)  # type: ignore[attr-defined]

    def upload(self, content: bytes, name: str = "photo.png") -> str:
        return str(self.ask_upload(content, name)["id"])

    def ask_upload(self, content: bytes, name: str) -> Any:
        answer = self.ask("POST", "/api/photos", content, self.headers | {"X-Name": name})
        return json.loads(answer.body)  # type: ignore[attr-defined]

    def finished(self, id: str) -> Any:
        """What is told of a photo once nothing more will happen to it."""
        return self._until(f"/api/photos/{id}", ("ready", "failed"))

    def reaches(self, id: str, stage: str) -> None:
        """Returns when a photo is as far as this."""
        end = time.monotonic() + PATIENCE
        while (told := self.json("GET", f"/api/photos/{id}"))["stage"] != stage:
            assert time.monotonic() < end, told
            time.sleep(0.02)

    def job(self, path: str, body: dict[str, Any]) -> Any:
        return self._until(f"/api/jobs/{self.json('POST', path, body)['job']}", ("done", "failed"))

    def _until(self, path: str, states: tuple[str, ...]) -> Any:
        end = time.monotonic() + PATIENCE
        while (told := self.json("GET", path))["state"] not in states:
            assert time.monotonic() < end, told
            time.sleep(0.02)
        return told

    def family(self) -> list[int]:
        """The server's process and those that it has started."""
        pids = [self.process.pid]
        for pid in pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (thread / "children").read_text().split()]
        return pids

    def memory(self) -> float:
        """MB that they have had at the most, in all."""
        told = [Path(f"/proc/{pid}/status").read_text() for pid in self.family() if os.path.exists(f"/proc/{pid}")]
        return sum(int(peak[1]) for text in told if (peak := re.search(r"VmHWM:\s+(\d+) kB", text))) / 1e3
