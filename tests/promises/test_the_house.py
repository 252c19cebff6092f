"""The plan of the house in docs/design.md, held: layers, what imports no torch, sizes, and nothing executed from data."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import stopgrad

ROOT = Path(stopgrad.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = {
    0: ("__init__", "errors", "files", "keys", "heap", "world", "parent", "distributed", "sending", "config"),
    1: ("runs", "optim", "device", "finite", "progress", "stop", "images", "views", "nets"),
    2: ("loader", "methods", "checkpoint", "onward"),
    3: ("monitor", "protocols", "detection", "recipes"),
    4: ("train", "report", "publish"),
    5: (
        "plan",
        "beforehand",
        "wanted",
        "what",
        "judging",
        "distilling",
        "label_free",
        "accuracies",
        "thumbnails",
        "settle",
        "transfer",
        "api",
        "inside",
        "estimate",
        "bench",
        "compare",
        "studies",
        "commands",
        "demo",
        "cli",
        "__main__",
    ),
}
LAYER = {name: layer for layer, names in LAYERS.items() for name in names}
TORCH_FREE = (
    "errors",
    "files",
    "world",
    "config",
    "runs",
    "onward",
    "progress",
    "accuracies",
    "recipes",
    "plan",
    "beforehand",
    "wanted",
    "commands",
    "compare",
    "studies",
    "cli",
    "report",
    "publish.targets",
    "detection.annotated",
    "detection.coco_ap",
    "detection.table",
    "images.sources",
    "images.decode",
    "images.inspect",
    "images.opened",
    "images.pack",
    "images.kept",
    "images.bundled",
    "transfer.rows",
    "nets.names",
    "nets.layouts",
)


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@cache
def imports(path: Path) -> tuple[tuple[str, int, bool], ...]:
    """(module, line, at import time?) of every import in a file, type-checking ones left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(n) for block in ast.walk(tree) if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test) for n in ast.walk(block)
    }
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    found: list[tuple[str, int, bool]] = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{a.name}" if (ROOT.parent / node.module.replace(".", "/") / f"{a.name}.py").exists() else node.module
                for a in node.names
            ]
            found += [(name, node.lineno, id(node) not in inside) for name in names]
    return tuple(found)


def test_every_module_stands_in_the_table() -> None:
    assert {module(p).split(".")[0] for p in FILES} <= LAYER.keys()


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_file_imports_only_from_below(path: Path) -> None:
    here = module(path).split(".")[0]
    for name, line, _ in imports(path):
        if not name.startswith("stopgrad.") or name.split(".")[1] == here:
            continue
        there = name.split(".")[1]
        # L0 imports nothing but L0; the outermost layer composes, its files use each other.
        assert LAYER[there] < LAYER[here] or (LAYER[here] in (0, 5) and LAYER[there] <= LAYER[here]), (
            f"{path.name}:{line}: {here} (L{LAYER[here]}) imports {there} (L{LAYER[there]})"
        )
        if here == "recipes":
            assert there in ("config", "errors"), f"{path.name}:{line}: recipes import configuration and errors only"
        if here == "protocols":
            assert there not in ("methods", "train", "monitor"), f"{path.name}:{line}: protocols never see a method"


@pytest.mark.parametrize("path", sorted((ROOT / "methods").glob("*.py")), ids=lambda p: p.stem)
def test_methods_never_import_each_other(path: Path) -> None:
    if path.stem not in ("__init__", "base"):
        assert {n for n, _, _ in imports(path) if n.startswith("stopgrad.methods")} <= {"stopgrad.methods.base", "stopgrad.methods.losses"}


@pytest.mark.parametrize("name", TORCH_FREE)
def test_what_answers_at_once_imports_no_torch(name: str) -> None:
    """Followed through every import that happens at import time; also what they import is checked, by importing it in a fresh process."""
    modules = [f"stopgrad.{module(p)}" for p in FILES if module(p) == name or module(p).startswith(f"{name}.")]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=module)
def test_files_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{path.name}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_nothing_that_came_with_data_or_weights_is_executed(path: Path) -> None:
    """Promise 7, in the source: no eval or exec, no yaml or joblib, torch.load in one file and only with weights_only=True, pickle only in the
    restricted reader of CIFAR; of the other only what torch raises."""
    text = path.read_text()
    for name, line, _ in imports(path):
        assert name.split(".")[0] not in ("yaml", "joblib", "marshal", "shelve", "dill"), f"{path.name}:{line}"
        assert name != "pickle" or module(path) == "images.cifar" or _only_its_error(path, line), f"{path.name}:{line}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "pickle.load", "pickle.loads"), f"{path.name}:{node.lineno}"
            if called.endswith(("torch.load", "serialization.load", "load_state_dict_from_url", "torch.jit.load")):
                assert (called, module(path)) == ("torch.load", "nets.pickled"), f"{path.name}:{node.lineno}"
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), f"{path.name}:{node.lineno}"


def _only_its_error(path: Path, line: int) -> bool:
    return module(path) == "nets.pickled" and path.read_text().splitlines()[line - 1] == "from pickle import UnpicklingError"


def test_no_broad_except_and_no_junk_drawer() -> None:
    for path in FILES:
        assert path.stem not in ("utils", "misc", "common", "helpers")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{path.name}:{node.lineno}"
                assert ast.unparse(node.type) not in ("Exception", "BaseException"), f"{path.name}:{node.lineno}"
