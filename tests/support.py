"""Tiny settings, stores and runs, and programs called within the process of the tests."""

import contextlib
import dataclasses
import importlib
import io
import resource
import shutil
import subprocess

import numpy as np
import pytest
from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.base import flatten
from permakey_tf.configs.keypoints import KeypointConfig, LoggingConfig, resolve
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import FrameStoreWriter
from permakey_tf.errors import UserError
from permakey_tf.runs.metrics import MetricsLog
from permakey_tf.types import Step

# Flags of the smallest run that still has every part.
TINY_FLAGS = {
    "num_keypoints": 3,
    "vae_filters": "4,8,8,8",
    "pointnet_filters": "4,8,8,8",
    "lsp_hidden_sizes": "16,8",
    "transporter_filters": "4,4,8,8",
    "pair_window": 10,
    "latent_dim": 4,
    "batch_size": 4,
    "image_size": 20,
}

# As TINY_FLAGS, of an agent.
TINY_AGENT = {
    "num_steps": 60,
    "learn_start": 16,
    "window": 3,
    "batch_size": 3,
    "lstm_units": 8,
    "jit_compile": False,  # ten seconds, once in each process
    "cnn_filters": "4,4",
    "cnn_kernel_sizes": "3,3",
    "cnn_strides": "2,2",
    "cnn_units": 8,
    "position_units": 8,
    "gnn_units": 8,
    "gnn_decode_units": 8,
    "gnn_output_units": 8,
    "validate_every": 30,
    "validation_episodes": 2,
    "max_episode_steps": 22,
    "summary_every": 10,
    "checkpoint_every": 12,
    "learning_rate": 1e-3,
}


def moving_square(num_frames: int, size: int, channels: int, seed: int) -> np.ndarray:
    """uint8 [N, S, S, C]: a bright square that jumps about on a dim gradient."""
    rng = np.random.default_rng(seed)
    frames = np.empty([num_frames, size, size, channels], np.uint8)
    frames[:] = np.linspace(20, 60, size).astype(np.uint8)[None, :, None, None]
    for frame in frames:
        y, x = rng.integers(0, size - 4, 2)
        frame[y : y + 4, x : x + 4] = 230
    return frames


def write_store(path, num_frames=60, size=20, channels=3, seed=0, game="toy") -> FrameStore:
    """A store of `moving_square` frames, split 80:10:10, one episode per split."""
    frames = moving_square(num_frames, size, channels, seed)
    bounds = {"train": 0, "validation": num_frames * 8 // 10, "test": num_frames * 9 // 10}
    with FrameStoreWriter(path, size, channels) as writer:
        for row, frame in enumerate(frames):
            split = max(bounds, key=lambda name: (bounds[name] <= row, bounds[name]))
            writer.append(Step(frame, first=row in bounds.values()), split)
        writer.finish({"game": game, "source": "test"})
    return FrameStore.open(path)


def tiny_config(**changes) -> KeypointConfig:
    """A KeypointConfig of TINY_FLAGS; `changes` are flat setting names."""
    values = {
        "num_keypoints": 3,
        "vae_filters": (4, 8, 8, 8),
        "pointnet_filters": (4, 8, 8, 8),
        "lsp_hidden_sizes": (16, 8),
        "transporter_filters": (4, 4, 8, 8),
        "pair_window": 10,
        "latent_dim": 4,
        "batch_size": 4,
    } | changes
    plain = KeypointConfig().to_dict()
    for part in plain.values():
        if isinstance(part, dict):
            part.update({name: values.pop(name) for name in list(values) if name in part})
    plain.update(values)
    return resolve(KeypointConfig.from_dict(plain), "toy")


def run_folder(kind, path, *settings):
    """A KeypointFolder or AgentFolder, as of its `held`; not locked any more."""
    with kind.held(path, *settings) as folder:
        return folder


def write_keypoints(path, game="mspacman", **changes):
    """The folder of a keypoint run that is trained to its end, as far as others can tell.

    Its weights are those that a training begins with, moved a little, so that no bias is zero.
    """
    # Here, because most tests need no TensorFlow.
    from permakey_tf.runs import checkpoint
    from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
    from permakey_tf.runs.progress import KeypointProgress
    from permakey_tf.training.keypoints import KeypointTrainer

    store = write_store(path / "store", game=game)
    config = tiny_config(max_steps=2, soft_argmax="joint", logit_scale=100, **changes)
    folder = run_folder(KeypointFolder, path / "keypoints", config, FrameSpec.of(store))
    trainer = KeypointTrainer(folder, store, LoggingConfig())
    rng = np.random.default_rng(config.training.seed)
    for variable in trainer.model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.01, variable.shape))
    trainer._calibrate()
    checkpoint.save(folder.best_checkpoint, {n: v.numpy() for n, v in trainer.weights.items()})
    trainer.progress = KeypointProgress(step=2, best_loss=1.0, best_step=2, finished=True)
    trainer._save()
    return path / "keypoints"


def retold(run, path, *, frames=None, **changes):
    """A copy of a keypoint run that says it had other settings, by flat names, and other frames.

    `frames` are fields of its FrameSpec.
    """
    from permakey_tf.runs.keypoints import KeypointFolder

    told = KeypointFolder.open(run)
    config = KeypointConfig.make(None, **flatten(told.config) | changes)
    run_folder(KeypointFolder, path, config, dataclasses.replace(told.frames, **frames or {}))
    others = shutil.ignore_patterns("config.json")
    shutil.copytree(run, path, ignore=others, dirs_exist_ok=True)
    return path


@contextlib.contextmanager
def small_files(size: int):
    """Within the block no file can grow beyond `size` bytes, as on a disk that is almost full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def refuses(*words, settings=()):
    """The block raises a UserError of one line with all words, that carries just these settings.

    Words are what must not be lost (names, numbers, remedies) and one that tells this refusal from
    others, rather than sentences. Yields what pytest has caught.
    """
    with pytest.raises(UserError) as caught:
        yield caught
    error, message = caught.value, str(caught.value)
    assert message.strip() and message.splitlines() == [message], repr(message)
    for word in words:
        assert str(word) in message, message
    # One may be carried twice, for both its mentions; their order says nothing.
    assert set(error.settings) == set(settings), (error.settings, message)
    # The line speaks of them, or did before someone spelled them as flags.
    spelled = f"{message} {error.__cause__}"
    assert not settings or any(name in spelled for name in settings), (settings, message)


def refused(result, *words):
    """Of a process that ended: one line on stderr with all words, no traceback, a non-zero code."""
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert str(word) in lines[0], lines[0]


def parsed(program, *arguments, **more):
    """What a module of flags/ makes of a command line; `more` are flags by name."""
    words = [*map(str, arguments), *(f"--{name}={value}" for name, value in more.items())]
    values = absl_flags.FlagValues()
    program.define(values)
    common.parse(values, ["program", *words])
    return program.from_flags(values)


def call(name, *arguments, **more) -> subprocess.CompletedProcess:
    """`python -m run.NAME` with these flags, but in this process, which has loaded its libraries.

    The steps of `flags.common.start` but for signals; how a process of its own ends is tested with
    the commands that are started as such.
    """
    words = [*map(str, arguments), *(f"--{flag}={value}" for flag, value in more.items())]
    program, entry = (importlib.import_module(f"{room}.{name}") for room in ("flags", "run"))
    values = absl_flags.FlagValues()
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            program.define(values)
            common.parse_or_leave(values, [f"run.{name}", *words])
            common.call_or_leave(lambda: entry.main(program.from_flags(values)))
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def see(vision, frames, beside=None):
    """What a vision stores of frames of which it knows nothing, {name: [B, ...]}, and keypoints.

    `frames` are uint8 [B, S, S, C]; `beside` is what the vision is told beside them.
    """
    memory = vision.initial_memory(len(frames))
    sensed, _ = vision.sense(frames, vision.news(frames, memory), memory.maps)
    return vision.look(frames, sensed, beside or {})


def write_agent(path, keypoints, **changes):
    """The folder of an agent that is trained to its end, as far as others can tell.

    Its weights are random, those of the memory large, so that actions differ from step to step.
    `changes` are flat setting names.
    """
    from permakey_tf.configs.agent import AgentConfig
    from permakey_tf.runs import checkpoint
    from permakey_tf.runs.agent import AgentFolder
    from permakey_tf.runs.keypoints import KeypointFolder
    from permakey_tf.runs.progress import AgentProgress
    from permakey_tf.training.agent import build_player
    from permakey_tf.training.playing import PlayProgress

    values = {
        "lstm_units": 8, "cnn_filters": (4, 4), "cnn_kernel_sizes": (3, 3), "cnn_strides": (2, 2),
        "cnn_units": 8, "position_units": 8, "gnn_units": 8, "gnn_decode_units": 8,
        "gnn_output_units": 8, "validation_episodes": 2, "max_episode_steps": 12,
        "noise": "as-trained",
    } | changes  # fmt: skip
    config = AgentConfig.make(**values)
    folder = run_folder(AgentFolder, path, config, KeypointFolder.open(keypoints))
    weights = build_player(folder, 9).weights
    rng = np.random.default_rng(config.learning.seed + 1)
    best = {}
    for name, variable in weights.items():
        array = rng.normal(0, 8 if "recurrent" in name else 0.5, variable.shape)
        array = np.abs(array) if name.endswith("variance") else array
        best[name] = np.float32(0 * array if name.endswith("bias") else array)
    checkpoint.save(folder.best_checkpoint, best)
    steps = config.learning.num_steps
    progress = AgentProgress(steps, 0, validated_step=steps, best_score=1.0, best_step=10)
    arrays = progress.to_arrays() | PlayProgress(game=2).to_arrays()
    checkpoint.save(folder.latest_checkpoint, arrays)
    return folder


def closes_its_metrics(monkeypatch, at, trains) -> None:
    """A training that a full disk ends, in a method of its MetricsLog, leaves no file open.

    Args:
      at: the method's name. trains: function without arguments.
    """
    logs = []

    def disk_full(log, *_):
        logs.append(log)
        raise UserError("the disk is full")

    monkeypatch.setattr(MetricsLog, at, disk_full)
    with refuses("disk is full"):
        trains()
    (log,) = logs
    assert log._file.closed and log._events._file.closed
