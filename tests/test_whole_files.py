"""Files that others read while they are written are replaced as a whole: `edge.files.write_atomically` writes them."""

import ast

import pytest

from tests.paths import ROOT

WRITERS = {"write_text", "write_bytes", "save", "savez"}
OTHERWISE = {
    "edge/commands/listen.py": "a sound that goes on until it is stopped",
    "edge/audio/wav.py": "a sound, whose writer names it to nobody before it is whole",
    "convert/training/prefetch.py": "a file of its own processes, in a temporary folder",
    "convert/data/build_cache.py": "large; an index is written after it",
    "convert/systems/two_step/windows.py": "large; an index is written after it",
}


def writes(source):
    """Lines that write a file in place: by a method of a path, by numpy into a path, or by `open` for writing."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "open":
            modes = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if any(isinstance(mode, str) and set(mode) & set("wax") and len(mode) <= 3 for mode in modes):
                yield node.lineno
        elif node.func.attr in WRITERS and not into_memory(node):
            yield node.lineno


def into_memory(call):
    """Whether numpy writes into a buffer, which goes to `write_atomically` after that."""
    return call.func.attr.startswith("save") and call.args and isinstance(call.args[0], ast.Name)


def test_no_module_writes_files_in_place():
    found = {}
    for package in ("edge", "convert"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if lines := list(writes(path.read_text(encoding="utf-8"))):
                found[str(path.relative_to(ROOT))] = lines
    assert found.keys() == OTHERWISE.keys(), f"write_atomically, or a reason in OTHERWISE: {found}"


@pytest.mark.parametrize(
    "line",
    [
        "path.write_text('a')",
        "(folder / NAME).write_bytes(b'')",
        "np.savez(cache / STATISTICS, mean=mean)",
        "path.open('w')",
        "path.open('ab')",
    ],
)
def test_a_write_in_place_is_found(line):
    assert list(writes(line)) == [1]


@pytest.mark.parametrize("line", ["path.open('rb')", "path.open()", "np.save(content, x)", "file.write(data)"])
def test_reading_and_memory_are_no_writes_in_place(line):
    assert list(writes(line)) == []
