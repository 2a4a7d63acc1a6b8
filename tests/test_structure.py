"""Imports go one way, and every layer can be imported alone."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The rooms of the library, and the rooms around it, each above those that it may import from.
ROOMS = [
    *("errors", "types", "ops", "system", "configs", "viz", "objects", "models", "envs", "data"),
    *(
        "tracking",
        "stream",
        "runs",
        "detector",
        "wrappers",
        "training",
        "player",
        "quality",
        "figures",
    ),
    *("scores", "launch", "sprites", "flags", "run", "benchmarks"),
]
FILES = [
    path.relative_to(ROOT)
    for folder in ("permakey_tf", "flags", "run", "benchmarks", "sprites")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
MODULES = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
FACE = "permakey_tf"  # imports the rest on first use


def room(module: str) -> str:
    """The library's sub-package or module, or the folder beside the library."""
    first, *rest = module.split(".")
    return rest[0] if first == FACE and rest else first


def imports(path: Path):
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(module: str) -> set[str]:
    """The project's own modules that a module imports, anywhere in it."""
    found = set()
    for name in imports(MODULES[module]):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {"", FACE, module}


def test_no_file_imports_itself_through_others():
    graph = {module: imported_modules(module) for module in MODULES if module != FACE}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(graph)


@pytest.mark.parametrize("module", [module for module in MODULES if module != FACE])
def test_no_import_runs_back(module):
    assert room(module) in ROOMS, f"a new room: give {room(module)} its place in ROOMS"
    for name in imported_modules(module):
        assert ROOMS.index(room(name)) <= ROOMS.index(room(module)), f"{module} imports {name}"


def test_the_library_reads_no_flags():
    readers = [
        path
        for path in FILES
        if path.parts[0] == "permakey_tf"
        and any(name.split(".")[0] in ("absl", "flags", "run") for name in imports(path))
    ]
    assert readers == []


def spoken(call: ast.Call) -> str:
    """What a call says in its texts, but for commands to type."""
    texts = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
    words = "".join(text for text in texts if isinstance(text, str))
    return re.sub(r"`python -m [^`]*`|\(python -m [^)]*\)|python -m .*|pip install \S+", "", words)


def speaks(node: ast.AST) -> bool:
    """Whether it is a call by which a user is told something."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr == "append" and getattr(node.func.value, "id", "") == "notes"
    return getattr(node.func, "id", "") in ("UserError", "expect", "print")


def test_the_library_speaks_of_settings_and_only_command_lines_of_flags():
    """`UserError(message, settings)`: `flags.common` adds the dashes."""
    with_dashes = [
        f"{module}: {spoken(node)}"
        for module, path in MODULES.items()
        if module.startswith(FACE)
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if speaks(node) and re.search(r"--[a-z]", spoken(node))
    ]
    assert with_dashes == []


def texts(path: Path):
    """All strings of a file but what documents it; the fixed parts of f-strings too."""
    tree = ast.parse((ROOT / path).read_text())
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value


def test_no_text_of_the_library_says_flag():
    """But for the folder `flags/`, whose files it may name."""
    found = [
        f"{module}: {text}"
        for module, path in MODULES.items()
        if module.startswith(FACE)
        for text in texts(path)
        if re.search(r"\bflags?\b(?!/)", text, re.IGNORECASE)
    ]
    assert found == []


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in FILES
        if p.parts[0] in ("run", "benchmarks") and "__main__" in (ROOT / p).read_text()
    ],
    ids=str,
)
def test_commands_explain_themselves(path):
    """In a process of its own: flags that two modules define clash only there."""
    module = ".".join(path.with_suffix("").parts)
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"python -m {module}" in done.stdout, done.stderr
    assert done.returncode == 1  # absl's code for --help
