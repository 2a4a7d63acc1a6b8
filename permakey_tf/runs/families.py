"""Families of runs: equal settings, different seeds; and what tells one family from another.

A run is anything with `settings`, {name: value}. Names may be dotted: what follows the last dot is
the setting's own name. An agent's settings hold those of its keypoint run under "keypoints.".
"""

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.configs.base import conditions
from permakey_tf.configs.keypoints import METHODS, KeypointConfig

Settings = dict[str, Any]

KEYPOINTS = "keypoints."  # in front of the names of a keypoint run's settings among an agent's
GAME_NAMES = {
    "battlezone": "Battlezone",
    "montezumarevenge": "Montezuma's Revenge",
    "mspacman": "MsPacman",
    "spaceinvaders": "Space Invaders",
}
_CONDITIONS = conditions(KeypointConfig) | conditions(AgentConfig)


def leaf(name: str) -> str:
    """The setting's own name."""
    return name.rpartition(".")[2]


def without_keypoints(settings: Settings) -> Settings:
    """An agent's settings by their own names, without its keypoints'."""
    return {leaf(n): value for n, value in settings.items() if not n.startswith(KEYPOINTS)}


def effective(settings: Settings) -> Settings:
    """The settings that do something beside the others."""
    return {name: value for name, value in settings.items() if applies(name, settings)}


def without_seeds(settings: Settings) -> Settings:
    """All that do something but the seeds: the same for runs of one family."""
    return {name: value for name, value in effective(settings).items() if leaf(name) != "seed"}


def seeds_of(settings: Settings) -> Settings:
    """The seeds alone."""
    return {name: value for name, value in settings.items() if leaf(name) == "seed"}


def family_key(settings: Settings) -> str:
    """The same for runs that differ in their seeds only, and in settings that do nothing."""
    return json.dumps(without_seeds(settings), sort_keys=True)


def group(runs: Iterable) -> list[list]:
    """Runs of one family together, in the order of their first ones."""
    families: dict[str, list] = {}
    for run in runs:
        families.setdefault(family_key(run.settings), []).append(run)
    return list(families.values())


def same_seeds(groups: Iterable[Sequence]) -> str:
    """Names two runs of a family that have the same seeds, a copy perhaps; "" where none do.

    Args:
      groups: as of `group`; each run also has a `path`.
    """
    for runs in groups:
        for run, other in itertools.combinations(runs, 2):
            if seeds_of(run.settings) == seeds_of(other.settings):
                return f"{run.path} and {other.path} have the same settings and seed (a copy?)"
    return ""


def game_name(game: str) -> str:
    """The papers' spelling of a canonical game."""
    return GAME_NAMES.get(game, game.capitalize())


def show(value) -> str:
    """A setting's value as it is given on the command line."""
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def applies(name: str, settings: Settings) -> bool:
    """Whether a setting does anything beside the others: cnn_filters does not where encoder=gnn."""
    return lacks(name, settings) is None


def lacks(name: str, settings: Settings) -> tuple[str, Any] | None:
    """(other setting, value) without which a setting does nothing; None where it does something."""
    lacking = [
        _lacks_one(name, other, value, settings) for other, value in _CONDITIONS.get(leaf(name), [])
    ]
    return lacking[0] if lacking and None not in lacking else None


def _lacks_one(name: str, other: str, value: Any, settings: Settings) -> tuple[str, Any] | None:
    """As `lacks`, of one condition."""
    beside = _beside(name, other, settings)
    if beside is None:  # runs of earlier versions lack it; what it depends on itself still counts
        return lacks(KEYPOINTS * name.startswith(KEYPOINTS) + other, settings)
    return lacks(beside, settings) if settings[beside] == value else (beside, value)


def _beside(name: str, other: str, settings: Settings) -> str | None:
    """The full name of another setting of the same run as setting `name`; None without one."""
    of_keypoints = name.startswith(KEYPOINTS)
    return next(
        (
            candidate
            for candidate in settings
            if leaf(candidate) == other and candidate.startswith(KEYPOINTS) == of_keypoints
        ),
        None,
    )


def labels(all_settings: Sequence[Settings], but: Iterable[str] = ()) -> list[str]:
    """What tells each run or family from the others; "" where nothing does.

    The game and the method come first, in the papers' spelling. Other settings count among runs of
    one game and method, since a method brings settings of its own, and only where they do anything.
    Where the game is not told, a panel is: then a setting that counts in one is told in all, so
    that the same agents have the same name in every panel.

    Args:
      all_settings: of each run.
      but: settings that are not told.
    """
    parts = [[] for _ in all_settings]
    for name in dict.fromkeys(name for settings in all_settings for name in settings):
        own = leaf(name)
        if own in _RANK:
            counts = [len({one.get(name) for one in all_settings}) > 1] * len(all_settings)
        else:
            counts = [any(_differ(name, one, two) for two in all_settings) for one in all_settings]
            counts = [any(counts)] * len(counts) if "game" in but else counts
        for words, settings, told in zip(parts, all_settings, counts, strict=True):
            if told and own not in but and name in settings and applies(name, settings):
                word = _word(own, settings[name])
                if name.startswith(KEYPOINTS) and own in without_keypoints(settings):
                    word = f"keypoints' {word}"
                words.append((_RANK.get(own, len(_RANK)), word))
    ranked = [sorted(words, key=lambda pair: pair[0]) for words in parts]
    return [", ".join(word for _, word in words) for words in ranked]


_RANK = {"game": 0, "method": 1}


def _word(own: str, value) -> str:
    if own == "game":
        return game_name(value)
    return METHODS[value].title if own == "method" else f"{own}={show(value)}"


def _differ(name: str, one: Settings, other: Settings) -> bool:
    """Whether a setting tells two runs of one game and method apart."""
    if one.get(name) == other.get(name):
        return False
    if any(leaf(n) == "game" and other.get(n) != value for n, value in one.items()):
        return False
    methods = {settings.get(_beside(name, "method", settings)) for settings in (one, other)}
    return len(methods) == 1 and applies(name, one) and applies(name, other)
