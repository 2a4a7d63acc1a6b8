"""The folder of a keypoint run."""

import contextlib
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from permakey_tf.configs.base import flatten
from permakey_tf.configs.frames import MAX_SIDE, canonical_game
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.data.store import FrameStore
from permakey_tf.errors import UserError
from permakey_tf.runs import checkpoint
from permakey_tf.runs.folder import Folder, naming_config
from permakey_tf.system import schema
from permakey_tf.types import EnvironmentRecord


@dataclasses.dataclass(frozen=True)
class FrameSpec:
    """The frames that a model was trained on: game, size S, channels, hash of the store.

    environment: which one was played. None where frames were not played, and in runs of earlier
      versions.
    keep_aspect: whether frames were padded to a square, see `prepare_frame`.
    weights: of several stores that were joined with weights, see `join_stores`.
    part_hashes: of several stores that were joined, each one's; none in runs of earlier versions.
    """

    game: str
    image_size: int
    channels: int
    content_hash: str
    environment: EnvironmentRecord | None = None
    keep_aspect: bool = False
    weights: tuple[int, ...] = ()
    part_hashes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.environment is not None:
            schema.parse(EnvironmentRecord, self.environment, "environment")
        # Runs of earlier versions were made on stores whose game was a Gym id.
        object.__setattr__(self, "game", canonical_game(self.game))
        for name, high in (("image_size", MAX_SIDE), ("channels", 3)):
            if not 1 <= getattr(self, name) <= high:
                raise UserError(f"{name}={getattr(self, name)} is out of range: 1 to {high}")

    @classmethod
    def of(cls, store: FrameStore) -> "FrameSpec":
        """Describes a frame store."""
        return cls(
            store.game,
            store.image_size,
            store.channels,
            store.content_hash,
            store.manifest.get("environment"),
            store.keep_aspect,
            store.weights,
            tuple(part.content_hash for part in store.parts),
        )

    @property
    def games(self) -> tuple[str, ...]:
        """The games that the frames are from: one, or several where stores were joined."""
        return tuple(self.game.split("+"))

    def include(self, store_hash: str) -> bool:
        """Whether the frames are those of a store, or of several of which it is one."""
        return store_hash in (self.content_hash, *self.part_hashes)


class _Evaluated(TypedDict):
    """What is read of evaluation.json."""

    steps: int


class KeypointFolder(Folder):
    """The folder of a keypoint run. `config`, `frames`: what config.json says."""

    kind = "keypoints"
    lengths = ("epochs", "max_steps")
    fixed_by = ("schedule",)

    def __init__(self, path: Path, config: KeypointConfig, frames: FrameSpec):
        super().__init__(path, {"settings": config.to_dict(), "frames": dataclasses.asdict(frames)})
        self.config, self.frames = config, frames

    @property
    def format(self) -> FrameFormat:
        """How the run's model sees frames."""
        frames, noise = self.frames, self.config.training.noise
        return FrameFormat(frames.image_size, frames.channels, noise, frames.keep_aspect)

    @property
    def settings(self) -> dict:
        """{name: value}: the game, all settings, and which frames the run was trained on."""
        return {
            "game": canonical_game(self.frames.game),
            **flatten(self.config),
            "frames": f"store {self.frames.content_hash[:8]}",
        }

    @property
    def fixed_end(self) -> str:
        if self.config.training.schedule != "cosine":
            return ""
        return (
            "schedule=cosine falls to 0 at the last step, so that a longer run has other learning "
            "rates from its second step on"
        )

    @property
    def results(self) -> dict[str, Path]:
        """{what: path} of what is made once the run is trained to its end, the last one last."""
        return {
            "figure": self.path / "figures" / "test_frames.png",
            "test losses": self.path / "evaluation.json",
        }

    def tell_results(self, notes: Iterable[str]) -> None:
        """Prints what a finished run has; notes: what was said at its start and scrolled away."""
        for note in notes:
            print(f"note: {note}")
        for what, path in self.results.items():
            if path.exists():
                print(f"{what}: {path}")

    @property
    def is_evaluated(self) -> bool:
        """Whether the results were made since the run was trained to its end."""
        return self.results["test losses"].is_file()

    @property
    def evaluated_steps(self) -> int:
        """Training steps of the run that was evaluated. UserError where the file is damaged."""
        file = self.results["test losses"]
        return schema.parse(_Evaluated, schema.read_object(file), str(file))["steps"]

    def _take_back_the_end(self):
        self.results["test losses"].unlink(missing_ok=True)

    @classmethod
    def open(cls, path) -> "KeypointFolder":
        """Opens an existing run folder. Raises UserError where `path` is none."""
        return cls(path, *cls._parse(cls.read(path), path))

    @classmethod
    @contextlib.contextmanager
    def held(cls, path, config: KeypointConfig, frames: FrameSpec, command: str = ""):
        """Makes the folder, or resumes what was made with the same settings; locked in the block.

        More epochs or max_steps than the run was made with are taken where the schedule permits it.

        Args:
          command: that was typed, for config.json.

        Yields:
          The KeypointFolder.

        Raises:
          UserError: other settings or frames (named), a folder that is not a keypoint run's, or
            one in which another process works. Nothing was written then.
        """
        folder = cls(path, config, frames)
        with folder._held(command):
            yield folder

    def _flat(self, content):
        config, frames = self._parse(content, self.path)
        spec = dataclasses.asdict(frames)
        for name in ("environment", "part_hashes"):
            del spec[name]  # not in older runs; and equal frames have an equal hash
        return {**flatten(config), **spec}

    @staticmethod
    def _parse(content, path) -> tuple[KeypointConfig, FrameSpec]:
        with naming_config(path):
            config = KeypointConfig.from_dict(content["settings"])
            return config, schema.parse(FrameSpec, content["frames"], "frames")

    def load_model(self, precision: str | None = None):
        """The model with the weights of the best checkpoint, in another precision if given.

        Nobody's random numbers are seeded anew.
        """
        best, config = self.require_best(), self.config
        # Imported here: the run folder can be checked before TensorFlow is loaded.
        from permakey_tf.models.build import build_model

        if precision:
            training = dataclasses.replace(config.training, precision=precision)
            config = dataclasses.replace(config, training=training)
        model = build_model(config, self.frames.image_size, self.frames.channels)
        variables = checkpoint.named_variables({"model": model.variables})
        checkpoint.assign(variables, self.load_arrays(best), best)
        return model

    def load_arrays(self, path: Path) -> dict:
        """{name: array} of a checkpoint of this run.

        Raises:
          UserError: a missing or damaged file, or weights of a network that has changed since.
        """
        arrays = checkpoint.load(path)
        refine_net = self.config.transporter.refine_net
        codes = self.config.method == "transporter" and refine_net == "code"
        if codes and not any("/refine_net/norm/" in name for name in arrays):
            raise UserError(
                f"{path} is of a version of refine_net=code without its last batch "
                "normalisation: train the run anew in another logdir",
                ["refine_net", "logdir"],
            )
        return arrays
