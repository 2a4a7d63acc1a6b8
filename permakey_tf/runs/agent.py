"""The folder of an agent's run."""

import contextlib
import dataclasses
import shlex
from pathlib import Path
from typing import Any

from permakey_tf.configs.agent import AgentConfig, LearningConfig
from permakey_tf.configs.base import flatten
from permakey_tf.configs.frames import canonical_game
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.errors import UserError
from permakey_tf.runs.folder import Folder, naming_config
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.system import files, schema
from permakey_tf.system.seeds import seed_sets


class AgentFolder(Folder):
    """The folder of an agent's run. It has a copy of the keypoint run that it sees with.

    Args:
      path: the folder.
      config: the agent's settings.
      keypoints: the keypoint run.

    Attributes:
      config: the settings; its noise is named, also where `config` leaves it to the keypoint run.
    """

    kind = "agent"
    lengths = ("num_steps",)
    fixed_by = ("epsilon_steps", "epsilon_steps")

    def __init__(self, path: Path, config: AgentConfig, keypoints: KeypointFolder):
        environment = config.environment.resolved(keypoints.config.training.noise)
        config = dataclasses.replace(config, environment=environment)
        vision = {"settings": keypoints.config.to_dict(), "weights": _hash(keypoints)}
        seeds = seed_sets(config.learning.seed)
        super().__init__(path, {"settings": config.to_dict(), "seeds": seeds, "keypoints": vision})
        self.config, self.keypoints = config, keypoints

    @property
    def fixed_end(self) -> str:
        learning, then = self.config.learning, self._learning_then
        if learning.epsilon_steps or learning.epsilon_start == learning.epsilon_end:
            return ""
        return (
            "epsilon_steps is unset and the share of random actions falls over all of num_steps, "
            "so that a longer run plays otherwise from its second step on (it can where "
            f"epsilon_steps={then.exploration_steps} is given too: in the steps that are added the "
            f"share then stays at {learning.epsilon_end:g})"
        )

    @property
    def _learning_then(self) -> LearningConfig:
        """Of the run on disk."""
        return self._parse(self.read(self.path), self.path)[0].learning

    def _differences(self):
        different = super()._differences()
        # Unset, it is num_steps: the same share in every step so far, however it was said.
        if self._learning_then.exploration_steps == self.config.learning.exploration_steps:
            different.pop("epsilon_steps", None)
        return different

    @property
    def replay(self) -> Path:
        """Folder of the replay's files."""
        return self.path / "replay"

    @classmethod
    def open(cls, path) -> "AgentFolder":
        """Opens an existing run folder.

        Raises:
          UserError: `path` is none, or its keypoints are not those that the agent was trained on.
        """
        config, _ = cls._parse(cls.read(path), path)
        folder = cls(path, config, KeypointFolder.open(Path(path) / "keypoints"))
        folder._check_keypoints()
        return folder

    @staticmethod
    def _parse(content, path) -> tuple[AgentConfig, str]:
        """Settings, and the hash of the keypoint run's weights."""
        with naming_config(path):
            keypoints = schema.parse(dict[str, Any], content["keypoints"], "keypoints")
            weights = schema.parse(str, keypoints["weights"], "keypoints.weights")
            return AgentConfig.from_dict(content["settings"]), weights

    @classmethod
    @contextlib.contextmanager
    def held(cls, path, config: AgentConfig, keypoints: KeypointFolder, command: str = ""):
        """Makes the folder with a copy of the keypoints, or resumes it; locked in the block.

        More num_steps than the run was made with are taken where epsilon_steps is set, be it to
        the num_steps of a run that had it unset.

        Args:
          command: that was typed, for config.json.

        Yields:
          The AgentFolder, whose keypoints are its own copy.

        Raises:
          UserError: other settings (named) or another keypoint run, a folder of something else, or
            one in which another process works. Nothing was written then.
        """
        folder = cls(path, config, keypoints)
        with folder._held(command):
            folder._copy_keypoints()
            resumed = cls(path, config, KeypointFolder.open(folder.path / "keypoints"))
            if folder.has_checkpoint:
                resumed._check_keypoints()
            elif resumed.content != folder.content:
                raise UserError(
                    f"{keypoints.path} has changed while it was copied: is it still being trained? "
                    "Start again when it is done"
                )
            yield resumed

    def _flat(self, content):
        config, weights = self._parse(content, self.path)
        environment = config.environment.resolved(self.keypoints.config.training.noise)
        names = {"game": canonical_game(environment.game), "noise": environment.noise}
        return {**flatten(config), **names, "keypoint run": weights}

    def _copy_keypoints(self):
        """Copies what is used of the keypoint run; what an agent was trained on stays."""
        for source in (self.keypoints.path / "config.json", self.keypoints.best_checkpoint):
            target = self.path / "keypoints" / source.relative_to(self.keypoints.path)
            if not (self.has_checkpoint and target.exists()):
                content = source.read_bytes()
                target.parent.mkdir(parents=True, exist_ok=True)
                with files.replaced(target) as file:
                    file.write(content)

    def _check_keypoints(self):
        """Compares the run's copy of the keypoints with what its config.json says of them."""
        with naming_config(self.path):
            then = self.read(self.path)["keypoints"]
            settings = KeypointConfig.from_dict(then["settings"])
        if then["weights"] != self.content["keypoints"]["weights"]:
            changed = self.keypoints.best_checkpoint
        elif settings != self.keypoints.config:
            changed = self.keypoints.path / "config.json"
        else:
            return
        raise UserError(
            f"{changed} is not the one that this agent was trained on (see {self.path}/config.json)"
            ": copy that one back from the keypoint run, or train the agent anew"
        )

    @property
    def _remedy(self) -> tuple[str, list[str]]:
        own = shlex.quote(str(self.path / "keypoints"))
        text = (
            f"resume with the same ones (the run's own copy is keypoints={own}) or choose another"
        )
        return f"{text} logdir", ["keypoints", "logdir"]


def _hash(keypoints: KeypointFolder) -> str:
    return files.sha256(keypoints.require_best())
