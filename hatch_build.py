"""Compiles src/hedgerow/native/*.c into one shared library while a wheel is built, `pip install -e .` included.

The compiler is $CC, else the first of cc, gcc and clang that works, else the ziglang wheel: a whole compiler from
PyPI, asked for only then, so that a machine with nothing but Python can install us. Nothing of Python's own headers
is needed (the library is loaded by ctypes), so one wheel serves every Python 3 of a platform.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("src/hedgerow/native")
SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
# No fast-math and no fused multiply-add: every machine is to add and round alike. No -march: one binary for all.
FLAGS = ["-std=c11", "-O3", "-g0", "-fno-math-errno", "-ffp-contract=off", "-shared"]
FLAGS += [] if os.name == "nt" else ["-fPIC"]
ZIG = [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]  # baseline: zig would build for this very processor


class NativeHook(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if _system_compiler() else ["ziglang>=0.13"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is "standard" or "editable"; either way the library is put beside its sources."""
        folder = Path(self.root) / NATIVE
        library = folder / f"_native{SUFFIX}"
        fresh = library.with_suffix(f".{os.getpid()}{SUFFIX}")
        sources = sorted(str(source) for source in folder.glob("*.c"))
        try:
            _compile(_system_compiler() or ZIG, [*sources, "-o", str(fresh)])
            os.replace(fresh, library)  # a process that has the old library loaded keeps it
        finally:
            fresh.unlink(missing_ok=True)
        build_data["artifacts"].append(str(NATIVE / library.name))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform_tag()}"


@cache
def _system_compiler() -> list[str] | None:
    named = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else []
    for compiler in [*named, ["cc"], ["gcc"], ["clang"]]:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "try.c")
            source.write_text("#include <math.h>\n#include <stdlib.h>\ndouble f(double x) { return sqrt(x); }\n")
            try:
                _compile(compiler, [str(source), "-o", str(source.with_suffix(SUFFIX))])
            except (OSError, RuntimeError):
                continue
        return compiler
    return None


def _compile(compiler: list[str], arguments: list[str]) -> None:
    command = [*compiler, *FLAGS, *arguments, *([] if os.name == "nt" else ["-lm"])]
    with tempfile.TemporaryDirectory() as folder:  # where zig, if it is zig, may leave its 50 MB of by-products
        places = {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
        done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"compiling failed: {shlex.join(command)}\n{done.stderr or done.stdout}")


def _platform_tag() -> str:
    if sys.platform == "darwin":  # Python itself may be universal; what was compiled is for this machine
        return f"macosx_{platform.mac_ver()[0].split('.')[0]}_0_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
