"""What does an agent miss where FIRE is not pressed for it, at a game's start and after a life?

  python -m benchmarks.openings [--games=mspacman,seaquest] [--num_games=10] [--num_steps=1000]

Two tables, without sticky actions, of games that open without FIRE and of scores. The authors'
opening (--fire_at_start=code, --fire_after_life) "shows" where it ever leads to another screen than
no-ops in its place, with 100 steps of no-ops behind both. "Deaf" steps are those from a start, or a
lost life, to the first screen that random actions change: the fewest of 5 scripts. Random play
draws every action anew; without FIRE it draws from the actions without it. Scores are means of
games that are cut after --num_steps, with their standard errors.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from absl import flags as absl_flags
from ale_py import ALEState

from flags import common
from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS
from permakey_tf.data.repeats import frame_hash
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.play import Episode, play
from permakey_tf.system.seeds import episode_seed


def define() -> None:
    """The flags; not on import, since other benchmarks have flags of these names."""
    absl_flags.DEFINE_list("games", list(PAPER_NUM_KEYPOINTS), "Atari games.")
    absl_flags.DEFINE_integer("num_games", 10, "Games of each policy.", lower_bound=2)
    absl_flags.DEFINE_integer("num_steps", 1000, "Agent steps of a game.", lower_bound=1)


FLAGS = absl_flags.FLAGS
_NOOP, _SECOND = 0, 2  # indices of actions; the authors' code presses both by these
_WATCHED = 100  # steps in which a difference may show
_SCRIPTS = 5
OPENINGS = {
    "no FIRE": {"fire_at_start": "none"},
    "1 frame (ours)": {"fire_at_start": "frame"},
    "code's": {"fire_at_start": "code"},
    "code's, after lives too": {"fire_at_start": "code", "fire_after_life": True},
}


class Game(NamedTuple):
    """One played game.

    score: true return. first_life: steps until a life was lost; None where none was.
    still, steps: how many steps were still, of how many.
    """

    score: float
    first_life: int | None
    still: int
    steps: int


def without_fire(names: tuple[str, ...]) -> list[int]:
    """The actions that do not press FIRE."""
    return [action for action, name in enumerate(names) if "FIRE" not in name]


def play_at_random(game: AtariGame, actions: list[int], number: int, max_steps: int) -> Game:
    """Plays game `number` with actions drawn from `actions`."""
    seed = episode_seed("collect", 0, number)
    rng, episode = np.random.default_rng(seed), Episode(game, seed, max_steps)
    first_life, still = None, 0
    before = episode.frame
    for _, step in play(episode, lambda _: actions[rng.integers(len(actions))]):
        still += np.array_equal(step.frame, before)
        before = step.frame
        if step.life_lost and first_life is None:
            first_life = episode.length
    return Game(episode.score, first_life, still, episode.length)


def lost_lives(game: AtariGame, number: int, max_steps: int) -> Iterator[ALEState]:
    """States just after a life was lost, but not the last one, in `number` random games."""
    for seed in (episode_seed("collect", 1, n) for n in range(number)):
        rng, episode = np.random.default_rng(seed), Episode(game, seed, max_steps)
        for _, step in play(episode, lambda _, rng=rng: int(rng.integers(game.num_actions))):
            if step.life_lost and not step.terminal:
                yield game.save()


def screens(game: AtariGame, state: ALEState, script: list[int]) -> list[int]:
    """Hashes of the screens that a script of actions shows from a state on."""
    game.restore(state)
    return [frame_hash(game.step(action).frame) for action in script]


def shows(game: AtariGame, state: ALEState, opening: list[int]) -> bool:
    """Whether actions lead to another screen than as many no-ops, at once or later."""
    length = len(opening) + _WATCHED
    still = screens(game, state, [_NOOP] * length)
    return screens(game, state, opening + [_NOOP] * _WATCHED) != still


def deaf_steps(game: AtariGame, state: ALEState, scripts: list[list[int]]) -> int:
    """Steps of scripts of one length before the first one whose screen is not that of no-ops."""
    length = len(scripts[0])
    still = screens(game, state, [_NOOP] * length)
    courses = [screens(game, state, script) for script in scripts]
    equal = ([a == b for a, b in zip(course, still, strict=True)] + [False] for course in courses)
    return min(one.index(False) for one in equal)


def moves_after(game: AtariGame, limit: int) -> int | None:
    """Step of no-ops at which the first screen has changed; None where it has not by `limit`."""
    first = game.start(0)
    changed = (not np.array_equal(game.step(_NOOP).frame, first) for _ in range(limit))
    return next((step for step, moved in enumerate(changed, start=1) if moved), None)


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _shown(game: AtariGame, states: list[ALEState], opening: list[int]) -> list[str]:
    """Two cells: in how many states the opening shows, and their deaf steps."""
    rng = np.random.default_rng(0)
    scripts = rng.integers(game.num_actions, size=(_SCRIPTS, _WATCHED)).tolist()
    deaf = _span([deaf_steps(game, state, scripts) for state in states])
    if opening == [_NOOP]:
        return ["has no FIRE", deaf]
    return [f"{sum(shows(game, s, opening) for s in states)} of {len(states)}", deaf]


def _effects(name: str) -> str:
    """A row of the first table."""
    game, (number, steps) = (
        AtariGame(name, fire_at_start="none"),
        (FLAGS.num_games, FLAGS.num_steps),
    )
    plain, names = without_fire(game.action_names), game.action_names
    played = [play_at_random(game, plain, n, steps) for n in range(number)]
    still = 100 * sum(one.still for one in played) / sum(one.steps for one in played)
    lives = [one.first_life for one in played if one.first_life]
    moves = moves_after(game, FLAGS.num_steps) or "never"
    cells = [f"{moves}", f"{still:.0f} %", f"{min(lives)}" if lives else "none lost"]
    starts = []
    for noops in range(number):
        game.start(noops)
        starts.append(game.save())
    states = list(itertools.islice(lost_lives(AtariGame(name), number, steps), number))
    fire = [names.index("FIRE"), _SECOND] if "FIRE" in names else []
    cells += _shown(game, starts, fire or [_NOOP])
    cells += _shown(game, states, [_NOOP, *fire]) if states else ["no lives", ""]
    return " | ".join([name, *cells])


def _scores(name: str) -> Iterator[str]:
    """The rows of the second table."""
    games = [AtariGame(name, **opening) for opening in OPENINGS.values()]
    names = games[0].action_names
    policies = {"random": list(range(len(names))), "without FIRE": without_fire(names)}
    if "FIRE" not in names:
        del policies["without FIRE"]
    for policy, actions in policies.items():
        cells = []
        for game in games:
            numbers = range(FLAGS.num_games)
            played = [play_at_random(game, actions, n, FLAGS.num_steps) for n in numbers]
            scores = np.array([one.score for one in played])
            error = scores.std(ddof=1) / np.sqrt(len(scores))
            cells.append(f"{scores.mean():.0f} ± {error:.0f}")
        yield " | ".join([name, policy, *cells])


def main():
    columns = ["game", "moves at step", "still steps", "fewest steps to a lost life"]
    columns += ["the code's opening shows at a start", "deaf steps there"]
    columns += ["it shows after a lost life", "deaf steps there"]
    print(f"| {' | '.join(columns)} |\n" + "|---" * len(columns) + "|")
    for name in FLAGS.games:
        print(f"| {_effects(name)} |", flush=True)
    columns = ["game", "play", *OPENINGS]
    print(f"\n| {' | '.join(columns)} |\n" + "|---" * len(columns) + "|")
    for name in FLAGS.games:
        for row in _scores(name):
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    define()
    common.run(main)
