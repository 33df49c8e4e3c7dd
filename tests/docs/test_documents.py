"""Documents: what they name exists, their commands are commands, and README is short."""

import ast
import importlib.util
import json
import re
import shlex
import tomllib

import pytest

from edge.nets.bundle import shipped_bundles
from tests.docs.markdown import DOCUMENTS, IDS, anchors, code_lines, first_table, inline_code, section, text_of
from tests.paths import ROOT

ROOMS = ("edge", "convert", "bench", "tests", "docs", "firmware_config", "systemd")
OF_A_READER = re.compile(r"[A-Z]{2,}|my_|/\.\.\.|\{")  # names that a reader fills in
GENERATED = {"cache.json", "run.json", "scenes.json", "clips.csv", "attribution.csv", "curves.png", "CARD.md"}
GENERATED |= {"NAME.wav", "NAME.csv"}
READERS_FILES = {
    "pipe.toml",
    "overlap2.toml",
    "overlap3.toml",
    "half.toml",
    "varied.toml",
    "dense.toml",
    "crowd.toml",
    "config.txt",
    "em32_tetra.npz",
    "asound.conf",
}
PARSED = {"seld-edge", "seld-convert"}


def paths_in(text):
    """Paths in the tree that a text names, as patterns."""
    rooms = "|".join(ROOMS)
    for found in re.findall(rf"(?<![\w/.:-])(?:{rooms})/[\w./*-]*", text):
        path = found.rstrip(".")
        if not OF_A_READER.search(path):
            yield path


def exists(pattern):
    return any(True for _ in ROOT.glob(pattern.rstrip("/"))) if "*" in pattern else (ROOT / pattern).exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_path_that_is_named_exists(document):
    missing = [path for path in paths_in(text_of(document)) if not exists(path)]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_file_name_without_a_folder_exists(document):
    names = {
        code for code in inline_code(document) if re.fullmatch(r"[\w-]+\.(py|toml|md|sh|json|csv|png|txt|conf)", code)
    }
    unknown = {
        name
        for name in names - GENERATED - READERS_FILES
        if not OF_A_READER.search(name) and not any(ROOT.glob(f"{name}")) and not any_file(name)
    }
    assert not unknown


def any_file(name):
    return any(True for room in ROOMS for _ in (ROOT / room).rglob(name))


def test_a_missing_path_is_noticed():
    assert [path for path in paths_in("see `edge/no_such.py` and edge/types.py.") if not exists(path)] == [
        "edge/no_such.py"
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)]+)\)", text_of(document)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = document.parent / path if path else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_module_that_is_run_exists(document):
    for name in re.findall(r"python -m ([\w.]+)", text_of(document)):
        assert importlib.util.find_spec(name), name


def commands_in(document):
    """Words of each command line of ours in a document."""
    inline = [code for code in inline_code(document) if code.partition(" ")[0] in PARSED and " " in code]
    for line in (*code_lines(document), *inline):
        if "..." in line or "$" in line:
            continue
        for part in re.split(r"\s(?:\||&&)\s", re.sub(r"\s> \S+", "", line)):
            words = shlex.split(part, comments=True)
            if words[:1] == ["sudo"]:
                words = words[1:]
            program = words[0].rpartition("/")[2] if words else ""
            if program in PARSED:
                yield program, words[1:]


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_command_is_one(document):
    from convert.cli import _parser as convert_parser
    from edge.cli import _parser as edge_parser

    parsers = {"seld-edge": edge_parser(), "seld-convert": convert_parser()}
    for program, words in commands_in(document):
        if words in (["--help"], ["--version"]):
            continue
        numbered = ["1" if word == "N" else word for word in words]
        try:
            parsers[program].parse_args(with_required(program, numbered))
        except SystemExit:
            pytest.fail(f"no command: {program} {' '.join(words)}")


REQUIRED = {
    ("seld-convert", "train"): {"--data": "scenes", "--out": "run"},
    ("seld-convert", "evaluate"): {"--scenes": "test"},
    ("seld-convert", "export"): {"--run": "run", "--out": "bundle"},
    ("seld-convert", "scenes"): {"--clips": "clips", "--out": "scenes"},
    ("seld-convert", "tune"): {"--scenes": "dev"},
    ("seld-convert", "look-ahead"): {"--run": "run", "--scenes": "test"},
    ("seld-edge", "check"): {"--array": "foa"},
    ("seld-edge", "calibrate"): {"--array": "foa"},
}


def with_required(program, words):
    """Prose names a command with those options alone that matter there: add the required ones."""
    given = dict(REQUIRED.get((program, words[0]), {}))
    if "--random" in words:
        given.pop("--run", None)
    return words + [word for name, value in given.items() if name not in words for word in (name, value)]


def test_a_wrong_command_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("    seld-edge run --sauce mic\n")
    with pytest.raises(pytest.fail.Exception, match="--sauce"):
        test_every_command_is_one(page)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_extra_that_is_installed_exists(document):
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extras in re.findall(r"(?:seld-edge|'\.|none-any\.whl)\[([\w,]+)\]", text_of(document)):
        assert set(extras.split(",")) <= known.keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_no_document_names_a_workplace(document):
    assert not re.search(r"shared/|/work/|\.library|/root/|\bissues? \d+", text_of(document))


def test_readme_is_short_and_leads_to_the_documents():
    readme = ROOT / "README.md"
    assert readme.stat().st_size <= 9_500
    linked = set(re.findall(r"\]\((docs/[\w./-]+\.md)", text_of(readme)))
    assert len(linked) >= 7
    assert linked == {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}


def test_readme_has_the_commands_of_the_makefile():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"    make (\w+)", text_of(ROOT / "README.md"))) <= targets


TOLERANCES = {"er": 0.002, "f": 0.002, "le": 0.15, "lr": 0.002, "seld": 0.002}
"""Last digits changed where scales were moved after the export."""


def test_readme_has_the_scores_of_the_bundles():
    rows = {row[0]: row for row in first_table(section(ROOT / "README.md", "Results"))}
    for name, folder in shipped_bundles().items():
        (row,) = [row for first, row in rows.items() if f"`{name}`" in first]
        scores = json.loads((folder / "manifest.json").read_text())["scores"]
        mode = "streaming" if "streaming" in scores else "window"
        measured = scores[mode]["int8"]["2022_macro"]
        told = [float(re.search(r"[\d.]+", cell)[0]) for cell in row[1:6]]
        for value, (key, tolerance) in zip(told, TOLERANCES.items(), strict=True):
            assert value == pytest.approx(measured[key], abs=tolerance), key


# --- messages that getting-started quotes ---


def templates():
    """Every text of the program as its fixed pieces: what stands between variables."""
    for path in (ROOT / "edge").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                yield "".join(parts).split("\0")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.split(r"%[-+.\d]*[a-z]", node.value)
    script = (ROOT / "firmware_config" / "install.sh").read_text(encoding="utf-8")
    for said in re.findall(r'(?:die|echo) "([^"]*)', script):
        yield re.split(r"\$\(.*?\)|\$\{[^}]*\}|\$\w+", said)


def fits(message, pieces):
    """Whether a message, or what is quoted of it before a last `...`, has the pieces of a template in order."""
    cut = message.endswith("...")
    text = message.removesuffix("...").strip()
    for count in range(len(pieces), 0, -1):
        used = pieces[:count]
        end = "" if cut else r"\Z"
        if sum(map(len, used)) >= 8 and re.search(".*?".join(map(re.escape, used)) + end, text):
            return True
        if not cut:
            return False
    return False


def quoted_messages():
    text = text_of(ROOT / "docs" / "getting-started.md")
    for table in re.findall(r"^\| (?:it|the journal) says \|.*\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE):
        for line in table.splitlines():
            yield re.search(r"`([^`]+)`", line)[1]


@pytest.mark.parametrize("message", list(quoted_messages()))
def test_a_quoted_message_is_one_of_the_program(message):
    assert any(fits(message, pieces) for pieces in templates())


def test_a_message_that_nobody_prints_is_noticed():
    assert not any(fits("the moon is made of green cheese ...", pieces) for pieces in templates())
