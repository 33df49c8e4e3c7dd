"""Imports of `convert` go one way: between its rooms in the order below, and without a circle between modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.paths import ROOT

# A room imports from itself and from rooms before it. What stands in one line does not know each other.
ORDER = (
    ("processes", "tensorflow_import"),
    ("clips",),
    ("scenes",),
    ("data",),
    ("layers", "losses"),
    ("systems",),
    ("training",),
    ("evaluation",),
    ("quantize",),
    ("commands",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
Graph = dict[str, set[str]]


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module, modules: set[str]) -> Iterator[str]:
    """Modules among `modules` that a file imports anywhere, also for type checking and through importlib."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, "a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in names)
        elif isinstance(node, ast.Call):  # import_module("convert.x"), find_spec("convert.x"), ...
            texts = [argument for argument in node.args if isinstance(argument, ast.Constant)]
            yield from (str(text.value) for text in texts)


def import_graph(root: Path) -> Graph:
    """Module -> modules of the same package that it imports."""
    trees = {module_name(path, root): ast.parse(path.read_text(encoding="utf-8")) for path in root.rglob("*.py")}
    return {name: set(imported(tree, set(trees))) & trees.keys() - {name} for name, tree in trees.items()}


def circle(graph: Graph) -> list[str]:
    """The modules of one circle of imports, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def room(module: str) -> str:
    return module.split(".")[1]


def back_arrows(graph: Graph) -> list[str]:
    """Imports from a room that comes later, or from another one at the same level."""
    return [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in sorted(others)
        if "." in module and "." in other and room(module) != room(other)
        if LEVEL[room(other)] >= LEVEL[room(module)]
    ]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return import_graph(ROOT / "convert")


def test_every_module_has_a_room(graph: Graph) -> None:
    assert {room(module) for module in graph if "." in module} == LEVEL.keys()


def test_there_is_no_circle(graph: Graph) -> None:
    assert len(graph) > 80 and sum(map(len, graph.values())) > 200
    assert circle(graph) == []


def test_no_room_imports_from_a_later_one(graph: Graph) -> None:
    assert back_arrows(graph) == []


PLANTED = {
    "an import": "import convert.systems.b",
    "a name of a module": "from convert.systems.b import thing",
    "a module of a room": "from convert.systems import b",
    "an import in a function": "def f():\n    from convert.systems import b",
    "an import for type checking": "if TYPE_CHECKING:\n    from convert.systems.b import thing",
    "importlib": "thing = importlib.import_module('convert.systems.b').thing",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_circle_and_a_planted_back_arrow_are_found(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "convert"
    for name, text in {
        "__init__": "",
        "data/__init__": "",
        "data/a": "x = 1",
        "systems/__init__": "from convert.systems import b",
        "systems/b": "from convert.systems.c import y",
        "systems/c": "from convert.data.a import x",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.py").write_text(text)
    assert circle(import_graph(root)) == [] and back_arrows(import_graph(root)) == []
    (root / "systems" / "c.py").write_text(PLANTED[kind])
    assert set(circle(import_graph(root))) == {"convert.systems.b", "convert.systems.c"}
    assert back_arrows(import_graph(root)) == []
    (root / "systems" / "c.py").write_text("y = 1")
    (root / "data" / "a.py").write_text(PLANTED[kind])
    assert circle(import_graph(root)) == []
    assert back_arrows(import_graph(root)) == ["convert.data.a imports convert.systems.b"]
