"""Checks what a JSON file holds against the Python types of what it describes.

The types are those of the dataclasses and TypedDicts that the program works with, so a file has no
schema beside them. Every problem is one line that names the place in the file.
"""

import dataclasses
import functools
import json
import sys
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from permakey_tf.errors import UserError

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "an object {...}",
}
_DAMAGED = "is damaged or of another program"
_MAX_SHOWN = 40  # characters of a wrong value in a message
type_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)


def read_object(path: Path, remedy: str = "", settings: Iterable[str] = ()) -> dict[str, Any]:
    """The object of a JSON file.

    Args:
      remedy: what to do where it is damaged, such as cut; `settings` are those that it speaks of.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: it cannot be read, or holds something else.
    """
    end = f"; {remedy}" if remedy else ""
    try:
        content = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} {_DAMAGED}: not valid JSON ({error}){end}", settings) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} {_DAMAGED}: it holds no object {{...}}{end}", settings)
    return content


def check_version(path: Path, content: dict[str, Any], version: int) -> None:
    """Raises UserError where a file's `format_version` is another than the program reads."""
    found = content.get("format_version")
    if type(found) is not int:
        raise UserError(f"{path} {_DAMAGED}: it has no number format_version")
    if found != version:
        raise UserError(f"{path} has format version {found}; this program reads {version}")


def parse(hint, value, path: str = "", *, complete: bool = False):
    """The object of type `hint` that a plain value describes.

    Args:
      hint: bool, int, float, str, Any, a dataclass or a TypedDict; a list, tuple[T, ...] or
        dict[str, T] of such; any of them `| None`. A TypedDict may have more names than it says.
      value: as `json` gives it.
      path: place of the value in its file, such as "training.batch_size".
      complete: whether a dataclass needs its fields with defaults, too.

    Raises:
      UserError: naming the place, what must be there and what is.
    """
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Any:
        return value
    if origin is types.UnionType:
        if value is None and types.NoneType in arguments:
            return None
        (hint,) = (argument for argument in arguments if argument is not types.NoneType)
        return parse(hint, value, path, complete=complete)
    if dataclasses.is_dataclass(origin) or typing.is_typeddict(origin):
        return _parse_fields(origin, _of_type(dict, value, path), path, complete)
    value = _of_type(origin, value, path)
    if not arguments:
        return value
    if origin is dict:
        return {
            name: parse(arguments[1], part, _join(path, name), complete=complete)
            for name, part in value.items()
        }
    return origin(
        parse(arguments[0], part, f"{path}[{i}]", complete=complete) for i, part in enumerate(value)
    )


def _of_type(kind: type, value, path: str):
    accepted = {tuple: (list, tuple), float: (int, float)}.get(kind, kind)
    fits = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    if fits and kind is float:
        fits = abs(value) <= sys.float_info.max  # neither NaN nor infinite, nor a huge int
    if not fits:
        shown = repr(value)
        shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
        raise UserError(f"{path or 'the content'} must be {_WORDS[kind]}, not {shown}")
    return value


def _parse_fields(kind, values: dict[str, Any], path: str, complete: bool):
    hints = type_hints(kind)
    if typing.is_typeddict(kind):
        required, known = kind.__required_keys__, {*hints, *values}
    else:
        fields = dataclasses.fields(kind)
        known = {field.name for field in fields}
        if complete:
            values = {f.name: f.metadata["before"] for f in fields if _was_other(f)} | values
        required = {f.name for f in fields if _is_required(f, hints[f.name], complete)}
    odd = sorted((required - set(values)) | (set(values) - known))
    if odd:
        raise UserError(
            f"{path or kind.__name__}: settings missing or unknown: {', '.join(odd)[:200]}"
        )
    parsed = {
        name: parse(hints[name], value, _join(path, name), complete=complete)
        for name, value in values.items()
        if name in hints
    }
    return values | parsed if typing.is_typeddict(kind) else kind(**parsed)


def _is_required(field: dataclasses.Field, hint, complete: bool) -> bool:
    missing = dataclasses.MISSING
    if field.default is missing and field.default_factory is missing:
        return True
    if not complete:
        return False
    if dataclasses.is_dataclass(hint):
        hints = type_hints(hint)
        return any(_is_required(f, hints[f.name], complete) for f in dataclasses.fields(hint))
    # Files of earlier versions lack what was added since; the default is what they did.
    return not field.metadata.get("added")


def _was_other(field: dataclasses.Field) -> bool:
    """Whether files that lack the field were written by a version that did not do its default."""
    return field.metadata.get("before") is not None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
