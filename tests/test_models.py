"""One conformance table over every model, and what each loss may reach."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import tiny_config

from permakey_tf.configs.keypoints import METHODS, KeypointConfig
from permakey_tf.models import build
from permakey_tf.models.lspn import LSPNs
from permakey_tf.models.permakey import PermaKey
from permakey_tf.models.pointnet import Localised, PointNet
from permakey_tf.models.pursuit import Pursuit
from permakey_tf.models.transporter import Transporter
from permakey_tf.models.vae import VAE
from permakey_tf.ops import losses, spatial
from permakey_tf.ops.images import to_images
from permakey_tf.runs import checkpoint

SIZE = 20


def images(batch=3, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.uniform(size=[batch, SIZE, SIZE, channels]), tf.float32)


def make_vae(**changes):
    return VAE(tiny_config(**changes).vae, SIZE, 3)


def make_lspn(**changes):
    return LSPNs(tiny_config(**changes).lspn, (4, 8, 8, 8))


def make_pointnet(**changes):
    config = tiny_config(**changes).pointnet
    return PointNet(config, config.stack)


def make_transporter(**changes):
    return Transporter(tiny_config(method="transporter", **changes), SIZE, 3)


def pairs(batch=3, seed=0):
    return tf.stack([images(batch, seed=seed), images(batch, seed=seed + 100)], axis=1)


def encoder_features(batch):
    return [
        tf.abs(tf.random.stateless_normal([batch, s, s, c], [1, s]))
        for s, c in ((20, 4), (10, 8), (5, 8), (5, 8))
    ]


# name: (make, inputs of a batch, one float tensor of the outputs, trainable variables).
# A block has kernel, gamma and beta.
MODELS = {
    # 4 encoder blocks, posterior (2), decoder: dense 1, norm 2, 3 blocks, output 2
    "vae": (make_vae, images, lambda out: out.reconstructions, 4 * 3 + 2 + 3 + 9 + 2),
    # dense 1, 5 blocks, output conv 2, norm 2
    "vae, code's decoder": (
        lambda: make_vae(decoder="code"), images, lambda out: out.reconstructions,
        4 * 3 + 2 + 2 + 5 * 3 + 2 + 2,
    ),
    # per layer: 3 kernels, bias of the last, 2 norms
    "lspn": (make_lspn, encoder_features, lambda out: out[1].error_map, 2 * (3 + 1 + 4)),
    "lspn, 4 layers": (
        lambda: make_lspn(lsp_depth="4-layer"), encoder_features, lambda out: out[1].error_map,
        2 * (4 + 1 + 6),
    ),
    "pointnet": (
        make_pointnet, lambda b: images(b, 2), lambda out: out.logits,
        4 * 3 + 2,
    ),
    "permakey": (
        lambda: PermaKey(tiny_config(), SIZE, 3), images, lambda out: out.centers_yx,
        (4 * 3 + 2 + 3 + 9 + 2) + 2 * 8 + (4 * 3 + 2),
    ),
    "permakey, pursuit": (
        lambda: PermaKey(tiny_config(extractor="pursuit"), SIZE, 3), images,
        lambda out: out.centers_yx, (4 * 3 + 2 + 3 + 9 + 2) + 2 * 8,
    ),
    # extractor, keypointer with its regressor, refine net of 3 blocks and the output
    "transporter": (
        make_transporter, images, lambda out: out.centers_yx, 4 * 3 + (4 * 3 + 2) + 3 * 3 + 2,
    ),
    # as above with a block more, and a norm behind the output
    "transporter, code's refine net": (
        lambda: make_transporter(refine_net="code"), images, lambda out: out.centers_yx,
        4 * 3 + (4 * 3 + 2) + 4 * 3 + 2 + 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
class TestConformance:
    def test_trainable_variables(self, name):
        make, inputs, _, count = MODELS[name]
        model = make()
        model(inputs(2))
        assert len(model.trainable_variables) == count
        assert len({v.path for v in model.variables}) == len(model.variables)

    def test_graph_equals_eager_for_any_batch_size(self, name):
        make, inputs, pick, _ = MODELS[name]
        model = make()
        function = tf.function(lambda x: pick(model(x)), reduce_retracing=True)
        for batch in (1, 3, 4):
            eager = pick(model(inputs(batch)))
            np.testing.assert_allclose(function(inputs(batch)), eager, rtol=1e-4, atol=1e-5)

    def test_save_and_restore_into_a_fresh_object(self, name, tmp_path):
        make, inputs, pick, _ = MODELS[name]
        keras.utils.set_random_seed(1)
        model, fresh = make(), make()
        before = pick(model(inputs(2)))
        assert np.any(np.abs(pick(fresh(inputs(2))) - before) > 1e-6)
        tables = [checkpoint.named_variables({"m": m.variables}) for m in (model, fresh)]
        checkpoint.save(tmp_path / "m.npz", {n: np.asarray(v) for n, v in tables[0].items()})
        checkpoint.assign(tables[1], checkpoint.load(tmp_path / "m.npz"), tmp_path / "m.npz")
        np.testing.assert_array_equal(pick(fresh(inputs(2))), before)


def test_every_variable_receives_a_gradient():
    model = PermaKey(tiny_config(), SIZE, 3)
    with tf.GradientTape() as tape:
        losses = model.compute_losses(images(4), seed=tf.constant([0, 1]), training=True)
        total = tf.add_n(list(losses.by_module.values()))
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(total, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.any(gradient.numpy() != 0), variable.path


# ------------------------------------------------------------------------------------- pursuit


def make_pursuit(num_keypoints=2, **changes):
    config = tiny_config(num_keypoints=num_keypoints, extractor="pursuit", **changes)
    return Pursuit(config.pointnet, config.pursuit, 24, 2)


def spots(*places, cells=12):
    """A map of cells as it is enlarged to the frame, each place (row, column, height): [24, 24]."""
    image = np.zeros([cells, cells], np.float32)
    for row, column, height in places:
        image[row, column] = height
    return image.repeat(2, 0).repeat(2, 1)


def test_the_background_is_the_median_of_each_cell_and_usual_the_mean_above_it():
    layer = make_pursuit()
    frames = np.stack([spots((2, 3, h)) for h in (0.2, 1.0, 0.4)])
    # Of two layers' maps the mean counts.
    cells = layer.cells(np.stack([frames, 0 * frames], -1))
    layer.calibrate(cells.numpy())
    expected = np.zeros([12, 12])
    expected[2, 3] = 0.2
    np.testing.assert_allclose(layer.background, expected, atol=1e-6)
    # Above it is the second frame alone, 0.3 spread over nine cells: a third of it in the mean.
    expected[1:4, 2:5] = 0.3 / 9 / 3
    np.testing.assert_allclose(layer.usual, expected, atol=1e-6)


def test_confidence_is_how_much_brighter_a_place_is_than_usual():
    layer = make_pursuit(gauss_std=0.3)
    layer.usual.assign(np.where(np.arange(12) < 6, 0.15, 0.0)[None].repeat(12, 0))
    maps = spots((5, 2, 0.9), (5, 9, 0.9))[None, ..., None]  # smoothed: 0.1 each
    keypoints = layer(maps)
    columns = np.sign(keypoints.centers_yx.numpy()[0, :, 1])
    assert sorted(columns) == [-1, 1]
    expected = np.where(columns < 0, 0.1 / (0.1 + 0.15 + 0.05), 0.1 / (0.1 + 0.05))
    np.testing.assert_allclose(keypoints.confidence[0], expected, atol=1e-3)


@pytest.mark.parametrize("rounding", [-1e-6, 0.0, 1e-6])
def test_between_two_cells_what_is_usual_is_that_of_the_one_before(rounding):
    """Where two cells are equally bright the keypoint is half way, and rounding must not decide."""
    layer = make_pursuit()
    usual = np.random.default_rng(0).random([12, 12], np.float32)
    half_way = (layer.coordinates[4] + layer.coordinates[5]) / 2 + rounding
    center = np.array([[[half_way, layer.coordinates[7]]]], np.float32)
    assert layer._at(usual, center).numpy().item() == usual[4, 7]


def test_where_nothing_is_left_there_is_no_confidence():
    keypoints = make_pursuit()(np.zeros([2, 24, 24, 1], np.float32))
    assert not keypoints.centers_yx.numpy().any() and not keypoints.confidence.numpy().any()


def test_what_always_stands_there_takes_no_keypoint():
    """A bright score that never moves, and two dimmer things that do."""

    def thing(row, column, height):
        return [(row + y, column + x, height) for y in (-1, 0, 1) for x in (-1, 0, 1)]

    score = thing(1, 6, 1.0)
    places = [
        [(4, 2), (9, 9)],
        [(7, 2), (4, 9)],
        [(10, 2), (6, 9)],
        [(5, 5), (9, 7)],
        [(8, 5), (4, 10)],
    ]
    frames = [spots(*score, *thing(*one, 0.6), *thing(*two, 0.5)) for one, two in places]
    frames = np.stack(frames)[..., None]
    for background, finds_the_score in (("median", False), ("none", True)):
        layer = make_pursuit(pursuit_background=background, gauss_std=0.3)
        layer.calibrate(layer.cells(frames).numpy())
        found = layer(frames).centers_yx.numpy()
        nearest = np.abs(found[:, :, None] - layer.coordinates[np.array(places)][:, None])
        on_things = (nearest.max(-1) < 2 / 12).any(1)  # [frames, things]
        assert on_things.all() != finds_the_score


def test_bars_and_their_ends_take_no_keypoint_unless_they_may():
    things, bars = [(4, 3), (8, 8), (3, 9), (9, 4), (6, 6)], [6, 1, 3, 7, 9]
    cells = np.zeros([5, 12, 12], np.float32)
    for image, (y, x), bar in zip(cells, things, bars, strict=True):
        image[:, bar : bar + 3] = 0.6
        image[[0, -1], bar : bar + 3] = 1.0  # bright where it meets the border
        image[y - 1 : y + 2, x - 1 : x + 2] = 0.4
    frames = cells.repeat(2, 1).repeat(2, 2)[..., None]
    for changes, found_it in (
        ({}, [True] * 5),
        ({"pursuit_lines": "none", "pursuit_border": 1.0}, [False] * 5),
    ):
        layer = make_pursuit(1, gauss_std=0.3, pursuit_background="none", **changes)
        center = layer(frames).centers_yx.numpy()[:, 0]
        distance = np.abs(center - layer.coordinates[np.array(things)]).max(-1)
        assert (distance < 2 / 12).tolist() == found_it


def test_confidence_of_every_method_is_between_0_and_1():
    for changes in ({}, {"extractor": "pursuit"}, {"method": "transporter"}):
        model = build.build_model(tiny_config(gauss_std=0.4, **changes), SIZE, 3, seed=0)
        keypoints = model(images(3))
        assert keypoints.confidence.shape == keypoints.centers_yx.shape[:2] == (3, 3)
        confidence = keypoints.confidence.numpy()
        assert (confidence >= 0).all() and (confidence <= 1).all() and np.ptp(confidence) > 0


def test_an_agent_sees_the_features_of_the_chosen_layer():
    seen = {}
    for layer in (None, 0, 2):
        model = build.build_model(tiny_config(lsp_layers=[0], feature_layer=layer), SIZE, 3, seed=0)
        frames = np.random.default_rng(0).integers(0, 256, [2, SIZE, SIZE, 3], np.uint8)
        sensed, _ = model.sense_whole(frames)
        found, seen_images = model.locate(sensed.evidence), to_images(frames)
        np.testing.assert_array_equal(sensed.features, model.features(seen_images))
        np.testing.assert_array_equal(found.centers_yx, model(seen_images).centers_yx)
        seen[layer] = sensed.features.shape
    assert seen == {None: (2, 20, 20, 4), 0: (2, 20, 20, 4), 2: (2, 5, 5, 8)}


def test_confidence_of_transporter_is_how_much_of_the_softmax_is_within_the_window():
    model = make_transporter(soft_argmax="joint", logit_scale=1)
    logits = np.full([1, 8, 8, 1], -50.0, np.float32)
    logits[0, 2, 3, 0] = 0.0
    sure = model._keypoints(Localised(spatial.soft_argmax(logits, "joint"), logits))
    np.testing.assert_allclose(sure.confidence, [[1.0]], atol=1e-5)
    logits[0, 6, 3, 0] = 0.0  # two places, as likely: the centre is between them, on neither
    torn = model._keypoints(Localised(spatial.soft_argmax(logits, "joint"), logits))
    assert torn.confidence.numpy() < 0.01


def test_every_method_of_the_settings_has_a_model():
    assert set(build.MODELS) == set(METHODS)
    for method in METHODS:
        model = build.build_model(tiny_config(method=method), SIZE, 3)
        assert isinstance(model, build.MODELS[method]) and model.name == method


def test_which_methods_have_error_maps():
    config = tiny_config()
    model = build.build_model(config, SIZE, 3)
    assert model.error_map_layers == config.lspn.lsp_layers
    assert model.error_maps(images(2)).shape == [2, SIZE, SIZE, len(config.lspn.lsp_layers)]
    other = build.build_model(tiny_config(method="transporter"), SIZE, 3)
    assert other.error_map_layers == ()


def test_a_model_is_drawn_from_its_seed():
    one, same, another = (
        build.build_model(tiny_config(), SIZE, 3, seed)(images(2)).centers_yx.numpy()
        for seed in (3, 3, 4)
    )
    assert np.array_equal(one, same) and not np.allclose(one, another)


@pytest.mark.parametrize("module", ["vae", "lspn", "pointnet"])
def test_each_loss_reaches_its_module_and_no_other(module):
    model = PermaKey(tiny_config(), SIZE, 3)
    with tf.GradientTape() as tape:
        loss = model.compute_losses(images(4), seed=tf.constant([0, 1]), training=True).by_module
        loss = loss[module]
    gradients = tape.gradient(loss, {n: m.trainable_variables for n, m in model.modules.items()})
    reached = {n for n, group in gradients.items() if any(g is not None for g in group)}
    assert reached == {module}


@pytest.mark.parametrize(("window_margin", "pixels"), [(0.0, 0), (0.5, 5)])  # 19 pixels: 2 sides
def test_beyond_the_frame_the_error_maps_are_zero(window_margin, pixels):
    model = PermaKey(tiny_config(window_margin=window_margin, overlap_weight=0.5), SIZE, 3)
    found = model.compute_losses(images(2)).metrics
    maps, centers = model.error_maps(images(2)).numpy(), model(images(2)).centers_yx.numpy()
    grid = -1 + np.arange(-pixels, SIZE + pixels) * 2 / (SIZE - 1)
    error, overlap = [], []
    for b, i, j in np.ndindex(2, len(grid), len(grid)):
        y, x = i - pixels, j - pixels
        inside = 0 <= y < SIZE and 0 <= x < SIZE
        target = maps[b, y, x] if inside else np.zeros(maps.shape[-1])
        squared = ((np.array([grid[i], grid[j]]) - centers[b]) ** 2).sum(-1)
        windows = np.exp(-squared / model.config.pointnet.gauss_std**2)
        union = 1 - np.prod(1 - windows)
        joined = windows.sum() if model.config.pointnet.window_join == "sum" else union
        error.append((joined - target) ** 2)
        overlap.append(windows.sum() - union)
    assert found["pointnet_error"].numpy() == pytest.approx(np.mean(error), rel=1e-4)
    assert found["pointnet_overlap"].numpy() == pytest.approx(np.mean(overlap), rel=1e-3)


def test_only_coordinates_tell_two_equal_objects_apart():
    image = np.zeros([1, 64, 64, 2], np.float32)
    image[0, 20:24, 16:20] = image[0, 40:44, 36:40] = 1.0  # 20 pixels apart: 5 cells of the logits
    for coordinates in (False, True):
        logits = make_pointnet(pointnet_coordinates=coordinates)(image).logits[0].numpy()
        equal = np.allclose(logits[4:7, 3:6], logits[9:12, 8:11], atol=1e-6)
        assert equal is not coordinates


def test_a_pointnet_learns_to_lie_on_what_is_bright():
    rng, std, size = np.random.default_rng(0), 0.3, 24
    places = tf.constant(rng.uniform(-0.8, 0.8, [96, 1, 2]), tf.float32)
    maps = spatial.gaussian_windows(places, size, std)
    net = make_pointnet(num_keypoints=1, soft_argmax="joint", logit_scale=10)
    adam = keras.optimizers.Adam(5e-3)

    @tf.function
    def step(maps):
        with tf.GradientTape() as tape:
            windows = spatial.gaussian_windows(net(maps, training=True).centers_yx, size, std)
            loss = losses.map_reconstruction(maps, windows, "union", 0.0).loss
        adam.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        return loss

    net(maps[:1])
    adam.build(net.trainable_variables)
    first, *_, last = [float(step(maps[:64])) for _ in range(80)]
    assert last < 0.2 * first
    found = net(maps[64:], training=True).centers_yx  # places that it has not seen
    assert np.abs(found - places[64:]).mean() < 0.1


class TestTransporter:
    def test_every_variable_receives_a_gradient(self):
        model = make_transporter(soft_argmax="joint")
        with tf.GradientTape() as tape:
            loss = model.compute_losses(pairs(4), training=True).by_module["transporter"]
        for variable, gradient in zip(
            model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
        ):
            assert gradient is not None, variable.path
            assert np.any(gradient.numpy() != 0), variable.path

    def test_no_gradient_passes_through_the_first_frame(self):
        model, examples = make_transporter(soft_argmax="joint"), pairs(4)
        with tf.GradientTape() as tape:
            tape.watch(examples)
            loss = model.compute_losses(examples, training=True).by_module["transporter"]
        gradient = tape.gradient(loss, examples).numpy()
        assert np.all(gradient[:, 0] == 0)
        assert np.all(np.any(gradient[:, 1] != 0, axis=(1, 2, 3)))

    def test_the_loss_is_the_error_of_the_second_frame(self):
        model, examples = make_transporter(), pairs(4)
        _, reconstruction = model.reconstruct(examples)
        expected = np.mean((reconstruction - examples[:, 1]) ** 2)
        losses = model.compute_losses(examples)
        assert float(losses.selection) == pytest.approx(expected, rel=1e-5)

    def test_keypoints_are_those_of_the_second_frame(self):
        model, examples = make_transporter(), pairs(4)
        view = model.view(examples)
        np.testing.assert_allclose(
            view.keypoints.centers_yx, model(examples[:, 1]).centers_yx, atol=1e-6
        )
        np.testing.assert_array_equal(view.images, examples[:, 1])
        np.testing.assert_array_equal(view.panels["first frame"], examples[:, 0])

    def test_paper_sizes(self):
        filters = KeypointConfig().transporter.transporter_filters
        model = Transporter(tiny_config(method="transporter", transporter_filters=filters), 84, 3)
        assert model.features(tf.zeros([1, 84, 84, 3])).shape == (1, 42, 42, 32)
        kernels = [v.shape for v in model.refine_net.trainable_variables if "kernel" in v.path]
        # The transpose of 3 -> 16 -> 16 -> 32 -> 32 (ICLR app. A.2.2).
        expected = [(3, 3, 32, 32), (3, 3, 32, 16), (3, 3, 16, 16), (3, 3, 16, 3)]
        assert sorted(map(tuple, kernels)) == sorted(expected)

    def test_the_codes_refine_net_has_its_filters(self):
        model = Transporter(tiny_config(method="transporter", refine_net="code"), SIZE, 3)
        outputs = [v.shape[-1] for v in model.refine_net.trainable_variables if "kernel" in v.path]
        assert outputs == [128, 128, 64, 32, 3]
        assert model.reconstruct(pairs(2))[1].shape == (2, SIZE, SIZE, 3)

    @pytest.mark.parametrize("network", ["refine net", "decoder of the VAE"])
    def test_the_codes_networks_normalise_what_the_sigmoid_sees(self, network):
        net, shape = make_transporter(refine_net="code").refine_net, [4, 10, 10, 8]
        if network != "refine net":
            net, shape = make_vae(decoder="code").decoder, [4, 4]
        inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        logits = net(inputs, training=True).numpy()
        assert logits.shape == (4, SIZE, SIZE, 3)
        np.testing.assert_allclose(logits.mean((0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(logits.std((0, 1, 2)), 1, atol=0.05)


def test_moving_statistics_follow_the_batch_in_training_only():
    model = PermaKey(tiny_config(batch_norm_momentum=0.5), SIZE, 3)
    norm = model.vae.encoder.blocks[0].norm
    conv = model.vae.encoder.blocks[0].conv(images(4))
    model.compute_losses(images(4))
    assert np.all(norm.moving_mean.numpy() == 0)
    model.compute_losses(images(4), seed=tf.constant([0, 1]), training=True)
    np.testing.assert_allclose(norm.moving_mean, 0.5 * np.mean(conv, (0, 1, 2)), rtol=1e-3)
    variance = np.var(conv, axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(norm.moving_variance, 0.5 + 0.5 * variance, rtol=1e-3)


def naive_lspn(network, features, patch_size, epsilon=1e-3):
    """[B, H, W, C] -> predictions in training and the last norm's inputs, patch by patch."""
    batch, height, width, channels = features.shape
    p, rows, columns = patch_size, -(-height // patch_size), -(-width // patch_size)
    whole = (slice(None), slice(height // p), slice(width // p))
    padded = np.zeros([batch, (rows + 2) * p, (columns + 2) * p, channels])
    padded[:, p : p + height, p : p + width] = features
    outputs = np.empty([batch, rows, columns, 8 * p * p * channels])
    centre = np.zeros([3 * p, 3 * p], bool)
    centre[p : 2 * p, p : 2 * p] = True
    for b, row, column in np.ndindex(batch, rows, columns):
        window = padded[b, row * p : (row + 3) * p, column * p : (column + 3) * p]
        outputs[b, row, column] = window[~centre].ravel()
    outputs = outputs @ network.first.kernel.numpy()
    for norm, dense in zip(network.norms, [*network.hidden, network.last], strict=True):
        inputs, counted = outputs, outputs[whole].reshape(-1, outputs.shape[-1])
        scaled = (inputs - counted.mean(0)) / np.sqrt(counted.var(0) + epsilon)
        hidden = np.maximum(scaled * norm.gamma.numpy() + norm.beta.numpy(), 0)
        outputs = hidden @ dense.kernel.numpy()[0, 0]
    return outputs + network.last.bias.numpy(), counted


@pytest.mark.parametrize(("height", "width"), [(6, 4), (5, 4), (4, 7), (5, 7)])
def test_lspn_statistics_are_those_of_whole_patches(height, width):
    network = make_lspn(lsp_layers=(0,)).networks[0]
    features = np.random.default_rng(0).uniform(size=[3, height, width, 4]).astype(np.float32)
    features[:, -1] *= 3  # what an odd side's last patches hold is unlike the rest
    features[:, :, -1] *= 3
    network(features)
    expected, counted = naive_lspn(network, features, 2)
    np.testing.assert_allclose(network(features, training=True), expected, atol=1e-4)
    norm, moved = network.norms[-1], 1 - network.norms[-1].momentum
    np.testing.assert_allclose(norm.moving_mean, moved * counted.mean(0), rtol=1e-3, atol=1e-6)
    variance = counted.var(0, ddof=1)
    np.testing.assert_allclose(norm.moving_variance, 1 - moved + moved * variance, rtol=1e-4)


def test_error_maps_are_aligned_and_in_range_for_odd_layers():
    # 20 pixels: layers 2 and 3 have 5 features, which p = 2 does not divide.
    model = PermaKey(tiny_config(lsp_layers=(0, 1, 2, 3)), SIZE, 3)
    maps = model.error_maps(images(2)).numpy()
    assert maps.shape == (2, SIZE, SIZE, 4)
    assert maps.min() == 0.0
    assert maps.max() == 1.0
    # Layer 3: stride 4, patches of 2: cells of 8 pixels, the last one cut to 4.
    cells = maps[0, :, :, 3]
    for start, stop in ((0, 8), (8, 16), (16, 20)):
        block = cells[start:stop, start:stop]
        assert np.all(block == block[0, 0])


def test_a_constant_frame_gives_no_nan():
    model = PermaKey(tiny_config(), SIZE, 3)
    frames = tf.zeros([2, SIZE, SIZE, 3])
    assert np.all(np.isfinite(model(frames).centers_yx))
    losses = model.compute_losses(frames, seed=tf.constant([0, 0]), training=True)
    assert all(np.isfinite(loss) for loss in losses.by_module.values())


def make_method(method, size=SIZE, channels=3, **changes):
    return build.build_model(tiny_config(method=method, **changes), size, channels)


def examples_for(model, batch=2):
    """Random ones, frames or pairs of the model's size."""
    shape = [batch, *model.example_shape]
    return tf.constant(np.random.default_rng(0).uniform(size=shape), tf.float32)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_reaches_every_layer_and_keeps_weights_in_float32(method):
    model = make_method(method, precision="bfloat16")
    # keras.Sequential has a policy of its own, but computes nothing itself.
    layers = [
        x for x in model._flatten_layers() if x.weights and not isinstance(x, keras.Sequential)
    ]
    assert {layer.compute_dtype for layer in layers} == {"bfloat16"}
    assert {v.dtype for v in model.variables} == {"float32"}
    examples = examples_for(model)
    view = model.view(examples)
    assert view.keypoints.centers_yx.dtype == tf.float32
    assert {panel.dtype for panel in view.panels.values()} == {tf.float32}
    losses = model.compute_losses(examples, seed=tf.constant([0, 0]), training=True)
    assert {loss.dtype for loss in losses.by_module.values()} == {tf.float32}


@pytest.mark.parametrize("method", METHODS)
def test_greyscale_and_other_sizes(method):
    model = make_method(method, size=32, channels=1)
    examples = examples_for(model)
    view = model.view(examples)
    assert view.keypoints.centers_yx.shape == (2, 3, 2)
    assert view.images.shape == view.panels["reconstruction"].shape == (2, 32, 32, 1)
    for name, panel in view.panels.items():
        assert panel.shape[:3] == (2, 32, 32), name
    losses = model.compute_losses(examples, seed=tf.constant([0, 0]), training=True)
    assert all(np.isfinite(loss) for loss in losses.by_module.values())


class TestSelection:
    """What early stopping compares."""

    def test_with_pursuit_is_the_share_of_the_features_variance_that_the_lspn_leaves(self):
        model = make_method("permakey", extractor="pursuit", lsp_layers=(0, 1))
        losses = model.compute_losses(examples := examples_for(model))
        shares = []
        for layer, features in enumerate(model.vae.encoder(examples)[:2]):
            variance = features.numpy().var(axis=(0, 1, 2)).mean()
            shares.append(float(losses.metrics[f"lspn_error_layer_{layer}"]) / variance)
        assert float(losses.selection) == pytest.approx(np.mean(shares), rel=1e-5)

    @pytest.mark.parametrize(("selection", "factor"), [("loss", 9), ("unexplained", 1)])
    def test_features_that_grow_change_the_loss_and_not_the_share(self, selection, factor):
        """As they do while the VAE learns, here with an LSPN that predicts them as well."""
        settings = {"extractor": "pursuit", "lsp_layers": (0,), "selection": selection}
        model = make_method("permakey", **settings)
        before = float(model.compute_losses(examples := examples_for(model)).selection)
        norm, lspn = model.vae.encoder.blocks[0].norm, model.lspn.networks[0]
        for variable, scale in (
            (norm.gamma, 3.0),
            (norm.beta, 3.0),
            (lspn.first.kernel, 1 / 3),
            (lspn.last.kernel, 3.0),
            (lspn.last.bias, 3.0),
        ):
            variable.assign(scale * variable)
        after = float(model.compute_losses(examples).selection)
        assert after == pytest.approx(factor * before, rel=1e-4)

    def test_features_that_are_constant_are_no_success(self):
        model = make_method("permakey", extractor="pursuit", lsp_layers=(0,))
        gamma = model.vae.encoder.blocks[0].norm.gamma
        gamma.assign(tf.zeros_like(gamma))
        assert float(model.compute_losses(examples_for(model)).selection) == 1
        beta = model.vae.encoder.blocks[0].norm.beta
        beta.assign(tf.ones_like(beta) * 0.123)  # of such values rounding leaves a variance
        assert float(model.compute_losses(examples_for(model)).selection) == 1

    def test_features_that_are_no_numbers_stay_so(self):
        model = make_method("permakey", extractor="pursuit", lsp_layers=(0,))
        beta = model.vae.encoder.blocks[0].norm.beta
        beta.assign(tf.ones_like(beta) * np.nan)
        assert np.isnan(float(model.compute_losses(examples_for(model)).selection))

    @pytest.mark.parametrize("selection", [None, "unexplained"])
    def test_with_pointnet_is_the_sum_of_both_losses_or_of_the_share_and_pointnets(self, selection):
        model = make_method("permakey", lsp_layers=(0,), selection=selection)
        losses = model.compute_losses(examples := examples_for(model))
        lspn, pointnet = (float(losses.by_module[name]) for name in ("lspn", "pointnet"))
        if selection:
            lspn /= model.vae.encoder(examples)[0].numpy().var(axis=(0, 1, 2)).mean()
        assert float(losses.selection) == pytest.approx(lspn + pointnet, rel=1e-5)


def test_every_frames_pursued_map_is_shown_as_bright_as_its_error_map():
    """It is dim: nobody would see anything of it."""
    model = make_method("permakey", extractor="pursuit")
    panels = model.view(examples_for(model)).panels
    for name in ("error map 0", "pursued map"):
        np.testing.assert_allclose(np.max(panels[name], axis=(1, 2)), 1, rtol=1e-6)
        assert np.min(panels[name]) == 0


def test_paper_sizes():
    model = PermaKey(tiny_config(**paper_settings()), 84, 3)
    shapes = {v.path: tuple(v.shape) for v in model.variables}
    by_name = {p: s for p, s in shapes.items() if "lspn" in p and p.endswith("kernel")}
    sizes = sorted(tuple(s[-2:]) for s in by_name.values())
    # 8ppC -> 512 -> 256 -> ppC with C = 32 and 64, p = 2 (ICLR app. A.2.1).
    assert sizes == sorted(
        [(1024, 512), (512, 256), (256, 128), (2048, 512), (512, 256), (256, 256)]
    )
    assert model.vae.encoder(tf.zeros([1, 84, 84, 3]))[1].shape == (1, 42, 42, 64)


def paper_settings():
    config = KeypointConfig()
    return {
        "vae_filters": config.vae.vae_filters,
        "pointnet_filters": config.pointnet.pointnet_filters,
        "lsp_hidden_sizes": config.lspn.lsp_hidden_sizes,
        "latent_dim": config.vae.latent_dim,
    }


def test_same_seed_same_weights_in_another_process(tmp_path):
    code = (
        "import json, numpy as np, keras; keras.utils.set_random_seed(3);"
        "from support import tiny_config; from permakey_tf.models.permakey import PermaKey;"
        "m = PermaKey(tiny_config(), 20, 3);"
        "print(json.dumps([float(np.sum(v)) for v in m.variables]))"
    )
    here = Path(__file__).parent
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=here, env={**_environment(here)},
            capture_output=True, text=True, check=True,
        ).stdout
        for _ in range(2)
    ]  # fmt: skip
    assert json.loads(outputs[0]) == json.loads(outputs[1])


def _environment(here):
    import os

    return os.environ | {"PYTHONPATH": f"{here.parent}:{here}"}
