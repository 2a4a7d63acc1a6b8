"""What the agent's trainer remembers of games that are written out here, and games side by side."""

import math
import os
import signal
import types
import unittest.mock
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from support import train_keypoints
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from permakey_tf.configs.agent import AgentConfig, AgentLoggingConfig, EnvironmentConfig
from permakey_tf.data.noise import BAR_COLOR
from permakey_tf.envs.atari import GameStep
from permakey_tf.errors import UserError
from permakey_tf.models.q_network import LSTMState
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import RunFolder
from permakey_tf.system import files
from permakey_tf.training import acting, agent
from permakey_tf.training.acting import Acted, Episodes, Film, play_episodes
from permakey_tf.training.agent import AgentTrainer

LIMIT = 5
# The games in turn: (reward, game over, life lost) of every step.
LOST, OVER = (False, True), (True, False)
GOES_ON = (False, False)
GAMES = [
    [(3, *GOES_ON), (-2, *LOST), (0, *GOES_ON), (0.5, *OVER)],
    [(0, *GOES_ON), (0, *GOES_ON), (0, *GOES_ON), (0, *GOES_ON), (2, *GOES_ON)],  # cut at LIMIT
    [(0, *GOES_ON), (0, *GOES_ON), (0, *GOES_ON), (0, *GOES_ON), (-7, *LOST)],  # and a life lost
    [(1, *GOES_ON)],
]
# What the replay must hold: frame (10 game + step), sign of the reward, terminal, episode, whether
# an action was taken.
ROWS = [
    *[(0, 1, False, 0, True), (1, -1, True, 0, True)],
    *[(2, 0, False, 1, True), (3, 1, True, 1, True)],
    *[(10 + step, 0, False, 2, True) for step in range(4)],
    *[(14, 1, False, 2, True), (15, 0, False, 2, False)],
    *[(20 + step, 0, False, 3, True) for step in range(4)],
    (24, -1, True, 3, True),
    (30, 1, False, 4, True),
]

AS_THEY_ARE = types.SimpleNamespace(with_bars=lambda frame, rng: frame)  # no resizing, no bars


class Scripted:
    """Plays GAMES; the brightness of a frame is its number."""

    num_actions, action_names = 3, ("a", "b", "c")

    def __init__(self, *_):
        self._game = -1

    def reset(self, seed):
        self._game, self._step = self._game + 1, 0
        return self._frame()

    def step(self, action):
        reward, over, lost = GAMES[self._game][self._step]
        self._step += 1
        return GameStep(self._frame(), reward, over, lost)

    def _frame(self):
        return np.full([20, 20, 3], 10 * self._game + self._step, np.uint8)


class Black(Scripted):
    """Frames that are black for ever."""

    def reset(self, seed):
        return np.zeros([20, 20, 3], np.uint8)

    def step(self, action):
        return GameStep(np.zeros([20, 20, 3], np.uint8), 0.0, False, False)


class Seeded(Scripted):
    """Game e lasts 2 + 3 e steps; frames are bright or dark, and rewards tell all actions."""

    def reset(self, seed):
        self._end, self._step = 2 + 3 * seed, 0
        self._rng = np.random.default_rng(seed)
        return self._frame()

    def step(self, action):
        self._step += 1
        return GameStep(self._frame(), action * 3.0**self._step, self._step == self._end, False)

    def _frame(self):
        return np.full([20, 20, 3], 255 * self._rng.integers(2), np.uint8)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return RunFolder.open(train_keypoints(tmp_path_factory.mktemp("clean")))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return RunFolder.open(train_keypoints(tmp_path_factory.mktemp("noisy"), noise="vertical"))


def make_trainer(monkeypatch, tmp_path, keypoints, game, **changes):
    monkeypatch.setattr(agent, "make_game", game)
    values = {
        "encoder": "cnn", "cnn_filters": (4, 4), "cnn_kernel_sizes": (3, 3), "cnn_strides": (2, 2),
        "cnn_units": 8, "lstm_units": 8, "max_episode_steps": LIMIT,
        "noise": keypoints.config.training.noise,
    } | changes  # fmt: skip
    plain = AgentConfig().to_dict()
    for part in plain.values():
        part.update({name: values.pop(name) for name in list(values) if name in part})
    assert not values
    folder = AgentFolder.create_or_resume(tmp_path / "run", AgentConfig.from_dict(plain), keypoints)
    return AgentTrainer(folder, AgentLoggingConfig())


def remembered(trainer):
    rows = np.arange(trainer.replay.num_rows)
    names = ("frame", "reward", "terminal", "episode", "action")
    frame, reward, terminal, episode, action = (trainer.replay.column(name, rows) for name in names)
    assert np.ptp(frame, axis=(1, 2, 3)).max() == 0
    columns = (frame[:, 0, 0, 0], reward, terminal, episode, action >= 0)
    return list(zip(*(column.tolist() for column in columns), strict=True))


class TestWhatIsRemembered:
    def test_every_row_of_games_that_end_in_every_way(self, monkeypatch, tmp_path, clean):
        trainer = make_trainer(monkeypatch, tmp_path, clean, Scripted)
        finished = [trainer.play_step() for _ in range(15)]
        assert remembered(trainer) == ROWS
        ends = {3: (1.5, 4), 8: (2.0, 5), 13: (-7.0, 5)}  # true returns, whole games
        assert {i: end for i, end in enumerate(finished) if end} == ends

    def test_without_lives_only_the_game_ends(self, monkeypatch, tmp_path, clean):
        trainer = make_trainer(monkeypatch, tmp_path, clean, Scripted, life_is_episode=False)
        for _ in range(14):
            trainer.play_step()
        expected = [(f, r, f == 3, f // 10, acts) for f, r, _, _, acts in ROWS[:-1]]
        expected.append((25, 0, False, 2, False))  # the limit cut that game, its value goes on
        assert remembered(trainer) == expected

    def test_rewards_as_they_are(self, monkeypatch, tmp_path, clean):
        trainer = make_trainer(monkeypatch, tmp_path, clean, Scripted, clip_rewards=False)
        for _ in range(4):
            trainer.play_step()
        assert [row[1] for row in remembered(trainer)] == [3, -2, 0, 0.5]

    def test_memory_starts_anew_with_an_episode(self, monkeypatch, tmp_path, clean):
        trainer = make_trainer(monkeypatch, tmp_path, clean, Scripted)
        fresh = []
        for _ in range(10):
            trainer.play_step()
            fresh.append(not np.any(trainer.state.hidden))
        assert [i for i, new in enumerate(fresh) if new] == [1, 3, 8]  # life, end, limit

    def test_a_resumed_run_stands_at_the_same_frame(self, monkeypatch, tmp_path, clean):
        """With a ring that keeps fewer rows for learning than a game is long."""
        flags = {"replay_capacity": 2, "validate_every": 1, "max_episode_steps": 40}

        class Long(Black):
            def reset(self, seed):
                self.actions = []
                return super().reset(seed)

            def step(self, action):
                self.actions.append(action)
                return super().step(action)

        trainer = make_trainer(monkeypatch, tmp_path, clean, Long, **flags)
        for _ in range(30):
            trainer.play_step()
        trainer._save()
        resumed = make_trainer(monkeypatch, tmp_path, clean, Long, **flags)
        assert len(set(trainer.game.actions)) > 1
        assert resumed.game.actions == trainer.game.actions

    def test_a_wrong_action_of_the_current_game_is_found(self, monkeypatch, tmp_path, clean):
        trainer = make_trainer(monkeypatch, tmp_path, clean, Black)
        for _ in range(3):
            trainer.play_step()
        trainer._save()
        actions = np.memmap(trainer.folder.replay / "action.dat", np.int16, "r+")
        actions[1] ^= 1
        actions.flush()
        with pytest.raises(UserError, match=r"action\.dat is damaged: rows 0 to 255"):
            make_trainer(monkeypatch, tmp_path, clean, Black)

    @pytest.mark.parametrize("repeats", [True, False])
    def test_a_game_that_does_not_come_back_is_told(
        self, monkeypatch, tmp_path, clean, capsys, repeats
    ):
        class Drawing(Black):
            made = 0  # games: what each shows

            def __init__(self, *arguments):
                super().__init__(*arguments)
                Drawing.made += not repeats

            def step(self, action):
                return super().step(action)._replace(frame=np.full([20, 20, 3], self.made, "u1"))

        trainer = make_trainer(monkeypatch, tmp_path, clean, Drawing)
        for _ in range(3):
            trainer.play_step()
        trainer._save()
        make_trainer(monkeypatch, tmp_path, clean, Drawing)
        assert ("does not repeat by its seed" in capsys.readouterr().out) != repeats


class TestABestThatIsNotFinite:
    """It never replaces a good one."""

    @pytest.fixture
    def trainer(self, monkeypatch, tmp_path, clean):
        return make_trainer(monkeypatch, tmp_path, clean, Black)

    def scored(self, monkeypatch, score):
        hashes, film = np.array([1]), Film(np.zeros([1, 20, 20, 3]), [])
        episodes = Episodes(np.array([score]), np.array([3]), hashes, hashes, film)
        monkeypatch.setattr(agent, "play_episodes", lambda *_, **__: episodes)
        monkeypatch.setattr(agent.overlay, "film_strip", lambda *_: np.zeros([4, 4, 3], np.uint8))

    @pytest.mark.parametrize("broken", ["weights", "score"])
    def test_is_refused(self, trainer, monkeypatch, broken):
        log = unittest.mock.Mock()
        self.scored(monkeypatch, 1.0)
        assert trainer._validate(log, None)
        good = trainer.folder.best_checkpoint.read_bytes()
        self.scored(monkeypatch, math.inf if broken == "score" else 2.0)
        if broken == "weights":
            bias = next(w for w in trainer.weights.values() if w.shape.rank == 1)
            bias.assign(bias + np.nan)
        words = {"weights": "is not finite at step 0, not saved", "score": "score is inf at step 0"}
        with pytest.raises(UserError, match=words[broken]):
            trainer._validate(log, None)
        assert trainer.folder.best_checkpoint.read_bytes() == good
        assert trainer.progress.best_score == 1.0


class TestASignalDuringAValidation:
    """Validations are long: the run leaves at once, and plays the games again when resumed."""

    @pytest.mark.parametrize("at", [6, 12])  # 12: the last step, after which nothing is played
    def test_leaves_at_once_and_resumes_with_the_validation(self, monkeypatch, tmp_path, clean, at):
        played = []  # steps of validation games

        class Interrupting(Black):
            def step(self, action):
                played.append(trainer.progress.step)
                if played.count(at) == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                return super().step(action)

        def make(name):
            flags = {"num_steps": 12, "validate_every": 6, "validation_episodes": 1}
            flags |= {"learn_start": 4, "update_every": 4, "batch_size": 1, "window": 2}
            return make_trainer(monkeypatch, tmp_path / name, clean, Black, **flags)

        monkeypatch.setattr(acting, "make_game", Black)
        undisturbed = make("undisturbed")
        assert not undisturbed.train().signal
        monkeypatch.setattr(acting, "make_game", Interrupting)
        trainer = make("run")
        assert trainer.train().signal == signal.SIGTERM
        assert trainer.progress.step == at
        assert played.count(at) == 3  # of LIMIT
        trainer = make("run")
        assert (trainer.progress.step, trainer.progress.validated_step) == (at, at - 6)
        assert not trainer.train().signal
        assert played.count(at) == 3 + LIMIT
        assert trainer.progress == undisturbed.progress
        for ours, expected in zip(
            trainer.weights.values(), undisturbed.weights.values(), strict=True
        ):
            np.testing.assert_array_equal(ours, expected)
        validated = [
            [row["step"] for row in files.read_rows(path / "metrics.csv")[1]]
            for path in (trainer.folder.path, undisturbed.folder.path)
        ]
        assert validated == [["6", "12"]] * 2
        assert not make("run").train().signal  # nothing is left
        assert len(played) == 2 * LIMIT + 3


class Dies(Exception):
    """Stands for kill -9: nothing is saved or closed."""


class TestWhatARunReportsAfterAKill:
    """Reports every 5 steps, checkpoints every 3: a checkpoint lies within the means of a row."""

    FLAGS: ClassVar = {
        "num_steps": 22, "validate_every": 11, "validation_episodes": 1, "learn_start": 2,
        "update_every": 2, "batch_size": 1, "window": 2, "max_episode_steps": 4,
    }  # fmt: skip

    def make(self, monkeypatch, path, clean, game):
        trainer = make_trainer(monkeypatch, path, clean, game, **self.FLAGS)
        trainer.logging = AgentLoggingConfig(summary_every=5, checkpoint_every=3)
        return trainer

    def reported(self, trainer):
        """Rows of metrics.csv but for the speeds; {(tag, step): values} of TensorBoard's files."""
        folder = trainer.folder.path
        rows = files.read_rows(folder / "metrics.csv")[1]
        rows = [{k: v for k, v in row.items() if "per_second" not in k} for row in rows]
        logged = {}
        for path in folder.glob("events.out.tfevents.*"):
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    content = value.tensor.SerializeToString()
                    logged.setdefault((value.tag, event.step), []).append(content)
        scalars = {tag for tag, _ in logged if not tag.startswith(("config", "_hparams_"))}
        assert all(tag.startswith("agent/") for tag in scalars)
        return rows, {key: v for key, v in logged.items() if "per_second" not in key[0]}

    def test_is_what_an_uninterrupted_one_reports(self, monkeypatch, tmp_path, clean):
        kills, trainers = [], []

        class Rewarding(Black):
            def step(self, action):
                step = trainers[-1].progress.step
                if kills and step == kills[0]:
                    kills.pop()
                    raise Dies
                return super().step(action)._replace(reward=1.0 + step)

        def train(name):
            trainers.append(self.make(monkeypatch, tmp_path / name, clean, Rewarding))
            trainers[-1].train()

        monkeypatch.setattr(acting, "make_game", Black)
        train("undisturbed")
        rows, logged = self.reported(trainers[-1])
        for step in (8, 14):
            kills.append(step)
            with pytest.raises(Dies):
                train("killed")
        train("killed")
        assert sum(bool(row["train/episode_return"]) for row in rows) == 4
        assert self.reported(trainers[-1]) == (rows, logged)
        assert all(len(values) == 1 for values in logged.values())

    def test_a_longer_run_goes_on_as_one_that_was_made_so(self, monkeypatch, tmp_path, clean):
        def train(name, num_steps):
            monkeypatch.setattr(acting, "make_game", Black)
            monkeypatch.setitem(self.FLAGS, "num_steps", num_steps)
            monkeypatch.setitem(self.FLAGS, "epsilon_steps", 15)
            trainer = self.make(monkeypatch, tmp_path / name, clean, Black)
            trainer.train()
            arrays = checkpoint.load(trainer.folder.latest_checkpoint)
            return {k: v.tobytes() for k, v in arrays.items()}, self.reported(trainer)[0]

        train("run", 11)
        assert train("run", 22) == train("expected", 22)

    def test_a_checkpoint_without_means_is_resumed(self, monkeypatch, tmp_path, clean):
        trainer = self.make(monkeypatch, tmp_path, clean, Black)
        trainer.play_step()
        trainer._save()
        path = trainer.folder.latest_checkpoint
        arrays = checkpoint.load(path)
        older = {name: a for name, a in arrays.items() if not name.startswith("report/")}
        assert len(older) < len(arrays)
        checkpoint.save(path, older)
        resumed = self.make(monkeypatch, tmp_path, clean, Black)
        assert resumed.progress.step == 1
        assert resumed.report.games == resumed.report.learning == []


class TestNoise:
    def test_training_draws_a_new_bar_at_every_step(self, monkeypatch, tmp_path, noisy):
        trainer = make_trainer(monkeypatch, tmp_path, noisy, Black)
        for _ in range(30):
            trainer.play_step()
        assert len(places(trainer.replay.column("frame", np.arange(30)))) > 8  # of 16

    def test_and_so_does_every_step_of_an_evaluation(self, monkeypatch, tmp_path, noisy):
        trainer = make_trainer(monkeypatch, tmp_path, noisy, Black, max_episode_steps=30)
        monkeypatch.setattr(acting, "make_game", Black)
        played = [
            play_episodes(
                trainer.actor, trainer.config.environment, trainer.player.frame_format,
                "test", seed, 1, film=True,
            ).film.frames
            for seed in (0, 0, 1)
        ]  # fmt: skip
        assert len(places(played[0])) > 8
        np.testing.assert_array_equal(played[0], played[1])
        assert (played[0] != played[2]).any()


def places(frames):
    """Columns at which bars begin, for frames that all have one."""
    bars = np.all(frames[:, 0] == BAR_COLOR, axis=-1)  # [N, S]
    assert bars.any(axis=1).all()
    return set(bars.argmax(axis=1).tolist())


class Counting:
    """An actor whose action is the number of bright frames it has seen, modulo 3."""

    def __init__(self):
        self.network = self

    def initial_state(self, number):
        return LSTMState(tf.zeros([number, 1]), tf.zeros([number, 1]))

    def step(self, frames, forced, state):
        bright = state.hidden + frames[:, :1, 0, 0] / 255
        return Acted(tf.cast(bright[:, 0], tf.int32) % 3, LSTMState(bright, state.cell), {})


def test_games_side_by_side_end_as_they_do_alone(monkeypatch):
    monkeypatch.setattr(acting, "make_game", Seeded)

    def play(first, number):
        monkeypatch.setattr(acting, "episode_seed", lambda role, seed, e: first + e)
        environment = EnvironmentConfig(max_episode_steps=9)
        return play_episodes(Counting(), environment, AS_THEY_ARE, "test", 0, number)

    together, alone = play(0, 4), [play(e, 1) for e in range(4)]
    assert together.lengths.tolist() == [2, 5, 8, 9]  # the last one is cut
    assert together.lengths.tolist() == [one.lengths[0] for one in alone]
    assert together.scores.tolist() == [one.scores[0] for one in alone]
    actions = [int(together.scores[3]) // 3**step % 3 for step in range(1, 10)]
    rng = np.random.default_rng(3)
    assert actions == [int(n) % 3 for n in np.cumsum([rng.integers(2) for _ in range(9)])]
    assert len(set(actions)) == 3


def test_equal_games_are_known_by_their_screens(monkeypatch):
    """Game e of Seeded ends after 2 + 3 e steps: what is not the same game differs by then."""
    monkeypatch.setattr(acting, "make_game", Seeded)
    monkeypatch.setattr(acting, "episode_seed", lambda role, seed, e: seed + e % 3)
    environment = EnvironmentConfig(game="mspacman", max_episode_steps=10)

    def play(seed, number):
        return play_episodes(Counting(), environment, AS_THEY_ARE, "test", seed, number)

    first, second = play(0, 6), play(1, 2)
    assert first.courses[:3].tolist() == first.courses[3:].tolist()
    assert len(set(first.courses.tolist())) == 3
    assert second.courses.tolist() == first.courses[1:3].tolist()
    starts = [Seeded().reset(seed)[0, 0, 0] for seed in range(3)]  # two brightnesses
    assert len(set(first.openings.tolist())) == len(set(starts)) == 2
    screens = acting.first_screens(environment, "train", 0, 3)
    assert screens.tolist() == first.openings[:3].tolist()
