"""What the authors' modules give on given weights and frames, ours must give too.

parity.json holds a few numbers of every output of the authors' released code, and its mean absolute
value. Weights and inputs come from the formulas below; docs/parity.md has the comparison at full
size. Where the package differs on purpose, a test says what it leaves out.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf
from support import tiny_config

from permakey_tf.configs.agent import EncoderConfig
from permakey_tf.configs.keypoints import TrainingConfig
from permakey_tf.models import graph
from permakey_tf.models.dense import named_weights
from permakey_tf.models.encoders import CNNEncoder
from permakey_tf.models.lspn import LSPN
from permakey_tf.models.permakey import PermaKey
from permakey_tf.models.q_network import RecurrentQNetwork
from permakey_tf.models.transporter import Transporter
from permakey_tf.models.vision import Nodes, window_means
from permakey_tf.ops import losses, returns, spatial
from permakey_tf.training.adam import Adam
from permakey_tf.training.keypoints import learning_rate_schedule

EXPECTED = json.loads(Path(__file__).with_name("parity.json").read_text())["values"]
SIZE, BATCH, NUM_KEYPOINTS = 20, 2, 3
# The authors' architectures; the latents and the frame are small.
SETTINGS = {
    "vae_filters": (32, 64, 64, 128),
    "pointnet_filters": (32, 64, 64, 128),
    "transporter_filters": (16, 16, 32, 32),
    "lsp_hidden_sizes": (512, 256),
    "lsp_depth": "4-layer",
    "decoder": "code",
    "elbo": "mean",
    "refine_net": "code",
    "soft_argmax": "marginal",
    "logit_scale": 1.0,
    "pointnet_coordinates": False,
    "window_join": "sum",
    "overlap_weight": 0.0,
}
MODES = pytest.mark.parametrize("mode", ["inference", "training"])


def wave(shape, seed, scale=1.0, offset=0.0) -> np.ndarray:
    """float32 [*shape], row by row offset + scale * sin(i^1.5 + seed), i from 1 on."""
    i = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.float64)
    return (offset + scale * np.sin(i**1.5 + seed)).reshape(shape).astype(np.float32)


def fill(layers, first=0):
    """Assigns weights by formula to the layers of a network, in the order of its data flow.

    The n-th layer with a kernel, counted from `first` + 1, has the seed 10 n, and so has the
    normalisation behind it. A bias in front of a normalisation is zero.
    """
    number = first
    norms = [hasattr(layer, "gamma") for layer in [*layers[1:], None]]
    for layer, normalised in zip(layers, norms, strict=True):
        sonnet = isinstance(layer, snt.Module)
        named = named_weights(layer) if sonnet else {v.path: v for v in layer.variables}
        number += any(path.endswith("/kernel") for path in named)
        for path, variable in named.items():
            name, shape, seed = path.split("/")[-1], variable.shape, 10.0 * number
            if name in ("kernel", "recurrent_kernel"):
                scale = 2 / np.sqrt(np.prod(shape[:-1]))
                variable.assign(wave(shape, seed + 6 * (name != "kernel"), scale))
            elif name == "bias":
                variable.assign(wave(shape, seed + 5, 0.0 if normalised else 0.1))
            elif name in NORM_WEIGHTS:
                variable.assign(wave(shape, seed + 1 + list(NORM_WEIGHTS).index(name),
                                     *NORM_WEIGHTS[name]))  # fmt: skip


# scale and offset of the waves; their seeds follow in this order
NORM_WEIGHTS = {
    "gamma": (0.2, 1.0),
    "beta": (0.2, 0.0),
    "moving_mean": (0.2, 0.0),
    "moving_variance": (0.5, 1.0),
}


def conv_layers(stack):
    return [layer for block in stack.blocks for layer in (block.conv, block.norm)]


def sequential_layers(net):
    blocks = [
        [layer.conv, layer.norm] if hasattr(layer, "conv") else [layer] for layer in net.layers
    ]
    return [layer for block in blocks for layer in block if layer.variables]


def lspn_layers(network):
    dense = [network.first, *network.hidden]
    pairs = [layer for pair in zip(dense, network.norms, strict=True) for layer in pair]
    return [*pairs, network.last]


def check(name, values, atol=2e-5):
    """Shape, mean absolute value and up to six values spread over an output."""
    values, expected = np.asarray(values, np.float64), EXPECTED[name]
    assert list(values.shape) == expected["shape"], name
    picked = values.ravel()[np.linspace(0, values.size - 1, min(6, values.size)).astype(int)]
    np.testing.assert_allclose(picked, expected["values"], rtol=1e-4, atol=atol, err_msg=name)
    assert np.abs(values).mean() == pytest.approx(expected["mean_abs"], rel=1e-4), name


def frames():
    return wave([BATCH, SIZE, SIZE, 3], 1, 0.5, 0.5)


def pairs():
    return np.stack([frames(), wave([BATCH, SIZE, SIZE, 3], 4, 0.5, 0.5)], axis=1)


@pytest.fixture(scope="module")
def made_permakey():
    return PermaKey(tiny_config(**SETTINGS, gauss_std=0.12), SIZE, 3)


@pytest.fixture
def permakey(made_permakey):
    vae, pointnet = made_permakey.vae, made_permakey.extractor_layer
    fill([*conv_layers(vae.encoder), vae.posterior_parameters])
    fill(sequential_layers(vae.decoder), 20)
    for i, network in enumerate(made_permakey.lspn.networks):
        fill(lspn_layers(network), 30 + 10 * i)
    fill([*conv_layers(pointnet.encoder), pointnet.regressor], 80)
    return made_permakey


@pytest.fixture(scope="module")
def made_transporter():
    return Transporter(tiny_config(**SETTINGS, gauss_std=0.1, method="transporter"), SIZE, 3)


@pytest.fixture
def transporter(made_transporter):
    keypointer = made_transporter.keypointer
    fill(conv_layers(made_transporter.extractor))
    fill([*conv_layers(keypointer.encoder), keypointer.regressor], 20)
    fill(sequential_layers(made_transporter.refine_net), 40)
    return made_transporter


class TestPermaKey:
    @MODES
    def test_encoder(self, permakey, mode):
        features, posterior = permakey.vae.encode(frames(), training=mode == "training")
        for i, values in enumerate(features):
            check(f"encoder/{mode}/features_{i}", values)
        check(f"encoder/{mode}/mean", posterior.mean())
        check(f"encoder/{mode}/std", posterior.stddev())
        if mode == "training":
            norm = permakey.vae.encoder.blocks[3].norm
            check("encoder/moving_mean", norm.moving_mean)
            check("encoder/moving_variance", norm.moving_variance)

    @MODES
    def test_decoder(self, permakey, mode):
        latents = wave([BATCH, 4], 2)
        check(f"decoder/{mode}", permakey.vae.decode(latents, training=mode == "training"))

    @MODES
    @pytest.mark.parametrize("layer", [0, 2])
    def test_lspn(self, permakey, mode, layer):
        features = permakey.vae.encoder(frames())[layer]
        network = LSPN(permakey.config.lspn, features.shape[-1])
        network(features)
        fill(lspn_layers(network), 30 + 10 * layer)
        whole = features.shape[1] // 2  # of an odd map the authors' code drops the last patches
        predicted = network(features, training=mode == "training")[:, :whole, :whole]
        check(f"lspn/{mode}/layer_{layer}", predicted)

    @MODES
    def test_pointnet(self, permakey, mode):
        maps = wave([BATCH, SIZE, SIZE, 2], 3, 0.5, 0.5)
        centers = permakey.extractor_layer(maps, training=mode == "training").centers_yx
        check(f"pointnet/{mode}/centers", centers)
        check(f"pointnet/{mode}/windows", permakey.windows(centers, SIZE // 4))

    def test_from_frames_to_keypoints(self, permakey):
        check("permakey/error_maps", permakey.error_maps(frames()))
        check("permakey/centers", permakey(frames()).centers_yx)
        check("permakey/reconstruction", permakey.vae(frames()).reconstructions)

    @MODES
    def test_losses(self, permakey, mode):
        found = permakey.compute_losses(frames(), training=mode == "training")
        constant = 0.5 * np.log(2 * np.pi * 0.1)  # of the likelihood: theirs leaves it out
        metrics = found.metrics
        check(f"permakey/{mode}/nll", metrics["vae_negative_log_likelihood"] - constant)
        check(f"permakey/{mode}/kl", metrics["vae_kl"])
        check(f"permakey/{mode}/lspn", found.by_module["lspn"])

    def test_map_reconstruction_at_the_codes_resolution(self, permakey):
        predictions = permakey.lspn(permakey.vae(frames(), training=True).features, training=True)
        maps = permakey._join_maps([prediction.error_map for prediction in predictions])
        windows = permakey.windows(
            permakey.extractor_layer(maps, training=True).centers_yx, SIZE // 4
        )
        windows = spatial.upsample_nearest(windows, 4, SIZE)
        check("permakey/training/pnet", losses.map_reconstruction(maps, windows, "sum", 0.0).loss)

    def test_gradients(self, permakey):
        with tf.GradientTape() as tape:
            by_module = permakey.compute_losses(frames(), training=True).by_module
            total = by_module["vae"] + by_module["lspn"]
        first, last = permakey.vae.encoder.blocks[0].conv, permakey.lspn.networks[1].last
        gradients = tape.gradient(total, [first.kernel.value, last.kernel.value])
        check("permakey/gradient/encoder", gradients[0], atol=1e-4)
        check("permakey/gradient/lspn", gradients[1][0, 0], atol=1e-7)


class TestTransporter:
    def test_from_frames_to_a_frame(self, transporter):
        first, second = pairs()[:, 0], pairs()[:, 1]
        features, centers = transporter.features(second), transporter(second).centers_yx
        side = SIZE // 2
        windows = transporter.windows(centers, side)
        windows_a = transporter.windows(transporter(first).centers_yx, side)
        moved = spatial.transport(transporter.features(first), features, windows_a, windows)
        check("transporter/features", features)
        check("transporter/centers", centers)
        check("transporter/windows", windows)
        check("transporter/transported", moved)
        check("transporter/reconstruction", transporter.reconstruct(pairs())[1])
        check("transporter/inference/loss", transporter.compute_losses(pairs()).selection)

    def test_training(self, transporter):
        norm = transporter.refine_net.get_layer("norm")
        kernels = {
            "extractor": transporter.extractor.blocks[0].conv.kernel.value,
            "keypointer": transporter.keypointer.regressor.kernel.value,
            "refine_net": norm.gamma.value,
        }
        with tf.GradientTape() as tape:
            loss = transporter.compute_losses(pairs(), training=True).selection
        check("transporter/training/loss", loss)
        for name, gradient in tape.gradient(loss, kernels).items():
            check(f"transporter/gradient/{name}", gradient, atol=1e-7)
        check("transporter/moving_variance", norm.moving_variance)


class TestAgent:
    @pytest.fixture
    def seen(self):
        """Features, centres, and the windows of the authors' agent."""
        centers = tf.constant(wave([BATCH, NUM_KEYPOINTS, 2], 6, 0.9))
        features = tf.constant(np.abs(wave([BATCH, SIZE // 2, SIZE // 2, 32], 5)))
        return features, centers, spatial.gaussian_windows(centers, SIZE // 2, 0.15)

    @MODES
    def test_convolutional_encoder(self, seen, mode):
        features, _, windows = seen
        encoder = CNNEncoder(EncoderConfig(cnn_filters=(8,) * 4, cnn_units=16))
        masked = features * tf.cast(spatial.join_windows(windows) >= 0.2, tf.float32)[..., None]
        encoder(masked)
        fill([*conv_layers(encoder.convolutions), encoder.dense], 10)
        check(f"cnn/{mode}", encoder(masked, training=mode == "training"))

    def test_graph_encoder_without_normalisation(self, seen, monkeypatch):
        features, centers, windows = seen
        config = EncoderConfig(position_units=64, gnn_units=32, gnn_decode_units=64)
        encoder = graph.GraphEncoder(config, NUM_KEYPOINTS)
        inputs = Nodes(window_means(features, windows, 0.2), centers)
        check("nodes", inputs.features)
        encoder(inputs)
        # BatchNorm there, LayerNorm here: compared without either.
        monkeypatch.setattr(graph.MLP, "__call__", graph.MLP.before_norm)
        monkeypatch.setattr(graph.MLP, "normalized_sum", lambda mlp, x, _: tf.reduce_sum(x, axis=2))
        mlps = ("encode_edge", "encode_node", "process_edge", "process_node", "decode_node")
        groups = {100: [encoder.position_hidden, encoder.position_embedding]}
        groups[120] = encoder.outputs
        groups |= {200 + 10 * i: getattr(encoder, name).linears for i, name in enumerate(mlps)}
        for first, layers in groups.items():
            fill(layers, first)
        check("gnn/nodes", encoder.decode(encoder.embed(inputs)), atol=1e-4)
        check("gnn/output", encoder(inputs), atol=1e-4)

    def test_recurrent_network(self):
        network = RecurrentQNetwork(keras.layers.Identity(), lstm_units=16, num_actions=5)
        codes = np.stack([wave([BATCH, 16], 7 + step) for step in range(3)], axis=1)
        inputs, start = tf.reshape(codes, [-1, 16]), network.initial_state(BATCH)
        network(inputs, start, length=3)
        fill([network.lstm, network.head], 150)
        found = network(inputs, start, length=3)
        check("q/values", found.q_values)
        check("q/hidden", found.state.hidden)
        check("q/cell", found.state.cell)

    def test_double_q_loss(self):
        q_values, target, selector = (wave([1, 6, 4], 8 + i) for i in range(3))
        rewards, discounts = wave([1, 6], 12), np.float32([[0.99, 0.99, 0, 0.99, 0.99, 0]])
        targets = rewards + discounts * returns.double_q_values(selector, target)
        actions = np.array([[0, 1, 2, 3, 1, 2]])
        loss, errors = returns.td_loss(q_values, actions, targets, np.ones([1, 6], np.float32))
        check("td/loss", loss)
        check("td/error", errors[0])


class TestOptimizer:
    def test_decay_of_the_learning_rate(self):
        training = TrainingConfig(decay_rate=0.85, decay_steps=10_000)
        schedule = learning_rate_schedule(2e-4, training, 10**6)
        check("decay", [schedule(step) for step in (0, 9_999, 10_000, 25_000, 100_000)], atol=0)

    def test_three_steps_of_adam(self):
        variable, adam = keras.Variable(wave([6], 13)), Adam(2e-4)
        adam.build([variable])
        for step in range(3):
            adam.apply([tf.constant(wave([6], 14 + step, 1e-3))], [variable])
        check("adam", variable, atol=1e-6)
