"""What a finished keypoint run leaves behind: test losses and figures."""

import json
from collections.abc import Sequence
from pathlib import Path

from permakey_tf.configs.keypoints import METHODS
from permakey_tf.runs.families import game_name
from permakey_tf.system.files import write_text
from permakey_tf.training.keypoints import KeypointTrainer
from permakey_tf.viz import figures, page
from permakey_tf.viz.files import write_figure

_NUM_FIGURE_FRAMES = 6


def evaluate_run(trainer: KeypointTrainer, notes: Sequence[str] = ()) -> dict[str, Path]:
    """Evaluates the best weights on the test split; writes evaluation.json and figures/.

    Args:
      trainer: of a run that is trained to its end.
      notes: what the user should know of the run's frames, for evaluation.json.

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
        "notes": list(notes),
    }
    figure, evaluation = folder.results["figure"], folder.results["test losses"]
    game, method = game_name(folder.frames.game), METHODS[folder.config.method].title
    title = f"{game}: {method}, step {progress.best_step:,}"
    view = trainer.model.view(trainer.examples("test", _NUM_FIGURE_FRAMES))
    write_figure(figures.draw(figures.view_grid(view, title)), [figure], page.DPI)
    # Last: a run that has it is finished.
    write_text(evaluation, json.dumps(content, indent=2) + "\n")
    return folder.results
