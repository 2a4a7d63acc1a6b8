"""Imports go one way, and every layer can be imported alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Who may import whom: a file may import from its own rank or a lower one.
RANKS = [
    {
        "permakey_tf",
        "permakey_tf.disk",
        "permakey_tf.errors",
        "permakey_tf.types",
        "permakey_tf.configs",
        "permakey_tf.agent_configs",
    },
    {"permakey_tf.ops"},
    {"permakey_tf.envs"},
    {"permakey_tf.models", "permakey_tf.data", "permakey_tf.viz"},
    {"permakey_tf.training"},
    {"permakey_tf.detector", "permakey_tf.evaluation"},
    {"flags"},
    {"run", "benchmarks"},
]
FILES = [
    path.relative_to(ROOT)
    for folder in ("permakey_tf", "flags", "run", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def rank(module: str) -> int | None:
    """Rank of the longest known prefix of a dotted name; None for other packages."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for number, group in enumerate(RANKS):
            if prefix in group:
                return number
    return None


def imports(path: Path):
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_import_runs_back(path):
    if path == Path("permakey_tf/__init__.py"):
        return  # the public face imports the detector, on first use
    own = rank(".".join(path.with_suffix("").parts))
    for name in imports(path):
        other = rank(name)
        assert other is None or other <= own, f"{path} imports {name}"


def test_the_library_reads_no_flags():
    readers = [
        path
        for path in FILES
        if path.parts[0] == "permakey_tf"
        and any(name.split(".")[0] in ("absl", "flags", "run") for name in imports(path))
    ]
    assert readers == []


def test_ops_are_free_of_models_and_files():
    for path in FILES:
        if path.parts[:2] == ("permakey_tf", "ops"):
            assert not any(name.startswith("permakey_tf.data") for name in imports(path))


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "run"], ids=str)
def test_entry_points_are_wiring(path):
    assert len((ROOT / path).read_text().splitlines()) <= 60


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
