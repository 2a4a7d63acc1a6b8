"""What is played of a test, kept on disk until all is: after an interruption the test goes on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from permakey_tf.errors import UserError
from permakey_tf.system import files, schema

_FORMAT_VERSION = 1


class _Test(TypedDict):
    """Which test it is. weights: hash of each run's best checkpoint."""

    runs: list[str]
    weights: list[str]
    seeds: list[int]
    episodes: int


class _Part(TypedDict):
    """Games of one seed, as `training.games.Episodes`; of random play the scores alone."""

    scores: list[float]
    lengths: NotRequired[list[int]]
    openings: NotRequired[list[int]]
    courses: NotRequired[list[int]]


class _PartsContent(TypedDict):
    test: _Test
    played: dict[str, _Part]


def unfinished_path(evaluation: Path) -> Path:
    """The file of a test's parts, beside that of the whole."""
    return evaluation.with_suffix(".unfinished.json")


def check_unfinished(path: Path, runs: Sequence[str], seeds: Sequence[int], episodes: int) -> None:
    """Raises UserError where a file is of another test than this one, whose runs may lie elsewhere.

    What `Unfinished` would refuse, as far as it is known before the runs are trained.
    """
    if not path.exists():
        return
    then = _read_parts(path)["test"]
    names, now = (sorted(Path(run).name for run in of) for of in (then["runs"], runs))
    _refuse_another(path, then, names == now, seeds, episodes)


def _read_parts(path: Path) -> _PartsContent:
    content = schema.read_object(path, _remedy(path), ["out"])
    schema.check_version(path, content, _FORMAT_VERSION)
    try:
        return schema.parse(_PartsContent, content)
    except UserError as error:
        raise UserError(f"{path} is damaged: {error}; {_remedy(path)}", ["out"]) from error


def _refuse_another(path: Path, then: _Test, same_runs: bool, seeds, episodes: int) -> None:
    if not same_runs:
        what = f"other runs, {','.join(then['runs'])}"
    elif sorted(then["seeds"]) != sorted(seeds):
        what = f"the seeds {','.join(map(str, then['seeds']))}"
    elif then["episodes"] != episodes:
        what = f"{then['episodes']} episodes a seed"
    else:
        return
    raise UserError(f"{path} is an unfinished test of {what}: {_remedy(path)}", ["out"])


def _remedy(path: Path) -> str:
    return f"delete {path} to test anew, or choose another out"


class Unfinished:
    """The parts of a test that were played, {name: {name of Episodes: array}}.

    Args:
      path: of the file, which is read where it exists.
      runs, weights: of every policy. seeds, episodes: of the test.

    Attributes:
      played: the parts.
      places: number of each policy in the names of parts. Where the file has the policies in
        another order, it keeps its own.

    Raises:
      UserError: the file is of another test, or of a checkpoint that was replaced, or damaged.
    """

    def __init__(
        self, path: Path, runs: list[str], weights: list[str], seeds: list[int], episodes: int
    ):
        self.path = path
        self._test = _Test(runs=runs, weights=weights, seeds=seeds, episodes=episodes)
        self.played: dict[str, dict[str, np.ndarray]] = {}
        self.places = list(range(len(runs)))
        if path.exists():
            self._read()

    def _read(self) -> None:
        parsed = _read_parts(self.path)
        then, now = parsed["test"], self._test
        same = sorted(then["weights"]) == sorted(now["weights"])
        if not same and len(then["runs"]) == 1 and then["runs"] == now["runs"]:
            raise UserError(
                f"{self.path} is an unfinished test of an earlier best checkpoint of "
                f"{then['runs'][0]}: {_remedy(self.path)}",
                ["out"],
            )
        _refuse_another(self.path, then, same, now["seeds"], now["episodes"])
        self.places = [then["weights"].index(weights) for weights in now["weights"]]
        self._test = then
        self.played = {
            name: {field: np.array(values) for field, values in part.items()}
            for name, part in parsed["played"].items()
        }

    def add(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keeps a part; on disk when this returns. Raises UserError where it cannot be written."""
        self.played[name] = arrays
        played = {
            part: {field: values.tolist() for field, values in of_part.items()}
            for part, of_part in self.played.items()
        }
        content = {"format_version": _FORMAT_VERSION, "test": self._test, "played": played}
        files.make_folder(self.path.parent)
        files.write_text(self.path, json.dumps(content) + "\n")

    def remove(self) -> None:
        """The test is finished."""
        self.path.unlink(missing_ok=True)
