"""Every hyper-parameter of the project, once: default, meaning, unit, range and origin.

Each part of the system has one frozen dataclass. A field is declared with `setting(...)`; its
metadata feed the command-line flags (`flags/`), their help texts and the range checks, which run
whenever a config object is made. Origins: "paper" is the ICLR 2021 paper, "code" the authors'
released code where the paper is silent, "ours" a choice of this project (see docs/deviations.md).
"""

import dataclasses
import difflib
import inspect
import json
import operator
import types
import typing
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from permakey_tf.configs import preset_files
from permakey_tf.errors import UserError
from permakey_tf.system import schema

MAX_SEED = 2**31 - 1  # of what TensorFlow draws: its seeds are int32


def setting(
    default: Any,
    help: str,
    *,
    origin: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[Any, ...] | None = None,
    sources: tuple[str, ...] | None = None,
    is_path: bool = False,
    added: bool = False,
    before: Any = None,
    only: tuple[str, Any] | None = None,
    or_only: tuple[str, Any] | None = None,
) -> Any:
    """Declares one hyper-parameter.

    Args:
      default: value used where the user gives none.
      help: what it does, one or two sentences.
      origin: "paper", "code" or "ours".
      unit: unit of the value, such as "pixels" or "steps".
      low, high: inclusive bounds (of each element where the value is a tuple).
      above, below: exclusive bounds.
      choices: the allowed values.
      sources: where frames come from for it to have an effect (`CollectionConfig.source`); None:
        anywhere.
      is_path: names a file or folder; on the command line ~ is the home folder.
      added: whether run folders of earlier versions lack it; its default is what they did.
      before: what they did, where that is not its default; it is added then.
      only: (name, value) of the setting without which it has no effect.
      or_only: another one that gives it an effect too.
    """
    metadata = {
        "help": help,
        "origin": origin,
        "unit": unit,
        "low": low,
        "high": high,
        "above": above,
        "below": below,
        "choices": choices,
        "sources": sources,
        "is_path": is_path,
        "added": added or before is not None,
        "before": before,
        "only": [condition for condition in (only, or_only) if condition],
    }
    return dataclasses.field(default=default, metadata=metadata)


def value_range(field: dataclasses.Field) -> str:
    """The allowed values of a field in words, e.g. "one of sum, mean", ">= 1"; "" if any."""
    meta = field.metadata
    if meta["choices"]:
        return "one of " + ", ".join(map(str, meta["choices"]))
    signs = (("low", ">="), ("above", ">"), ("high", "<="), ("below", "<"))
    return " and ".join(f"{sign} {meta[key]}" for key, sign in signs if meta[key] is not None)


def _in_range(meta: Mapping[str, Any], value: Any) -> bool:
    if meta["choices"]:
        return value in meta["choices"]
    return (
        (meta["low"] is None or value >= meta["low"])
        and (meta["high"] is None or value <= meta["high"])
        and (meta["above"] is None or value > meta["above"])
        and (meta["below"] is None or value < meta["below"])
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of all configs: checks types and ranges when made; converts to and from plain dicts.

    Attributes:
      only: as in `setting`, for all settings of a class.
    """

    only: typing.ClassVar[tuple[str, Any] | None] = None
    _preset_prefix: typing.ClassVar[str] = ""  # of the files of its presets

    def __new__(cls, *_: Any, **settings: Any) -> typing.Self:
        """Refuses names that are no field's, before `__init__`, which would raise a TypeError."""
        fields = {field.name for field in dataclasses.fields(cls)}
        odd = [name for name in settings if name not in fields]
        if not odd:
            return super().__new__(cls)
        make = f"{cls.__name__}.make({odd[0]}=...)"
        if odd[0] in inspect.signature(cls.make).parameters:
            raise UserError(f"{cls.__name__} has no part {odd[0]!r}; {make} takes it")
        cls._check_names(odd, fields | set(_kinds(cls)))
        parts = schema.type_hints(cls).items()
        part = next(name for name, kind in parts if _is_part(kind) and odd[0] in _kinds(kind))
        raise UserError(
            f"{odd[0]} is a setting of the part {part!r} of a {cls.__name__}: change that part, or "
            f"make all by {make}"
        )

    def __post_init__(self) -> None:
        hints = schema.type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Config):
                continue
            try:
                value = schema.parse(hints[field.name], value, field.name)
            except UserError as error:
                raise UserError(error, [field.name]) from error
            object.__setattr__(self, field.name, value)  # a list has become a tuple
            if value is None:
                continue
            elements = value if isinstance(value, tuple) else (value,)
            if not elements or not all(_in_range(field.metadata, e) for e in elements):
                shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
                allowed = value_range(field) if elements else "not empty"
                raise UserError(
                    f"{field.name}={shown} is out of range: it must be {allowed}", [field.name]
                )

    @classmethod
    def _check_names(cls, names: Iterable[str], known: Collection[str]) -> None:
        """Raises UserError for a name that is none of those known; it tells the nearest."""
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                all_of_them = f"print({cls.__name__}.make()) shows all"
                hint = f"did you mean {near[0]}?" if near else all_of_them
                raise UserError(f"{cls.__name__} has no setting {name!r}; {hint}")

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON has them; `from_dict` reads them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # tuples become lists

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> typing.Self:
        """Inverse of `to_dict`. Raises UserError that names a missing, unknown or wrong one."""
        return schema.parse(cls, values, complete=True)

    @classmethod
    def make(cls, preset: str | None = None, **settings: Any) -> typing.Self:
        """A config from flat names over all its parts, e.g. `num_keypoints=5, learning_rate=1e-3`.

        Args:
          preset: name of a preset (configs/presets) whose values hold where `settings` says
            nothing; None: the defaults hold. Settings of a preset that are not of this class are
            passed over, as a store's size is by keypoints.
          settings: values by name, as in `flatten`.

        Raises:
          UserError: an unknown preset or setting (the nearest is named), or a wrong value.
        """
        kinds = _kinds(cls)
        cls._check_names(settings, kinds)
        values = {}
        for name, text in () if preset is None else preset_files.read(preset, cls._preset_prefix):
            if text is None and name not in kinds:
                name, text = name.removeprefix("no"), "false"
            if name in kinds:
                values[name] = from_text(kinds[name], "true" if text is None else text)
        # Numbers and arrays of NumPy have `tolist`; settings do without NumPy.
        plain = {n: v.tolist() if hasattr(v, "tolist") else v for n, v in settings.items()}
        return from_flat(cls, values | plain)


class Leaf(NamedTuple):
    """A setting of a config class or of one of its parts.

    path: dotted, from the class down; field: of the dataclass `owner`; hint: its type.
    """

    path: str
    field: dataclasses.Field
    hint: Any
    owner: type[Config]

    @property
    def name(self) -> str:
        """Unique across parts."""
        return self.field.name


def leaves(config_class: type[Config], prefix: str = "") -> Iterator[Leaf]:
    """All settings of a class and its nested parts, in their order; `prefix`: of the paths."""
    hints = schema.type_hints(config_class)
    for field in dataclasses.fields(config_class):
        path, hint = prefix + field.name, hints[field.name]
        if _is_part(hint):
            yield from leaves(hint, f"{path}.")
        else:
            yield Leaf(path, field, hint, config_class)


def flatten(config: Config) -> dict[str, Any]:
    """{setting name: value} over all nested parts; names are unique across parts."""
    return {leaf.name: operator.attrgetter(leaf.path)(config) for leaf in leaves(type(config))}


def plain_type(hint: Any) -> Any:
    """`int | None` -> int, `tuple[int, ...]` -> tuple, others unchanged."""
    if isinstance(hint, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    return typing.get_origin(hint) or hint


def from_text(hint: Any, text: str) -> Any:
    """The value of a setting of type `hint` as a flag file spells it.

    Raises:
      ValueError: the text is no such value.
    """
    kind = plain_type(hint)
    if kind is tuple:
        element = typing.get_args(hint)[0]
        return tuple(element(word) for word in text.split(","))
    if kind is bool:
        return {"true": True, "false": False}[text]
    return kind(text)


_Config = typing.TypeVar("_Config", bound=Config)


def _is_part(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Config)


def _kinds(config_class: type[Config]) -> dict[str, Any]:
    """{setting name: type hint} over all nested parts."""
    return {leaf.name: leaf.hint for leaf in leaves(config_class)}


def from_flat(config_class: type[_Config], values: dict[str, Any]) -> _Config:
    """The config whose settings are `values`, by name; defaults for the others."""
    hints = schema.type_hints(config_class)
    arguments = {}
    for field in dataclasses.fields(config_class):
        kind = hints[field.name]
        if _is_part(kind):
            arguments[field.name] = from_flat(kind, values)
        elif field.name in values:
            arguments[field.name] = values[field.name]
    return config_class(**arguments)


def conditions(config_class: type[Config]) -> dict[str, list[tuple[str, Any]]]:
    """{setting: [(other setting, value)]} of all settings that do something only with one of those
    values."""
    found = {}
    for leaf in leaves(config_class):
        of_class = [leaf.owner.only] if leaf.owner.only else []
        if only := leaf.field.metadata["only"] or of_class:
            found[leaf.name] = only
    return found


def added(config_class: type[Config], prefix: str = "") -> dict[str, Any]:
    """{dotted name: what they did} of the settings that run folders of earlier versions lack.

    Args:
      prefix: in front of all names.
    """
    found = {}
    for leaf in leaves(config_class, prefix):
        if leaf.field.metadata["added"]:
            before = leaf.field.metadata["before"]
            found[leaf.path] = leaf.field.default if before is None else before
    return found


def as_begun(config: _Config, begun: _Config, given: Container[str]) -> _Config:
    """`config` for a run that was begun by an earlier version: where that version's default was
    another and the user gives none, the run goes on as it began.

    Args:
      config: the settings as they were asked for.
      begun: the run's own.
      given: names of the settings that the user gave.
    """
    then = flatten(begun)
    kept = {
        leaf.name: then[leaf.name]
        for leaf in leaves(type(config))
        if leaf.field.metadata["before"] is not None and leaf.name not in given
    }
    return from_flat(type(config), flatten(config) | kept)
