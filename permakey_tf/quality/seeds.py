"""Several training seeds together: means, ranges, and how alike their keypoints are."""

import itertools
import math
import re
from collections.abc import Iterable

import numpy as np

from permakey_tf.quality.measures import matched_distance

_JOINTS = "_-.=,/ "  # between the words of a folder's name


def mean(values: list[float]) -> float:
    """NaNs are left out; NaN where nothing else is."""
    values = [value for value in values if not math.isnan(value)]
    return float(np.mean(values)) if values else math.nan


def value_range(values: list[float]) -> tuple[float, float]:
    """The lowest and the highest value. NaNs are left out; NaN where fewer than two remain."""
    values = [value for value in values if not math.isnan(value)]
    return (min(values), max(values)) if len(values) > 1 else (math.nan, math.nan)


def summarise(trees: list) -> tuple:
    """`mean` and `value_range` of nested dicts, value by value.

    Returns:
      Two dicts of the same shape: means, ranges (lowest, highest). Keys that not all dicts have are
      left out.
    """
    if not isinstance(trees[0], dict):
        return mean(trees), value_range(trees)
    keys = [key for key in trees[0] if all(key in tree for tree in trees)]
    parts = {key: summarise([tree[key] for tree in trees]) for key in keys}
    means, ranges = ({key: parts[key][part] for key in keys} for part in range(2))
    return means, ranges


def stability(centers: list[np.ndarray], rng: np.random.Generator) -> dict[str, float]:
    """How far apart the keypoints of models from different seeds are, in pixels.

    Args:
      centers: float [N, K, 2] of each model, in the same frames.

    Returns:
      Means over all pairs of models: `distance` with keypoints matched anew in every frame;
      `distance_fixed` with one matching for all frames; `distance_shuffled` like the first with
      one model's frames shuffled, which is what would be left without tracking anything.
    """
    pairs = list(itertools.combinations(centers, 2))
    by_frame, fixed = np.mean([matched_distance(one, two) for one, two in pairs], axis=0)
    shuffled = [matched_distance(one, rng.permutation(two))[0] for one, two in pairs]
    return {
        "distance": float(by_frame),
        "distance_fixed": float(fixed),
        "distance_shuffled": float(np.mean(shuffled)),
    }


def common_name(names: list[str]) -> str:
    """What all names begin and end with: run_seed0 and run_seed1 give "run (2 seeds)".

    They are compared by whole numbers and single other characters: run_seed10 and run_seed11 have
    no "1" in common, and the 12 of sigma-0.12 and sigma-0.12_seed1 stays whole.
    """
    parts = [re.findall(r"\d+|\D", name) for name in names]
    start = _common_start(parts)
    end = _common_start([part[len(start) :][::-1] for part in parts])[::-1]
    before = "".join(start).rstrip(_JOINTS).removesuffix("seed").rstrip(_JOINTS)
    after = "".join(end).strip(_JOINTS)
    whole = "_".join(filter(None, (before, after)))
    return f"{whole or 'runs'} ({len(names)} seeds)"


def without_words(name: str, words: Iterable[str]) -> str:
    """A name without some whole words, such as a game; game-pong_k7 without pong is k7.

    The word that says what they are (`game-`, `noise-`) goes with them. A name of nothing else is
    "runs".
    """
    joint, ahead = f"[{re.escape(_JOINTS)}]", r"(?:(?:game|noise)[-=])?"
    any_word = "|".join(map(re.escape, words))
    pattern = rf"(^|{joint}){ahead}(?:{any_word})(?={joint}|$)"
    return re.sub(pattern, "", name, flags=re.IGNORECASE).strip(_JOINTS) or "runs"


def _common_start(parts: list[list[str]]) -> list[str]:
    columns = zip(*parts, strict=False)
    return [column[0] for column in itertools.takewhile(lambda c: len(set(c)) == 1, columns)]
