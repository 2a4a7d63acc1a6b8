"""Different starts of a game: by hand on a made-up game, and on the emulator."""

import zlib

import numpy as np

from benchmarks.starts import different_starts, scripts
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.play import GameStep, Task
from permakey_tf.scores.starts import EachStartOnce, starts_of_test
from permakey_tf.training.games import begin


class Clock:
    """Shows its hand from step `late` to `last`; a game is over after five."""

    def __init__(self, late, last=5):
        self._shown = range(late, last + 1)

    def _frame(self):
        return np.array([[[self._hand if self._steps in self._shown else 0] * 3]], np.uint8)

    def start(self, num_noops):
        self._hand, self._steps = num_noops // 2, 0
        return self._frame()

    def step(self, action):
        self._hand, self._steps = self._hand + action, self._steps + 1
        return GameStep(self._frame(), 0.0, self._steps == 5, False)


def test_starts_differ_from_the_first_screen_on_that_differs():
    """0 to 5 no-ops: hands at 0, 0, 1, 1, 2, 2."""
    assert different_starts(Clock(0), [1] * 7, 5).tolist() == [3] * 8
    assert different_starts(Clock(3), [1] * 7, 5).tolist() == [1, 1, 1, 3, 3, 3, 3, 3]
    assert different_starts(Clock(6), [1] * 7, 5).tolist() == [1] * 8
    # Once they differed, they stay different, whatever is shown then.
    assert different_starts(Clock(3, 4), [1] * 7, 5).tolist() == [1, 1, 1, 3, 3, 3, 3, 3]


def test_scripts_are_no_ops_and_held_random_actions():
    still, *drawn = scripts(5, 40, 2)
    assert still == [0] * 40 and [len(script) for script in drawn] == [40, 40]
    assert drawn[0] != drawn[1] and set(drawn[0]) <= set(range(5))


def test_the_first_screens_of_two_games():
    """Ms. Pac-Man shows more from the start than Breakout, which waits for its ball."""
    counts = [different_starts(AtariGame(name), [], 30)[0] for name in ("mspacman", "breakout")]
    assert counts == [23, 4]


def test_a_start_is_the_reset_with_as_many_no_ops():
    game = AtariGame("seaquest")
    seed = np.random.SeedSequence(3)
    noops = int(np.random.default_rng(seed).integers(31))
    reset = game.reset(seed), game.ram
    started = game.start(noops), game.ram
    np.testing.assert_array_equal(reset[0], started[0])
    np.testing.assert_array_equal(reset[1], started[1])


def test_the_starts_of_a_test_are_those_that_its_games_have(monkeypatch):
    started, start = [], AtariGame.start
    monkeypatch.setattr(
        AtariGame, "start", lambda game, noops: started.append(noops) or start(game, noops)
    )
    task = Task(lambda: AtariGame("seaquest", noop_min=1, noop_max=6), 4)
    game = task.make()
    for seed in (5, 2):
        for number in range(3):
            begin(game, task, "test", seed, number)
    assert starts_of_test([5, 2], 3, 1, 6).tolist() == [started[:3], started[3:]]
    assert set(starts_of_test(range(20), 10, 1, 6).flat) == {1, 2, 3, 4, 5, 6}


def test_only_the_rest_of_the_no_ops_divided_by_four_matters_to_who_looks_at_the_newest_frame():
    """Openings wait, whatever is pressed: four no-ops more are one action later in the same game.
    That is why tests have a mean in which each start counts once."""
    game, ends = AtariGame("mspacman"), {}
    for noops in range(2, 32, 3):
        frame, seen = game.start(noops), []
        for _ in range(250):
            seen.append(zlib.crc32(frame))
            frame = game.step(seen[-1] % game.num_actions).frame
        later = noops // 4  # actions that the game is ahead of the one with fewest no-ops
        ends.setdefault(noops % 4, set()).add(tuple(seen[100 - later : 250 - later]))
    assert [len(ends[rest]) for rest in range(4)] == [1, 1, 1, 1]
    assert len(set.union(*ends.values())) == 4


def test_each_start_counts_once():
    """Start 0 three times, 4 once: the mean of (1 + 2 + 6) / 3 and 9, and of (0 + 0 + 3) / 3 and 1;
    plain means would be 4.5 and 1."""
    scores = np.array([[[1.0, 2], [9, 6]], [[0, 0], [1, 3]]])
    assert EachStartOnce.of(scores, np.array([[0, 0], [4, 0]])) == (2, (6.0, 1.0), 3.5)
    # Where each start has as many games, it is the plain mean.
    assert EachStartOnce.of(scores, np.array([[7, 3], [3, 7]])).run_scores == (4.5, 1.0)
