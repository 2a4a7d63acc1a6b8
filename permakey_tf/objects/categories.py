"""What is known of each game's objects: their kinds, which of them count, what can be trusted."""

import types
from typing import NamedTuple

from permakey_tf.configs.frames import canonical_game


class Region(NamedTuple):
    """The objects of one category whose box has its middle outside a rectangle.

    category: name of the category.
    rectangle: left, top, right, bottom, pixels of the 210x160 frame, edges included.
    """

    category: str
    rectangle: tuple[int, int, int, int]


class GameObjects(NamedTuple):
    """What is known of one game's boxes.

    Every category is in one of four tuples; a measurement "over all objects" takes the first three.

    reliability: judged by eye, with the boxes drawn over the frames:
      "exact"        every box is where the object is;
      "good"         small faults, such as a head that a box cuts off;
      "player only"  only the player's box can be trusted;
      "poor"         no measurement should rest on these boxes.
    characters: what moves and acts: the headline of every measurement.
    items: what comes and goes beside them: missiles, fruit, keys.
    scenery: what stands still, or only carries: pills, platforms, displays.
    untrusted: what has boxes in the wrong places, and is never measured.
    regions: {name: Region}, parts of a category that are scored apart.
    """

    reliability: str
    characters: tuple[str, ...]
    items: tuple[str, ...] = ()
    scenery: tuple[str, ...] = ()
    untrusted: tuple[str, ...] = ()
    regions: types.MappingProxyType = types.MappingProxyType({})

    @property
    def measured(self) -> tuple[str, ...]:
        """Every category that a measurement may count."""
        return self.characters + self.items + self.scenery

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category name that a box can have, the player first."""
        return tuple(sorted(self.measured + self.untrusted, key=lambda name: name != "Player"))

    @property
    def sets(self) -> dict[str, tuple[str, ...]]:
        """The named sets of categories; empty ones are left out."""
        named = {
            "characters": self.characters,
            "items": self.items,
            "scenery": self.scenery,
            "all": self.measured,
        }
        return {name: categories for name, categories in named.items() if categories}


def _game(
    reliability: str,
    characters: str,
    items: str = "",
    scenery: str = "",
    untrusted: str = "",
    regions: dict | None = None,
) -> GameObjects:
    return GameObjects(
        reliability,
        tuple(characters.split()),
        tuple(items.split()),
        tuple(scenery.split()),
        tuple(untrusted.split()),
        types.MappingProxyType(regions or {}),
    )


# By canonical name, which is the name of OCAtari's module too.
GAMES = types.MappingProxyType(
    {
        "mspacman": _game(
            "exact",
            characters="Player Ghost",
            items="Fruit",
            scenery="PowerPill Pill",
            # Of the ghosts that are drawn 22 % sit in their pen, where a fixed point finds them.
            regions={"Ghost outside the pen": Region("Ghost", (68, 63, 91, 98))},
        ),
        "seaquest": _game(
            "good",
            characters="Player Shark Submarine Diver SurfaceSubmarine",
            items="EnemyMissile PlayerMissile",
            scenery="OxygenBar CollectedDiver",
        ),
        "frostbite": _game(
            "good",
            characters="Player Bear Bird Crab Clam GreenFish",
            scenery="House Door FloatingBlock",
        ),
        "spaceinvaders": _game(
            "good",
            characters="Player Alien",
            items="Bullet Satellite",
            scenery="Shield",
        ),
        "montezumarevenge": _game(
            "good",
            characters="Player Skull Spider Snake",
            items="Key Amulet Sword Torch Ruby",
            scenery="Barrier Beam Rope Wall Ladder Platform Disappearing_Platform Conveyer_Belt"
            " Key_HUD Amulet_HUD Torch_HUD Sword_HUD",
        ),
        "enduro": _game("player only", characters="Player", untrusted="Car"),
        "battlezone": _game(
            "poor",
            characters="Blue_Tank Yellow_Blue_Tank Red_Thing Boss",
            scenery="Player Crosshair Radar Radar_Content",
        ),
    }
)

_WARNINGS = {
    "player only": "only the player's boxes can be trusted",
    "poor": "the boxes are unreliable: they miss objects and show others where none are",
}


def reliability_warning(game: str) -> str | None:
    """What a user of a game's boxes must know, in one sentence; None where all is well."""
    known = GAMES.get(canonical_game(game))
    if known is None or known.reliability not in _WARNINGS:
        return None
    return f"ground truth of {canonical_game(game)}: {_WARNINGS[known.reliability]}"
