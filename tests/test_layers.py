"""The rooms of the house: imports go down the layers only; nobody but learning and the doors to the hub knows torch.

Both are read from the source, late imports inside functions included, so no code path escapes by not being run.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
PACKAGE = SRC / "hedgerow"

# From the top down; what stands on one line never imports each other. `networks` is the one part of learning that lies
# lower: backbones/hub.py runs the networks that learning trains, so they know neither of them.
LAYERS = [
    {"__init__", "__main__"},
    {"cli"},
    {"app"},
    {"proposing"},
    {"evaluation", "importing", "labelling", "mask_generator", "picturing", "searching", "sorting"},
    {"exporting", "gathering"},
    {"filling"},
    {"pipeline"},
    {"results"},
    {"learn", "predict"},
    {"explore", "categories", "naming", "prior", "measure", "draw"},
    {"backbones", "data", "exchange", "formats"},
    {"learn.networks"},
    {"forest", "photos"},
    {"notebook"},
    {"partition"},
    {"rle", "merge", "colour", "palette", "rows", "windows", "parquet"},
    {"storage"},
    {"engines", "settings", "writing"},
    {"native"},
    {"config"},
]
TORCH = {"torch", "torchvision"}
KNOWING = {"hedgerow.backbones.hub", "hedgerow.naming.hub"}  # the doors to published weights
HEAVY = TORCH | {"transformers", "onnxruntime"}  # others may use these, but not while they are imported
MODULES = sorted(".".join(path.relative_to(SRC).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_torch_stays_in_its_rooms(module):
    if may_know_torch(module):
        return
    assert not roots(imports(module)) & TORCH, f"{module} imports torch: only learn and the two hub.py may"
    heavy = roots(imports(module, late=False)) & HEAVY
    assert not heavy, f"{module} imports {heavy} while it is imported: move that into the function that needs it"
    seen, waiting = set(), [module]
    while waiting:  # what importing it runs, without the imports inside functions
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        assert not may_know_torch(current), f"importing {module} imports {current}, and so torch"
        waiting += [name for name in imports(current, late=False) if name in MODULES]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    mine = room(module)
    for name in imports(module):
        if name.split(".")[0] == "hedgerow" and name != "hedgerow":
            theirs = room(name)
            assert theirs == mine or layer(theirs) > layer(mine), (
                f"{module} imports {name}: {mine} stands on layer {layer(mine)}, {theirs} on layer {layer(theirs)}"
            )


def test_the_test_sees():
    """It would catch what it is for."""
    assert "hedgerow.backbones.hub" in imports("hedgerow.backbones.__init__")
    assert "hedgerow.backbones.hub" not in imports("hedgerow.backbones.__init__", late=False)
    assert "torch" in imports("hedgerow.backbones.hub", late=False)
    assert layer(room("hedgerow.learn.ship")) < layer(room("hedgerow.backbones.hub"))
    assert layer(room("hedgerow.learn.networks.vit")) > layer(room("hedgerow.backbones.hub"))
    with pytest.raises(AssertionError, match="no layer"):
        layer("utils")


def may_know_torch(module: str) -> bool:
    return module in KNOWING or module.startswith("hedgerow.learn.")


def roots(names: frozenset[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@cache
def imports(module: str, late: bool = True) -> frozenset[str]:
    """Full names of what a module imports; `from a import b` gives a.b where that is a module of ours, else a."""
    path = SRC.joinpath(*module.split(".")).with_suffix(".py")
    package = module.split(".")[:-1]  # for __init__ as for any other file, the folder it lies in
    found: set[str] = set()
    for node in walk(ast.parse(path.read_text("utf-8")), late):
        if isinstance(node, ast.Import):
            found |= {full(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (start, node.module or "") if part)
            for alias in node.names:
                inner = full(f"{source}.{alias.name}")
                found.add(inner if inner in MODULES else full(source))
    return frozenset(found)


def walk(node: ast.AST, late: bool):
    """Every node, or those that importing the module runs: not the insides of functions, nor what only types need."""
    for child in ast.iter_child_nodes(node):
        if not late and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if not late and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from walk(child, late)


def full(name: str) -> str:
    """A package's name is that of its __init__ file."""
    return f"{name}.__init__" if f"{name}.__init__" in MODULES else name


def room(module: str) -> str:
    inside = module.removeprefix("hedgerow.")
    return "learn.networks" if inside.startswith("learn.networks.") else inside.split(".")[0]


def layer(room: str) -> int:
    found = [number for number, rooms in enumerate(LAYERS) if room in rooms]
    assert found, f"{room} has no layer yet: give it its place in LAYERS"
    return found[0]
