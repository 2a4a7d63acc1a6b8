"""What a finished keypoint run leaves behind: test losses and figures."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from permakey_tf.data.noise import draw_bars
from permakey_tf.training.keypoints import KeypointTrainer, to_images
from permakey_tf.training.summaries import write_text
from permakey_tf.viz import figures

_NUM_FIGURE_FRAMES = 6


def evaluate_run(trainer: KeypointTrainer) -> dict[str, Path]:
    """Evaluates the best weights on the test split; writes evaluation.json and figures/.

    Returns:
      {what: path} of the files written.
    """
    trainer.restore_best()
    folder, progress = trainer.folder, trainer.progress
    content = {
        "split": "test",
        "frames": len(trainer.store.split_range("test")),
        "steps": progress.step,
        "best_step": progress.best_step,
        "best_validation_selection": progress.best_loss,
        "losses": trainer.evaluate("test"),
    }
    evaluation = folder.path / "evaluation.json"
    write_text(evaluation, json.dumps(content, indent=2) + "\n")
    figure = folder.path / "figures" / "test_frames.png"
    title = f"{folder.frames.game}: {folder.config.method}, step {progress.best_step}"
    figures.keypoint_grid(trainer.model, _test_images(trainer), title, figure)
    return {"test losses": evaluation, "figure": figure}


def _test_images(trainer):
    """Frames spread over the test split, noisy where the run is: float32 [<=6, S, S, C]."""
    rows, training = trainer.store.split_range("test"), trainer.config.training
    chosen = np.linspace(rows.start, rows.stop - 1, min(_NUM_FIGURE_FRAMES, len(rows)))
    frames = trainer.store.frames[chosen.astype(int)]
    noisy = draw_bars(frames, training.noise, np.random.default_rng(training.seed))
    return to_images(tf.constant(noisy))
