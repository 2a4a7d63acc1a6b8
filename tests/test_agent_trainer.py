"""What the agent's trainer remembers of games that are written out here, and games side by side."""

import contextlib
import dataclasses
import itertools
import math
import os
import signal
import types
import unittest.mock
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from ale_py import Action
from support import closes_its_metrics, refuses, run_folder, write_keypoints
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from permakey_tf.configs.agent import (
    AgentConfig,
    AgentLoggingConfig,
    EnvironmentConfig,
    LearningConfig,
    ValidationConfig,
)
from permakey_tf.data.noise import BAR_COLOR
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.games import make_game
from permakey_tf.envs.play import Episode, GameStep, Task, play
from permakey_tf.errors import UserError
from permakey_tf.models.frame_memory import FrameMemory
from permakey_tf.models.q_network import LSTMState
from permakey_tf.models.vision import NodeVision
from permakey_tf.player import AgentPlayer
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.scores.random_play import random_scores
from permakey_tf.scores.repeats import first_screens
from permakey_tf.system import files
from permakey_tf.system.seeds import Stream, stream
from permakey_tf.training.acting import Acted, Player, PlayState, play_episodes
from permakey_tf.training.agent import AgentTrainer, build_agent, build_playing
from permakey_tf.training.games import Episodes, Film, WatchedEpisode
from permakey_tf.training.match import follow_folder
from permakey_tf.types import Keypoints

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

NO_KEYPOINTS = Keypoints(np.zeros([1, 3, 2], np.float32), np.ones([1, 3], np.float32))
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
    """Game e lasts 2 + 3 e steps; frames are bright or dark, and rewards tell all actions.

    e is the sum of the seed and of the game's number.
    """

    def number(self, seed):
        return seed.entropy + seed.spawn_key[-1]

    def reset(self, seed):
        self._end, self._step = 2 + 3 * self.number(seed), 0
        self._rng = np.random.default_rng(self.number(seed))
        return self._frame()

    def step(self, action):
        self._step += 1
        return GameStep(self._frame(), action * 3.0**self._step, self._step == self._end, False)

    def _frame(self):
        return np.full([20, 20, 3], 255 * self._rng.integers(2), np.uint8)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return KeypointFolder.open(write_keypoints(tmp_path_factory.mktemp("clean")))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return KeypointFolder.open(write_keypoints(tmp_path_factory.mktemp("noisy"), noise="vertical"))


def make_trainer(tmp_path, keypoints, game, validation_game=Black, logging=None, **changes):
    """As `AgentTrainer.open`, with games of classes above."""
    values = {
        "encoder": "cnn", "cnn_filters": (4, 4), "cnn_kernel_sizes": (3, 3), "cnn_strides": (2, 2),
        "cnn_units": 8, "lstm_units": 8, "max_episode_steps": LIMIT, "jit_compile": False,
        "noise": keypoints.config.training.noise,
    } | changes  # fmt: skip
    plain = AgentConfig().to_dict()
    for part in plain.values():
        part.update({name: values.pop(name) for name in list(values) if name in part})
    assert not values
    folder = run_folder(AgentFolder, tmp_path / "run", AgentConfig.from_dict(plain), keypoints)
    seed, number = folder.config.learning.seed, folder.config.validation.validation_episodes
    task = Task(validation_game, folder.config.environment.max_episode_steps)
    agent = build_agent(folder, game.num_actions)

    def play_validation(stop):
        return play_episodes(agent.player, task, "validation", seed, number, film=True, stop=stop)

    playing = build_playing(folder, game(), agent)
    parts = agent, playing, play_validation
    trainer = AgentTrainer(folder, logging or AgentLoggingConfig(), *parts, progress=False)
    trainer.start_or_resume()
    return trainer


def remembered(trainer):
    rows = np.arange(trainer.playing.replay.num_rows)
    names = ("frame", "reward", "terminal", "episode", "action")
    frame, reward, terminal, episode, action = (
        trainer.playing.replay.column(name, rows) for name in names
    )
    assert np.ptp(frame, axis=(1, 2, 3)).max() == 0
    columns = (frame[:, 0, 0, 0], reward, terminal, episode, action >= 0)
    return list(zip(*(column.tolist() for column in columns), strict=True))


class TestWhatIsRemembered:
    def test_every_row_of_games_that_end_in_every_way(self, tmp_path, clean):
        trainer = make_trainer(tmp_path, clean, Scripted)
        finished = [trainer.play_step() for _ in range(15)]
        assert remembered(trainer) == ROWS
        ends = {3: (1.5, 4), 8: (2.0, 5), 13: (-7.0, 5)}  # true returns, whole games
        assert {i: end for i, end in enumerate(finished) if end} == ends

    def test_without_lives_only_the_game_ends(self, tmp_path, clean):
        trainer = make_trainer(tmp_path, clean, Scripted, life_is_episode=False)
        for _ in range(14):
            trainer.play_step()
        expected = [(f, r, f == 3, f // 10, acts) for f, r, _, _, acts in ROWS[:-1]]
        expected.append((25, 0, False, 2, False))  # the limit cut that game, its value goes on
        assert remembered(trainer) == expected

    def test_rewards_as_they_are(self, tmp_path, clean):
        trainer = make_trainer(tmp_path, clean, Scripted, clip_rewards=False)
        for _ in range(4):
            trainer.play_step()
        assert [row[1] for row in remembered(trainer)] == [3, -2, 0, 0.5]

    def test_memory_starts_anew_with_an_episode(self, tmp_path, clean):
        trainer = make_trainer(tmp_path, clean, Scripted)
        fresh = []
        for _ in range(10):
            trainer.play_step()
            fresh.append(not np.any(trainer.agent.state.lstm.hidden))
        assert [i for i, new in enumerate(fresh) if new] == [1, 3, 8]  # life, end, limit

    def test_a_resumed_run_stands_at_the_same_frame(self, tmp_path, clean):
        """With a ring that keeps fewer rows for learning than a game is long."""
        flags = {"replay_capacity": 2, "validate_every": 1, "max_episode_steps": 40}

        games = []

        class Long(Black):
            def reset(self, seed):
                self.actions = []
                games.append(self)
                return super().reset(seed)

            def step(self, action):
                self.actions.append(action)
                return super().step(action)

        trainer = make_trainer(tmp_path, clean, Long, **flags)
        for _ in range(30):
            trainer.play_step()
        trainer._save()
        resumed = make_trainer(tmp_path, clean, Long, **flags)
        assert len(set(games[0].actions)) > 1
        assert games[1].actions == games[0].actions
        assert resumed.playing.progress == trainer.playing.progress

    def test_what_follows_a_lost_life_comes_back_with_a_resumed_run(self, tmp_path, clean):
        """Emulator frames that are no agent's steps; few of those, each of 60 frames."""

        class Firing(AtariGame):
            num_actions = 6

            def __init__(self):
                super().__init__("spaceinvaders", frame_skip=60, fire_after_life=True)

        trainer = make_trainer(tmp_path, clean, Firing, max_episode_steps=99)
        while not trainer.playing.progress.episode:
            trainer.play_step()
        trainer.play_step()
        trainer._save()
        resumed = make_trainer(tmp_path, clean, Firing, max_episode_steps=99)
        for _ in range(3):
            now, then = resumed.playing, trainer.playing
            assert now.progress == then.progress
            assert (now.progress.game, now.progress.episode) == (0, 1)
            np.testing.assert_array_equal(now.current.frame, then.current.frame)
            np.testing.assert_array_equal(now._game.ram, then._game.ram)
            assert (
                resumed.agent.state.lstm.hidden.numpy().tolist()
                == trainer.agent.state.lstm.hidden.numpy().tolist()
            )
            trainer.play_step()
            resumed.play_step()

    def test_fire_follows_a_lost_life_in_the_games_that_it_is_set_for(self, tmp_path, clean):
        folder = make_trainer(tmp_path, clean, Black, fire_after_life="training").folder
        playing = AgentTrainer.open(folder, AgentLoggingConfig(), progress=False).playing
        assert playing._game._after_life == [(Action.NOOP, 4)]
        assert make_game(folder.config.environment)._after_life == []

    def test_a_wrong_action_of_the_current_game_is_found(self, tmp_path, clean):
        trainer = make_trainer(tmp_path, clean, Black)
        for _ in range(3):
            trainer.play_step()
        trainer._save()
        actions = np.memmap(trainer.folder.replay / "action.dat", np.int16, "r+")
        actions[1] ^= 1
        actions.flush()
        with refuses("action.dat is damaged", "rows 0 to 255", settings=["logdir"]):
            make_trainer(tmp_path, clean, Black)

    @pytest.mark.parametrize("repeats", [True, False])
    def test_a_game_that_does_not_come_back_is_told(self, tmp_path, clean, capsys, repeats):
        class Drawing(Black):
            made = 0  # games: what each shows

            def __init__(self, *arguments):
                super().__init__(*arguments)
                Drawing.made += not repeats

            def step(self, action):
                return super().step(action)._replace(frame=np.full([20, 20, 3], self.made, "u1"))

        trainer = make_trainer(tmp_path, clean, Drawing)
        for _ in range(3):
            trainer.play_step()
        trainer._save()
        make_trainer(tmp_path, clean, Drawing)
        assert ("does not repeat by its seed" in capsys.readouterr().out) != repeats

    @pytest.mark.parametrize("length", [2, 3])
    def test_one_that_ends_earlier_gives_way_to_the_next(self, tmp_path, clean, capsys, length):
        """Played again, it is over before its last action was taken, or with it."""

        lengths = [99, length, 99]  # of the games, in the order in which they begin

        class Shorter(Black):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                self.left = None

            def reset(self, seed):
                self.left = lengths.pop(0) if lengths else 99
                return super().reset(seed)

            def step(self, action):
                assert self.left, "step after the end"
                self.left -= 1
                return super().step(action)._replace(terminal=not self.left)

        trainer = make_trainer(tmp_path, clean, Shorter)
        for _ in range(3):
            trainer.play_step()
        trainer._save()
        resumed = make_trainer(tmp_path, clean, Shorter)
        assert "goes on with the next game" in capsys.readouterr().out
        progress = resumed.playing.progress
        assert (progress.game, progress.episode, progress.game_step) == (1, 1, 0)
        assert not resumed.agent.state.lstm.hidden.numpy().any()
        resumed.play_step()
        assert resumed.playing.progress.game_step == 1


class Noisy(Black):
    """Frames of noise that actions change; the game ends, or a life, after some steps."""

    def reset(self, seed):
        self._rng, self._step = np.random.default_rng(seed), 0
        return self._frame()

    def step(self, action):
        self._step += 1
        self._rng.integers(1 + action)
        return GameStep(self._frame(), float(action), self._step == 9, self._step % 4 == 0)

    def _frame(self):
        return self._rng.integers(0, 256, (20, 20, 3), np.uint8)


class TestTrackedKeypoints:
    FLAGS: ClassVar = {"encoder": "gnn", "max_episode_steps": 30}

    @pytest.fixture(autouse=True)
    def found(self, monkeypatch):
        """Keypoints near three places, which a frame's first pixel puts into an order of its own;
        each with its place as its features."""
        places = tf.constant([[-0.5, -0.5], [0.0, 0.5], [0.5, 0.0]])

        def look(vision, frames, sensed, beside):
            seen = tf.cast(frames[:, 0, :2], tf.float32)  # [B, 2, C]
            order = (tf.range(3)[None] + tf.cast(seen[:, :1, 0], tf.int32)) % 3
            positions = tf.gather(places + seen[:, :1, 1:] / 2550, order, batch_dims=1)
            features = tf.repeat(positions[..., :1], vision.columns["features"].shape[1], axis=2)
            stored = {"features": features, "positions": positions}
            return stored, Keypoints(positions, tf.ones_like(positions[..., 0]))

        monkeypatch.setattr(NodeVision, "look", look)

    def make(self, path, clean, **changes):
        return make_trainer(path, clean, Noisy, Noisy, **self.FLAGS | changes)

    def stored(self, trainer):
        rows = np.arange(trainer.playing.replay.num_rows)
        return [trainer.playing.replay.column(name, rows) for name in ("positions", "features")]

    def test_keep_their_index_until_the_game_ends(self, tmp_path, clean):
        trainer = self.make(tmp_path, clean, track_keypoints=True)
        for _ in range(25):
            trainer.play_step()
        positions, features = self.stored(trainer)
        assert (positions[..., :1] == features).all()
        # Games of nine steps, in which lives are lost, and that have orders of their own.
        order = np.round(positions[..., 0] * 2 - 0.05).astype(int)
        games = [order[:9], order[9:18], order[18:]]
        assert all((game == game[0]).all() for game in games)
        assert len({game[0].tobytes() for game in games}) > 1
        assert all(sorted(game[0]) == [-1, 0, 1] for game in games)

    def test_are_in_the_detectors_order_without(self, tmp_path, clean):
        trainer = self.make(tmp_path, clean)
        for _ in range(9):
            trainer.play_step()
        order = np.round(self.stored(trainer)[0][..., 0] * 2 - 0.05).astype(int)
        assert len(np.unique(order, axis=0)) > 1

    def test_a_resumed_run_is_as_an_uninterrupted_one(self, tmp_path, clean):
        def play(trainer, number):
            for _ in range(number):
                trainer.play_step()
            trainer._save()
            arrays = checkpoint.load(trainer.folder.latest_checkpoint)
            return {name: array.tobytes() for name, array in arrays.items()}

        def make(name):
            return self.make(tmp_path / name, clean, track_keypoints=True, learn_start=100)

        whole = make("whole")
        expected = play(whole, 16)
        play(make("resumed"), 9)  # before a game's first step
        play(make("resumed"), 4)  # within a game, and after a lost life
        resumed = make("resumed")
        assert play(resumed, 3) == expected
        for one, other in zip(self.stored(whole), self.stored(resumed), strict=True):
            assert (one == other).all()

    def test_are_nothing_to_the_convolutional_encoder(self, tmp_path, clean):
        trainer = make_trainer(tmp_path, clean, Black, track_keypoints=True)
        trainer.play_step()
        assert trainer.agent.trackers == []


class TestABestThatIsNotFinite:
    """It never replaces a good one."""

    @pytest.fixture
    def trainer(self, tmp_path, clean):
        return make_trainer(tmp_path, clean, Black)

    def scored(self, trainer, score):
        film = Film(np.zeros([1, 20, 20, 3], np.uint8), NO_KEYPOINTS)
        hashes = np.array([1])
        episodes = Episodes(np.array([score]), np.array([3]), hashes, hashes, film)
        trainer._play_validation = lambda stop: episodes

    @pytest.mark.parametrize("broken", ["weights", "score"])
    def test_is_refused(self, trainer, broken):
        log = unittest.mock.Mock()
        self.scored(trainer, 1.0)
        assert trainer._validate(log, None)
        good = trainer.folder.best_checkpoint.read_bytes()
        self.scored(trainer, math.inf if broken == "score" else 2.0)
        words, settings = ["validation/score is inf at step 0"], []
        if broken == "weights":
            words, settings = ["/norm/gamma", "step 0"], ["learning_rate", "logdir"]
            weights = trainer.agent.learner.online.named_weights.values()
            bias = next(w for w in weights if w.shape.rank == 1)
            bias.assign(bias + np.nan)
        with refuses(*words, settings=settings):
            trainer._validate(log, None)
        assert trainer.folder.best_checkpoint.read_bytes() == good
        assert trainer.progress.best_score == 1.0


@pytest.mark.parametrize("at", ["settings", "scalars"])
def test_whatever_ends_a_training_its_metrics_are_closed(tmp_path, clean, monkeypatch, at):
    trainer = make_trainer(tmp_path, clean, Black)
    closes_its_metrics(monkeypatch, at, trainer.train)


class TestASignalDuringAValidation:
    """Validations are long: the run leaves at once, and plays the games again when resumed."""

    @pytest.mark.parametrize("at", [6, 12])  # 12: the last step, after which nothing is played
    def test_leaves_at_once_and_resumes_with_the_validation(self, tmp_path, clean, at):
        played = []  # steps of validation games

        class Interrupting(Black):
            def step(self, action):
                played.append(trainer.progress.step)
                if played.count(at) == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                return super().step(action)

        def make(name, validation_game):
            flags = {"num_steps": 12, "validate_every": 6, "validation_episodes": 1}
            flags |= {"learn_start": 4, "update_every": 4, "batch_size": 1, "window": 2}
            return make_trainer(tmp_path / name, clean, Black, validation_game, **flags)

        undisturbed = make("undisturbed", Black)
        assert not undisturbed.train().signal
        trainer = make("run", Interrupting)
        assert trainer.train().signal == signal.SIGTERM
        assert trainer.progress.step == at
        assert played.count(at) == 3  # of LIMIT
        trainer = make("run", Interrupting)
        assert (trainer.progress.step, trainer.progress.validated_step) == (at, at - 6)
        assert not trainer.train().signal
        assert played.count(at) == 3 + LIMIT
        assert trainer.progress == undisturbed.progress
        assert trainer.playing.progress == undisturbed.playing.progress
        for ours, expected in zip(
            trainer.agent.weights.values(), undisturbed.agent.weights.values(), strict=True
        ):
            np.testing.assert_array_equal(ours, expected)
        validated = [
            [row["step"] for row in files.read_rows(path / "metrics.csv")[1]]
            for path in (trainer.folder.path, undisturbed.folder.path)
        ]
        assert validated == [["6", "12"]] * 2
        assert not make("run", Interrupting).train().signal  # nothing is left
        assert len(played) == 2 * LIMIT + 3


@pytest.fixture(scope="module")
def pursued(tmp_path_factory):
    """Keypoints whose error maps are kept from frame to frame."""
    path = tmp_path_factory.mktemp("pursued")
    return KeypointFolder.open(write_keypoints(path, extractor="pursuit", lsp_layers=(0, 1)))


def interrupt_after(trainer, name, step):
    """A signal follows the trainer's method of this name in agent step `step`."""
    method = getattr(trainer, name)

    def and_stop():
        result = method()
        if trainer.progress.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    setattr(trainer, name, and_stop)


class TestPlayingDuringUpdates:
    FLAGS: ClassVar = {
        "encoder": "gnn", "num_steps": 40, "validate_every": 20, "validation_episodes": 1,
        "learn_start": 4, "update_every": 4, "batch_size": 2, "window": 2, "learning_rate": 1e-2,
        "max_episode_steps": 9,
    }  # fmt: skip

    def make(self, path, keypoints, **changes):
        return make_trainer(path, keypoints, Noisy, Noisy, **self.FLAGS | changes)

    def test_actions_come_from_the_weights_of_the_update_before(self, tmp_path, pursued):
        def weights(network):
            return np.concatenate([v.numpy().ravel() for v in network.named_weights.values()])

        trainer = self.make(tmp_path, pursued)
        agent, made = trainer.agent, []
        acting, online = agent.player.actor.network, agent.learner.online
        for _ in range(8):
            trainer.play_step()
        np.testing.assert_array_equal(weights(acting), weights(online))
        for _ in range(3):
            before = weights(online) if not made else made[-1]
            trainer.learn_step()
            np.testing.assert_array_equal(weights(acting), before)
            assert agent.finish() and not agent.finish()
            made.append(weights(online))
            assert np.any(made[-1] != before)
            np.testing.assert_array_equal(weights(acting), before)
        agent.catch_up()
        np.testing.assert_array_equal(weights(acting), made[-1])

    def test_the_validation_at_a_runs_end_changes_nothing_for_one_of_more_steps(
        self, tmp_path, pursued
    ):
        longer = self.make(tmp_path / "longer", pursued, epsilon_steps=20)
        interrupt_after(longer, "play_step", 25)
        assert longer.train().signal and longer.progress.step == 25
        shorter = self.make(tmp_path / "shorter", pursued, epsilon_steps=20, num_steps=25)
        shorter.train()
        assert shorter.progress.validated_step == 25
        ours, expected = (one.agent.get_state() for one in (shorter, longer))
        assert set(ours) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(ours[name], array, err_msg=name)

    def test_without_overlap_they_come_from_the_newest(self, tmp_path, pursued):
        agent = self.make(tmp_path, pursued, overlap=False).agent
        assert agent.player.actor.network is agent.learner.online

    def test_compiling_the_update_in_advance_changes_nothing(self, tmp_path, pursued):
        trainer = self.make(tmp_path, pursued, jit_compile=True)
        agent = trainer.agent
        before = agent.get_state()
        agent.warm_up(trainer.playing.blank_batch())
        assert agent.finish() == []  # no update
        after = agent.get_state()
        assert set(after) == set(before) and before["optimizer/adam/iteration"] == 0
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array, err_msg=name)

    def test_a_run_that_is_interrupted_in_an_update_ends_the_same(self, tmp_path, pursued):
        """As XLA compiles it, and with error maps that were brought up to date."""
        undisturbed = self.make(tmp_path / "undisturbed", pursued, jit_compile=True)
        undisturbed.train()
        trainer = self.make(tmp_path / "run", pursued, jit_compile=True)
        interrupt_after(trainer, "learn_step", 24)
        assert trainer.train().signal and trainer.progress.step == 24
        trainer = self.make(tmp_path / "run", pursued, jit_compile=True)
        trainer.train()
        ours, expected = (one.agent.get_state() for one in (trainer, undisturbed))
        assert "acting/q_network/lstm/kernel" in expected and "vision/map_1" in expected
        assert set(ours) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(ours[name], array, err_msg=name)
        assert np.any(expected["vision/map_0"])


class Dies(Exception):
    """Stands for kill -9: nothing is saved or closed."""


class TestWhatARunReportsAfterAKill:
    """Reports every 5 steps, checkpoints every 3: a checkpoint lies within the means of a row."""

    FLAGS: ClassVar = {
        "num_steps": 22, "validate_every": 11, "validation_episodes": 1, "learn_start": 2,
        "update_every": 2, "batch_size": 1, "window": 2, "max_episode_steps": 4,
    }  # fmt: skip

    def make(self, path, clean, game):
        logging = AgentLoggingConfig(summary_every=5, checkpoint_every=3)
        return make_trainer(path, clean, game, logging=logging, **self.FLAGS)

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

    def test_is_what_an_uninterrupted_one_reports(self, tmp_path, clean):
        kills, trainers = [], []

        class Rewarding(Black):
            def step(self, action):
                step = trainers[-1].progress.step
                if kills and step == kills[0]:
                    kills.pop()
                    raise Dies
                return super().step(action)._replace(reward=1.0 + step)

        def train(name):
            trainers.append(self.make(tmp_path / name, clean, Rewarding))
            trainers[-1].train()

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

    @pytest.mark.parametrize(("then", "now"), [(15, 15), (None, 11)])
    def test_a_longer_run_goes_on_as_one_that_was_made_so(
        self, monkeypatch, tmp_path, clean, then, now
    ):
        def train(name, num_steps, epsilon_steps=now):
            monkeypatch.setitem(self.FLAGS, "num_steps", num_steps)
            monkeypatch.setitem(self.FLAGS, "epsilon_steps", epsilon_steps)
            trainer = self.make(tmp_path / name, clean, Black)
            trainer.train()
            arrays = checkpoint.load(trainer.folder.latest_checkpoint)
            return {k: v.tobytes() for k, v in arrays.items()}, self.reported(trainer)[0]

        train("run", 11, then)
        assert train("run", 22) == train("expected", 22)
        with refuses(f"epsilon_steps was {now}, now None", settings=["keypoints", "logdir"]):
            train("run", 33, None)

    def test_a_checkpoint_without_means_is_resumed(self, tmp_path, clean):
        trainer = self.make(tmp_path, clean, Black)
        trainer.play_step()
        trainer._save()
        path = trainer.folder.latest_checkpoint
        arrays = checkpoint.load(path)
        older = {name: a for name, a in arrays.items() if not name.startswith("report/")}
        assert len(older) < len(arrays)
        checkpoint.save(path, older)
        resumed = self.make(tmp_path, clean, Black)
        assert resumed.progress.step == 1
        assert resumed.report.games == resumed.report.learning == []


class Recorder:
    """An agent and its games: what the trainer asks of them, in turn, as words."""

    def __init__(self, words):
        self.words, self.weights = words, {}

    def start(self):
        self.words.append("start")

    def step(self, agent, number):
        assert agent is self
        self.words.append(f"play {number}")
        return (7.0, 2) if number == 3 else None

    def sample(self, update):
        return f"batch {update}"

    def learn(self, batch):
        self.words.append(f"learn {batch}")
        return [dict.fromkeys(("loss", "td_error", "q_value", "gradient_norm"), 0.5)]

    def finish(self):
        return []

    def blank_batch(self):
        return "blank batch"

    def warm_up(self, batch):
        self.words.append(f"warm_up {batch}")

    def catch_up(self):
        pass

    caught_up = contextlib.nullcontext

    def get_state(self):
        self.words.append("save")
        return {}


def test_the_trainer_plays_learns_validates_and_saves_in_turn(tmp_path, clean, capsys):
    words = []
    film = Film(np.zeros([1, 20, 20, 3], np.uint8), NO_KEYPOINTS)

    def play_validation(stop):
        assert not stop()
        words.append("validate")
        return Episodes(np.array([3.0, 4.0]), np.array([5, 6]), np.zeros(2), np.zeros(2), film)

    learning = LearningConfig(num_steps=7, learn_start=4, update_every=2)
    config = AgentConfig(learning=learning, validation=ValidationConfig(validate_every=4))
    folder = run_folder(AgentFolder, tmp_path / "run", config, clean)
    logging = AgentLoggingConfig(summary_every=5, checkpoint_every=3)
    parts = Recorder(words)
    trainer = AgentTrainer(folder, logging, parts, parts, play_validation, progress=False)
    trainer.start_or_resume()
    trainer.train()
    saved = ["save"] * 2  # of the agent, and of its games
    assert words == [
        *("start", "warm_up blank batch", "play 0", "play 1", "play 2", *saved),
        *("play 3", "learn batch 0", "validate", *saved, "play 4"),
        *("play 5", "learn batch 1", *saved, "play 6", "validate", *saved),
    ]
    rows = files.read_rows(folder.path / "metrics.csv")[1]
    assert [row["step"] for row in rows] == ["4", "5", "7"]
    assert rows[0]["validation/score"] == "3.5"
    assert (rows[1]["train/episode_return"], rows[1]["train/episode_length"]) == ("7.0", "2.0")
    assert rows[1]["train/loss"] == "0.5"
    assert capsys.readouterr().err == ""  # no bar


@pytest.mark.parametrize("written", ["vertical", "as-trained"])
def test_noise_is_named_once_the_keypoints_are_known(tmp_path, noisy, written):
    """Also in a folder whose config.json leaves it to the keypoints."""
    left, named = (
        AgentConfig(environment=EnvironmentConfig(noise=noise))
        for noise in ("as-trained", "vertical")
    )
    folder = run_folder(AgentFolder, tmp_path, left, noisy)
    assert folder.config == named
    text = (tmp_path / "config.json").read_text()
    assert "as-trained" not in text
    (tmp_path / "config.json").write_text(
        text.replace('"noise": "vertical"', f'"noise": "{written}"', 1)
    )
    checkpoint.save(folder.latest_checkpoint, {})  # from now on, other settings are refused
    assert AgentFolder.open(tmp_path).config == named
    for config in (left, named):
        run_folder(AgentFolder, tmp_path, config, noisy)
    other = AgentConfig(environment=EnvironmentConfig(noise="both"))
    with refuses("noise was vertical, now both", settings=["keypoints", "logdir"]):
        run_folder(AgentFolder, tmp_path, other, noisy)


def test_a_run_of_an_earlier_version_keeps_its_ways_where_the_command_names_none(tmp_path, clean):
    old = LearningConfig(overlap=False, jit_compile=False)
    folder = run_folder(AgentFolder, tmp_path, AgentConfig(learning=old), clean)
    now = AgentConfig()
    assert follow_folder(now, tmp_path, ()) == now  # nothing is trained yet
    checkpoint.save(folder.latest_checkpoint, {})
    assert follow_folder(now, tmp_path, ()).learning == old
    assert follow_folder(now, tmp_path, ("overlap",)).learning == dataclasses.replace(
        old, overlap=True
    )
    with refuses("overlap was False, now True", settings=["keypoints", "logdir"]):
        run_folder(AgentFolder, tmp_path, follow_folder(now, tmp_path, ("overlap",)), clean)


class TestNoise:
    def test_training_draws_a_new_bar_at_every_step(self, tmp_path, noisy):
        trainer = make_trainer(tmp_path, noisy, Black)
        for _ in range(30):
            trainer.play_step()
        assert len(places(trainer.playing.replay.column("frame", np.arange(30)))) > 8  # of 16

    def test_and_so_does_every_step_of_an_evaluation(self, tmp_path, noisy):
        trainer = make_trainer(tmp_path, noisy, Black)
        played = [
            play_episodes(
                trainer.agent.player, Task(Black, 30), "test", seed, 1, film=True
            ).film.frames
            for seed in (0, 0, 1)
        ]
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
        lstm = LSTMState(tf.zeros([number, 1]), tf.zeros([number, 1]))
        return PlayState(lstm, FrameMemory(np.zeros(number, bool), np.zeros(number), ()))

    def step(self, frames, forced, state, beside):
        bright = state.lstm.hidden + frames[:, :1, 0, 0] / 255
        actions = tf.cast(bright[:, 0], tf.int32) % 3
        lstm = LSTMState(bright, state.lstm.cell)
        acted = Acted(actions, lstm, {}, NO_KEYPOINTS, tf.one_hot(actions, 3))
        return acted, state._replace(lstm=lstm)


COUNTING = Player(Counting(), AS_THEY_ARE, 3)


def test_games_side_by_side_end_as_they_do_alone():
    def play(first, number):
        return play_episodes(COUNTING, Task(Seeded, 9), "test", first, number)

    together, alone = play(0, 4), [play(e, 1) for e in range(4)]
    assert together.lengths.tolist() == [2, 5, 8, 9]  # the last one is cut
    assert together.lengths.tolist() == [one.lengths[0] for one in alone]
    assert together.scores.tolist() == [one.scores[0] for one in alone]
    actions = [int(together.scores[3]) // 3**step % 3 for step in range(1, 10)]
    rng = np.random.default_rng(3)
    assert actions == [int(n) % 3 for n in np.cumsum([rng.integers(2) for _ in range(9)])]
    assert len(set(actions)) == 3


class TestBreakingOff:
    """Two groups of games, of which one is told to stop, or fails, while the other plays on."""

    def play(self, game, stop=lambda: False):
        return play_episodes(COUNTING, Task(game, 10**6), "test", 0, 4, stop=stop)

    class Endless(Seeded):
        def step(self, action):
            return GameStep(self._frame(), 0.0, False, False)

    def test_ends_all_games(self):
        calls = itertools.count()
        assert self.play(self.Endless, lambda: next(calls) == 5) is None

    def test_a_fault_ends_all_games(self):
        class Failing(self.Endless):
            def reset(self, seed):
                if self.number(seed) == 3:
                    raise UserError("game 3 does not start")
                return super().reset(seed)

        with refuses("game 3 does not start"):
            self.play(Failing)


class Swapping(Counting):
    """Of two keypoints, which swap where a frame is bright, the action is the first one's number:
    whether the frame is as bright as the game's first."""

    def step_tracked(self, frames, forced, state, trackers, beside):
        centers = np.array([[-0.05, 0], [0.05, 0]], np.float32)
        actions = [
            tracker.order(Keypoints(centers[:: -1 if frame[0, 0, 0] else 1], None))[0]
            for tracker, frame in zip(trackers, frames, strict=True)
        ]
        actions = tf.constant(actions)
        acted = Acted(actions, state.lstm, {}, NO_KEYPOINTS, tf.one_hot(actions, 3))
        return acted, state


def test_games_side_by_side_have_a_tracker_each():
    player = Player(Swapping(), AS_THEY_ARE, 3, track_keypoints=True)
    scores = play_episodes(player, Task(Seeded, 9), "test", 0, 4).scores
    for game, score in enumerate(scores):
        rng = np.random.default_rng(game)
        bright = [rng.integers(2) for _ in range(min(2 + 3 * game, 9))]
        actions = [int(score) // 3**step % 3 for step in range(1, len(bright) + 1)]
        assert actions == [int(now != bright[0]) for now in bright]


def test_a_players_new_game_is_tracked_anew():
    tracking = Player(Swapping(), AS_THEY_ARE, 3, track_keypoints=True)
    player = AgentPlayer(tracking, "abc")
    dark, bright = np.zeros([20, 20, 3], np.uint8), np.full([20, 20, 3], 255, np.uint8)
    assert [player.act(frame) for frame in (dark, bright, dark)] == [0, 1, 0]
    player.reset()
    assert [player.act(frame) for frame in (bright, bright, dark)] == [0, 0, 1]


def test_equal_games_are_known_by_their_screens():
    """Game e of Seeded ends after 2 + 3 e steps: what is not the same game differs by then."""

    class Returning(Seeded):
        def number(self, seed):
            return seed.entropy + seed.spawn_key[-1] % 3

    task = Task(Returning, 10)

    def play(seed, number):
        return play_episodes(COUNTING, task, "test", seed, number)

    first, second = play(0, 6), play(1, 2)
    assert first.courses[:3].tolist() == first.courses[3:].tolist()
    assert len(set(first.courses.tolist())) == 3
    assert second.courses.tolist() == first.courses[1:3].tolist()
    seeds = [np.random.SeedSequence(0, spawn_key=(e,)) for e in range(3)]
    starts = [Returning().reset(seed)[0, 0, 0] for seed in seeds]  # two brightnesses
    assert len(set(first.openings.tolist())) == len(set(starts)) == 2
    screens = first_screens(task, "train", 0, 3)
    assert screens.tolist() == first.openings[:3].tolist()


def test_screens_have_the_same_hash_in_every_process():
    """A test that was interrupted is compared with games of an earlier process."""
    episode = WatchedEpisode(Scripted(), None, 9)
    assert episode.opening == episode.course == -7078650043571948349
    episode.step(0)
    assert (episode.opening, episode.course) == (-7078650043571948349, 951616400660894991)


def test_random_play_is_scored_by_the_same_games():
    scores = random_scores(Task(Seeded, 9), "test", 1, 3)
    expected = []
    for game, length in enumerate((5, 8, 9)):  # games 1, 2 and 3, the last one cut
        actions = stream(1, Stream.TEST_GAME, game).integers(3, size=length)
        expected.append(sum(int(a) * 3.0 ** (i + 1) for i, a in enumerate(actions)))
    assert scores.tolist() == expected


class TestEpisode:
    def test_is_counted_until_the_game_is_over(self):
        episode = Episode(Scripted(), None, 9)
        assert episode.frame.max() == 0
        steps = list(play(episode, lambda frame: int(frame[0, 0, 0])))
        assert [action for action, _ in steps] == [0, 1, 2, 3]  # each sees the newest frame
        assert [(step.terminal, step.truncated) for _, step in steps] == (
            [(False, False)] * 3 + [(True, False)]
        )
        assert (episode.score, episode.length, episode.over) == (1.5, 4, True)

    @pytest.mark.parametrize(("limit", "truncated"), [(3, [0, 0, 1]), (4, [0, 0, 0, 0])])
    def test_a_limit_truncates_what_is_not_over(self, limit, truncated):
        steps = [step for _, step in play(Episode(Scripted(), None, limit), lambda _: 0)]
        assert [step.truncated for step in steps] == truncated

    def test_a_game_that_cuts_itself_is_truncated(self):
        class Cutting(Black):
            def step(self, action):
                return super().step(action)._replace(truncated=True)

        episode = Episode(Cutting(), None, 9)
        assert episode.step(0).truncated and episode.over
