"""Where a run stands: in its checkpoints, and read from its folder without TensorFlow."""

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.folder import Folder, left_by_an_early_death
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder


@dataclasses.dataclass
class KeypointProgress(checkpoint.ProgressRecord):
    """Where a keypoint run stands; saved with every checkpoint."""

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


@dataclasses.dataclass
class AgentProgress(checkpoint.ProgressRecord):
    """Where an agent's run stands, but for its games; saved with every checkpoint.

    step, update: agent steps and updates done. validated_step: the step of the last validation.
    """

    step: int = 0
    update: int = 0
    validated_step: int = 0
    best_score: float = -math.inf
    best_step: int = 0

    def validation_is_planned(self, config: AgentConfig) -> bool:
        """Whether validation games are played at this step, however many steps there are."""
        return self.step % config.validation.validate_every == 0

    def validation_is_due(self, config: AgentConfig) -> bool:
        """Whether validation games come before the next step."""
        last = self.step == config.learning.num_steps
        due = last or self.validation_is_planned(config)
        return due and self.step > self.validated_step

    def is_finished(self, config: AgentConfig) -> bool:
        """Whether nothing is left to play, not even the last validation."""
        done = self.step >= config.learning.num_steps
        return done and not self.validation_is_due(config)


def read_progress(folder: KeypointFolder) -> KeypointProgress | None:
    """Where a run stands by its latest checkpoint; None where there is none."""
    return _read(KeypointProgress, folder)


def is_trained(folder: KeypointFolder) -> bool:
    """Whether a run is trained to its end, as far as its folder says; reads no settings.

    Of a run that was evaluated, `latest.npz` may be gone: resuming alone needs it.

    Raises:
      UserError: the latest checkpoint is damaged.
    """
    if _is_pruned(folder):
        return folder.is_evaluated
    progress = read_progress(folder)
    return progress is not None and progress.finished


def _is_pruned(folder: KeypointFolder) -> bool:
    """Whether what only resuming needs is gone, and what using needs is there."""
    return not folder.latest_checkpoint.exists() and folder.best_checkpoint.is_file()


def read_agent_progress(folder: AgentFolder) -> AgentProgress | None:
    """As `read_progress`, of an agent's run."""
    return _read(AgentProgress, folder)


def _read(kind: type[checkpoint.ProgressRecord], folder: Folder):
    path = folder.latest_checkpoint
    if not path.exists():
        return None
    return kind.pop_from(checkpoint.load(path, prefix="progress/"), path)


class Status(NamedTuple):
    """Where a run stands on disk.

    step: of the latest checkpoint, 0 where there is none.
    finished: whether it is trained to its end, and a keypoint run also evaluated.
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
        # It can start just now.
        return Status(0, False, KeypointFolder(path, config, frames).in_use)
    begun = KeypointFolder.open(path)
    if not begun.has_checkpoint and not begun.in_use:
        begun.refuse_lost_checkpoints()
        return Status(0, False, False)  # whatever its settings were, it takes new ones
    if not frames.content_hash:
        frames = dataclasses.replace(frames, content_hash=begun.frames.content_hash)
    folder = KeypointFolder(path, config, frames)
    goes_on = folder.compare()
    if _is_pruned(folder) and folder.is_evaluated and not goes_on:
        return Status(folder.evaluated_steps, True, False)
    folder.refuse_lost_checkpoints()
    progress = read_progress(folder) or KeypointProgress()
    finished = progress.finished and folder.is_evaluated and not goes_on
    return Status(progress.step, finished, not finished and folder.in_use)


def read_agent_status(path: str | Path, config: AgentConfig, keypoints: KeypointFolder) -> Status:
    """As `read_status`, of an agent's run.

    Args:
      path: the run folder.
      config: settings that it will be resumed with.
      keypoints: the keypoint run that it will be resumed with.

    Raises:
      UserError: the folder is no agent's run, or has other settings or another keypoint run, or is
        damaged.
    """
    folder = AgentFolder(path, config, keypoints)
    if not folder.has_checkpoint:
        folder.refuse_lost_checkpoints()
        return Status(0, False, folder.in_use)
    folder.compare()
    folder.refuse_lost_checkpoints()
    progress = read_agent_progress(folder) or AgentProgress()
    finished = progress.is_finished(folder.config)
    return Status(progress.step, finished, not finished and folder.in_use)
