"""The page in a real browser: what people do with it, by mouse, by keys, on a narrow screen, and from a file.

Debian's Chromium, driven by Playwright; `make browser` installs it where it may. Without it these tests are skipped, in
one line that says what is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from hedgerow.formats import read_forest
from made_language import write_language
from served import Served, encoded, scene

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install '.[test]'")
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: make browser, or CHROMIUM=/path/to/it")
WAIT = 60_000  # ms


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    (place / "photos").mkdir()
    for name, seed in (("one", 1), ("two", 2)):
        scene(seed, 240, 320).save(place / "photos" / f"{name}.png")
    write_language(place / "colours.onnx")
    with Served(place / "photos", "--name-model", place / "colours.onnx") as served:
        yield served


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(app, chromium):
    """The first photo of the folder, open; whatever goes wrong inside of the page fails the test."""
    tab = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True).new_page()
    tab.faults = watched(tab)
    tab.goto(app.url)
    tab.wait_for_selector("body[data-painted]", timeout=WAIT)
    yield tab
    assert tab.faults == []
    tab.context.close()


def watched(tab) -> list[str]:
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    return faults


def until(tab, condition: str) -> None:
    """Playwright's own waiting evaluates text inside of the page, which its policy forbids."""
    end = time.monotonic() + WAIT / 1000
    while not tab.evaluate(condition):
        assert time.monotonic() < end, condition
        tab.wait_for_timeout(20)


def numbers(tab, expression: str) -> np.ndarray:
    """An array of the page's: as text it comes a hundred times faster."""
    return np.array(tab.evaluate(f"Array.from({expression}).join()").split(","), np.int64)


def place_of(tab, x: float, y: float) -> tuple[float, float]:
    """Where a place of the photo, in shares of it, is on the screen."""
    box = tab.locator("#sheet").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def point(tab, x: float, y: float) -> None:
    tab.mouse.move(*place_of(tab, x, y))


def hot(tab) -> dict:
    """The region that is highlighted: its row, and its area as a share of the photo."""
    return tab.evaluate("({row: now.hot, share: now.hot < 0 ? 0 : now.forest.area[now.hot] / (320 * 240)})")


def painted(tab) -> int:
    """How many colours the cut has."""
    image = "paint.getContext('2d').getImageData(0, 0, paint.width, paint.height)"
    return tab.evaluate(f"new Set(new Uint32Array({image}.data.buffer)).size")


def saved_as(tab, kind: str, folder: Path) -> Path:
    tab.keyboard.press("e")
    with tab.expect_download() as told:
        tab.click(f'[data-export="{kind}"]')
    path = folder / told.value.suggested_filename
    told.value.save_as(path)
    return path


# ---------------------------------------------------------------------- looking


def test_a_dropped_photo_opens(page, app):
    page.set_input_files("#file", {"name": "new.png", "mimeType": "image/png", "buffer": encoded(scene(7, 120, 160))})
    until(page, "now.name === 'new.png' && now.forest")
    page.wait_for_selector("body[data-painted]")
    assert "160 × 120" in page.inner_text("#title")
    assert int(page.get_attribute("body", "data-painted")) < 5000, "a second, on a machine that does nothing else"
    assert painted(page) > 2
    page.set_input_files("#file", {"name": "bad.png", "mimeType": "image/png", "buffer": b"<html>"})
    page.wait_for_selector("#work.bad", timeout=WAIT)
    assert "no image of a kind that is read" in page.inner_text("#work")


def test_a_photo_is_looked_at_no_further(page):
    content = encoded(scene(9, 2400, 3200), "JPEG")
    page.set_input_files("#file", [{"name": "slow.jpg", "mimeType": "image/jpeg", "buffer": content}])
    page.click("#stop", timeout=WAIT)
    until(page, "document.querySelector('#stage-name').textContent === 'stopped'")
    assert page.is_hidden("#stop")


def test_pointing_walking_pinning_joining(page):
    point(page, 0.42, 0.5)  # the yellow square in the red one, which is surer
    until(page, "now.hot >= 0")
    first = hot(page)
    assert page.locator(".node.hot").count() == 1, "the tree shows it, too"
    page.mouse.wheel(0, 100)  # towards the part
    until(page, f"now.hot !== {first['row']}")
    assert hot(page)["share"] < 0.25 * first["share"]
    page.mouse.wheel(0, -100)
    until(page, f"now.hot === {first['row']}")
    page.evaluate("$('walk').value = $('walk').max; $('walk').dispatchEvent(new Event('input'))")
    assert hot(page)["row"] == page.evaluate("now.path[now.path.length - 1]")
    page.mouse.click(*place_of(page, 0.42, 0.5))
    assert page.evaluate("now.pins.length") == 1
    page.locator("#tree .node").first.hover()
    assert hot(page)["row"] == int(page.locator("#tree .node").first.get_attribute("data-row")), (
        "and the picture the tree's"
    )
    rows = page.evaluate("now.listed.map((entry) => entry.i).filter((i) => !now.pins.includes(i))")
    page.click(f"#node-{rows[0]}", modifiers=["Shift"])
    assert page.evaluate("now.pins.length") == 2
    assert page.locator('.node[aria-selected="true"]').count() >= 1
    page.keyboard.press("Escape")
    assert page.evaluate("now.pins.length") == 0


def test_what_is_pointed_at_is_what_python_says(page, app, tmp_path):
    (tmp_path / "f.json").write_bytes(app.ask("GET", "/api/photos/f0/forest").body)
    forest = read_forest(tmp_path / "f.json")[0]
    places = np.random.default_rng(0).integers(0, (320, 240), (60, 2)).tolist()
    there = page.evaluate(f"{places}.map(([x, y]) => now.forest.at(x, y))")
    assert [set(rows) for rows in there] == [set(forest.at(x, y).tolist()) for x, y in places]
    assert page.evaluate("now.forest.openingOrder()") == forest.opening_order()[0].tolist()
    for count in (1, 5, len(forest)):
        mine = numbers(page, f"now.forest.cut({count})").reshape(320, 240).T
        assert (mine == forest.cut(count=count)).all()
    row = int(forest.areas.argmin())
    x, y, w, h = forest.boxes[row].astype(int)
    mask = numbers(page, f"now.forest.mask({row})").reshape(h, w)
    assert (mask == forest.mask(row)[y : y + h, x : x + w]).all()


def test_the_slider_paints_finer_cuts_and_filters_leave_fewer(page):
    counts = []
    for value in (0, 50, 100):
        page.evaluate(f"$('grain').value = {value}; $('grain').dispatchEvent(new Event('input'))")
        page.wait_for_timeout(80)
        counts.append(painted(page))
    assert counts == sorted(counts)
    assert counts[0] < counts[2]
    colours = "now.forest.colours.map(String)"
    before, all_ = page.evaluate(colours), page.evaluate("now.listed.length")
    page.evaluate("$('least-area').value = 80; $('least-area').dispatchEvent(new Event('input'))")
    assert 0 < page.evaluate("now.forest.shown.reduce((a, b) => a + b, 0)") < page.evaluate("now.forest.count")
    assert " of " in page.inner_text("#tree-title")
    assert page.evaluate("now.listed.length") <= all_
    assert page.evaluate(colours) == before, "colours hold still"


def test_names_colour_by_meaning(page):
    page.fill("#names", "red, green, blue, yellow")
    page.press("#names", "Enter")
    page.wait_for_selector("#legend button", timeout=WAIT)
    shown = page.locator("#legend button").all_inner_texts()
    assert {"red", "green"} <= {text.split()[0] for text in shown}
    assert page.get_attribute("#stage", "data-mode") == "names"
    point(page, 0.2, 0.5)
    until(page, "now.hot >= 0")
    assert page.evaluate("nameLabels()[Math.floor(0.2 * 320) * 240 + 120]") == page.evaluate(
        "now.names.names.indexOf('red')"
    )
    page.fill("#names", "red, red")
    page.press("#names", "Enter")
    page.wait_for_selector("#names-note.bad", timeout=WAIT)
    assert "once" in page.inner_text("#names-note")


def test_look_alikes_lead_to_other_photos(page, app):
    app.json("POST", "/api/photos/f1/open")
    app.finished("f1")
    page.mouse.click(*place_of(page, 0.42, 0.5))
    page.click("#ask-alike")
    page.wait_for_selector("#alike li", timeout=WAIT)
    page.locator("#alike li button", has_text="two.png").first.click()
    until(page, "now.name === 'two.png' && now.pins.length === 1")


# ---------------------------------------------------------------------- taking along


def test_exports_are_what_they_say(page, tmp_path):
    page.mouse.click(*place_of(page, 0.42, 0.5))
    row = page.evaluate("now.pins[0]")
    forest, header = read_forest(saved_as(page, "forest", tmp_path))
    assert header["image"]["file"] == "one.png"
    mask = np.asarray(Image.open(saved_as(page, "mask", tmp_path)))
    assert mask.dtype == np.uint8
    assert ((mask == 255) == forest.mask(row)).all()
    cutout = np.asarray(Image.open(saved_as(page, "cutout", tmp_path)))
    x, y, w, h = forest.boxes[row].astype(int)
    inside = forest.mask(row)[y : y + h, x : x + w]
    assert ((cutout[..., 3] == 255) == inside).all()
    assert (cutout[..., :3][inside] == np.asarray(scene(1, 240, 320))[y : y + h, x : x + w][inside]).all()
    coco = COCO(saved_as(page, "coco", tmp_path))
    told = coco.loadAnns(coco.getAnnIds())
    assert len(told) == len(forest)
    assert (coco.annToMask(told[row]) == forest.mask(row)).all()
    assert told[row]["parent_id"] == (forest.parent[row] + 1 if forest.parent[row] >= 0 else None)
    outlines = saved_as(page, "svg", tmp_path).read_text()
    assert f'id="region-{row}"' in outlines
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    assert page.locator('[data-export="cutout"]').is_disabled(), "of nothing"


def test_an_outline_drawn_again_is_the_mask(page):
    """Filled by the browser, at one unit a pixel."""
    same = page.evaluate(
        """() => [...Array(now.forest.count).keys()].map((i) => {
            const [, , w, h] = now.forest.box[i], mask = now.forest.mask(i), canvas = new OffscreenCanvas(w, h);
            const pen = canvas.getContext("2d"), path = new Path2D();
            for (const ring of rings(mask, w, h)) {
                path.moveTo(ring[0], ring[1]);
                for (let k = 2; k < ring.length; k += 2) path.lineTo(ring[k], ring[k + 1]);
                path.closePath();
            }
            pen.fill(path, "evenodd");
            const image = pen.getImageData(0, 0, w, h).data;
            return mask.every((one, p) => (image[4 * p + 3] > 127) === (one === 1));
        })"""
    )
    assert len(same) > 2
    assert all(same)


def test_a_saved_page_opens_from_the_disk_and_calls_nobody(page, chromium, tmp_path):
    page.fill("#names", "red, green")
    page.press("#names", "Enter")
    page.wait_for_selector("#legend button", timeout=WAIT)
    page.keyboard.press("Escape")  # out of the field
    path = saved_as(page, "page", tmp_path)
    assert path.name == "one.html"
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    tab, asked = context.new_page(), []
    faults = watched(tab)
    tab.on("request", lambda request: asked.append(request.url[:60]))
    tab.goto(path.as_uri())
    tab.wait_for_selector("body[data-painted]", timeout=WAIT)
    assert tab.evaluate("now.forest.count") == page.evaluate("now.forest.count")
    assert tab.evaluate("photo.naturalWidth") == 320
    assert tab.evaluate("now.names.names") == ["red", "green"]
    point(tab, 0.42, 0.5)
    until(tab, "now.hot >= 0")
    tab.mouse.click(*place_of(tab, 0.42, 0.5))
    assert np.asarray(Image.open(saved_as(tab, "cutout", tmp_path))).shape[2] == 4
    assert tab.locator("#names").is_disabled()
    again = saved_as(tab, "page", tmp_path)  # and can be saved once more
    assert abs(again.stat().st_size - path.stat().st_size) < 2000
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked
    assert faults == []
    context.close()


# ---------------------------------------------------------------------- by keys, on a narrow screen, in the dark


def test_everything_works_by_keys(page):
    page.keyboard.press("i")
    assert page.evaluate("document.activeElement.id") == "stage"
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert hot(page)["row"] >= 0
    assert "of the photo, score" in page.inner_text("#spoken")
    small = hot(page)["share"]
    page.keyboard.press("]")
    assert hot(page)["share"] >= small
    page.keyboard.press("Enter")
    assert page.evaluate("now.pins.length") == 1
    page.keyboard.press("t")
    assert page.evaluate("document.activeElement.id") == "tree"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    row = page.evaluate("now.cursor")
    assert page.get_attribute("#tree", "aria-activedescendant") == f"node-{row}"
    assert hot(page)["row"] == row
    page.keyboard.press("Shift+Enter")
    assert row in page.evaluate("now.pins")
    before = page.inner_text("#grain-told")
    page.keyboard.press(".")
    page.keyboard.press(".")
    until(page, f"$('grain-told').textContent !== {json.dumps(before)}")
    page.keyboard.press("p")
    assert page.get_attribute("#stage", "data-mode") == "photo"
    page.keyboard.press("+")
    assert page.evaluate("now.zoom") > 1
    page.keyboard.press("0")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("red, green")
    page.keyboard.press("Enter")
    page.wait_for_selector("#legend button", timeout=WAIT)
    page.keyboard.press("Escape")
    page.keyboard.press("PageDown")
    until(page, "now.name === 'two.png' && now.forest")


def test_every_control_says_what_it_is(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, summary, [role=tree], [role=application]")]
            .filter((one) => !one.textContent.trim() && !one.labels?.length)
            .filter((one) => !one.ariaLabel && !one.getAttribute("aria-labelledby"))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    assert page.locator('[role="treeitem"][aria-level][aria-posinset]').count() > 0


def test_a_narrow_screen_and_the_dark(page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(150)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "nothing is beside the screen"
    box = page.locator("#sheet").bounding_box()
    assert 300 < box["width"] <= 360
    for selector in ("#choose", "#exports summary", "#walk", "#grain", "#names", "#join"):
        assert page.locator(selector).is_visible()
    page.click("#join")
    page.mouse.click(*place_of(page, 0.42, 0.5))
    page.mouse.click(*place_of(page, 0.02, 0.02))
    assert page.evaluate("now.pins.length") == 2
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    dark = page.evaluate(ground)
    assert dark != light
    assert page.evaluate("getComputedStyle(photo).transitionDuration") in ("0s", "")
    page.click("#theme")
    assert page.evaluate(ground) == light
