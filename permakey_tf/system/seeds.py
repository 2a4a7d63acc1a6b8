"""Random streams of games, noise, batches and agents: one for each purpose of a seed.

Streams are independent of each other, and a draw depends on its seed, purpose and numbers alone,
so that a resumed run draws what an uninterrupted one would.
"""

import enum

import numpy as np

ROLES = ("collect", "train", "validation", "test")


class Stream(enum.Enum):
    """What a seed is drawn for: (whose seed it is, number of the stream).

    A number never changes its meaning, or old seeds would draw something else.
    """

    ORDER = "keypoint run", 0
    BARS = "keypoint run", 1
    HELD_OUT_BARS = "keypoint run", 2
    PAIRS = "keypoint run", 3
    HELD_OUT_PAIRS = "keypoint run", 4
    EXAMPLE_BARS = "keypoint run", 5
    STORE_ORDER = "keypoint run", 6  # of one of several weighted stores
    MIXTURE = "keypoint run", 7
    EXPLORATION = "agent", 10
    REPLAY = "agent", 11
    GAME_BARS = "agent", 12
    FINAL_FRAME_BARS = "agent", 13
    BANK_GAME = "agent", 14
    # Of a greedy game: its bars. Of a game at random: its actions.
    VALIDATION_GAME = "played game", 2
    TEST_GAME = "played game", 3
    LIVE_GAME = "played game", 4
    SHUFFLED_FRAMES = "benchmark", 0
    RANDOM_POINTS = "benchmark", 1
    SCORED_BARS = "benchmark", 2
    FITTED_BARS = "benchmark", 3
    RESAMPLED_RUNS = "interval", 0


def stream(seed: int, purpose: Stream, *numbers: int) -> np.random.Generator:
    """Random numbers for one purpose of a seed; `numbers` tell a step or an episode apart."""
    return np.random.default_rng([seed, purpose.value[1], *numbers])


def episode_seed(role: str, seed: int, episode: int) -> np.random.SeedSequence:
    """The seed of one episode: independent for different (role, seed, episode).

    An episode depends on its own seed alone, so episodes may be played in any order or side by
    side. Roles keep the seeds of training, validation and test disjoint (ICLR app. A.2.3).

    Args:
      role: one of ROLES.
      seed: the user's seed, >= 0.
      episode: number of the episode, >= 0.
    """
    return np.random.SeedSequence(seed, spawn_key=(ROLES.index(role), episode))


def draw_noops(rng: np.random.Generator, noop_min: int, noop_max: int) -> int:
    """No-ops that open an Atari game, from noop_min to noop_max, each number equally likely."""
    return int(rng.integers(noop_min, noop_max + 1))


def seed_sets(seed: int) -> dict[str, dict]:
    """What `episode_seed` makes of the games of an agent, as a record for its run folder.

    Returns:
      {role: arguments of numpy's SeedSequence}; "*" stands for all numbers from 0 on.
    """
    return {
        role: {
            "entropy": "*" if role == "test" else seed,
            "spawn_key": [ROLES.index(role), "*"],
        }
        for role in ("train", "validation", "test")
    }
