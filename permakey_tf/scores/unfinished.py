"""What is played of a test, kept on disk until all is: after an interruption the test goes on."""

import json
from pathlib import Path
from typing import Any, NotRequired, TypedDict

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


class Unfinished:
    """The parts of a test that were played, {name: {name of Episodes: array}}.

    Args:
      path: of the file, which is read where it exists.
      runs, weights: of every policy. seeds, episodes: of the test.

    Raises:
      UserError: the file is of another test, or of a checkpoint that was replaced, or damaged.
    """

    def __init__(
        self, path: Path, runs: list[str], weights: list[str], seeds: list[int], episodes: int
    ):
        self.path = path
        self._test = _Test(runs=runs, weights=weights, seeds=seeds, episodes=episodes)
        self.played: dict[str, dict[str, np.ndarray]] = {}
        if path.exists():
            self._read(schema.read_object(path))

    def _read(self, content: dict[str, Any]) -> None:
        schema.check_version(self.path, content, _FORMAT_VERSION)
        remedy = f"delete {self.path} to test anew, or choose another out"
        try:
            parsed = schema.parse(_PartsContent, content)
        except UserError as error:
            raise UserError(f"{self.path} is damaged: {error}; {remedy}", ["out"]) from error
        then, now = parsed["test"], self._test
        if then["weights"] != now["weights"]:
            same = sorted(then["runs"]) == sorted(now["runs"]) and len(then["runs"]) == 1
            runs = ",".join(then["runs"])
            what = f"an earlier best checkpoint of {runs}" if same else f"other runs, {runs}"
        elif then["seeds"] != now["seeds"]:
            what = f"the seeds {','.join(map(str, then['seeds']))}"
        elif then["episodes"] != now["episodes"]:
            what = f"{then['episodes']} episodes a seed"
        else:
            self.played = {
                name: {field: np.array(values) for field, values in part.items()}
                for name, part in parsed["played"].items()
            }
            return
        raise UserError(f"{self.path} is an unfinished test of {what}: {remedy}", ["out"])

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
