"""A whole keypoint run, from a frame store to a detector: for the command line and for Python."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from permakey_tf.configs.base import as_begun, flatten
from permakey_tf.configs.keypoints import (
    DistributionConfig,
    KeypointConfig,
    LoggingConfig,
    check_batch,
    check_fit,
    resolve,
)
from permakey_tf.data.store import FrameStore
from permakey_tf.detector import KeypointDetector
from permakey_tf.errors import expect, settings_spelled
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.runs.progress import read_status
from permakey_tf.system.cluster import Line
from permakey_tf.system.device import prepare_device
from permakey_tf.system.files import user_path
from permakey_tf.system.interruption import Interrupted
from permakey_tf.training.keypoints import KeypointTrainer
from permakey_tf.training.replicas import Replicas, make_replicas
from permakey_tf.training.results import evaluate_run
from permakey_tf.training.sharing import of_training


def _spelled(name: str) -> str:
    """A setting of the command line as `train` has it."""
    return "out" if name == "logdir" else name


@settings_spelled(_spelled)
def train(
    store: FrameStore,
    config: KeypointConfig,
    out: str | Path,
    progress: bool = True,
    logging: LoggingConfig | None = None,
    distribute: str = "none",
) -> KeypointDetector:
    """Trains keypoints on a store's frames, evaluates them, and returns their detector.

    The run folder `out` is that of `python -m run.keypoints`. Called again with the same frames and
    settings, it goes on where it was interrupted; a finished run is only loaded. No other process
    can work in the folder meanwhile. Random numbers of Python, NumPy and TensorFlow are seeded with
    `config.training.seed`.

    Args:
      store: frames to train, validate and test on.
      config: what is unset in it is filled in for the store's game.
      out: folder to make or to resume.
      progress: show bars, and say on stdout where the run stands.
      logging: how often to report and save.
      distribute: which devices share each batch, see `DistributionConfig`. With "multiworker" every
        worker makes the same call, before TensorFlow has computed anything; where one dies, the
        processes of the others end, with one line on stderr and exit code 1.

    Raises:
      UserError: settings that do not fit the frames, a folder of something else, of other settings
        or frames, or in use; a loss that is not finite.
      Interrupted: on Ctrl-C, a KeyboardInterrupt, after saving.
    """
    expect(FrameStore, store, "store", "FrameStore.open and FrameStore.from_arrays give one")
    expect(KeypointConfig, config, "config", "KeypointConfig.make(preset) gives one")
    if logging is not None:
        expect(LoggingConfig, logging, "logging", "permakey_tf.LoggingConfig(...) is one")
    DistributionConfig(distribute)
    out = user_path(out)
    KeypointFolder.check_place(out)
    config, frames = resolve(_as_begun(config, out), store.game), FrameSpec.of(store)
    check_fit(config, store.image_size)
    check_batch(config, len(store.split_range("train")), store.path)
    with of_training(distribute, config, out) as line:
        if not line.from_chief(lambda: read_status(out, config, frames).finished):
            logging = logging or LoggingConfig()
            folder = train_and_evaluate(
                line, store, config, out, logging, distribute, store.notes, progress
            )
            if progress and line.is_chief:
                folder.tell_results(store.notes)
    return KeypointDetector.load(out)


def _as_begun(config: KeypointConfig, out: Path) -> KeypointConfig:
    """With the settings of an earlier version that a run began with, where none is asked for."""
    if not KeypointFolder.has_begun(out):
        return config
    given = {name for name, value in flatten(config).items() if value is not None}
    return as_begun(config, KeypointFolder.open(out).config, given)


def train_and_evaluate(
    line: Line,
    store: FrameStore,
    config: KeypointConfig,
    out: str | Path,
    logging: LoggingConfig,
    distribute: str,
    notes: Sequence[str],
    progress: bool = True,
    command: str = "",
) -> KeypointFolder:
    """Trains the run of a folder to its end, on from where it stands, and evaluates it.

    Args:
      line: to the other workers.
      store: frames to train, validate and test on.
      config: resolved settings.
      out: run folder; it is held meanwhile.
      logging: how often to report and save.
      distribute: which devices share each batch, see `DistributionConfig`.
      notes: what the user should know of the run's frames, for evaluation.json.
      progress: show bars, and say on stdout what computes, and where the run stands.
      command: that was typed, to be kept with the run.

    Raises:
      UserError, Interrupted: as `train`.
    """
    with _held_by_chief(line, out, config, FrameSpec.of(store), command) as folder:
        device = prepare_device(precision=config.training.precision)
        replicas = make_replicas(distribute, line)
        if progress:
            print(f"device: {device}")
            if replicas.number > 1:
                print(f"each batch is shared by {replicas.number} devices")
            elif distribute != "none":
                print("note: there is one device, which has all batches")
        trainer = _train_to_the_end(folder, store, logging, progress, replicas)
        line.release()
        if line.is_chief:
            evaluate_run(trainer, notes)
    return folder


@contextlib.contextmanager
def _held_by_chief(
    line: Line, path: str | Path, config: KeypointConfig, frames: FrameSpec, command: str = ""
) -> Iterator[KeypointFolder]:
    """As `KeypointFolder.held`; of several processes the chief holds the folder for all."""
    if not line.is_chief:
        line.from_chief(lambda: None)
        yield KeypointFolder(Path(path), config, frames)
        return
    with KeypointFolder.held(path, config, frames, command) as folder:
        line.from_chief(lambda: None)
        yield folder


def _train_to_the_end(
    folder: KeypointFolder,
    store: FrameStore,
    logging: LoggingConfig,
    progress: bool,
    replicas: Replicas,
) -> KeypointTrainer:
    """Trains the run of a folder that is held by this process, or by its chief.

    Raises:
      UserError: a loss, a weight or a validation is not finite; the best weights stay.
      Interrupted: after saving.
    """
    trainer = KeypointTrainer(folder, store, logging, replicas)
    if progress:
        done = f"step {trainer.progress.step} of {trainer.num_steps}"
        print(f"run folder: {folder.path} (at {done})", flush=True)
    interruption = trainer.train(progress)
    if interruption.signal:
        raise Interrupted(interruption.signal, f"saved at step {trainer.progress.step}")
    return trainer
