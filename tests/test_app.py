"""The page's server: what it answers, whom it refuses, and that nothing a stranger sends brings it down."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import signal
import socket
import struct
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from hedgerow.app import routes
from hedgerow.app.policy import headers, page
from hedgerow.cli import main
from hedgerow.formats import read_forest
from made_language import write_language
from served import Served, encoded, scene

LINUX = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="asks /proc, which only Linux has")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Photos, one of them with a forest made before, and a link that leads out."""
    place = tmp_path_factory.mktemp("app")
    (place / "photos").mkdir()
    scene(1).save(place / "photos" / "done.png")
    scene(2).save(place / "photos" / "fresh.png")
    scene(3).save(place / "secret.png")
    (place / "photos" / "link.png").symlink_to(place / "secret.png")
    words = [
        "--formats",
        "forest",
        "--max-masks",
        "7",
        "--quiet",
        "--explore.grains",
        "60",
        "--explore.zoom.windows",
        "0",
    ]
    assert main(["segment", str(place / "photos" / "done.png"), *words]) == 0
    write_language(place / "colours.onnx")
    return place


@pytest.fixture(scope="module")
def app(folder):
    with Served(
        folder / "photos", "--name-model", folder / "colours.onnx", "--keep", "3", "--max-upload", "2"
    ) as served:
        yield served


def photo_named(app: Served, name: str) -> str:
    return next(entry["id"] for entry in app.json("GET", "/api/state")["photos"] if entry["name"] == name)


# ---------------------------------------------------------------------- the page


def test_the_page_may_run_its_own_script_only(app):
    answer = app.ask("GET", "/")
    assert answer.body == page()
    policy = answer.headers["content-security-policy"]
    for tag in ("script", "style"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", answer.body.decode(), re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/", "/api/state", "/api/photos/nothing", "/nothing"):  # errors as well
        told = app.ask("GET", path).headers
        assert {name: told[name] for name in headers()} == headers()


def test_the_page_needs_nothing_from_elsewhere():
    outside = set(re.findall(r"https?://[^\s\"'`)]+", page().decode()))
    assert outside == {"http://www.w3.org/2000/svg"}, "only the name of SVG's vocabulary"
    assert not re.search(r"\sstyle=|\son[a-z]+=", page().decode().partition("<script>")[0]), "the policy forbids these"


# ---------------------------------------------------------------------- photos


def test_a_photo_of_the_folder_opens_into_its_forest(app, folder, tmp_path):
    id = photo_named(app, "fresh.png")
    assert app.ask("GET", f"/api/photos/{id}/forest").status == 404
    app.json("POST", f"/api/photos/{id}/open")
    assert app.finished(id)["state"] == "ready"
    (tmp_path / "forest.json").write_bytes(app.ask("GET", f"/api/photos/{id}/forest").body)
    forest, header = read_forest(tmp_path / "forest.json")
    assert forest.size == (96, 128)
    assert 2 <= len(forest) <= 30
    assert header["image"]["file"] == "fresh.png"
    assert header["model"]["name"] == "texture"
    shown = app.ask("GET", f"/api/photos/{id}/shown")
    assert shown.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(shown.body)).convert("RGB").tobytes() == scene(2).tobytes()
    small = Image.open(BytesIO(app.ask("GET", f"/api/photos/{photo_named(app, 'done.png')}/thumb").body))
    assert small.size == (128, 96)
    assert not list((folder / "photos").glob("fresh.*.json")), "nothing is written there"


def test_what_is_no_longer_wanted_is_stopped(app):
    slow = encoded(scene(5, 2400, 3200), "JPEG")
    under_way, waiting, wanted = app.upload(slow), app.upload(encoded(scene(6))), app.upload(encoded(scene(7)))
    assert app.json("POST", f"/api/photos/{waiting}/stop")["error"] == "stopped", "at once"
    app.reaches(under_way, "looking")
    before = app.family()
    app.json("POST", f"/api/photos/{under_way}/stop")
    told = app.finished(under_way)
    assert (told["state"], told["error"]) == ("failed", "stopped")
    assert app.finished(wanted)["state"] == "ready"
    assert app.family()[0] == before[0]
    assert set(app.family()[1:]).isdisjoint(before[-1:]), "the process that looked is gone"
    assert app.json("POST", f"/api/photos/{wanted}/stop")["state"] == "ready", "too late changes nothing"


def test_a_forest_that_was_made_before_is_taken(app, folder):
    id = photo_named(app, "done.png")
    app.json("POST", f"/api/photos/{id}/open")
    app.finished(id)
    told = json.loads(app.ask("GET", f"/api/photos/{id}/forest").body)
    before = json.loads((folder / "photos" / "done.forest.json").read_bytes())
    assert told == before


def test_results_bring_their_photos(folder, tmp_path):
    words = [
        "--formats",
        "forest",
        "--max-masks",
        "5",
        "--quiet",
        "--explore.grains",
        "60",
        "--explore.zoom.windows",
        "0",
    ]
    assert main(["segment", str(folder / "photos" / "done.png"), "-o", str(tmp_path / "out"), *words]) == 0
    with Served(tmp_path / "out") as app:
        (entry,) = app.json("GET", "/api/state")["photos"]
        app.json("POST", f"/api/photos/{entry['id']}/open")
        assert app.finished(entry["id"])["shown"]
        assert len(json.loads(app.ask("GET", f"/api/photos/{entry['id']}/forest").body)["segments"]) <= 5


def test_an_upload_opens_and_its_name_is_only_shown(app):
    id = app.upload(encoded(scene(4)), "..%2F..%2Fetc%2F%E2%9C%93%0A.png")
    told = app.finished(id)
    assert (told["state"], told["name"]) == ("ready", "✓.png")
    assert json.loads(app.ask("GET", f"/api/photos/{id}/forest").body)["image"]["file"] == "✓.png"


def test_no_more_photos_are_kept_than_asked_for(app):
    ids = [app.upload(encoded(scene(seed))) for seed in range(10, 15)]
    for id in ids[2:]:
        app.finished(id)
    assert app.finished(ids[-1])["state"] == "ready"
    assert app.ask("GET", f"/api/photos/{ids[0]}").status == 404
    told = app.json("GET", "/api/state")["photos"]
    assert sum(entry["state"] == "ready" for entry in told) <= 3
    id = photo_named(app, "fresh.png")  # one of the folder can be opened again
    app.json("POST", f"/api/photos/{id}/open")
    assert app.finished(id)["state"] == "ready"


# ---------------------------------------------------------------------- names, look-alikes


def test_names_come_with_scores(app):
    id = app.upload(encoded(scene(5)))
    app.finished(id)
    told = app.job(f"/api/photos/{id}/names", {"names": "red, green, yellow/lemon"})
    assert told["state"] == "done", told
    value = told["value"]
    segments = json.loads(app.ask("GET", f"/api/photos/{id}/forest").body)["segments"]
    assert value["names"] == ["red", "green", "yellow"]
    assert len(value["best"]) == len(value["scores"]) == len(segments)
    named = {value["names"][best] for best in value["best"] if best >= 0}
    assert {"red", "green"} <= named
    assert all((score > 0) == (best >= 0) for best, score in zip(value["best"], value["scores"], strict=True))
    twice = app.job(f"/api/photos/{id}/names", {"names": "red, red"})
    assert twice["state"] == "failed"
    assert json.dumps(twice).count("the list of names: name 2 has ") == 1, "the page has no options"
    assert app.ask("POST", f"/api/photos/{id}/names", {"names": ""}).status == 400
    assert app.ask("POST", f"/api/photos/{id}/names", b"{").status == 400


def test_look_alikes_are_found_over_photos(app):
    id = app.upload(encoded(scene(6)))
    app.finished(id)
    value = app.job(f"/api/photos/{id}/alike", {"row": 0})["value"]
    alike = [hit["alike"] for hit in value["found"]]
    assert alike == sorted(alike, reverse=True)
    assert {hit["photo"] for hit in value["found"]} - {id}, "in other photos as well"
    assert (id, 0) not in {(hit["photo"], hit["row"]) for hit in value["found"]}
    assert all(hit["thumbnail"].startswith("data:image/jpeg;base64,") for hit in value["found"])
    assert "no region 999" in app.job(f"/api/photos/{id}/alike", {"row": 999})["error"]


# ---------------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    ("path", "method", "more", "status"),
    [
        ("/", "GET", {"Host": "evil.example"}, 403),
        ("/api/state", "GET", {"Host": "evil.example:80"}, 403),
        ("/api/state", "GET", {"Host": "192.168.0.9"}, 403),
        ("/api/state", "GET", {"Host": "localhost"}, 200),
        ("/api/state", "GET", {"Host": "[::1]:80"}, 200),
        ("/api/state", "GET", {"Origin": "http://evil.example"}, 403),
        ("/api/state", "GET", {"Origin": "null"}, 403),
        ("/api/state", "GET", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/", "GET", {"Sec-Fetch-Site": "cross-site"}, 200),
        ("/api/photos", "POST", {"Content-Type": "text/plain"}, 403),
    ],
)
def test_strangers_are_refused(app, path, method, more, status):
    """A page elsewhere, whether by a name made to point here (DNS rebinding) or by a form of its own."""
    answer = app.ask(method, path, b"x" if method == "POST" else None, {"Host": f"127.0.0.1:{app.port}"} | more)
    assert answer.status == status


def test_only_ids_are_opened(app, folder):
    names = [entry["name"] for entry in app.json("GET", "/api/state")["photos"]]
    assert "link.png" not in names, "it leads out of the folder given"
    for path in ("..%2f..%2fsecret.png", "../../secret.png", "%2e%2e/secret.png", "secret.png", "f0%00", "/etc/passwd"):
        for end in ("", "/shown", "/thumb", "/forest"):
            assert app.ask("GET", f"/api/photos/{path}{end}").status in (400, 404)


def test_a_link_made_later_is_not_followed(folder, tmp_path):
    (tmp_path / "photos").mkdir()
    scene(1).save(tmp_path / "photos" / "a.png")
    with Served(tmp_path / "photos") as app:
        (tmp_path / "photos" / "a.png").unlink()
        (tmp_path / "photos" / "a.png").symlink_to(folder / "secret.png")
        assert app.ask("GET", "/api/photos/f0/thumb").status == 404
        app.json("POST", "/api/photos/f0/open")
        assert "leads out of the folders given" in app.finished("f0")["error"]


def test_elsewhere_than_loopback_a_token_is_asked_for(tmp_path):
    with Served("--host", "0.0.0.0", "--name-model", tmp_path / "nothing.onnx") as app:
        assert app.token is not None
        assert len(app.token) >= 32
        assert app.ask("GET", "/").status == 403
        assert app.ask("GET", "/api/state").status == 403
        assert app.ask("GET", "/?token=guess").status == 403
        assert app.ask("GET", f"/?token={app.token}", headers={"Host": "evil.example"}).status == 403
        shown = app.ask("GET", f"/?token={app.token}")
        assert (shown.status, shown.headers["location"]) == (303, "/")
        cookie = shown.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        app.headers["Cookie"] = cookie.partition(";")[0]
        assert app.ask("GET", "/").status == 200
        assert "nothing.onnx" in app.json("GET", "/api/state")["lacks"]["language"]
        id = app.upload(encoded(scene(0)))
        app.finished(id)
        refused = app.ask("POST", f"/api/photos/{id}/names", {"names": "red"})
        assert refused.status == 501
        assert b"nothing.onnx" in refused.body


# ---------------------------------------------------------------------- what strangers send


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


HOSTILE = {
    "empty": (b"", "empty"),
    "page.png": (b"<!doctype html><script>alert(1)</script>", "no image of a kind"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no image of a kind"),
    "cut.png": (encoded(scene())[:900], "cut short"),
    "cut.jpg": (encoded(scene(), "JPEG")[:1200], "cut short"),
    "bomb.png": (bomb(50_000, 50_000), "megapixels"),
    "large.png": (bomb(13_000, 13_000), "megapixels are more than the 120"),
    "lying.png": (bomb(9_000, 9_000), "claims 9000 x 9000 pixels in"),
    "noise": (os.urandom(5000), "no image of a kind"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_photo_is_told_in_a_line(app, name):
    content, expected = HOSTILE[name]
    told = app.ask_upload(content, name)
    error = told["error"] or app.finished(told["id"])["error"]
    assert expected in error
    assert "\n" not in error
    assert "/" not in error.replace("damaged or cut short", ""), "where files lie is nobody's business"
    assert len(error) < 200


def test_what_is_too_large_is_refused_before_it_comes(app):
    with socket.create_connection(("127.0.0.1", app.port)) as line:
        head = f"POST /api/photos HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hedgerow: 1\r\nContent-Length: {3 * 10**9}\r\n\r\n"
        line.sendall(head.encode())
        assert b"413" in line.recv(1000).partition(b"\r\n")[0]
    with socket.create_connection(("127.0.0.1", app.port)) as line:  # and what does not say how large it is
        line.sendall(
            b"POST /api/photos HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hedgerow: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(5):
            line.sendall(b"80000\r\n" + bytes(0x80000) + b"\r\n")
        assert b"413" in line.recv(1000).partition(b"\r\n")[0]


def test_a_body_shorter_than_it_says_leaves_nothing(app):
    before = len(app.json("GET", "/api/state")["photos"])
    with socket.create_connection(("127.0.0.1", app.port)) as line:
        line.sendall(
            b"POST /api/photos HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hedgerow: 1\r\nContent-Length: 5000\r\n\r\nabc"
        )
    time.sleep(0.1)
    assert len(app.json("GET", "/api/state")["photos"]) == before
    with socket.create_connection(("127.0.0.1", app.port)) as line:
        line.sendall(
            b"POST /api/photos HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hedgerow: 1\r\nContent-Length: nine\r\n\r\nabc"
        )
        assert b"400" in line.recv(1000).partition(b"\r\n")[0]


def test_a_body_that_does_not_come_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(routes, "STALLED", 0.05)

    class Slow:
        async def stream(self):
            yield b"some"
            await asyncio.sleep(30)

    start = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(routes._receive(Slow(), tmp_path / "slow", 1000))  # type: ignore[arg-type]
    assert time.monotonic() - start < 5


@LINUX
def test_fifty_at_once_are_answered_and_memory_stays_bounded(folder):
    """Each is taken or told to come back; the hostile ones among them too."""
    sent = [encoded(scene(seed)) for seed in range(40)] + [bomb(50_000, 50_000), bomb(10_900, 10_900)] * 5
    with Served("--max-upload", "2", "--keep", "5") as app:

        def upload(content: bytes):
            answer = app.ask("POST", "/api/photos", content)
            return answer.status, answer.headers.get("retry-after"), json.loads(answer.body)

        with ThreadPoolExecutor(50) as crowd:
            answers = list(crowd.map(upload, sent))
        taken = [told["id"] for status, _, told in answers if status == 202]
        later = [retry for status, retry, _ in answers if status == 503]
        assert len(taken) + len(later) == 50
        assert later
        assert all(int(retry) > 0 for retry in later)
        assert len(taken) >= 1
        fine = app.upload(encoded(scene(99))) if len(taken) < 10 else None
        for id in taken:
            if app.ask("GET", f"/api/photos/{id}").status == 200:  # or no longer kept
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    answer = app.ask("GET", f"/api/photos/{id}")
                    if answer.status == 404 or json.loads(answer.body)["state"] in ("ready", "failed"):
                        break
                    time.sleep(0.05)
        assert fine is None or app.finished(fine)["state"] == "ready"
        assert app.memory() < 1500, "the largest that is let in claims 119 megapixels, 360 MB"


@LINUX
def test_a_process_that_is_killed_takes_one_photo_with_it(folder):
    with Served(folder / "photos") as app:
        workers = [pid for pid in app.family()[1:] if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        first = app.finished(app.upload(encoded(scene(0))))
        assert first["state"] == "ready" or "SIGKILL" in first["error"]
        assert app.finished(app.upload(encoded(scene(1))))["state"] == "ready"


# ---------------------------------------------------------------------- the command


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_when_it_is_told_to(how, status, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    app = Served()
    app.upload(encoded(scene(0, 400, 600)))  # it is at work
    family = app.family() if os.path.isdir("/proc/self/task") else []
    start = time.monotonic()
    ended, said = app.end(how)
    assert (ended, said) == (status, "hedgerow: stopped\n")
    assert time.monotonic() - start < 10
    assert not list(tmp_path.iterdir()), "its files went with it"
    time.sleep(0.2)
    assert not [
        pid for pid in family if Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_a_port_in_use_is_told_in_a_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port), "--no-open"]) == 1
    error = capsys.readouterr().err
    assert error == f"hedgerow: port {port} of 127.0.0.1 is in use: give another, --port, or 0 for any that is free\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--keep", "0"], "--keep is at least 1"),
        (["--port", "70000"], "--port is at most 65535"),
        (["--max-upload", "-1"], "--max-upload is above 0"),
        (["nowhere"], "no such file or folder"),
        (["--backbone", "nothing"], "no backbone 'nothing'"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["--host", "192.0.2.1"], "port 0 (Cannot assign requested address): give another --host or --port"),
    ],
)
def test_mistakes_are_told_in_a_line(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *words, "--port", "0", "--no-open"] if "--port" not in words else ["serve", *words]) in (1, 2)
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "hedgerow: the page needs uvicorn: install hedgerow with its extra [serve]\n"
