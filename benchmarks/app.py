"""How soon the page shows a forest, and how fast it answers the pointer: 1000 masks at 12 megapixels.

    python benchmarks/app.py            half a minute; needs Chromium, --quick takes 1 megapixel

Times are the clock's, as the page itself takes them: run it on a machine that does nothing else. The forest is made up
(cells with ragged borders, most of them inside others), so that nothing waits for exploring.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from hedgerow.forest import MaskForest
from hedgerow.formats import write_forest
from hedgerow.rle import unions

PLACES = 300
START = "performance.getEntriesByName('ready')[0].startTime"
FRAME = 16  # ms: one of a screen's sixty a second
MODEL = {"name": "made", "supervision": "none", "weights_sha256": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a photo of 1 megapixel")
    height, width = (866, 1155) if parser.parse_args().quick else (3000, 4000)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        noise = np.random.default_rng(0).integers(0, 255, (height // 20, width // 20, 3), np.uint8)
        Image.fromarray(noise).resize((width, height)).save(folder / "made.jpg", quality=90)
        forest = made(height, width)
        write_forest(folder / "made.forest.json", forest, "made.jpg", MODEL)
        size = (folder / "made.forest.json").stat().st_size / 1e6
        print(f"\n{len(forest)} masks of {width} x {height}, {size:.1f} MB of forest; all in ms")
        command = [sys.executable, "-m", "hedgerow", "serve", str(folder), "--port", "0", "--no-open"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            look(re.search(r"http://\S+", server.stdout.readline())[0])  # type: ignore[index]
        finally:
            server.terminate()
            server.wait()


def made(height: int, width: int) -> MaskForest:
    """A grid with ragged borders in three finenesses, parts in wholes; and a fourth, which agrees with none of them."""
    rng, ys, xs = np.random.default_rng(0), np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    wave = sum(np.sin(ys / rng.uniform(3, 90))[:, None] * np.sin(xs / rng.uniform(3, 90)) for _ in range(8)) / 400
    down, across = (ys / height)[:, None] + wave, (xs / width)[None] + wave[::-1]
    rles: list[bytes] = []
    parent: list[int] = []
    for level, (rows, columns) in enumerate(((6, 6), (12, 12), (24, 24), (13, 19))):
        row, column = (down * rows).astype(int).clip(0, rows - 1), (across * columns).astype(int).clip(0, columns - 1)
        before = len(rles) - (rows // 2) * (columns // 2)
        rles += unions((row * columns + column).astype(np.int32), np.eye(rows * columns, dtype=bool))
        for cell in range(rows * columns):
            above = before + cell // columns // 2 * (columns // 2) + cell % columns // 2
            parent.append(above if level in (1, 2) else -1)
    score = rng.uniform(0.2, 1, len(rles)).astype(np.float32)
    return MaskForest((height, width), tuple(rles), np.array(parent), score)


def look(url: str) -> None:
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.wait_for_selector("body[data-painted]", timeout=120_000)
        print(
            f"  {'first picture after the result':44}{int(page.get_attribute('body', 'data-painted')):8}   target 1000"
        )
        for mark, name in (
            ("fetched", "its file is here"),
            ("drawn", "all is drawn, the browser puts it on the screen"),
        ):
            since = page.evaluate(
                f"performance.getEntriesByName('{mark}')[0].startTime - READY".replace("READY", START)
            )
            print(f"    {name:42}{since:8.0f}")
        first = page.evaluate(
            "(() => { const t = performance.now(); pointAt([2, 2]); return performance.now() - t; })()"
        )
        print(f"  {'first pointing, masks not all decoded':44}{first:8.1f}")
        page.wait_for_timeout(1500)
        at = page.evaluate(timed("now.forest.at(x, y)"))
        told("which regions are here", at)
        told("pointing: which region, its highlight", page.evaluate(timed("pointAt([x, y])")), FRAME)
        told("the same in a second round", page.evaluate(timed("pointAt([x, y])")), FRAME)
        told(
            "what follows in the next frame: path, tree",
            page.evaluate(timed("now.hot = now.forest.at(x, y)[0] ?? -1; drawPath(); markTree()")),
        )
        told("drawing the highlight", page.evaluate(timed("drawInk()")))
        told("granularity, each step from coarse to fine", page.evaluate(SLIDE))
        browser.close()


def timed(call: str) -> str:
    """So many places, as far from each other as chance has it; the same ones each time."""
    return f"""() => {{
        let seed = 1;
        const next = (n) => Math.floor((seed = seed * 48271 % 2147483647) / 2147483647 * n);
        return Array.from({{ length: {PLACES} }}, () => {{
            const x = next(now.forest.width), y = next(now.forest.height), start = performance.now();
            {call};
            return performance.now() - start;
        }});
    }}"""


SLIDE = """() => Array.from({ length: 51 }, (_, step) => {
    $("grain").value = 2 * step;
    const start = performance.now();
    drawPaint();
    return performance.now() - start;
})"""


def told(name: str, times: list[float], target: int | None = None) -> None:
    middle, most = np.median(times), np.quantile(times, 0.99)
    goal = f"   target {target}" if target else ""
    print(f"  {name:44}{middle:8.1f} median{most:8.1f} of 99 %{max(times):8.1f} at most{goal}")


if __name__ == "__main__":
    main()
