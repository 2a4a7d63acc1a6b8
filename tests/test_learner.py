"""The update on a small decision process with known values, Polyak averaging, exploration."""

import itertools
import types

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from permakey_tf.configs.agent import AgentConfig, EncoderConfig, LearningConfig
from permakey_tf.data.replay import SequenceReplay
from permakey_tf.models.q_network import RecurrentQNetwork, build_q_network
from permakey_tf.models.vision import Nodes
from permakey_tf.runs import checkpoint
from permakey_tf.training.learner import Learner
from permakey_tf.types import Column, SequenceBatch

STATES, ACTIONS, GAMMA, N = 4, 2, 0.8, 3


class OneHot(snt.Module):
    """Encoder of a state's number."""

    mixes_frames = False
    named_weights = types.MappingProxyType({})

    def __call__(self, states, training=False):
        return tf.one_hot(states, STATES)


def walk(state, action):
    """Action 1 goes right, 0 left; beyond the last state the game is won. -> state, reward, over"""
    if action == 1 and state == STATES - 1:
        return state, 1.0, True
    return int(np.clip(state + (1 if action else -1), 0, STATES - 1)), 0.0, False


def exact_values():
    """Q [S, A]: the fixed point of uncorrected n-step targets of uniformly random behaviour.

    The first action is given, the next n - 1 are the behaviour's, then the greedy value follows.
    """
    q_values = np.zeros([STATES, ACTIONS])
    for _ in range(500):
        new = np.zeros_like(q_values)
        for start, first in itertools.product(range(STATES), range(ACTIONS)):
            for rest in itertools.product(range(ACTIONS), repeat=N - 1):
                state, total, scale = start, 0.0, 1.0
                for action in (first, *rest):
                    state, reward, over = walk(state, action)
                    total, scale = total + scale * reward, scale * GAMMA
                    if over:
                        break
                else:
                    total += scale * q_values[state].max()
                new[start, first] += total / ACTIONS ** (N - 1)
        q_values = new
    return q_values


def make_learner(**changes):
    config = LearningConfig(gamma=GAMMA, n_step=N, lstm_units=16, **changes)
    keras.utils.set_random_seed(0)
    networks = [RecurrentQNetwork(OneHot(), 16, ACTIONS) for _ in range(2)]
    for network in networks:
        network(tf.zeros([1], tf.int32), network.initial_state(1))
    return Learner(*networks, prepare=lambda stored: stored["state"], config=config)


def list_of(network):
    return list(network.named_weights.values())


def fill(folder, num_steps=4000, limit=60):
    """Random play; a time limit cuts games, and is no end."""
    rng = np.random.default_rng(0)
    replay = SequenceReplay(folder, {"state": Column((), np.dtype(np.int32))}, 10**6, 0)
    episode = played = 0
    state = 0
    for _ in range(num_steps):
        action = int(rng.integers(ACTIONS))
        following, reward, over = walk(state, action)
        replay.append({"state": state}, action, reward, over, episode)
        state, played = following, played + 1
        if not over and played == limit:
            replay.append({"state": state}, -1, 0.0, False, episode)
        if over or played == limit:
            state, played, episode = int(rng.integers(STATES)), 0, episode + 1
    return replay


def test_q_values_of_a_small_process_are_learned(tmp_path):
    learner = make_learner(learning_rate=5e-3, polyak=0.05, batch_size=32)
    replay, rng = fill(tmp_path), np.random.default_rng(1)
    for _ in range(900):
        batch = replay.sample(rng, 32, 8, N, GAMMA)
        learner.update(tf.nest.map_structure(tf.convert_to_tensor, batch))
    online = learner.online
    q_values = online(tf.range(STATES), online.initial_state(STATES)).q_values[:, 0]
    expected = exact_values()
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(q_values, expected, atol=0.04)


def test_the_target_starts_as_a_copy_and_follows_by_polyak_averaging(tmp_path):
    learner = make_learner(polyak=0.25)
    for copy, original in zip(list_of(learner.target), list_of(learner.online), strict=True):
        np.testing.assert_array_equal(copy, original)
    before = [weight.numpy() for weight in list_of(learner.target)]
    batch = fill(tmp_path, 200).sample(np.random.default_rng(0), 16, 8, N, GAMMA)
    learner.update(tf.nest.map_structure(tf.convert_to_tensor, batch))
    for old, copy, original in zip(
        before, list_of(learner.target), list_of(learner.online), strict=True
    ):
        np.testing.assert_allclose(copy, 0.75 * old + 0.25 * original.numpy(), atol=1e-6)
    moved = [
        np.abs(old - original).max()
        for old, original in zip(before, list_of(learner.online), strict=True)
    ]
    assert max(moved) > 1e-5


def test_gradients_are_clipped_to_the_global_norm(tmp_path):
    learner = make_learner(clip_norm=1e-3)
    learner.optimizer = keras.optimizers.SGD(1.0)
    learner.optimizer.build(list_of(learner.online))
    before = [weight.numpy() for weight in list_of(learner.online)]
    batch = fill(tmp_path, 200).sample(np.random.default_rng(0), 16, 8, N, GAMMA)
    norm = learner.update(tf.nest.map_structure(tf.convert_to_tensor, batch))["gradient_norm"]
    assert float(norm) > 1e-3
    moved = np.sqrt(
        sum(
            np.sum((weight.numpy() - old) ** 2)
            for weight, old in zip(list_of(learner.online), before, strict=True)
        )
    )
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_epsilon_falls_linearly_over_all_steps_and_stays():
    config = LearningConfig(num_steps=100)
    values = [config.epsilon(step) for step in (0, 50, 100, 1000)]
    assert values == pytest.approx([1.0, 0.55, 0.1, 0.1])
    short = LearningConfig(num_steps=100, epsilon_steps=10)
    assert short.epsilon(10) == pytest.approx(0.1)


def agent_networks(kind: str):
    """Config, shapes that are stored, what the encoder reads of them, network of a seed."""
    encoder = {"position_units": 8, "gnn_units": 8, "gnn_decode_units": 8, "gnn_output_units": 8}
    if kind == "cnn":
        encoder = {"encoder": "cnn", "cnn_filters": (4, 4, 4, 4), "cnn_units": 8}
    elif kind == "gnn, batch normalisation":
        encoder["gnn_dense_norm"] = "batch"
    learning = {"lstm_units": 8, "window": 3, "n_step": 1, "learning_rate": 1e-2, "polyak": 0.25}
    config = AgentConfig(encoder=EncoderConfig(**encoder), learning=LearningConfig(**learning))
    shapes = [(12, 12, 5)] if kind == "cnn" else [(3, 5), (3, 2)]

    def read(stored):
        parts = [stored[str(number)] for number in range(len(shapes))]
        return parts[0] if kind == "cnn" else Nodes(*parts)

    def make(seed):
        tf.keras.utils.set_random_seed(seed)
        network = build_q_network(config, 3, 4)
        blank = read({str(n): np.zeros([1, *shape], np.float32) for n, shape in enumerate(shapes)})
        network(blank, network.initial_state(1))
        return network

    return config, shapes, read, make


@pytest.mark.parametrize("kind", ["gnn", "gnn, batch normalisation", "cnn"])
class TestEveryVariableOfAnAgent:
    """Keras does not see Sonnet's variables, nor Sonnet Keras's: none may be forgotten."""

    def learner(self, kind, first_seed=0):
        config, shapes, read, make = agent_networks(kind)
        learner = Learner(make(first_seed), make(first_seed + 1), read, config.learning)
        rng, size = np.random.default_rng(0), (2, 4)
        batch = SequenceBatch(
            {str(n): rng.normal(size=[*size, *s]).astype("f") for n, s in enumerate(shapes)},
            rng.integers(0, 4, size).astype(np.int32),
            rng.normal(size=size).astype(np.float32),
            np.full(size, 0.9, np.float32),
            np.zeros(size, bool),
            np.ones([2, 3], np.float32),
        )
        return learner, batch

    def test_is_trained_and_followed(self, kind):
        learner, batch = self.learner(kind)
        online, target = learner.online.named_weights, learner.target.named_weights
        assert set(online) == set(target) and len(online) > 10
        for _ in range(3):  # a bias behind a ReLU may be at rest in the first
            before = {name: v.numpy() for name, v in target.items()}
            old = {name: v.numpy() for name, v in online.items()}
            learner.update(batch)
            for name, copy in target.items():
                expected = before[name] + 0.25 * (online[name].numpy() - before[name])
                if "moving" in name:  # its own batch has moved it before
                    assert np.any(copy.numpy() != before[name]), name
                    continue
                np.testing.assert_allclose(copy.numpy(), expected, atol=1e-6, err_msg=name)
        still = [name for name, v in online.items() if np.array_equal(v.numpy(), old[name])]
        assert still == [name for name in online if name.endswith("encode_edge/dense_0/kernel")]

    def test_is_saved_and_restored(self, kind, tmp_path):
        learner, batch = self.learner(kind)
        learner.update(batch)
        path = tmp_path / "latest.npz"
        checkpoint.save(path, checkpoint.to_arrays(learner.variables))
        fresh, _ = self.learner(kind, first_seed=7)
        checkpoint.assign(fresh.variables, checkpoint.load(path), path)
        for one in (learner, fresh):
            one.update(batch)
        mine, theirs = map(checkpoint.to_arrays, (learner.variables, fresh.variables))
        assert set(mine) == set(theirs)
        for name, array in mine.items():
            np.testing.assert_array_equal(theirs[name], array, err_msg=name)
