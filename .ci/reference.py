"""Builds the API reference from the docstrings: python .ci/reference.py FOLDER

Fails where a public module, class, function, method or property of the library has no docstring, of
its own or of the class that it overrides. The help of a setting is its text, as in `--help`.
"""

import dataclasses
import functools
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pdoc
from pdoc.doc import Class, Doc, Module, Variable

import permakey_tf


def modules() -> dict[str, Module]:
    """The package and all below it; pdoc alone would stop at the package's `__all__`."""
    for name in permakey_tf.__all__:  # imported on first use, which pdoc does not wait for
        setattr(permakey_tf, name, getattr(permakey_tf, name))
    below = pkgutil.walk_packages(permakey_tf.__path__, "permakey_tf.")
    names = ["permakey_tf", *(module.name for module in below)]
    return {name: Module(pdoc.extract.load_module(name)) for name in names}


def introduce_tuples(module: Module) -> None:
    """Tells where constructors of named tuples are from: types of fields are looked up there."""
    for member in module.own_members:
        if isinstance(member, Class) and hasattr(member.obj, "_fields"):
            member.obj.__new__.__module__ = member.obj.__module__


def explain_settings(namespace: Module | Class) -> None:
    """Gives the fields of settings the help that they are made with."""
    for member in namespace.own_members:
        if isinstance(member, Class):
            explain_settings(member)
        elif isinstance(namespace, Class) and dataclasses.is_dataclass(namespace.obj):
            field = namespace.obj.__dataclass_fields__.get(member.name)
            if field is not None and "help" in field.metadata:
                member.docstring = field.metadata["help"]


def undocumented(namespace: Module | Class) -> Iterator[str]:
    """The full names, from a module or class down, that a reader finds nothing about."""
    if not namespace.docstring.strip():
        yield namespace.fullname
    for member in namespace.own_members:
        if member.name.startswith("_"):
            continue  # what a constructor takes is in its class's docstring
        if isinstance(member, Class):
            yield from undocumented(member)
        elif needs_words(member, namespace) and not member.docstring.strip():
            yield member.fullname


def needs_words(member: Doc, namespace: Module | Class) -> bool:
    """Fields are explained where their class is, constants by a comment beside them."""
    value = vars(namespace.obj).get(member.name)
    return not isinstance(member, Variable) or isinstance(
        value, property | functools.cached_property
    )


def write(documented: dict[str, Module], folder: Path) -> None:
    pdoc.render.configure(docformat="google", show_source=False)
    pages = {
        f"{name.replace('.', '/')}.html": pdoc.render.html_module(module, documented)
        for name, module in documented.items()
    }
    pages["index.html"] = pdoc.render.html_index(documented)
    pages["search.js"] = pdoc.render.search_index(documented)
    for name, page in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(page)


def main(folder: Path) -> None:
    documented = modules()
    if missing := sorted({n for module in documented.values() for n in undocumented(module)}):
        sys.exit("public names without a docstring:\n  " + "\n  ".join(missing))
    for module in documented.values():
        introduce_tuples(module)
        explain_settings(module)
    write(documented, folder)
    print(f"API reference: {folder / 'index.html'}, {len(documented)} modules")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
