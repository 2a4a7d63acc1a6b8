"""The run folder: everything about one training run, and the way back to its model.

config.json     settings, and which frames the run was trained on
checkpoints/    latest.npz (everything, for resuming) and best.npz (weights, for using)
metrics.csv     scalars; tensorboard/ has the same and images
evaluation.json, figures/   written at the end
"""

import contextlib
import dataclasses
import fcntl
import json
from pathlib import Path

from permakey_tf.configs import KeypointConfig, flatten
from permakey_tf.data.frames import FrameStore
from permakey_tf.errors import UserError
from permakey_tf.training import checkpoint
from permakey_tf.training.files import write_text

_FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class FrameSpec:
    """The frames that a model was trained on: game, size S, channels, hash of the store."""

    game: str
    image_size: int
    channels: int
    content_hash: str

    @classmethod
    def of(cls, store: FrameStore) -> "FrameSpec":
        """Describes a frame store."""
        return cls(store.manifest["game"], store.image_size, store.channels, store.content_hash)


def build_model(config: KeypointConfig, frames: FrameSpec):
    """An untrained model of the configured method, its variables made from the seed."""
    # Imported here: the run folder can be checked before TensorFlow is loaded.
    import keras

    from permakey_tf.models.permakey import PermaKey

    methods = {"permakey": PermaKey}
    keras.utils.set_random_seed(config.training.seed)
    return methods[config.method](config, frames.image_size, frames.channels)


def _left_by_an_early_death(path: Path) -> bool:
    """Whether a folder holds no more than a run leaves that was killed before it began."""
    return path.is_dir() and all(
        file.name in (".lock", "config.json.partial") for file in path.iterdir()
    )


class RunFolder:
    """A run folder on disk. `config`, `frames`: what config.json says."""

    def __init__(self, path: Path, config: KeypointConfig, frames: FrameSpec):
        self.path, self.config, self.frames = Path(path), config, frames

    @property
    def latest_checkpoint(self) -> Path:
        """Everything that resuming needs."""
        return self.path / "checkpoints" / "latest.npz"

    @property
    def best_checkpoint(self) -> Path:
        """Weights with the best validation loss."""
        return self.path / "checkpoints" / "best.npz"

    @classmethod
    def open(cls, path) -> "RunFolder":
        """Opens an existing run folder. Raises UserError where `path` is none."""
        path = Path(path)
        file = path / "config.json"
        if not file.is_file():
            raise UserError(f"{path} is no run folder: {file} is missing")
        try:
            content = json.loads(file.read_text())
            version = content["format_version"]
            frames = FrameSpec(**content["frames"])
            settings = content["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is damaged or of another program: {error!r}") from error
        if version != _FORMAT_VERSION:
            raise UserError(f"{file} has format version {version}; this program reads 1")
        return cls(path, KeypointConfig.from_dict(settings), frames)

    @classmethod
    def create_or_resume(cls, path, config: KeypointConfig, frames: FrameSpec) -> "RunFolder":
        """Makes the folder, or checks that what it holds was made with the same settings.

        Raises:
          UserError: other settings or frames (named), or a folder that is not a run's.
        """
        path = Path(path)
        if (path / "config.json").exists():
            folder = cls.open(path)
            folder._refuse_differences(config, frames)
            return folder
        if path.exists() and not _left_by_an_early_death(path):
            raise UserError(f"{path} exists and is no run folder; choose another --logdir")
        content = {
            "format_version": _FORMAT_VERSION,
            "settings": config.to_dict(),
            "frames": dataclasses.asdict(frames),
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / "config.json", json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise UserError(f"cannot write the run folder {path}: {error.strerror}") from error
        return cls(path, config, frames)

    def _refuse_differences(self, config, frames):
        now = {**flatten(config), **dataclasses.asdict(frames)}
        then = {**flatten(self.config), **dataclasses.asdict(self.frames)}
        different = [
            f"{name} was {then[name]}, now {now[name]}" for name in now if now[name] != then[name]
        ]
        if different:
            raise UserError(
                f"{self.path} holds a run with other settings ({'; '.join(different)}): "
                "resume with the same ones or choose another --logdir"
            )

    @contextlib.contextmanager
    def locked(self):
        """Refuses a second process that would write into the same folder."""
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"{self.path} is in use by another process") from error
            yield

    def load_model(self):
        """The model with the weights of the best checkpoint."""
        model = build_model(self.config, self.frames)
        variables = checkpoint.named_variables({"model": model.variables})
        arrays = checkpoint.load(self.best_checkpoint)
        checkpoint.assign(variables, arrays, self.best_checkpoint)
        return model
