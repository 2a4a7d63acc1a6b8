"""A task's games: lent, lent again, and closed."""

import contextlib
import gc
import importlib.util

import gymnasium
import numpy as np
import pytest
from support import run_folder, write_agent, write_keypoints

from permakey_tf import evaluate_agent
from permakey_tf.configs.agent import AgentConfig, AgentLoggingConfig, EnvironmentConfig
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.games import make_game, open_task
from permakey_tf.envs.play import Task
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.scores.evaluate import evaluate_policies
from permakey_tf.system.seeds import episode_seed
from permakey_tf.training.agent import AgentTrainer
from permakey_tf.training.games import WatchedEpisode

ENV_ID = "permakey-tests/Lingering-v0"


class LingeringEnv(gymnasium.Env):
    """Never forgets how many episodes it has begun: its frames and rewards tell."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012
    observation_space = gymnasium.spaces.Discrete(1)
    action_space = gymnasium.spaces.Discrete(3)
    made: list["LingeringEnv"] = []  # noqa: RUF012

    def __init__(self, render_mode=None):
        self.render_mode, self.episodes, self.closed = render_mode, 0, False
        self.made.append(self)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.episodes, self.steps = self.episodes + 1, 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        return 0, float(self.episodes), self.steps == 3, False, {}

    def render(self):
        assert not self.closed
        return np.full([84, 84, 3], self.episodes, np.uint8)

    def close(self):
        assert not self.closed
        self.closed = True


gymnasium.register(ENV_ID, LingeringEnv)


@pytest.fixture
def made(monkeypatch):
    """The environments that a test makes."""
    monkeypatch.setattr(LingeringEnv, "made", [])
    return LingeringEnv.made


class Closable:
    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_games_are_closed_after_they_were_lent():
    with Task(Closable, 9).lend(2) as games:
        assert [game.closed for game in games] == [0, 0]
    assert [game.closed for game in games] == [1, 1]
    with contextlib.suppress(KeyError), Task(Closable, 9).lend() as games:
        raise KeyError
    assert games[0].closed == 1


def test_games_are_closed_where_the_next_one_cannot_be_made():
    game = Closable()
    with contextlib.suppress(IndexError), Task([game].pop, 9).lend(2):
        pass
    assert game.closed == 1


def test_games_are_lent_again_in_their_order_and_closed_at_the_end():
    with Task(Closable, 9).reusing() as task:
        with task.lend(3) as first:
            pass
        with task.lend(3) as second:
            assert second == first
            with task.lend() as (another,):
                assert another not in first
    assert [game.closed for game in (*first, another)] == [1] * 4


def test_what_has_no_close_needs_none():
    with Task(object, 9).lend() as games:
        assert len(games) == 1


def test_emulators_are_lent_again_and_environments_made_anew(made):
    for config in (EnvironmentConfig(), EnvironmentConfig(env_id=ENV_ID)):
        with open_task(config) as task:
            with task.lend() as (first,):
                pass
            with task.lend() as (second,):
                assert (second is first) == (not config.env_id)
    assert [env.closed for env in made] == [True, True]


def screens(game, number):
    """A game's first frame, and those of 60 steps of its actions in turn."""
    frames = [game.reset(episode_seed("test", 0, number))]
    for step in range(60):
        frames.append(game.step(step // 5 % game.num_actions).frame)
    return [frame.tobytes() for frame in frames]


@pytest.mark.parametrize("settings", [{}, {"sticky_actions": 0.25}, {"fire_at_start": "none"}],
                         ids=str)  # fmt: skip
def test_an_emulator_that_is_lent_again_plays_as_a_new_one(settings):
    config = EnvironmentConfig(game="seaquest", noop_min=0, **settings)
    with open_task(config) as task:
        with task.lend() as (game,):
            screens(game, 5)
        with task.lend() as (game,):
            assert screens(game, 7) == screens(make_game(config), 7)


@pytest.mark.skipif(not importlib.util.find_spec("ocatari"), reason="optional")
def test_and_tells_its_objects_as_a_new_one():
    config = EnvironmentConfig(game="seaquest")

    def characters(game):
        screens(game, 7)
        return game.characters()

    with open_task(config, objects=True) as task:
        for _ in range(2):
            with task.lend() as (game,):
                last = characters(game)
    new = characters(make_game(config, objects=True))
    assert len(new.frame)
    np.testing.assert_equal(vars(last), vars(new))


@pytest.fixture
def emulators(monkeypatch):
    """The emulators that a test makes."""
    counted, init = [], AtariGame.__init__

    def counting(self, *arguments, **more):
        counted.append(self)
        init(self, *arguments, **more)

    monkeypatch.setattr(AtariGame, "__init__", counting)
    return counted


def test_games_one_after_the_other_need_one_emulator(emulators):
    evaluate_agent([lambda _: 0, lambda _: 1], "mspacman", [1, 2], 2, name="Still",
                   max_episode_steps=3, progress=False)  # fmt: skip
    assert len(emulators) == 1


def test_a_test_needs_as_many_emulators_as_games_are_played_side_by_side(tmp_path, emulators):
    runs = [write_agent(tmp_path / "run", write_keypoints(tmp_path)).path]
    del emulators[:]
    evaluate_policies(runs, [1, 2], 3, tmp_path / "evaluation.json", progress=False)
    assert len(emulators) == 3


def test_a_test_in_an_environment_is_played_in_new_ones_and_closes_them(made):
    """The first reset is of `RenderedEnvironment`, which looks at a frame."""
    result = evaluate_agent(
        lambda _: 0, "one", [1, 2], 2, name="Still", env_id=ENV_ID, progress=False
    )
    assert result.scores.tolist() == [[[6, 9], [6, 9]]]
    assert result.random_scores.tolist() == [[6, 9], [6, 9]]
    assert len(made) == 4 and all(env.closed for env in made)


def test_a_trainer_closes_the_games_of_training_and_of_validations(tmp_path, made, monkeypatch):
    config = AgentConfig.make(
        env_id=ENV_ID, noise="none", num_steps=4, learn_start=4, validate_every=2,
        validation_episodes=2, lstm_units=8, jit_compile=False, encoder="cnn",
        cnn_filters=(4, 4), cnn_kernel_sizes=(3, 3), cnn_strides=(2, 2), cnn_units=8,
    )  # fmt: skip
    keypoints = KeypointFolder.open(write_keypoints(tmp_path))
    folder = run_folder(AgentFolder, tmp_path / "run", config, keypoints)
    # Nobody reads the hashes of its validations' screens.
    monkeypatch.setattr(WatchedEpisode, "__init__", None)
    with contextlib.closing(AgentTrainer.open(folder, AgentLoggingConfig(), False)) as trainer:
        trainer.train()
        asked, *playing = made  # the first one was only asked for its actions
        assert asked.closed and [env.closed for env in playing] == [False] * 3
        # Two validations, in the same two.
        assert sorted(env.episodes for env in playing) == [3, 3, 3]
    gc.collect()
    assert all(env.closed for env in made)
