"""The page as it is sent, and what a browser lets it do: its own script and style, known by their hashes, and talk with
nobody but us.

In: nothing. Out: the page's bytes, and the headers of every answer.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources


@cache
def page() -> bytes:
    """One HTML file, its style and its script inside."""
    return (resources.files("hedgerow.app") / "page" / "index.html").read_bytes()


@cache
def headers() -> dict[str, str]:
    """Of every answer. Nothing is kept by a browser: photos are their owner's, and forests change."""
    text = page().decode()
    policy = {
        "default-src": "'none'",
        "script-src": _hashes(text, "script"),
        "style-src": _hashes(text, "style"),
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",  # an address may hold the token
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
    }


def _hashes(text: str, tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    assert found, f"the page has no <{tag}>"
    digests = (base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode() for inside in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
