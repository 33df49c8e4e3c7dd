"""Python files -> which module knows which other module, and which of these arrows run against the order of the rooms.

An arrow is an import anywhere in a module, in functions and under TYPE_CHECKING too, or the dotted name of a module in
a string: so it is with `import_module`, `__import__` and the words of `python -m`.
"""

import ast
import re

FOUNDATION = "foundation"
DYNAMIC = ("import_module", "__import__", "run_module")


def module_name(root, path):
    """`edge/audio/wav.py` -> `edge.audio.wav`; that of a package without `__init__`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_of(root, *packages):
    """Modules by name."""
    return {module_name(root, path): path for package in packages for path in sorted((root / package).rglob("*.py"))}


def names_in(tree, path):
    """Dotted names that a module names as modules, or as something inside one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in DYNAMIC:
            yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))
    for text in strings_in(tree):
        yield from re.findall(r"(?<![\w./])(?:edge|convert|bench)(?:\.\w+)+", text)
        yield from re.findall(r"-m (\w+(?:\.\w+)*)", text)


def strings_in(tree):
    """All strings but docstrings and comments; those of f-strings too."""
    described = {id(node.value) for node in ast.walk(tree) if is_text(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            yield node.value


def is_text(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def arrows_of(root, *packages):
    """Pairs of modules: one that knows, one that is known. Names of what is inside a module stand for the module."""
    modules = modules_of(root, *packages)
    for name, path in modules.items():
        for known in names_in(ast.parse(path.read_text(encoding="utf-8")), path):
            while known and known not in modules:
                known = known.rpartition(".")[0]
            if known and known != name:
                yield name, known


def room_of(module, rooms):
    """The room of a module: the longest prefix of its name that is a room. The package itself holds no modules."""
    room = module
    while room not in rooms:
        room = room.rpartition(".")[0]
        assert "." in room, f"{module} is in no room"
    return room


def back_arrows(root, package, order):
    """Arrows between the rooms of a package that run back up.

    order: rooms, each a tuple of modules or folders without the name of the package. A room knows itself and those
    before it.
    """
    places = {f"{package}.{name}" if name else package: place for place, room in enumerate(order) for name in room}
    for module, known in arrows_of(root, package):
        if known != package and places[room_of(known, places)] > places[room_of(module, places)]:
            yield f"{module} -> {known}"


def circles(root, *packages):
    """Groups of modules each of which knows the others by some way, sorted."""
    known = {}
    for module, other in arrows_of(root, *packages):
        known.setdefault(module, set()).add(other)
    reached = {module: reachable(known, module) for module in known}
    groups = {
        tuple(sorted(other for other in there if module in reached.get(other, ())))
        for module, there in reached.items()
        if module in there
    }
    return sorted(groups)


def reachable(known, module):
    """All modules to which arrows lead from one."""
    found, waiting = set(), [module]
    while waiting:
        for other in known.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
