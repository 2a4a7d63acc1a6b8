"""Trains any keypoint method: one tf.function per step, exact resuming, early stopping."""

import contextlib
import math
import time

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import permakey_tf
from permakey_tf.configs.keypoints import KeypointConfig, LoggingConfig, TrainingConfig
from permakey_tf.data import pipeline
from permakey_tf.data.store import FrameStore
from permakey_tf.errors import UserError
from permakey_tf.models.build import build_model
from permakey_tf.ops.images import to_images
from permakey_tf.ops.replicas import share
from permakey_tf.runs import checkpoint
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.runs.metrics import MetricsLog
from permakey_tf.runs.progress import KeypointProgress
from permakey_tf.system import graphs
from permakey_tf.system.interruption import Interruption, deferred
from permakey_tf.training.adam import Adam
from permakey_tf.training.replicas import Replicas
from permakey_tf.viz import overlay

_CALIBRATION_BATCH = 32  # frames: bounds memory


def learning_rate_schedule(initial: float, config: TrainingConfig, num_steps: int):
    """Staircase lr / (1 + decay_rate * floor(step / decay_steps)) (paper), or a cosine to 0."""
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(initial, num_steps)
    return keras.optimizers.schedules.InverseTimeDecay(
        initial, config.decay_steps, config.decay_rate, staircase=True
    )


class KeypointTrainer:
    """Trains a model on a frame store and keeps its run folder.

    The model is any `models.base.KeypointModel`. Every module has its own Adam. Batches, noise and
    latents are functions of (seed, step), so the variables and `KeypointProgress` are all there is
    to save.

    Args:
      folder: run folder; a checkpoint in it is resumed.
      store: frames to train and validate on.
      logging: how often to report and save.
      replicas: the devices that share each batch; None: one has all.
    """

    def __init__(
        self,
        folder: KeypointFolder,
        store: FrameStore,
        logging: LoggingConfig,
        replicas: Replicas | None = None,
    ):
        self.folder, self.store, self.logging = folder, store, logging
        self.replicas = replicas = replicas or Replicas()
        self.config: KeypointConfig = folder.config
        training = self.config.training
        size, channels = folder.frames.image_size, folder.frames.channels
        replicas.check(training.batch_size)
        with replicas.scope():
            self.model = build_model(self.config, size, channels, training.seed)
        self.sampler = pipeline.make_sampler(store, self.config, self.model.frames_per_example)
        per_epoch = self.sampler.steps_per_epoch
        limit = training.max_steps or math.inf
        self.num_steps = int(min(training.epochs * per_epoch, limit))
        self.validate_every = training.validate_every or per_epoch
        with replicas.scope():
            self.optimizers = {name: self._make_optimizer(name) for name in self.model.modules}
        self.train_step = replicas.traced(self._train_step)
        batch = tf.TensorSpec([None, *self.model.example_shape], tf.uint8)
        self.evaluation_step = graphs.traced(self._evaluation_step, [batch])
        self.weights = checkpoint.named_variables({"model": self.model.variables})
        self.variables = self.weights | checkpoint.named_variables(
            {f"optimizer/{name}": o.variables for name, o in self.optimizers.items()}
        )
        self.progress = KeypointProgress()
        if folder.latest_checkpoint.exists():
            self._restore()
        self._compare_with_chief()

    @property
    def is_chief(self) -> bool:
        """Whether this process validates, logs and saves; of several, one does."""
        return self.replicas.line.is_chief

    # ------------------------------------------------------------------------------- one step

    def _make_optimizer(self, name):
        module, rate = self.model.modules[name], self.model.learning_rate(name)
        schedule = learning_rate_schedule(rate, self.config.training, self.num_steps)
        optimizer = Adam(schedule, name="adam")
        optimizer.build(module.trainable_variables)
        return optimizer

    def _train_step(self, frames, step):
        """uint8 [B, ...], int32 [] -> (losses by module, metrics); updates all variables.

        B is a replica's part of the batch, and so are the means returned; the update is that of the
        whole batch.
        """
        seed = tf.stack([tf.constant(self.config.training.seed, tf.int32), step])
        with tf.GradientTape() as tape:
            losses = self.model.compute_losses(to_images(frames), seed=seed, training=True)
            # Gradients are stopped between the modules, so the gradient of the sum is, for each
            # module, the gradient of its own loss.
            total = share(tf.add_n(list(losses.by_module.values())))
        variables = {name: m.trainable_variables for name, m in self.model.modules.items()}
        gradients = tape.gradient(total, variables)
        for name, optimizer in self.optimizers.items():
            optimizer.apply(gradients[name], variables[name])
        return losses.by_module, losses.metrics

    def _evaluation_step(self, frames):
        """uint8 [B, ...] -> {name: float32 []}, means over the batch, nothing updated."""
        losses = self.model.compute_losses(to_images(frames))
        by_module = {f"loss_{name}": loss for name, loss in losses.by_module.items()}
        return {"selection": losses.selection, **by_module, **losses.metrics}

    def evaluate(self, split: str) -> dict[str, float]:
        """Losses and metrics on a whole split, weighted by the sizes of the batches.

        `keypoint_spread` is taken within batches (of consecutive frames, or of pairs).
        """
        batches = pipeline.held_out_batches(self.store, self.sampler, self.config, split)
        sums, count = {}, 0
        for frames in batches:
            count += len(frames)
            for name, value in self.evaluation_step(frames).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(frames)
        return {name: value / count for name, value in sums.items()}

    # --------------------------------------------------------------------------------- a run

    def train(self, progress: bool = True) -> Interruption:
        """Trains to the end, or until a signal; the best weights end in the run folder.

        Args:
          progress: show a progress bar on stderr.

        Returns:
          Its `signal` is set where training was interrupted; the run is saved then and
          continues when called again on the same folder.

        Raises:
          UserError: a loss, a weight or a validation is not finite; the best weights stay.
        """
        if self.progress.finished:
            return Interruption()
        with self._log() as log, deferred() as own:
            interruption = self.replicas.heed(own)
            self._train_until(interruption, log, progress and self.is_chief)
        return interruption

    @contextlib.contextmanager
    def _log(self):
        """Yields the chief's MetricsLog, open within the block; None to other workers."""
        if not self.is_chief:
            yield None
            return
        log = MetricsLog(self.folder.path, self._column_names(), self.progress.step)
        with contextlib.closing(log):
            log.settings(self._about(), self.folder.settings)
            if not self.progress.step:
                self._log_images(log)
            yield log

    def _about(self) -> dict[str, str]:
        """What the run is, in words."""
        return {
            "game": self.folder.frames.game,
            "method": self.config.method,
            "frame store": str(self.store.path),
            "its hash": self.store.content_hash,
            "command": self.folder.command,
            "version": permakey_tf.__version__,
        }

    def _log_images(self, log):
        view = self.model.view(self.examples("validation", 4))
        for name, image in overlay.summary_images(view).items():
            log.image(self.progress.step, name, image)

    def _train_until(self, interruption, log, show_bar):
        progress = self.progress
        batches = pipeline.training_batches(
            self.store,
            self.sampler,
            self.config,
            progress.step,
            self.num_steps,
            self.replicas.part(self.config.training.batch_size),
        )
        steps = {"total": self.num_steps, "initial": progress.step, "unit": "step"}
        bar = tqdm(**steps, desc="training", disable=not show_bar)
        clock, clock_step = time.monotonic(), progress.step
        with bar:
            for frames in batches:
                losses, metrics = self.train_step(frames, tf.constant(progress.step))
                progress.step += 1
                bar.update()
                by_module = self._checked(losses)
                if self.is_chief and progress.step % self.logging.summary_every == 0:
                    images = (progress.step - clock_step) * self._images_per_step
                    speed = images / (time.monotonic() - clock)
                    clock, clock_step = time.monotonic(), progress.step
                    bar.set_postfix({"images/s": f"{speed:.0f}"} | _short(by_module))
                    log.scalars(progress.step, self._report(by_module, metrics, speed))
                last = progress.step == self.num_steps
                validated = last or progress.step % self.validate_every == 0
                if validated:
                    progress.finished = self._ends_by_validation(log) or last
                planned = progress.step % self.logging.checkpoint_every == 0
                if self.is_chief and (validated or planned or interruption.signal):
                    self._save()
                if progress.finished or interruption.signal:
                    return

    def _ends_by_validation(self, log) -> bool:
        return self.replicas.line.from_chief(lambda: self._validate(log))

    @property
    def _images_per_step(self) -> int:
        return self.config.training.batch_size * self.model.frames_per_example

    def _checked(self, losses) -> dict[str, float]:
        by_module = {name: float(loss) for name, loss in losses.items()}
        self._check_finite({f"the loss of {name}": loss for name, loss in by_module.items()})
        return by_module

    def _check_finite(self, values: dict[str, float]) -> None:
        for what, value in values.items():
            if not math.isfinite(value):
                latest = self.folder.latest_checkpoint
                last_good = (
                    f"the last good checkpoint is {latest}"
                    if latest.exists()
                    else "there is no checkpoint yet"
                )
                raise checkpoint.diverged(
                    f"{what} is {value} at step {self.progress.step} ({last_good})"
                )

    def _validate(self, log) -> bool:
        """Validates, keeps the best weights; True where early stopping ends the run."""
        progress = self.progress
        self._calibrate()
        weights = checkpoint.finite_arrays(self.weights, progress.step)
        values = self.evaluate("validation")
        self._check_finite({f"validation/{name}": value for name, value in values.items()})
        log.scalars(progress.step, {f"validation/{n}": v for n, v in values.items()})
        self._log_images(log)
        if values["selection"] < progress.best_loss:
            progress.best_loss, progress.best_step = values["selection"], progress.step
            progress.validations_since_best = 0
            checkpoint.save(self.folder.best_checkpoint, weights)
        else:
            progress.validations_since_best += 1
        return progress.validations_since_best >= self.config.training.patience

    def _calibrate(self) -> None:
        """Before a validation: its keypoints, and those of the weights it may keep, need it."""
        if number := self.model.calibration_frames:
            frames = pipeline.held_out_examples(
                self.store, self.sampler, self.config, "train", number
            )
            parts = np.array_split(frames, -(-len(frames) // _CALIBRATION_BATCH))
            self.model.calibrate(map(to_images, parts))

    def examples(self, split: str, number: int) -> tf.Tensor:
        """Examples spread over a split, noisy where the run is: float32 [<= number, ...]."""
        return to_images(
            pipeline.held_out_examples(self.store, self.sampler, self.config, split, number)
        )

    # --------------------------------------------------------------------- reporting and saving

    def _column_names(self):
        names = list(self.evaluation_step.get_concrete_function().structured_outputs)
        modules = list(self.model.modules)
        only_held_out = {"selection", *self.model.held_out_metrics}
        return [
            *(f"train/{name}" for name in names if name not in only_held_out),
            *(f"learning_rate/{name}" for name in modules),
            "images_per_second",
            *(f"validation/{name}" for name in names),
        ]

    def _report(self, by_module, metrics, speed) -> dict[str, float]:
        return {
            **{f"train/loss_{name}": value for name, value in by_module.items()},
            **{f"train/{name}": float(value) for name, value in metrics.items()},
            **{f"learning_rate/{n}": float(o.learning_rate) for n, o in self.optimizers.items()},
            "images_per_second": speed,
        }

    def _save(self):
        arrays = checkpoint.finite_arrays(self.variables, self.progress.step)
        checkpoint.save(self.folder.latest_checkpoint, arrays | self.progress.to_arrays())

    def _restore(self):
        path = self.folder.latest_checkpoint
        arrays = self.folder.load_arrays(path)
        progress = KeypointProgress.pop_from(arrays, path)
        checkpoint.assign(self.variables, arrays, path)
        progress.go_on(self.num_steps, self.validate_every, self.config.training.patience)
        self.progress = progress

    def _compare_with_chief(self):
        step = self.replicas.line.from_chief(lambda: self.progress.step)
        if step != self.progress.step:
            raise UserError(
                f"logdir={self.folder.path} holds step {self.progress.step} here and {step} on "
                "worker 0: it must be the same folder for all workers",
                ["logdir"],
            )

    def restore_best(self) -> None:
        """Puts the weights with the best validation loss into the model."""
        path = self.folder.require_best()
        checkpoint.assign(self.weights, self.folder.load_arrays(path), path)


def _short(losses):
    return {name: f"{value:.4g}" for name, value in losses.items()}
