"""The compiled part: plain C behind ctypes, so it needs no Python headers and other threads run on while it works.

Comes in: nothing. Goes out: `library()`, the functions of the C files beside this one, loaded at first use.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

import numpy as np

from hedgerow.config import CallerError

INT, LONG, REAL = ctypes.c_int32, ctypes.c_int64, ctypes.c_double
INTS = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")
FLOATS = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
BYTES = np.ctypeslib.ndpointer(np.uint8, flags="C_CONTIGUOUS")
LONGS = np.ctypeslib.ndpointer(np.int64, flags="C_CONTIGUOUS")
REALS = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")

SIGNATURES = {  # name: what it returns, what it takes; each is described above its body in C
    "hedgerow_merge": (
        INT,
        [INT, INT, FLOATS, REALS, INT, INTS, REALS, REALS, REAL, REAL, REAL, INTS, FLOATS, ctypes.POINTER(LONG)],
    ),
    "hedgerow_lay_out": (None, [INT, INT, INTS, INTS, INTS, INTS]),
    "hedgerow_outline": (None, [INT, INT, BYTES, INT, INTS, INT, FLOATS, REALS, REALS]),
    "hedgerow_flood": (INT, [INT, INT, BYTES, INTS]),
    "hedgerow_pull": (None, [INT, INT, FLOATS, FLOATS, FLOATS]),
    "hedgerow_refine": (INT, [INT, INT, BYTES, FLOATS, INT, INT, FLOATS, INTS, BYTES, LONGS]),
    "hedgerow_refine_label": (INT, [INT, INT, BYTES, FLOATS, INT, INT, FLOATS, INT, FLOATS, INTS]),
    "hedgerow_runs": (LONG, [LONG, BYTES, LONGS, INT, LONGS, LONGS]),
    "hedgerow_rings": (INT, [INT, INT, BYTES, INT, INTS, INTS, INTS]),
    "hedgerow_simplify": (None, [INT, REALS, REAL, BYTES, INTS]),
    "hedgerow_paint": (INT, [INT, INT, INTS, INT, INT, INT, INT, INT, INT, BYTES, BYTES, LONG, LONGS]),
}


@cache
def library() -> ctypes.CDLL:
    """The compiled functions with their signatures."""
    suffix = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
    try:
        functions = ctypes.CDLL(str(Path(__file__).with_name("_native" + suffix)))
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(functions, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        told = f"hedgerow's compiled part is missing or old ({error})"
        raise CallerError(f"{told}: install hedgerow again (in a clone: pip install -e .)") from None
    return functions
