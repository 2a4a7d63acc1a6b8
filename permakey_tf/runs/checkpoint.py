"""Checkpoints: one file of named arrays, replaced atomically.

A checkpoint is an explicit name -> array table in NumPy's npz format, so nothing can be left out
silently and nothing but NumPy is needed to look into it.
"""

import dataclasses
from pathlib import Path

import numpy as np

from permakey_tf.errors import UserError
from permakey_tf.system import files, schema
from permakey_tf.system.npz import NpzFile

_ANEW = "was it written by another version of the program? Then train the run anew"


def diverged(what: str) -> UserError:
    """The error of a training in which something, `what` in words, is not finite."""
    return UserError(
        f"{what}; the training has diverged: lower learning_rate and start a new logdir",
        ["learning_rate", "logdir"],
    )


def named_variables(groups: dict) -> dict:
    """{"group/path": variable} of {group: variables}; Keras's know their paths, for others the
    variables are {path: variable}.

    Raises ValueError for a name used twice.
    """
    table = {}
    for group, variables in groups.items():
        named = isinstance(variables, dict)
        pairs = variables.items() if named else ((v.path, v) for v in variables)
        for path, variable in pairs:
            name = f"{group}/{path}"
            if name in table:
                raise ValueError(f"two variables are named {name}: one would be lost")
            table[name] = variable
    return table


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the table to `path` (a .npz file) atomically.

    Raises:
      UserError: the disk is full or not writable; an older checkpoint at `path` stays.
    """
    files.make_folder(path.parent)
    with files.replaced(path) as file:
        np.savez(file, **arrays)


def load(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """Reads a table written by `save`; with `prefix`, only what is named so, and no other bytes.

    Raises:
      UserError: names a missing or damaged file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train first")
    try:
        with NpzFile(path) as file:
            return {name: file.read(name) for name in file.arrays if name.startswith(prefix)}
    except UserError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise UserError(
            f"{path} is damaged or no checkpoint ({reason}); bring back a copy of it, or train "
            "anew in another logdir",
            ["logdir"],
        ) from error


def assign(variables: dict, arrays: dict[str, np.ndarray], path: Path) -> None:
    """Assigns every variable its array.

    Raises:
      UserError: names or shapes do not all agree, or a value is not finite; nothing is assigned.
    """
    odd = sorted(set(variables) ^ set(arrays))
    if odd:
        raise UserError(
            f"{path} does not fit the model: {odd[0]} and {len(odd) - 1} more differ; {_ANEW}"
        )
    for name, variable in variables.items():
        fits = tuple(variable.shape) == arrays[name].shape and arrays[name].dtype.kind in "fiub"
        if not fits:
            raise UserError(
                f"{path} does not fit the model: {name} has another shape or type; {_ANEW}"
            )
        if not np.all(np.isfinite(arrays[name])):
            raise diverged(f"{path}: {name} is not finite")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def to_arrays(variables: dict) -> dict[str, np.ndarray]:
    """The values of named variables."""
    return {name: np.asarray(variable) for name, variable in variables.items()}


def finite_arrays(variables: dict, step: int) -> dict[str, np.ndarray]:
    """As `to_arrays`. Raises UserError that names a variable which is not finite."""
    arrays = to_arrays(variables)
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise diverged(f"{name} is not finite at step {step}, not saved")
    return arrays


@dataclasses.dataclass
class ProgressRecord:
    """Base of the records of where a run stands: numbers that are saved with every checkpoint."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The entries of a checkpoint."""
        return {f"progress/{k}": np.asarray(v) for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def pop_from(cls, arrays: dict[str, np.ndarray], path: Path):
        """Takes the entries out of the checkpoint of `path`.

        Raises:
          UserError: one is missing, or is no such number.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        saved = {name: arrays.pop(f"progress/{name}", None) for name in names}
        if any(value is None for value in saved.values()):
            raise UserError(
                f"{path} does not say where the run stands: train anew in another logdir",
                ["logdir"],
            )
        hints = schema.type_hints(cls)
        try:
            return cls(**{n: _number(hints[n], value, n) for n, value in saved.items()})
        except UserError as error:
            raise UserError(f"{path} is damaged: progress/{error}") from error


def _number(hint, array: np.ndarray, name: str):
    """Of an array with one element, which may be infinite: there is no best loss at first."""
    value = array.item() if array.size == 1 else array.tolist()
    return value if hint is float and type(value) is float else schema.parse(hint, value, name)
