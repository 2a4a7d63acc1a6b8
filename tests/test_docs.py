"""README and docs/: links lead somewhere, every page is listed, commands name flags that exist."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from absl import flags as absl_flags

import permakey_tf

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = sorted(path.stem for path in (ROOT / "run").glob("[a-z]*.py"))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_lists_every_page():
    docs = ROOT / "docs"
    listed = {link.partition("#")[0] for link in links(docs / "index.md")}
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    assert pages - listed == {"index.md"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_python_in_the_docs_imports_is_there(page):
    for block in python_blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("permakey_tf"):
                home = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(home, alias.name), f"{node.module}.{alias.name}"


def flags_of(program: str) -> set[str]:
    values = absl_flags.FlagValues()
    importlib.import_module(f"flags.{program}").define(values)
    switches = {f"no{name}" for name in values if values[name].boolean}
    return {*values, *switches, "flagfile", "help"}


def commands(text: str):
    """(program, names of its flags) of each call that is spelt out."""
    text = text.replace("\\\n", " ")
    for program, rest in re.findall(r"python -m run\.(\w+)([^\n`;|&#>]*)", text):
        yield program, re.findall(r"(?:^| )\"?--(\w+)", rest)


@pytest.mark.parametrize("program", PROGRAMS)
def test_commands_name_flags_that_exist(program):
    known, found = flags_of(program), 0
    for page in PAGES:
        for called, names in commands(page.read_text()):
            if called == program:
                found += 1
                assert set(names) <= known, f"{page.name}: {set(names) - known}"
    assert found


def test_python_in_the_pages_uses_public_names():
    for page in PAGES:
        text = page.read_text()
        imported = ", ".join(re.findall(r"from permakey_tf import ([\w, ]+)", text))
        names = {*re.findall(r"\bpk\.(\w+)", text), *re.findall(r"\w+", imported)}
        assert names <= set(permakey_tf.__all__), page.name
    assert "pk.train" in (ROOT / "README.md").read_text()


def test_examples_are_started_where_the_package_is_found():
    """As a file, an example looks for `permakey_tf` beside itself."""
    for page in [*PAGES, *(ROOT / "examples").glob("*.py")]:
        assert "python examples/" not in page.read_text(), page.name


def test_the_citation_names_this_version():
    assert f"version: {permakey_tf.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {permakey_tf.__version__}" in (ROOT / "CHANGELOG.md").read_text()
