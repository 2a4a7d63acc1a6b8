"""A whole keypoint run, from a frame store to a detector: for the command line and for Python."""

from pathlib import Path

from permakey_tf.configs.keypoints import KeypointConfig, LoggingConfig, check_fit, resolve
from permakey_tf.data.store import FrameStore
from permakey_tf.detector import KeypointDetector
from permakey_tf.errors import settings_spelled
from permakey_tf.runs.keypoints import FrameSpec, RunFolder
from permakey_tf.runs.progress import read_status
from permakey_tf.system.interruption import Interrupted
from permakey_tf.training.keypoints import KeypointTrainer
from permakey_tf.training.results import evaluate_run


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

    Raises:
      UserError: settings that do not fit the frames, a folder of something else, of other settings
        or frames, or in use; a loss that is not finite.
      Interrupted: on Ctrl-C, a KeyboardInterrupt, after saving.
    """
    config, frames = resolve(config, store.game), FrameSpec.of(store)
    check_fit(config, store.image_size)
    RunFolder.check_place(out)
    if not read_status(out, config, frames).finished:
        with RunFolder.held(out, config, frames) as folder:
            trainer = train_to_the_end(folder, store, logging or LoggingConfig(), progress)
            written = evaluate_run(trainer)
        for what, path in written.items() if progress else ():
            print(f"{what}: {path}")
    return KeypointDetector.load(out)


def train_to_the_end(
    folder: RunFolder, store: FrameStore, logging: LoggingConfig, progress: bool
) -> KeypointTrainer:
    """Trains the run of a folder that is held, on from where it stands.

    Raises:
      UserError: a loss, a weight or a validation is not finite; the best weights stay.
      Interrupted: after saving.
    """
    trainer = KeypointTrainer(folder, store, logging)
    if progress:
        done = f"step {trainer.progress.step} of {trainer.num_steps}"
        print(f"run folder: {folder.path} (at {done})", flush=True)
    interruption = trainer.train(progress)
    if interruption.signal:
        raise Interrupted(interruption.signal, f"saved at step {trainer.progress.step}")
    return trainer
