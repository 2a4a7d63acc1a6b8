"""An agent as a player of its own: the same games as the tests play, and any Gymnasium loop."""

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing
from support import refuses, write_agent, write_keypoints

from permakey_tf import AgentPlayer
from permakey_tf.data.noise import BAR_COLOR
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.detector import KeypointDetector
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.games import make_task
from permakey_tf.player import load_player
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.training.acting import play_episodes
from permakey_tf.training.games import begin, game_stream

NOISE = np.random.default_rng(0).integers(0, 256, [4, 210, 160, 3], np.uint8)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """An agent that tracks keypoints behind bars. MsPacman ignores the first 65 actions."""
    path = tmp_path_factory.mktemp("noisy")
    keypoints = write_keypoints(path, noise="both")
    changes = {"track_keypoints": True, "max_episode_steps": 90}
    return write_agent(path / "agent", keypoints, **changes).path


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    path = tmp_path_factory.mktemp("clean")
    return write_agent(path / "agent", write_keypoints(path)).path


def sight(player, frame):
    player.act(frame)
    return player.last


def test_plays_a_test_game_as_the_test_does(noisy):
    """Bars, tracking and memory included, in the second game as in the first."""
    folder = AgentFolder.open(noisy)
    task = make_task(folder.config.environment)
    player, game = AgentPlayer.load(noisy), task.make()
    chosen = set()
    for seed in (3, 5):
        player.reset(game_stream("test", seed, 0))
        episode, actions = begin(game, task, "test", seed, 0), []
        while not episode.over:
            actions.append(player.act(episode.frame))
            assert actions[-1] == player.last.q_values.argmax()
            episode.step(actions[-1])
        tested = play_episodes(load_player(folder, 9), task, "test", seed, 1, film=True)
        assert (episode.course, episode.length) == (tested.courses[0], tested.lengths[0])
        chosen |= set(actions[65:])
        np.testing.assert_array_equal(player.last.frame, tested.film.frames[-1])
        for mine, theirs in zip(player.last.keypoints, tested.film.keypoints, strict=True):
            np.testing.assert_array_equal(mine, theirs[-1])
    # In one game alone the memory may settle on an action.
    assert len(chosen) > 1


def test_what_it_says_of_itself(noisy, clean):
    player = AgentPlayer.load(noisy)
    assert player.action_names == AtariGame("mspacman").action_names
    assert (player.num_actions, player.noise, player.last) == (9, "both", None)
    player.act(NOISE[0])
    assert player.last.q_values.shape == (9,)
    assert [part.shape for part in player.last.keypoints] == [(3, 2), (3,)]
    assert AgentPlayer.load(clean).noise == "none"


def test_a_new_game_forgets_the_last_one(clean):
    player = AgentPlayer.load(clean)

    def values():
        return [sight(player, frame).q_values.tolist() for frame in NOISE]

    first, on = values(), values()
    player.reset()
    assert player.last is None
    assert values() == first != on


def has_bars(frame):
    return bool((frame == BAR_COLOR).all(-1).all(0).any())


def test_bars_are_new_in_every_frame_and_game_and_follow_the_seed(noisy):
    def seen(player):
        player.reset()
        return [sight(player, NOISE[0]).frame for _ in range(3)]

    player = AgentPlayer.load(noisy, seed=1)
    first, second = seen(player), seen(player)
    assert all(has_bars(frame) for frame in first)
    assert len({frame.tobytes() for frame in first + second}) == 6
    np.testing.assert_array_equal(first, seen(AgentPlayer.load(noisy, seed=1)))
    without = seen(AgentPlayer.load(noisy, bars=False))
    np.testing.assert_array_equal(without, [FrameFormat(20).prepare(NOISE[:1])[0]] * 3)


def test_frames_of_any_size(clean):
    """Prepared ones are taken as they are."""
    player = AgentPlayer.load(clean)
    large = [sight(player, frame).q_values for frame in NOISE]
    player.reset()
    small = [sight(player, frame).q_values for frame in FrameFormat(20).prepare(NOISE)]
    np.testing.assert_array_equal(large, small)


def test_gymnasiums_preprocessing_gives_the_frames_of_training(clean):
    """Of docs/agent.md: the same actions, and the same screens after them."""
    gymnasium.register_envs(ale_py)
    env = gymnasium.make("ALE/MsPacman-v5", frameskip=1, repeat_action_probability=0)
    env = AtariPreprocessing(env, noop_max=0, screen_size=84, grayscale_obs=False)
    game, player, other = AtariGame("mspacman"), AgentPlayer.load(clean), AgentPlayer.load(clean)
    assert env.action_space.n == player.num_actions
    assert tuple(env.unwrapped.get_action_meanings()) == player.action_names
    frame, (observation, _) = game.start(0), env.reset(seed=0)
    for _ in range(20):
        np.testing.assert_array_equal(observation, FrameFormat(84).prepare([frame])[0])
        action = player.act(observation)
        assert action == other.act(FrameFormat(84).prepare([frame])[0])
        frame, (observation, *_) = game.step(action).frame, env.step(action)


def test_what_is_no_agent_or_no_frame_is_refused(clean, tmp_path):
    with refuses(tmp_path / "config.json", "no run folder"):
        AgentPlayer.load(tmp_path)
    with refuses("'keypoints'", "'agent'"):
        AgentPlayer.load(clean / "keypoints")
    with refuses("'agent'", "'keypoints'", clean / "keypoints"):
        KeypointDetector.load(clean)
    player = AgentPlayer.load(clean)
    for frame in (NOISE, NOISE[0] / 255.0, NOISE[0][..., :2]):
        with refuses("a frame must"):
            player.act(frame)
    env = gymnasium.make("CartPole-v1")
    for given in (env.reset(), env.step(env.action_space.sample()), (NOISE[0], {})):
        with refuses("a frame must", "tuple", "observation"):
            player.act(given)
    with refuses("a frame must", "differ in shape"):
        player.act([[1, 2], [3]])
    assert player.last is None
    for rng in (0, 3):  # a seed, as Gymnasium's environments take
        with refuses("rng must be of type Generator, not int", "np.random.default_rng(seed)"):
            player.reset(rng)
    with refuses("bars must be of type bool, not str", "True or False"):
        AgentPlayer.load(clean, bars="none")
    for seed in (-1, 1.5, "x", True):
        with refuses(f"seed={seed!r}", settings=["seed"]):
            AgentPlayer.load(clean, seed=seed)
