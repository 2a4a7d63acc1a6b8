"""The papers' scores as data, for setting ours beside them.

published.json holds tables 1 to 3 of the ICLR 2021 paper, and scores of other papers at the same
100,000 steps (there with other networks, budgets and test protocols: context, not comparison).
"""

import functools
import json
from pathlib import Path
from typing import NamedTuple

from permakey_tf.configs.frames import canonical_game

_FILE = Path(__file__).with_name("published.json")


class Score(NamedTuple):
    """One published score.

    game, method: as the paper writes them. value: mean; None where the paper has "N/A".
    std: standard deviation as the paper states it; None where none is known.
    source: key of `sources`. table: 1, 2 or 3; None for scores of other papers.
    num_keypoints: K, in table 3 alone. garbled: which of "value" and "std" cannot be read with
    certainty in the source. note: what is wrong or what "N/A" means.
    """

    game: str
    method: str
    value: float | None
    source: str
    std: float | None = None
    table: int | None = None
    num_keypoints: int | None = None
    garbled: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        """Such as "1038.5 (417.1)", "N/A"; an asterisk marks what is garbled in the source."""
        if self.value is None:
            return "N/A"
        if self.std is None:
            return f"{self.value:g}"
        value = f"{self.value:.1f}" + "*" * ("value" in self.garbled)
        return f"{value} ({self.std:g}{'*' * ('std' in self.garbled)})"


@functools.cache
def _content() -> dict:
    return json.loads(_FILE.read_text())


@functools.cache
def scores(table: int | None = None) -> tuple[Score, ...]:
    """All scores of a table of the paper, in its order; for None, those of other papers."""
    every = (
        Score(**{**entry, "garbled": tuple(entry.get("garbled", ()))})
        for entry in _content()["scores"]
    )
    return tuple(score for score in every if score.table == table)


def sources() -> dict[str, str]:
    """{key: reference}."""
    return _content()["sources"]


def find(game: str, method: str) -> Score | None:
    """A score of other papers; None where there is none. `game` in any spelling."""
    for score in scores():
        if (canonical_game(score.game), score.method) == (canonical_game(game), method):
            return score
    return None


def human_normalised(game: str, value: float | None) -> float | None:
    """0 is a random policy, 1 a human; None where `value` or either of the two is not known."""
    low, high = (find(game, method) for method in ("random", "human"))
    if value is None or low is None or high is None:
        return None
    return (value - low.value) / (high.value - low.value)
