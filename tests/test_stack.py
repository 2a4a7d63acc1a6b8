"""What our code relies on in other libraries, where they do otherwise than one would guess.

A test here fails when a new version of a library behaves differently: then the workaround that
docs/stack.md names can be changed or dropped, and the page's row with it.
"""

import re
from pathlib import Path

import cv2
import gymnasium
import imageio.v2 as imageio
import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf
from ale_py import Action, ALEInterface, AtariVectorEnv, LoggerMode, roms
from graph_nets import graphs, modules, utils_tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from permakey_tf.configs.agent import EncoderConfig
from permakey_tf.models.conv import BatchNorm
from permakey_tf.models.graph import GraphEncoder

ROOT = Path(__file__).parents[1]


def emulator(rom, sticky=0.0):
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setInt("random_seed", 0)
    ale.setFloat("repeat_action_probability", sticky)
    ale.loadROM(roms.get_rom_path(rom))
    ale.reset_game()
    return ale


def act(ale, action, times):
    for _ in range(times):
        ale.act(action)


def future(ale, action=Action.NOOP, length=20):
    """The emulator's memory after each of the next frames, as one string of bytes."""
    memory = []
    for _ in range(length):
        ale.act(action)
        memory.append(ale.getRAM().tobytes())
    return b"".join(memory)


def random_future(ale, length=60):
    actions, rng = ale.getMinimalActionSet(), np.random.default_rng(1)
    screens = []
    for choice in rng.integers(len(actions), size=length):
        ale.act(actions[choice])
        screens.append(ale.getScreenRGB().tobytes())
    return screens


# -------------------------------------------------------------------------- ale-py and gymnasium


def test_a_restored_emulator_still_shows_the_later_screen_until_it_acts():
    ale = emulator("ms_pacman")
    act(ale, Action.NOOP, 300)
    state, memory, screen = ale.cloneState(), ale.getRAM(), ale.getScreenRGB()
    act(ale, Action.LEFT, 100)
    later = ale.getScreenRGB()
    ale.restoreState(state)
    np.testing.assert_array_equal(ale.getRAM(), memory)
    np.testing.assert_array_equal(ale.getScreenRGB(), later)
    assert (later != screen).any()


@pytest.mark.parametrize(("rom", "forgets"), [("elevator_action", "restore"), ("qbert", "reset")])
def test_neither_a_reset_nor_restoring_the_first_state_forgets_everything(rom, forgets):
    """One of the two is enough for each game; which one depends on the game. Both always are."""
    ale = emulator(rom)
    first_state = ale.cloneState(include_rng=True)
    ways = {
        "reset": [ale.reset_game],
        "restore": [lambda: ale.restoreState(first_state)],
        "both": [ale.reset_game, lambda: ale.restoreState(first_state)],
    }
    start = random_future(ale)
    for name, calls in ways.items():
        act(ale, Action.RIGHT, 400)
        for call in calls:
            call()
        assert (random_future(ale) == start) == (name in (forgets, "both")), name


def test_a_state_lacks_the_action_that_a_sticky_emulator_may_repeat():
    ale, differing = emulator("breakout", sticky=0.25), 0
    for _ in range(20):
        act(ale, Action.FIRE, 20)
        state, futures = ale.cloneState(include_rng=True), set()
        for past in (Action.LEFT, Action.RIGHT):
            act(ale, past, 4)
            ale.restoreState(state)
            futures.add(future(ale))
        differing += len(futures) - 1
    assert differing > 0


def test_a_reset_forgets_the_action_that_may_be_repeated():
    ale = emulator("breakout", sticky=0.25)
    for _ in range(20):
        act(ale, Action.FIRE, 20)
        state, futures = ale.cloneState(include_rng=True), set()
        for past in (Action.LEFT, Action.RIGHT):
            act(ale, past, 4)
            ale.reset_game()
            ale.restoreState(state)
            futures.add(future(ale))
        assert len(futures) == 1


def test_screens_have_210_rows_in_most_games_only():
    heights = {"ms_pacman": 210, "carnival": 214, "pooyan": 220, "journey_escape": 230}
    heights |= {"air_raid": 250, "adventure": 250}
    assert {rom: emulator(rom).getScreenDims()[0] for rom in heights} == heights


def test_the_emulators_grey_is_the_luma_that_opencv_calculates():
    ale = emulator("ms_pacman")
    act(ale, Action.NOOP, 300)
    grey = cv2.cvtColor(ale.getScreenRGB(), cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(ale.getScreenGrayscale(), grey)


def vector_env(rom, **settings):
    defaults = {"noop_max": 0, "stack_num": 1, "num_threads": 1}
    return AtariVectorEnv(rom, 1, **defaults | settings)


def test_the_vector_environment_takes_grey_first_and_the_maximum_after():
    full_size = {"img_height": 210, "img_width": 160}
    both = [vector_env("ms_pacman", grayscale=grey, **full_size) for grey in (True, False)]
    for env in both:
        env.reset(seed=0)
    differences = []
    for action in np.random.default_rng(0).integers(9, size=[40, 1]):
        grey, color = (env.step(action)[0][0, 0] for env in both)
        grey_of_maximum = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
        differences.append(np.abs(grey.astype(int) - grey_of_maximum).max())
    assert max(differences) > 10
    for env in both:
        env.close()


@pytest.mark.parametrize(("setting", "lives"), [("episodic_life", 5), ("life_loss_info", 4)])
def test_an_episode_of_one_life_restarts_the_whole_game(setting, lives):
    env = vector_env("breakout", **{setting: True})
    env.reset(seed=0)
    ended = False
    while not ended:
        *_, terminated, truncated, info = env.step(np.array([1]))
        ended = terminated[0] or truncated[0]
    assert info["lives"][0] == 4  # of 5
    *_, info = env.step(np.array([1]))
    assert info["lives"][0] == lives
    env.close()


def test_gymnasiums_atari_games_repeat_actions_and_take_no_maximum():
    settings = gymnasium.spec("ALE/MsPacman-v5").kwargs
    assert settings["repeat_action_probability"] == 0.25
    assert settings["frameskip"] == 4
    env = gymnasium.make("ALE/MsPacman-v5", repeat_action_probability=0.0)
    env.reset(seed=0)
    for _ in range(80):
        frame, *_ = env.step(0)
    ale = emulator("ms_pacman")
    act(ale, Action.NOOP, 320)
    np.testing.assert_array_equal(frame, ale.getScreenRGB())


# ------------------------------------------------------------------------------ OpenCV and imageio


def test_area_resizing_averages_no_side_where_the_other_one_grows():
    bright_columns = np.zeros((5, 8, 80), np.uint8)
    bright_columns[range(5), :, range(30, 35)] = 250

    def brightest(height):
        sizes = [cv2.resize(f, (16, height), interpolation=cv2.INTER_AREA) for f in bright_columns]
        return {int(frame.max()) for frame in sizes}

    assert brightest(height=8) == {50}  # only the width changes
    assert brightest(height=16) >= {0, 200}


def test_area_resizing_of_opencv_and_tensorflow_agrees_to_one_level():
    frame = np.random.default_rng(0).integers(0, 256, (210, 160, 3), np.uint8)
    ours = cv2.resize(frame, (84, 84), interpolation=cv2.INTER_AREA).astype(int)
    theirs = np.round(tf.image.resize(frame[None], (84, 84), method="area")[0]).astype(int)
    assert np.abs(ours - theirs).max() == 1
    assert (ours != theirs).mean() < 0.01


def delays(path):
    """Milliseconds that a GIF shows each of its pictures."""
    with imageio.get_reader(path) as reader:
        return [reader.get_meta_data(i)["duration"] for i in range(reader.get_length())]


def test_a_gif_joins_equal_pictures_and_counts_in_hundredths_of_a_second(tmp_path):
    pictures = [np.full((8, 8, 3), 40 * i, np.uint8) for i in range(4)]
    path = tmp_path / "film.gif"
    imageio.mimwrite(path, [pictures[0], *pictures], duration=100, loop=0)
    assert delays(path) == [200, 100, 100, 100]
    for rate, stored in ((15, 60), (30, 30), (60, 10)):
        imageio.mimwrite(path, pictures, duration=1000 / rate, loop=0)
        assert delays(path) == [stored] * 4


@pytest.mark.parametrize(("settings", "height"), [({}, 224), ({"macro_block_size": 2}, 210)])
def test_a_video_is_stretched_to_a_multiple_of_16_unless_told_not_to(tmp_path, settings, height):
    path = tmp_path / "film.mp4"
    with imageio.get_writer(path, fps=15, **settings) as writer:
        writer.append_data(np.zeros((210, 160, 3), np.uint8))
    assert imageio.mimread(path)[0].shape == (height, 160, 3)


# ---------------------------------------------------------------------------- TensorFlow and Keras


class Layers(keras.Model):
    """Two dense layers, kept in a container of the caller's choice."""

    def __init__(self, container):
        super().__init__()
        self.parts = container([keras.layers.Dense(2), keras.layers.Dense(2)])
        for part in tuple(self.parts):
            part.build([None, 2])


@pytest.mark.parametrize(("container", "saved"), [(list, False), (tuple, True)])
def test_checkpoints_leave_out_layers_in_lists_without_a_word(tmp_path, container, saved):
    path = tf.train.Checkpoint(model=Layers(container)).save(tmp_path / "model")
    names = [name for name, _ in tf.train.list_variables(path)]
    assert any("kernel" in name for name in names) == saved
    status = tf.train.Checkpoint(model=Layers(container)).restore(path)
    status.assert_consumed()
    status.assert_existing_objects_matched()
    status.assert_nontrivial_match()


def test_a_models_precision_does_not_reach_the_layers_made_in_it():
    class Model(keras.Model):
        def __init__(self):
            super().__init__(dtype="mixed_bfloat16")
            self.dense = keras.layers.Dense(2)

    assert Model().compute_dtype == "bfloat16"
    assert Model().dense.compute_dtype == "float32"


def test_the_gradient_of_nearest_resizing_does_not_compile_where_up_sampling_does():
    def gradient(enlarge):
        def function(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(enlarge(x) ** 2)
            return tape.gradient(y, x)

        return tf.function(function, jit_compile=True, autograph=False)(tf.ones([1, 2, 2, 1]))

    with pytest.raises(tf.errors.InvalidArgumentError, match="unsupported operations"):
        gradient(lambda x: tf.image.resize(x, (4, 4), method="nearest"))
    np.testing.assert_array_equal(gradient(keras.layers.UpSampling2D(2)), np.full([1, 2, 2, 1], 8))


def moving_variance(layer, inputs):
    """After one batch, with statistics that are the last batch's alone."""
    if isinstance(layer, snt.BatchNorm):
        layer(inputs, is_training=True)
        return layer.moving_variance.value.numpy().item()
    layer(inputs, training=True)
    return float(layer.moving_variance[0])


def test_moving_variances_divide_by_n_or_by_n_less_1():
    values = np.array([1, 2, 4, 9], np.float32)
    population, sample = values.var(), values.var(ddof=1)

    def sonnet():
        return snt.BatchNorm(True, True, decay_rate=0.0)

    rows, images = values.reshape(4, 1), values.reshape(4, 1, 1, 1)
    for layer, inputs, expected in (
        (keras.layers.BatchNormalization(momentum=0.0), rows, population),
        (keras.layers.BatchNormalization(momentum=0.0), images, population),
        (BatchNorm(momentum=0.0), images, sample),
        (sonnet(), images, sample),
        (sonnet(), rows, population),
    ):
        assert moving_variance(layer, inputs) == pytest.approx(expected)


def test_sonnets_moving_statistics_start_without_the_zero():
    inputs = np.full([4, 1], 5, np.float32)
    ours, theirs = keras.layers.BatchNormalization(momentum=0.9), snt.BatchNorm(True, True, 0.9)
    ours(inputs, training=True)
    theirs(inputs, is_training=True)
    assert float(ours.moving_mean[0]) == pytest.approx(0.5)
    assert theirs.moving_mean.value.numpy().item() == pytest.approx(5)


# ------------------------------------------------------------------------- Sonnet and graph_nets


def test_keras_and_sonnet_do_not_see_each_others_variables():
    class Sonnet(snt.Module):
        def __init__(self):
            super().__init__()
            self.dense, self.linear = keras.layers.Dense(2), snt.Linear(2)

        def __call__(self, x):
            return self.linear(self.dense(x))

    class Keras(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.linear = keras.layers.Dense(2), snt.Linear(2)

        def call(self, x):
            return self.linear(self.dense(x))

    for model in (Sonnet(), Keras()):
        model(tf.zeros([1, 3]))
        assert len(model.trainable_variables) == 2  # of 4


def test_a_graph_network_does_not_see_the_variables_of_keras_layers():
    dense = keras.layers.Dense(2)
    network = modules.GraphIndependent(node_model_fn=lambda: dense)
    network(graphs.GraphsTuple(tf.ones([3, 2]), None, None, None, None, [3], [0]))
    assert len(dense.trainable_variables) == 2
    with pytest.raises(ValueError, match="does not currently contain any"):
        _ = network.trainable_variables


@pytest.mark.parametrize("self_edges", [True, False])
def test_our_edges_have_the_order_of_the_dynamic_graph_and_not_of_the_static_one(self_edges):
    count = tf.constant([3])
    nodes = graphs.GraphsTuple(tf.ones([3, 1]), None, None, None, None, count, count)
    encoder = GraphEncoder(EncoderConfig(self_edges=self_edges), 3)
    graph = encoder._graphs(tf.ones([1, 3, 1]))
    ours = list(zip(graph.senders.numpy(), graph.receivers.numpy(), strict=True))

    def pairs(connect):
        full = connect(nodes, exclude_self_edges=not self_edges)
        return list(zip(full.senders.numpy(), full.receivers.numpy(), strict=True))

    assert pairs(utils_tf.fully_connect_graph_dynamic) == ours
    static = pairs(utils_tf.fully_connect_graph_static)
    assert static == [(sender, receiver) for receiver, sender in ours]


def test_lstm_weights_of_sonnet_fit_keras_as_they_are():
    theirs, ours = snt.LSTM(3), keras.layers.LSTMCell(3)
    inputs = tf.random.stateless_normal([2, 4], [0, 0])
    _, state = theirs(inputs, theirs.initial_state(2))
    ours.build([None, 4])
    ours.set_weights([theirs.input_to_hidden, theirs.hidden_to_hidden, theirs.b])
    _, kept = ours(inputs, [tf.zeros([2, 3])] * 2)
    output, _ = theirs(inputs, state)
    np.testing.assert_allclose(ours(inputs, kept)[0], output, atol=1e-6)


# ------------------------------------------------------------------------------------ TensorBoard


def test_the_accumulator_keeps_ten_scalars_and_both_values_of_a_step(tmp_path):
    for value in (0.0, 1.0):  # the second writer stands for a resumed run
        writer = tf.summary.create_file_writer(str(tmp_path), filename_suffix=f".{value}")
        with writer.as_default():
            for step in range(30):
                tf.summary.scalar("loss", value, step)
        writer.close()
    sample, whole = EventAccumulator(str(tmp_path)), EventAccumulator(str(tmp_path), {"tensors": 0})
    assert sample.Reload().Tags()["scalars"] == []
    assert len(sample.Tensors("loss")) == 10
    assert len(whole.Reload().Tensors("loss")) == 60


# --------------------------------------------------------------------------------- docs/stack.md


def test_every_test_that_the_page_names_is_there():
    text = (ROOT / "docs/stack.md").read_text()
    named = re.findall(r"`(test_\w+)\.(?:\w+\.)?(test_\w+)`", text)
    assert len(named) > 20
    for module, name in named:
        source = (ROOT / f"tests/{module}.py").read_text()
        assert f"def {name}(" in source, f"docs/stack.md names {module}.{name}"


def test_every_test_of_this_file_has_a_row_in_the_page():
    text = (ROOT / "docs/stack.md").read_text()
    for name in re.findall(r"^def (test_\w+)\(", Path(__file__).read_text(), re.MULTILINE):
        assert name.startswith("test_every_test") or f"`test_stack.{name}`" in text, name


class Counting(keras.layers.Layer):
    """Calls the layers in it, and counts its own calls; `built` by Keras, or by nothing."""

    def __init__(self, *parts):
        super().__init__()
        self.parts, self.calls = parts, 0

    def call(self, x):
        self.calls += 1
        for part in self.parts:
            x = part(x)
        return x


class CountingBuilt(Counting):
    def build(self, input_shape):
        pass


@pytest.mark.parametrize(("kind", "calls"), [(Counting, (2, 3, 4)), (CountingBuilt, (1, 1, 1))])
def test_keras_traces_a_layer_without_build_before_its_first_call_and_those_in_it_again(
    kind, calls
):
    innermost = kind(keras.layers.Dense(2))
    inner = kind(innermost)
    outer = kind(inner)
    outer(np.zeros([1, 2], np.float32))
    assert (outer.calls, inner.calls, innermost.calls) == calls


def test_a_float32_layers_weights_are_bfloat16_to_a_bfloat16_model_that_reads_them_itself():
    class Reader(keras.layers.Layer):
        def __init__(self, **settings):
            super().__init__(dtype="float32")
            self.weight = self.add_weight(shape=[1], **settings)

        def read(self):
            return tf.convert_to_tensor(self.weight).dtype

        def call(self, x):
            return self.read()

    class Model(keras.Model):
        def __init__(self, reader):
            super().__init__(dtype="mixed_bfloat16")
            self.reader = reader

        def call(self, x):
            return [self.reader.read(), self.reader(x)]

    x = np.zeros([1, 1], np.float32)
    assert Model(Reader())(x) == [tf.bfloat16, tf.float32]
    assert Model(Reader(autocast=False))(x) == [tf.float32, tf.float32]
