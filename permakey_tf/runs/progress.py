"""Where a keypoint run stands: in its checkpoints, and read from its folder without TensorFlow."""

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.runs import checkpoint
from permakey_tf.runs.folder import left_by_an_early_death
from permakey_tf.runs.keypoints import FrameSpec, RunFolder


@dataclasses.dataclass
class Progress(checkpoint.ProgressRecord):
    """Where a run stands; saved with every checkpoint."""

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    validations_since_best: int = 0
    finished: bool = False

    def go_on(self, num_steps: int, validate_every: int, patience: int) -> None:
        """Takes back the end of a run that was given more steps since; nothing where it was not.

        What a run made with as many steps would have in its place: a validation that took place
        only because the run ended does not count for `patience`. (One that was the best stays it.)
        """
        if not self.finished or self.step >= num_steps:
            return
        planned = self.step % validate_every == 0
        if not planned:
            self.validations_since_best = max(self.validations_since_best - 1, 0)
        self.finished = planned and self.validations_since_best >= patience


def read_progress(folder: RunFolder) -> Progress | None:
    """Where a run stands by its latest checkpoint; None where there is none."""
    path = folder.latest_checkpoint
    if not path.exists():
        return None
    return Progress.pop_from(checkpoint.load(path, prefix="progress/"), path)


class Status(NamedTuple):
    """Where a run stands on disk.

    step: of the latest checkpoint, 0 where there is none.
    finished: whether it is trained to its end and evaluated.
    in_use: whether a process works on it now; False once it is finished.
    """

    step: int
    finished: bool
    in_use: bool


def read_status(path: str | Path, config: KeypointConfig, frames: FrameSpec) -> Status:
    """Looks into a run folder, which need not exist yet, as one that is about to resume it.

    Args:
      path: the run folder.
      config: settings that it will be resumed with.
      frames: frames that it will be resumed with; their hash is "" where they are not made yet.

    Raises:
      UserError: the folder is no run's, or has other settings or frames, or is damaged.
    """
    path = Path(path)
    if not path.exists() or left_by_an_early_death(path):
        return Status(0, False, RunFolder(path, config, frames).in_use)  # it can start just now
    begun = RunFolder.open(path)
    if not begun.has_checkpoint and not begun.in_use:
        return Status(0, False, False)  # whatever its settings were, it takes new ones
    if not frames.content_hash:
        frames = dataclasses.replace(frames, content_hash=begun.frames.content_hash)
    folder = RunFolder(path, config, frames)
    goes_on = folder.compare()
    progress = read_progress(folder) or Progress()
    finished = progress.finished and folder.is_evaluated and not goes_on
    return Status(progress.step, finished, not finished and folder.in_use)
