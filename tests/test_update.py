"""One update of the whole agent against a plainly written one: loops, graph_nets, Adam by hand."""

import numpy as np
import pytest
import tensorflow as tf

from permakey_tf.configs.agent import AgentConfig, EncoderConfig, LearningConfig
from permakey_tf.models.q_network import build_q_network
from permakey_tf.models.vision import Nodes
from permakey_tf.training.learner import Learner
from permakey_tf.types import SequenceBatch

B, K, F, A = 3, 4, 5, 6
SIZES = {
    "position_units": 8,
    "gnn_units": 8,
    "gnn_decode_units": 8,
    "gnn_output_units": 8,
}


def settings(**changes) -> AgentConfig:
    encoder = {name: changes.pop(name) for name in list(changes) if name.startswith("gnn")}
    learning = {"lstm_units": 8, "window": 4, "n_step": 2, "learning_rate": 1e-2, "polyak": 0.25}
    return AgentConfig(
        encoder=EncoderConfig(**SIZES, **encoder), learning=LearningConfig(**learning | changes)
    )


def make_learner(config, compiled) -> Learner:
    networks = []
    for seed in range(2):  # the target is another network, or following it would not be seen
        tf.keras.utils.set_random_seed(seed)
        network = build_q_network(config, K, A)
        network(Nodes(tf.zeros([1, K, F]), tf.zeros([1, K, 2])), network.initial_state(1))
        networks.append(network)
    others = [v.numpy() for v in networks[1].named_weights.values()]
    learner = Learner(*networks, nodes_of, config.learning, compiled)
    for variable, value in zip(networks[1].named_weights.values(), others, strict=True):
        variable.assign(value)
    return learner


def nodes_of(stored) -> Nodes:
    return Nodes(stored["features"], stored["positions"])


def make_batch(config, seed) -> SequenceBatch:
    rng, length = np.random.default_rng(seed), config.learning.window + config.learning.n_step
    mask = np.ones([B, config.learning.window], np.float32)
    mask[1, 2:] = 0
    discounts = np.full([B, length], 0.9, np.float32)
    discounts[2, 3] = 0  # a game that ends
    final = np.zeros([B, length], bool)
    final[0, 4] = True  # a game that is cut
    return SequenceBatch(
        inputs={
            "features": rng.normal(size=[B, length, K, F]).astype(np.float32),
            "positions": rng.uniform(-1, 1, [B, length, K, 2]).astype(np.float32),
        },
        actions=rng.integers(0, A, [B, length]).astype(np.int32),
        rewards=rng.normal(size=[B, length]).astype(np.float32),
        discounts=discounts,
        final=final,
        mask=mask,
    )


def plain_q_values(network, batch) -> list[list[tf.Tensor]]:
    """[B][T] of float32 [A]: sequence by sequence, step by step, through graph_nets."""
    weights = {n.removeprefix("q_network/"): v for n, v in network.named_weights.items()}
    encoder, rows = network.encoder, []
    length = batch.rewards.shape[1]
    # Batch normalisation sees all frames of the batch.
    everything = {n: v.reshape(B * length, *v.shape[2:]) for n, v in batch.inputs.items()}
    codes = encoder.decode_by_graph_nets(encoder.embed(nodes_of(everything), training=True))
    codes = tf.reshape(codes, [B * length, -1])
    for dense in encoder.outputs:
        codes = dense(codes, training=True)
    for sequence in range(B):
        hidden, cell, row = tf.zeros([8]), tf.zeros([8]), []
        for t in range(length):
            gates = tf.linalg.matvec(
                weights["lstm/kernel"], codes[sequence * length + t], transpose_a=True
            )
            gates += tf.linalg.matvec(weights["lstm/recurrent_kernel"], hidden, transpose_a=True)
            i, f, g, o = tf.split(gates + weights["lstm/bias"], 4)
            cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
            hidden = tf.sigmoid(o) * tf.tanh(cell)
            row.append(
                tf.linalg.matvec(weights["q_values/kernel"], hidden, transpose_a=True)
                + weights["q_values/bias"]
            )
        rows.append(row)
    return rows


def plain_target(batch, online, target, sequence, t, n) -> float:
    """r + discount (r + discount (... V)), from the definition."""
    value = float(target[sequence][t][int(np.argmax(online[sequence][t]))])
    if n == 0 or batch.final[sequence, t]:
        return value
    following = plain_target(batch, online, target, sequence, t + 1, n - 1)
    return batch.rewards[sequence, t] + batch.discounts[sequence, t] * following


class PlainUpdates:
    """What `updates` updates make of a learner's weights."""

    def __init__(self, learner: Learner):
        self.online, self.target, self.config = learner.online, learner.target, learner.config
        self.moments = {name: [0.0, 0.0] for name in self.online.trainable_weights}
        self.number = 0

    def update(self, batch) -> float:
        config, weights = self.config, self.online.trainable_weights
        target = plain_q_values(self.target, batch)
        with tf.GradientTape() as tape:
            online, loss = plain_q_values(self.online, batch), 0.0
            for sequence, t in np.argwhere(batch.mask):
                goal = plain_target(batch, online, target, sequence, t, config.n_step)
                chosen = online[sequence][t][batch.actions[sequence, t]]
                loss += (goal - chosen) ** 2 / 2 / batch.mask.sum()
        gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
        norm = np.sqrt(sum(np.sum(g.numpy() ** 2) for g in gradients.values()))
        self.number += 1
        for name, gradient in gradients.items():
            self._adam(name, weights[name], gradient.numpy() * min(1, config.clip_norm / norm))
        for name, copy in self.target.named_weights.items():
            own = self.online.named_weights[name].numpy()
            copy.assign(copy.numpy() + config.polyak * (own - copy.numpy()))
        return float(loss)

    def _adam(self, name, weight, gradient):
        """Kingma and Ba 2015, the end of section 2."""
        first, second = self.moments[name]
        self.moments[name] = first, second = (
            0.9 * first + 0.1 * gradient,
            0.999 * second + 0.001 * gradient**2,
        )
        rate = self.config.learning_rate * np.sqrt(1 - 0.999**self.number) / (1 - 0.9**self.number)
        weight.assign_sub(rate * first / (np.sqrt(second) + self.config.adam_epsilon))


@pytest.mark.parametrize(
    ("compiled", "changes"),
    [
        (True, {"adam_epsilon": 1e-2}),
        (False, {"clip_norm": 0.05}),
        (False, {"gnn_dense_norm": "batch", "adam_epsilon": 1e-2}),
    ],
    ids=["XLA", "clipped", "batch normalisation"],
)
def test_updates_equal_plainly_written_ones(compiled, changes):
    config = settings(**changes)
    learner, plain = make_learner(config, compiled), PlainUpdates(make_learner(config, False))
    for seed in range(3):
        batch = make_batch(config, seed)
        metrics = learner.update(tf.nest.map_structure(tf.convert_to_tensor, batch))
        assert float(metrics["loss"]) == pytest.approx(plain.update(batch), rel=1e-4)
    for network in ("online", "target"):
        expected = getattr(plain, network).named_weights
        for name, found in getattr(learner, network).named_weights.items():
            np.testing.assert_allclose(
                found, expected[name], rtol=1e-5, atol=1e-5, err_msg=f"{network} {name}"
            )
