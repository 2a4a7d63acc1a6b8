"""Every setting of a game, and of the frames that are collected from it, once; see base.py."""

import dataclasses
import difflib
import functools
import json
import re
import types
from collections.abc import Iterable
from typing import Any

from permakey_tf.configs.base import Config, setting
from permakey_tf.errors import UserError

MAX_STEPS = 2**31 - 1  # and so are numbers of steps and frames
MAX_SIDE = 512  # pixels of the largest frames
# Keypoints per game (ICLR app. A; Frostbite: the RL setting).
PAPER_NUM_KEYPOINTS = types.MappingProxyType(
    {
        "mspacman": 7,
        "battlezone": 8,
        "seaquest": 10,
        "frostbite": 20,
        "spaceinvaders": 25,
        "enduro": 10,
        "montezumarevenge": 10,
    }
)


# What Gym ids add to a game: ALE/MsPacman-v5, MsPacmanNoFrameskip-v4, MsPacman-ramDeterministic-v0.
_GYM_ID = re.compile(r"(?:ale)?(?P<game>.+?)(?:ram)?(?:noframeskip|deterministic)?(?:v\d+)?")


def plain_name(name: str) -> str:
    """Letters and digits of a name, in lower case."""
    return "".join(c for c in name.lower() if c.isalnum())


@functools.cache
def atari_games() -> frozenset[str]:
    """ale-py's games, as `canonical_game` spells them; none where it is not installed."""
    try:
        # Late: few names need the list, and the emulator takes time to load.
        from ale_py import roms
    except ImportError:
        return frozenset()
    return frozenset(map(plain_name, roms.get_all_rom_ids()))


def canonical_game(name: str) -> str:
    """One spelling per game: "MsPacman", "ms_pacman" and "Ms-Pacman" all give "mspacman".

    A Gym id of an Atari game is that game ("ALE/MsPacman-v5", "MsPacmanNoFrameskip-v4"). Other
    names keep their version: "CartPole-v1" gives "cartpolev1". Several games are joined by "+",
    each in its spelling: "MsPacman+Seaquest" gives "mspacman+seaquest".
    """
    if "+" in name:
        return "+".join(map(canonical_game, name.split("+")))
    plain = plain_name(name)
    found = _GYM_ID.fullmatch(plain)
    if found and found["game"] != plain and found["game"] in atari_games():
        return found["game"]
    return plain


def did_you_mean(game: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """ "did you mean mspacman?", or "" where nothing known is near."""
    spelled = {canonical_game(name): name for name in known}
    near = difflib.get_close_matches(canonical_game(game), spelled, n=3, cutoff=cutoff)
    return f"did you mean {', '.join(spelled[name] for name in near)}?" if near else ""


def parse_env_kwargs(text: str) -> dict[str, Any]:
    """The arguments that `env_kwargs` gives; {} for "". Raises UserError for what is no object."""
    try:
        kwargs = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"env_kwargs={text}: no JSON ({error}); expected an object in single quotes, in a grid "
            "without spaces, such as '{\"highlight\":false}'",
            ["env_kwargs"],
        ) from error
    if not isinstance(kwargs, dict):
        raise UserError(
            f'env_kwargs={text}: a JSON object is needed, such as {{"size": 8}}', ["env_kwargs"]
        )
    return kwargs


# --------------------------------------------------------------------------------------- frames

PLAYED = ("ale", "gymnasium")  # sources of frames that are played when they are wanted
PLAYED_FRAMES = 95_000  # 85,000 + 5,000 + 5,000 (ICLR app. A)


def has_effect(field: dataclasses.Field, source: str) -> bool:
    """Whether a setting does anything where frames come from `source`."""
    sources = field.metadata["sources"]
    return sources is None or source in sources


@dataclasses.dataclass(frozen=True)
class GameConfig(Config):
    """A game and how it is played, for collecting frames and for the agent alike."""

    game: str = setting(
        "mspacman",
        "Atari game, any of ale-py's, or its Gym id; case and underscores do not matter. Where "
        "frames are not played with it (--source), a name for them, which must be given.",
        origin="paper",
    )
    frame_skip: int = setting(
        4,
        "Emulator frames per action; the last two are joined by their maximum.",
        origin="paper",
        unit="emulator frames",
        low=1,
        high=60,
        sources=("ale",),
    )
    noop_max: int = setting(
        30,
        "Up to this many no-ops open an episode.",
        origin="paper",
        unit="emulator steps",
        low=0,
        high=1000,
        sources=("ale",),
    )
    sticky_actions: float = setting(
        0.0,
        "Probability that the emulator repeats the last action.",
        origin="paper",
        low=0,
        below=1,
        sources=("ale",),
    )
    max_episode_steps: int = setting(
        4000,
        "An episode is cut after this many actions.",
        origin="code",
        unit="agent steps",
        low=1,
        high=MAX_STEPS,
        sources=PLAYED,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(map(canonical_game, self.game.split("+"))):
            raise UserError(
                f"game={self.game!r}: a name with letters or digits is needed", ["game"]
            )

    def _refuse_without_effect(self, source: str, remedy: str, *others: str) -> None:
        """Raises UserError for a setting that is not left as it is and does nothing.

        Args:
          source: where frames come from.
          remedy: end of the message; `others` are the settings that it names.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and not has_effect(field, source):
                raise UserError(
                    f"{field.name}={value} does nothing {remedy}", [field.name, *others]
                )


@dataclasses.dataclass(frozen=True)
class CollectionConfig(GameConfig):
    """Where frames come from and how a frame store is filled (the store: data/store.py)."""

    source: str = setting(
        "ale",
        "Where frames come from: ale plays the game; npz reads the authors' data files; minari a "
        "Minari data set; images a folder of images or a video file; gymnasium plays any "
        "environment that renders RGB.",
        origin="ours",
        choices=("ale", "npz", "minari", "images", "gymnasium"),
    )
    policy: str = setting(
        "random",
        "Who plays: random holds each random action for a few steps; lookahead tries random action "
        "sequences from the emulator's save states and keeps the best (no training; --source=ale "
        "only).",
        origin="ours",
        choices=("random", "lookahead"),
        sources=("ale",),
    )
    num_frames: int | None = setting(
        None,
        "Frames in the store, all splits together. Unset: "
        f"{PLAYED_FRAMES:,} where frames are played (85,000 + 5,000 + 5,000), everything there is "
        "where they are read.",
        origin="paper",
        unit="frames",
        low=3,
        high=MAX_STEPS,
    )
    split: tuple[int, ...] = setting(
        (85, 5, 5),
        "Proportions of the training, validation and test splits, cut at whole episodes.",
        origin="paper",
        low=1,
        high=MAX_STEPS,
    )
    image_size: int = setting(
        84,
        "Side of the square frames; a multiple of 4.",
        origin="paper",
        unit="pixels",
        low=16,
        high=MAX_SIDE,
    )
    channels: int = setting(
        3, "3 keeps colour, 1 stores greyscale.", origin="paper", choices=(1, 3)
    )
    keep_aspect: bool = setting(
        False,
        "Pad frames with black to a square instead of squeezing them into one. The run that learns "
        "from them, and its agent, see frames in the same way.",
        origin="ours",
    )
    collect_seed: int = setting(
        0,
        "Seed of the emulator, or of the environment, and of the policy.",
        origin="ours",
        low=0,
        high=2**63 - 1,
        sources=PLAYED,
    )
    lookahead_sequences: int = setting(
        16,
        "Lookahead: random action sequences tried at each decision.",
        origin="ours",
        low=1,
        high=10_000,
    )
    lookahead_horizon: int = setting(
        16,
        "Lookahead: length of each sequence.",
        origin="ours",
        unit="actions, each held for 1 to --max_hold steps",
        low=1,
        high=10_000,
    )
    lookahead_commit: int = setting(
        2,
        "Lookahead: actions of the best sequence that are played before the next search.",
        origin="ours",
        unit="actions",
        low=1,
        high=10_000,
    )
    lookahead_random: float = setting(
        0.02, "Lookahead: share of actions replaced by random ones.", origin="ours", low=0, high=1
    )
    npz: str = setting(
        "",
        "--source=npz: folder that holds train/GAME/*.npz and test/GAME/*.npz (test files are "
        "shared out among validation and test), any folder of .npz files, or one file.",
        origin="code",
        is_path=True,
        sources=("npz",),
    )
    images: str = setting(
        "",
        "--source=images: folder of images (its sub-folders are episodes) or of videos (each an "
        "episode), or a video file. Sub-folders named train, validation, test are the splits.",
        origin="ours",
        is_path=True,
        sources=("images",),
    )
    env_id: str = setting(
        "",
        "--source=gymnasium: id of an environment that renders RGB. Of a package, or of one's own: "
        "module:ID, such as minigrid:MiniGrid-DoorKey-8x8-v0; the module is imported first.",
        origin="ours",
        sources=("gymnasium",),
    )
    env_kwargs: str = setting(
        "",
        "--source=gymnasium: arguments for the environment, a JSON object such as "
        '{"highlight": false}.',
        origin="ours",
        sources=("gymnasium",),
    )
    max_hold: int = setting(
        8,
        "A random action is held for 1 to this many steps; single ones would keep a character "
        "trembling on one spot.",
        origin="ours",
        unit="agent steps",
        low=1,
        high=10_000,
        sources=PLAYED,
    )
    minari_id: str = setting(
        "", "--source=minari: id of a Minari data set.", origin="ours", sources=("minari",)
    )
    objects: bool = setting(
        False,
        "Store ground-truth boxes of the objects, read from the emulator's memory (--source=ale).",
        origin="ours",
        sources=("ale",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.split) != 3:
            raise UserError("split must have three proportions: train,validation,test", ["split"])
        if self.image_size % 4:
            raise UserError(f"image_size={self.image_size} must be a multiple of 4", ["image_size"])
        parse_env_kwargs(self.env_kwargs)
        if self.objects and self.keep_aspect:
            raise UserError(
                "keep_aspect is not for objects: boxes are scored on squeezed frames",
                ["keep_aspect", "objects"],
            )
        needed = {"npz": "npz", "images": "images", "gymnasium": "env_id", "minari": "minari_id"}
        if self.source in needed and not getattr(self, needed[self.source]):
            name = needed[self.source]
            raise UserError(f"{name} must be given where source={self.source}", [name, "source"])
        remedy = f"with source={self.source}: leave it out"
        self._refuse_without_effect(self.source, remedy, "source")

    def used(self) -> dict[str, Any]:
        """`to_dict` without the settings that had no effect on the frames: what a store records."""
        # Flag files of games set lookahead's for whoever plays, so these are not refused.
        return {
            field.name: value
            for field, value in zip(dataclasses.fields(self), self.to_dict().values(), strict=True)
            if has_effect(field, self.source)
            and (self.policy == "lookahead" or not field.name.startswith("lookahead_"))
        }
