"""From a `CollectionConfig` to a frame store: where frames come from and how they are split."""

import contextlib
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from permakey_tf.configs.frames import (
    PLAYED,
    PLAYED_FRAMES,
    CollectionConfig,
    atari_games,
    canonical_game,
    did_you_mean,
    parse_env_kwargs,
)
from permakey_tf.data.filling import Filling, fill, of_recording, own_versions
from permakey_tf.data.format import SPLITS
from permakey_tf.data.recordings import Recording, read_images, read_minari, read_npz
from permakey_tf.data.repeats import frame_hash, without_blank_end
from permakey_tf.data.splits import share
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import check_new
from permakey_tf.envs.play import Episode, play
from permakey_tf.errors import UserError
from permakey_tf.types import EnvironmentRecord, Step

_PROBED_FRAMES = 20  # of an episode that is played twice; slow environments play few a second


class Play(NamedTuple):
    """Frames that are played on demand.

    episodes: endless; each episode may be left before its end.
    columns, origin, notes: as in `Recording`.
    environment: which one is played.
    repeats_by_seed: whether the same seed gives the same frames; None where that is not known.
    versions: of the packages that the frames depend on.
    """

    episodes: Iterator[Iterator[Step]]
    columns: frozenset[str]
    origin: dict[str, Any]
    notes: tuple[str, ...]
    environment: EnvironmentRecord
    versions: dict[str, str]
    repeats_by_seed: bool | None


def build_store(config: CollectionConfig, path: str | Path, progress: bool = True) -> FrameStore:
    """Makes a frame store as `config` describes it.

    The same config gives the same frames and the same hash, whatever the number of CPU cores.

    Args:
      config: where frames come from, how many, how they are split.
      path: folder to make; must not exist.
      progress: show a progress bar on stderr.

    Raises:
      UserError: bad input, too few frames, no room on the disk, or `path` exists.
    """
    check_new(path)
    source = open_source(config)
    if isinstance(source, Play):
        counts = played_counts(config)
        frames = _played(source.episodes, counts)
        filling = Filling(frames, counts, source.columns, source.notes)
    else:
        filling = of_recording(source, config)
    fill(path, filling, config, _about(config, source, _name_notes(config)), progress)
    return FrameStore.open(path)


def open_source(config: CollectionConfig) -> Play | Recording:
    """The frames that `config.source` names. Raises UserError where they cannot be had."""
    openers: dict[str, Callable[[], Play | Recording]] = {
        "ale": lambda: _open_ale(config),
        "gymnasium": lambda: _open_gymnasium(config),
        "npz": lambda: read_npz(config.npz, config.game),
        "images": lambda: read_images(config.images, config.game),
        "minari": lambda: read_minari(config.minari_id),
    }
    return openers[config.source]()


def played_counts(config: CollectionConfig) -> dict[str, int] | None:
    """Frames of each split, known before they are played; None where they are read."""
    if config.source not in PLAYED:
        return None
    weights = dict(zip(SPLITS, config.split, strict=True))
    return share(config.num_frames or PLAYED_FRAMES, weights)


def _played(
    episodes: Iterator[Iterator[Step]], counts: dict[str, int]
) -> Iterator[tuple[Step, str]]:
    """Each split begins with a fresh episode and leaves its last where the count is reached."""
    with contextlib.closing(episodes):
        for split, count in counts.items():
            while count:
                for step in itertools.islice(next(episodes), count):
                    count -= 1
                    yield step, split


# ----------------------------------------------------------------------------------- played sources


def _open_ale(config: CollectionConfig) -> Play:
    from permakey_tf.envs.atari import AtariGame
    from permakey_tf.envs.policies import collect_episodes, game_settings
    from permakey_tf.objects.categories import reliability_warning

    game = AtariGame(**game_settings(config))
    columns = {"actions", "rewards"} | ({"objects"} if config.objects else set())
    origin = {"rom": game.rom, "policy": config.policy, "actions": list(game.action_names)}
    warning = reliability_warning(config.game) if config.objects else None
    notes = (warning,) if warning else ()
    names = ("ale-py", "ocatari") if config.objects else ("ale-py",)
    versions = {name: importlib.metadata.version(name) for name in names}
    environment = {"id": "", "kwargs": {}, "package": "ale-py", "version": versions["ale-py"]}
    episodes = collect_episodes(game, config)
    return Play(episodes, frozenset(columns), origin, notes, environment, versions, True)


def _open_gymnasium(config: CollectionConfig) -> Play:
    import gymnasium

    repeats = _repeats_by_seed(config)
    env = _make_environment(config)
    discrete = isinstance(env.action_space, gymnasium.spaces.Discrete)
    columns = frozenset({"actions", "rewards"} if discrete else {"rewards"})
    origin = {"env_id": config.env_id, "policy": "random", "blank_ends_left_out": 0}
    episodes = _gymnasium_episodes(env, config, discrete, origin)
    versions = {"gymnasium": gymnasium.__version__, **env.versions}
    notes = (f"{config.env_id} does not repeat by seed: the same settings give other frames",)
    return Play(
        episodes, columns, origin, notes if repeats is False else (), env.record, versions, repeats
    )


def _make_environment(config: CollectionConfig):
    from permakey_tf.envs.games import RenderedEnvironment

    return RenderedEnvironment(config.env_id, parse_env_kwargs(config.env_kwargs))


def _repeats_by_seed(config: CollectionConfig) -> bool | None:
    """Plays an episode's first steps in two environments, in one of them after another episode.

    None where one fails: what fails in earnest is told when it is played. Each is closed before the
    next is made: closing one takes others' graphics away (MuJoCo with EGL draws black then).
    """

    def first_steps(*episodes):
        with contextlib.closing(_make_environment(config)) as env:
            for episode in episodes:
                steps = _gymnasium_episode(env, config, False, episode)
                first = itertools.islice(steps, _PROBED_FRAMES)
                played = [(frame_hash(step.frame), step.reward) for step in first]
        return played

    try:
        return first_steps(0) == first_steps(1, 0)
    except UserError:
        return None


def _gymnasium_episodes(
    env, config: CollectionConfig, discrete: bool, origin: dict[str, Any]
) -> Iterator[Iterator[Step]]:
    with contextlib.closing(env):
        for episode in itertools.count():
            steps = _gymnasium_episode(env, config, discrete, episode)
            yield without_blank_end(steps, origin)


def _gymnasium_episode(env, config, discrete: bool, number: int) -> Iterator[Step]:
    """One episode of random actions, each held for 1 to `config.max_hold` steps."""
    # Without the role that `seeds.episode_seed` adds: with it, old seeds would play other episodes.
    seed = np.random.SeedSequence(config.collect_seed, spawn_key=(number,))
    env_seed, space_seed = (int(word) & 0x7FFFFFFF for word in seed.generate_state(2))
    episode = Episode(env, env_seed, config.max_episode_steps)
    env.action_space.seed(space_seed)  # after the reset, which replaces it in some environments
    yield Step(episode.frame, first=True)
    actions = _held_actions(env, np.random.default_rng(seed), config.max_hold)
    for action, step in play(episode, lambda _: next(actions)):
        index = int(action - env.action_space.start) if discrete else -1
        yield Step(step.frame, False, index, step.reward)


def _held_actions(env, rng: np.random.Generator, max_hold: int) -> Iterator:
    """Endless: random actions of the environment, each 1 to `max_hold` times."""
    while True:
        action = env.action_space.sample()
        yield from itertools.repeat(action, int(rng.integers(1, max_hold + 1)))


# ------------------------------------------------------------------------------- manifest -----


def _about(config: CollectionConfig, source: Play | Recording, notes: list[str]) -> dict[str, Any]:
    used = config.used()
    return {
        "game": canonical_game(config.game),
        "source": config.source,
        "origin": source.origin,
        "seed": used.get("collect_seed"),
        "config": used,
        "notes": notes,
        **_about_play(source),
        "versions": _versions(source, config),
    }


def _about_play(source: Play | Recording) -> dict[str, Any]:
    if not isinstance(source, Play):
        return {}
    return {"environment": source.environment, "repeats_by_seed": source.repeats_by_seed}


def _versions(source: Play | Recording, config: CollectionConfig) -> dict[str, str]:
    """Versions of all that the frames depend on."""
    if isinstance(source, Play):
        return own_versions() | source.versions
    names = ["minari"] if config.source == "minari" else []
    return own_versions() | {name: importlib.metadata.version(name) for name in names}


def _name_notes(config: CollectionConfig) -> list[str]:
    """A name for frames that are not played is free; one near a game's may be a typing error."""
    name = canonical_game(config.game)
    if config.source == "ale" or name in atari_games():
        return []
    near = did_you_mean(name, atari_games(), cutoff=0.85)
    return [f"game {config.game!r} is none of ale-py's: {near}"] if near else []
