"""Encoders, frozen vision and the Q-network."""

import numpy as np
import pytest
import tensorflow as tf
from support import see, tiny_config

from permakey_tf.configs.agent import AgentConfig, EncoderConfig, LearningConfig
from permakey_tf.models.dense import Dense
from permakey_tf.models.encoders import CNNEncoder
from permakey_tf.models.graph import GraphEncoder
from permakey_tf.models.permakey import PermaKey
from permakey_tf.models.q_network import build_q_network
from permakey_tf.models.transporter import Transporter
from permakey_tf.models.vision import MapVision, Nodes, NodeVision, build_vision, window_means
from permakey_tf.ops import spatial
from permakey_tf.ops.images import to_images

K, F, SIZE = 4, 6, 20
TINY = {
    "cnn_filters": (8, 8, 8, 8),
    "cnn_units": 8,
    "position_units": 8,
    "gnn_units": 8,
    "gnn_decode_units": 8,
    "gnn_output_units": 8,
}


def nodes(batch=3, seed=0):
    rng = np.random.default_rng(seed)
    return Nodes(
        tf.constant(rng.normal(size=[batch, K, F]), tf.float32),
        tf.constant(rng.uniform(-1, 1, [batch, K, 2]), tf.float32),
    )


def graph_encoder(**changes):
    tf.keras.utils.set_random_seed(0)
    return GraphEncoder(EncoderConfig(**TINY | changes), K)


class TestGraphEncoder:
    def test_permuted_keypoints_permute_the_decoded_nodes(self):
        encoder, order = graph_encoder(message_passing_steps=2), [2, 0, 3, 1]
        inputs = nodes()
        permuted = Nodes(*(tf.gather(part, order, axis=1) for part in inputs))
        decoded = encoder.decode(encoder.embed(inputs)).numpy()
        assert np.std(decoded, axis=1).max() > 0.1  # or every permutation would fit
        again = encoder.decode(encoder.embed(permuted))
        np.testing.assert_allclose(again, decoded[:, order], atol=1e-5)

    def test_frames_of_a_batch_do_not_mix(self):
        encoder, inputs = graph_encoder(), nodes(5)
        alone = [encoder(Nodes(*(part[i : i + 1] for part in inputs))) for i in range(5)]
        np.testing.assert_allclose(encoder(inputs), np.concatenate(alone), atol=1e-5)

    @pytest.mark.parametrize("steps", [1, 2])
    def test_every_variable_receives_a_gradient(self, steps):
        encoder = graph_encoder(message_passing_steps=steps)
        encoder(nodes())
        trained = {n: v for n, v in encoder.named_weights.items() if v.trainable}
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(encoder(nodes(8)) ** 2)
        for name, gradient in tape.gradient(loss, trained).items():
            assert gradient is not None, name
            # Edges start at zero: the first kernel that sees them has nothing to multiply.
            if "encode_edge/dense_0/kernel" not in name:
                assert np.any(gradient.numpy() != 0), name

    @pytest.mark.parametrize(("norm", "others"), [("none", 0), ("batch", 3 * 4)])
    def test_it_names_all_its_variables(self, norm, others):
        encoder = graph_encoder(gnn_dense_norm=norm)
        encoder(nodes())
        # 2 + 2 dense layers of positions and outputs; 5 MLPs of 2 dense and a normalisation
        assert len(encoder.named_weights) == 4 * 2 + 5 * (2 * 2 + 2) + others
        assert set(map(id, encoder.named_weights.values())) == set(map(id, encoder.variables))

    @pytest.mark.parametrize("self_edges", [True, False])
    @pytest.mark.parametrize("steps", [1, 3])
    def test_the_fast_path_is_what_graph_nets_computes(self, steps, self_edges):
        encoder = graph_encoder(message_passing_steps=steps, self_edges=self_edges)
        encoder(nodes())
        for i, (name, variable) in enumerate(encoder.named_weights.items()):
            if name.endswith(("gamma", "beta")):  # ones and zeros would hide where they belong
                drawn = np.random.default_rng(i).uniform(-0.3, 0.3, variable.shape)
                variable.assign_add(drawn.astype(np.float32))
        vectors, trained = encoder.embed(nodes(5, seed=1)), encoder.trainable_variables
        results = []
        for decode in (encoder.decode, encoder.decode_by_graph_nets):
            with tf.GradientTape() as tape:
                tape.watch(vectors)
                decoded = decode(vectors)
                # No square: the norm of a normalised vector has no gradient.
                loss = tf.reduce_sum(decoded * np.sin(np.arange(8 * K)).reshape(K, 8))
            zero = tf.UnconnectedGradients.ZERO
            gradients = tape.gradient(loss, [vectors, *trained], unconnected_gradients=zero)
            results.append([decoded, *gradients])
        assert np.std(results[0][0], axis=1).max() > 0.1
        for fast, defined in zip(*results, strict=True):
            np.testing.assert_allclose(fast, defined, rtol=1e-4, atol=1e-4)

    def test_the_second_step_reads_what_the_first_wrote(self):
        # The output of two steps differs from one step's, and is not one step done twice.
        one, two = graph_encoder(), graph_encoder(message_passing_steps=2)
        inputs = nodes(1)
        one(inputs), two(inputs)
        for name, copy in two.named_weights.items():
            copy.assign(one.named_weights[name])
        vectors = one.encode_node(one.embed(inputs)[0])
        edges = {(i, j): one.encode_edge(tf.zeros([1, 1])) for i in range(K) for j in range(K)}
        for _ in range(2):
            edges = {
                (i, j): one.process_edge(graph_net_edge(edge, vectors[i], vectors[j]))
                for (i, j), edge in edges.items()
            }
            totals = [tf.add_n([edges[i, j] for j in range(K)]) for i in range(K)]
            vectors = tf.concat(
                [one.process_node(graph_net_node(totals[i], vectors[i])) for i in range(K)], axis=0
            )
        expected = one.decode_node(vectors)[None]
        decoded = two.decode(two.embed(inputs))
        np.testing.assert_allclose(decoded, expected, atol=1e-5)
        assert np.abs(decoded - one.decode(one.embed(inputs))).max() > 1e-2

    def test_messages_equal_a_naive_loop(self):
        encoder, inputs = graph_encoder(self_edges=False), nodes(1)
        encoder(inputs)
        vectors = encoder.encode_node(encoder.embed(inputs)[0])
        edge = encoder.encode_edge(tf.zeros([1, 1]))
        updated = []
        for i in range(K):  # eq. 4: e'_ij = f_e([v_i, v_j, e_ij]), v'_i = f_v([v_i, sum e'])
            messages = [
                encoder.process_edge(graph_net_edge(edge, vectors[i], vectors[j]))
                for j in range(K)
                if j != i
            ]
            total = tf.add_n(messages)
            updated.append(encoder.process_node(graph_net_node(total, vectors[i])))
        expected = encoder.decode_node(tf.concat(updated, axis=0))
        np.testing.assert_allclose(encoder.decode(encoder.embed(inputs))[0], expected, atol=1e-5)


class TestTheAuthorsSettings:
    def test_the_hidden_layer_of_positions_has_its_own_size(self):
        encoder = graph_encoder(position_hidden_units=11, position_units=3)
        encoder(nodes())
        shapes = {name: tuple(v.shape) for name, v in encoder.named_weights.items()}
        assert shapes["graph_encoder/position_hidden/kernel"] == (2, 11)
        assert shapes["graph_encoder/position/kernel"] == (11, 3)
        assert shapes["graph_encoder/encode_node/dense_0/kernel"] == (F + 3, 8)

    def test_batch_normalisation_by_hand(self):
        dense = Dense(2, momentum=0.9, name="dense", epsilon=0.0)
        inputs = np.array([[1.0], [2.0], [6.0]], np.float32)
        dense(inputs)
        dense.w.assign([[1.0, -1.0]])
        dense.gamma.assign([2.0, 1.0])
        dense.beta.assign([0.5, 0.0])
        # Mean 3, variance 14 / 3; the moving variance takes 14 / 2, as the fused operation does.
        scaled = (inputs[:, 0] - 3) / np.sqrt(14 / 3)
        expected = np.maximum(np.stack([2 * scaled + 0.5, -scaled], axis=1), 0)
        np.testing.assert_allclose(dense(inputs, training=True), expected, rtol=1e-5)
        np.testing.assert_allclose(dense.moving_mean, [0.3, -0.3], rtol=1e-5)
        np.testing.assert_allclose(dense.moving_variance, [0.9 + 0.7, 0.9 + 0.7], rtol=1e-5)
        moved = 2 * (6 - 0.3) / np.sqrt(1.6) + 0.5
        assert dense(inputs[2:])[0, 0].numpy() == pytest.approx(moved, rel=1e-5)

    @pytest.mark.parametrize(("init", "deviation"), [("sonnet", 1 / 8), ("glorot", None)])
    def test_weights_are_drawn_as_sonnet_draws_them(self, init, deviation):
        encoder = graph_encoder(gnn_init=init, gnn_units=64)
        encoder(nodes())
        weights = encoder.named_weights
        kernel = weights["graph_encoder/encode_node/dense_1/kernel"].numpy()
        bias = weights["graph_encoder/encode_node/dense_1/bias"].numpy()
        if init == "sonnet":  # a normal distribution of 1 / sqrt(64), cut at two deviations
            assert np.abs(kernel).max() <= 2 * deviation and not bias.any()
            assert kernel.std() == pytest.approx(0.88 * deviation, rel=0.05)
        else:  # uniform up to sqrt(6 / 128)
            assert 0.2 < np.abs(kernel).max() <= np.sqrt(6 / 128) and bias.any()


def graph_net_edge(edge, receiver, sender):
    """graph_nets concatenates edge, receiver, sender."""
    return tf.concat([edge, receiver[None], sender[None]], axis=-1)


def graph_net_node(received, node):
    """graph_nets concatenates received edges and the node."""
    return tf.concat([received, node[None]], axis=-1)


def test_cnn_encoder_of_paper_sizes():
    encoder = CNNEncoder(EncoderConfig())
    assert encoder(tf.zeros([2, 42, 42, 64])).shape == (2, 128)
    kernels = [v.shape for v in encoder.trainable_variables if v.path.endswith("kernel")]
    assert kernels[0] == (3, 3, 64, 128)
    assert kernels[-1] == (21 * 21 * 128, 128)


class TestWindowMeans:
    def test_by_hand(self):
        features = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
        windows = np.array([[[[0.1, 0.9], [0.5, 0.1]], [[0.2, 0.1], [0.0, 0.1]]]], np.float32)
        means = window_means(features, windows, 0.2)
        # Window 0 exceeds 0.2 at (0, 1) and (1, 0), window 1 at (0, 0).
        np.testing.assert_allclose(means[0], [[(2 + 4) / 2, (3 + 5) / 2], [0, 1]])

    def test_an_empty_window_gives_zeros_and_finite_gradients(self):
        features = tf.Variable(tf.ones([1, 2, 2, 3]))
        with tf.GradientTape() as tape:
            means = window_means(features, tf.zeros([1, 2, 2, 1]), 0.2)
            loss = tf.reduce_sum(means**2)
        np.testing.assert_array_equal(means, np.zeros([1, 1, 3]))
        assert np.all(np.isfinite(tape.gradient(loss, features)))


@pytest.fixture(scope="module", params=["permakey", "transporter"])
def keypoint_model(request):
    model = {"permakey": PermaKey, "transporter": Transporter}[request.param]
    return model(tiny_config(method=request.param, soft_argmax="joint", logit_scale=30), SIZE, 3)


def frames(batch=5):
    return np.random.default_rng(0).integers(0, 256, [batch, SIZE, SIZE, 3], np.uint8)


class TestVision:
    def test_what_is_sensed_equals_keypoints_and_features_apart(self, keypoint_model):
        sensed, _ = keypoint_model.sense_whole(frames())
        keypoints, images = keypoint_model.locate(sensed.evidence), to_images(frames())
        np.testing.assert_allclose(
            keypoints.centers_yx, keypoint_model(images).centers_yx, atol=1e-6
        )
        np.testing.assert_allclose(sensed.features, keypoint_model.features(images), atol=1e-6)

    def test_permakeys_features_are_the_last_chosen_layers(self):
        model = PermaKey(tiny_config(lsp_layers=(0, 1)), SIZE, 3)
        images = to_images(frames())
        np.testing.assert_allclose(model.features(images), model.vae.encoder(images)[1], atol=1e-6)

    def test_stored_nodes_equal_recomputed_ones(self, keypoint_model):
        vision = NodeVision(keypoint_model, EncoderConfig(gauss_std=0.2))
        stored = see(vision, frames())[0]
        for name, column in vision.columns.items():
            assert stored[name].shape[1:] == column.shape
            assert stored[name].dtype == column.dtype
        alone = [see(vision, frames()[i : i + 1])[0] for i in range(5)]
        for name, values in stored.items():
            recomputed = np.concatenate([one[name] for one in alone])
            np.testing.assert_allclose(values, recomputed, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("std", [None, 0.4])
    def test_nodes_are_means_within_windows_of_the_agents_width(self, keypoint_model, std):
        """Against a loop over pixels; exp(-d^2 / s^2) >= 0.2 where d <= 1.2686 s."""
        stored = see(NodeVision(keypoint_model, EncoderConfig(gauss_std=std)), frames())[0]
        images = to_images(frames())
        keypoints, features = keypoint_model(images), keypoint_model.features(images)
        side = features.shape[1]
        grid = np.linspace(-1, 1, side)
        for b, centers in enumerate(keypoints.centers_yx.numpy()):
            for k, (y, x) in enumerate(centers):
                inside = [
                    features[b, i, j]
                    for i in range(side)
                    for j in range(side)
                    if np.hypot(grid[i] - y, grid[j] - x) <= 1.26864 * (std or 0.1)
                ]
                expected = np.mean(inside, axis=0) if inside else np.zeros(features.shape[-1])
                np.testing.assert_allclose(stored["features"][b, k], expected, atol=1e-4)

    @pytest.mark.parametrize("mask", ["soft", "binary"])
    def test_stored_frames_give_the_masked_features(self, keypoint_model, mask):
        vision = MapVision(keypoint_model, EncoderConfig(encoder="cnn", cnn_mask=mask))
        stored = see(vision, frames())[0]
        assert set(stored) == {"frame", "positions"}
        images = to_images(frames())
        keypoints, features = keypoint_model(images), keypoint_model.features(images)
        windows = spatial.gaussian_windows(keypoints.centers_yx, features.shape[1], 0.1)
        total = np.sum(windows, axis=-1, keepdims=True)
        expected = features * (total if mask == "soft" else (total >= 0.2).astype(np.float32))
        np.testing.assert_allclose(vision.prepare(stored), expected, rtol=1e-3, atol=1e-4)

    def test_windows_may_be_wider_than_the_keypoint_runs(self, keypoint_model):
        narrow, wide = (
            np.count_nonzero(
                MapVision(
                    keypoint_model, EncoderConfig(encoder="cnn", cnn_mask="binary", gauss_std=std)
                ).prepare({"frame": frames(), "positions": np.zeros([5, 3, 2], np.float32)})
            )
            for std in (0.1, 0.4)
        )
        assert narrow < wide


@pytest.mark.parametrize("encoder", ["cnn", "gnn"])
def test_unrolling_at_once_equals_step_by_step(encoder, keypoint_model):
    config = AgentConfig(
        encoder=EncoderConfig(encoder=encoder, **TINY), learning=LearningConfig(lstm_units=8)
    )
    vision = build_vision(keypoint_model, config.encoder)
    observed = vision.prepare(see(vision, frames(6))[0])
    network = build_q_network(config, 3, num_actions=5)
    whole = network(observed, network.initial_state(2), length=3)
    assert whole.q_values.shape == (2, 3, 5)
    state, steps = network.initial_state(2), []
    for t in range(3):
        now = tf.nest.map_structure(lambda x, t=t: tf.gather(x, [t, 3 + t]), observed)
        output = network(now, state, length=1)
        state = output.state
        steps.append(output.q_values[:, 0])
    np.testing.assert_allclose(whole.q_values, np.stack(steps, axis=1), atol=1e-5)
    np.testing.assert_allclose(whole.state.cell, state.cell, atol=1e-5)
