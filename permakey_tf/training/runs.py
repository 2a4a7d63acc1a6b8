"""The run folder: everything about one training run, and the way back to its model.

config.json     settings, and which frames the run was trained on
checkpoints/    latest.npz (everything, for resuming) and best.npz (weights, for using)
metrics.csv     scalars; tensorboard/ has the same and images
evaluation.json, figures/   written at the end
"""

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from permakey_tf import disk, schema
from permakey_tf.agent_configs import AgentConfig
from permakey_tf.configs import MAX_SIDE, KeypointConfig, canonical_game, flatten
from permakey_tf.data.frames import FrameStore
from permakey_tf.envs.atari import seed_sets
from permakey_tf.errors import UserError
from permakey_tf.training import checkpoint, files
from permakey_tf.training.files import write_text
from permakey_tf.types import EnvironmentRecord

_FORMAT_VERSION = 1
_HEADER = ("format_version", "kind")
# What killed processes leave of files that are replaced; only the lock's holder may remove it.
_LEFTOVERS = (
    *("config.json", "metrics.csv", "checkpoints/*", "keypoints/*", "keypoints/*/*"),
    *("tensorboard/*", "figures/*", "evaluation.json"),
)


@dataclasses.dataclass(frozen=True)
class FrameSpec:
    """The frames that a model was trained on: game, size S, channels, hash of the store.

    environment: which one was played. None where frames were not played, and in runs of earlier
      versions.
    keep_aspect: whether frames were padded to a square, see `prepare_frame`.
    """

    game: str
    image_size: int
    channels: int
    content_hash: str
    environment: EnvironmentRecord | None = None
    keep_aspect: bool = False

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
        )


def build_model(config: KeypointConfig, frames: FrameSpec):
    """An untrained model of the configured method, its variables made from the seed."""
    # Imported here: the run folder can be checked before TensorFlow is loaded.
    import keras

    keras.utils.set_random_seed(config.training.seed)
    return _make_model(config, frames)


def _make_model(config: KeypointConfig, frames: FrameSpec):
    from permakey_tf.models.permakey import PermaKey
    from permakey_tf.models.transporter import Transporter

    methods = {"permakey": PermaKey, "transporter": Transporter}
    return methods[config.method](config, frames.image_size, frames.channels)


def left_by_an_early_death(path: Path) -> bool:
    """Whether a folder holds no more than a run leaves that was killed before it began."""
    return path.is_dir() and all(
        file.name == ".lock" or file.name.startswith("config.json.partial")
        for file in path.iterdir()
    )


class Folder:
    """A run folder on disk, of any kind of run: made once, checked when resumed, locked.

    Args:
      path: the folder.
      content: what config.json says beside the format.
    """

    kind: str

    def __init__(self, path: Path, content: dict):
        self.path, self.content = Path(path), content

    @property
    def latest_checkpoint(self) -> Path:
        """Everything that resuming needs."""
        return self.path / "checkpoints" / "latest.npz"

    @property
    def best_checkpoint(self) -> Path:
        """Weights with the best validation."""
        return self.path / "checkpoints" / "best.npz"

    @classmethod
    def read(cls, path) -> dict:
        """Content of a folder's config.json. Raises UserError where it is no such run's."""
        path = Path(path)
        file = path / "config.json"
        if not file.is_file():
            raise UserError(f"{path} is no run folder: {file} is missing")
        content = schema.read_object(file)
        schema.check_version(file, content, _FORMAT_VERSION)
        kind = content.get("kind")
        if not isinstance(kind, str):
            raise UserError(f"{file} is damaged or of another program: it has no kind")
        if kind != cls.kind:
            raise UserError(f"{path} holds a run of kind {kind!r}, not {cls.kind!r} (see {file})")
        return {name: value for name, value in content.items() if name not in _HEADER}

    @contextlib.contextmanager
    def _held(self, flat):
        """Makes the folder, or checks that what it holds was made with the same settings.

        Nothing is written before the folder is locked, and it stays locked inside the block. A run
        that ended before its first checkpoint has nothing to lose, and takes new settings.

        Args:
          flat: function of a content to {setting: value}; differences are named.

        Raises:
          UserError: other settings (named), a folder that is not such a run's, or that is in use.
        """
        self._refuse_foreign(self.path)
        with self._explained():
            self.path.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self._remove_leftovers()
            if not (self.path / "config.json").exists():
                self._write_config()
            elif self.has_checkpoint:
                self._compare(flat)
            elif self._differences(flat):
                (self.path / "metrics.csv").unlink(missing_ok=True)
                self._write_config()
            yield

    def _compare(self, flat) -> None:
        """Checks, and changes nothing. Raises UserError as `_held`."""
        if different := self._differences(flat):
            raise UserError(
                f"{self.path} holds a run with other settings ({'; '.join(different)}): "
                f"{self._remedy}"
            )

    def _differences(self, flat) -> list[str]:
        then, now = flat(self.read(self.path)), flat(self.content)
        return [
            f"{name} was {then[name]}, now {now[name]}" for name in now if now[name] != then[name]
        ]

    @classmethod
    def check_place(cls, path) -> None:
        """Checks, before long work, that a run can be made or resumed there; leaves nothing.

        Raises:
          UserError: something else is there, or nothing can be written.
        """
        path = Path(path)
        if (path / "config.json").exists():
            cls.read(path)
        else:
            cls._refuse_foreign(path)
        disk.check_place(path, "config.json", "metrics.csv", "evaluation.json")

    @staticmethod
    def _refuse_foreign(path: Path):
        # In this order: a run that starts at this moment makes its config.json first.
        foreign = path.exists() and not left_by_an_early_death(path)
        if foreign and not (path / "config.json").exists():
            raise UserError(f"{path} exists and is no run folder; choose another --logdir")

    def _remove_leftovers(self):
        for name in _LEFTOVERS:
            for file in self.path.glob(f"{name}.partial*"):
                file.unlink()

    @property
    def _remedy(self) -> str:
        return "resume with the same ones or choose another --logdir"

    @property
    def has_checkpoint(self) -> bool:
        """Whether anything was trained."""
        return self.latest_checkpoint.exists() or self.best_checkpoint.exists()

    def _write_config(self):
        content = {"format_version": _FORMAT_VERSION, "kind": self.kind, **self.content}
        with self._explained():
            write_text(self.path / "config.json", json.dumps(content, indent=2) + "\n")

    @contextlib.contextmanager
    def _explained(self):
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write the run folder {self.path}: {error.strerror}") from error

    @contextlib.contextmanager
    def locked(self):
        """Keeps other processes from writing into the folder, inside the block.

        Raises:
          UserError: one of them is writing now, or the folder cannot be locked.
        """
        with self._explained():
            file = (self.path / ".lock").open("ab")
        with file:
            try:
                kept = disk.lock(file)
            except BlockingIOError as error:
                raise UserError(f"{self.path} is in use by another process") from error
            except OSError as error:
                raise UserError(
                    f"cannot lock the run folder {self.path}: {error.strerror}; choose a --logdir "
                    "on another disk"
                ) from error
            if not kept:
                print(
                    f"note: the file system of {self.path} has no locks: take care that no second "
                    "process works in that folder"
                )
            yield

    @property
    def in_use(self) -> bool:
        """Whether a process has locked the folder. Looking makes nothing and disturbs no one."""
        try:
            with (self.path / ".lock").open("rb") as file:
                return disk.is_locked(file)
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def _naming(path):
    """Names the config.json in what is wrong with its content."""
    file = Path(path) / "config.json"
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is damaged: {error!r}") from error
    except UserError as error:
        raise UserError(
            f"{file} does not fit this version of the program ({error}): train the run anew"
        ) from error


class RunFolder(Folder):
    """The folder of a keypoint run. `config`, `frames`: what config.json says."""

    kind = "keypoints"

    def __init__(self, path: Path, config: KeypointConfig, frames: FrameSpec):
        super().__init__(path, {"settings": config.to_dict(), "frames": dataclasses.asdict(frames)})
        self.config, self.frames = config, frames

    @classmethod
    def open(cls, path) -> "RunFolder":
        """Opens an existing run folder. Raises UserError where `path` is none."""
        return cls(path, *cls._parse(cls.read(path), path))

    @classmethod
    @contextlib.contextmanager
    def held(cls, path, config: KeypointConfig, frames: FrameSpec):
        """Makes the folder, or resumes what was made with the same settings; locked in the block.

        Yields:
          The RunFolder.

        Raises:
          UserError: other settings or frames (named), a folder that is not a keypoint run's, or
            one in which another process works. Nothing was written then.
        """
        folder = cls(path, config, frames)
        with folder._held(folder._flat):
            yield folder

    @classmethod
    def create_or_resume(cls, path, config: KeypointConfig, frames: FrameSpec) -> "RunFolder":
        """As `held`, but for a folder that no other process can be using: not locked any more."""
        with cls.held(path, config, frames) as folder:
            return folder

    def compare(self) -> None:
        """Checks that the run on disk was made with these settings and frames; writes nothing.

        Raises:
          UserError: it was not (the differences are named), or is damaged.
        """
        self._compare(self._flat)

    def _flat(self, content):
        config, frames = self._parse(content, self.path)
        spec = dataclasses.asdict(frames)
        del spec["environment"]  # not in older runs; and equal frames have an equal hash
        return {**flatten(config), **spec}

    @staticmethod
    def _parse(content, path) -> tuple[KeypointConfig, FrameSpec]:
        with _naming(path):
            config = KeypointConfig.from_dict(content["settings"])
            return config, schema.parse(FrameSpec, content["frames"], "frames")

    def load_model(self, precision: str | None = None):
        """The model with the weights of the best checkpoint, in another precision if given.

        Nobody's random numbers are seeded anew.
        """
        config = self.config
        if precision:
            training = dataclasses.replace(config.training, precision=precision)
            config = dataclasses.replace(config, training=training)
        model = _make_model(config, self.frames)
        variables = checkpoint.named_variables({"model": model.variables})
        arrays = self.load_arrays(self.best_checkpoint)
        checkpoint.assign(variables, arrays, self.best_checkpoint)
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
                f"{path} is of a version of --refine_net=code without its last batch "
                "normalisation: train the run anew in another --logdir"
            )
        return arrays


class AgentFolder(Folder):
    """The folder of an agent's run. It has a copy of the keypoint run that it sees with.

    Args:
      path: the folder.
      config: the agent's settings.
      keypoints: the keypoint run.
    """

    kind = "agent"

    def __init__(self, path: Path, config: AgentConfig, keypoints: RunFolder):
        vision = {"settings": keypoints.config.to_dict(), "weights": _hash(keypoints)}
        seeds = seed_sets(config.learning.seed)
        super().__init__(path, {"settings": config.to_dict(), "seeds": seeds, "keypoints": vision})
        self.config, self.keypoints = config, keypoints

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
        folder = cls(path, config, RunFolder.open(Path(path) / "keypoints"))
        folder._check_keypoints()
        return folder

    @staticmethod
    def _parse(content, path) -> tuple[AgentConfig, str]:
        """Settings, and the hash of the keypoint run's weights."""
        with _naming(path):
            keypoints = schema.parse(dict[str, Any], content["keypoints"], "keypoints")
            weights = schema.parse(str, keypoints["weights"], "keypoints.weights")
            return AgentConfig.from_dict(content["settings"]), weights

    @classmethod
    @contextlib.contextmanager
    def held(cls, path, config: AgentConfig, keypoints: RunFolder):
        """Makes the folder with a copy of the keypoints, or resumes it; locked in the block.

        Yields:
          The AgentFolder, whose keypoints are its own copy.

        Raises:
          UserError: other settings (named) or another keypoint run, a folder of something else, or
            one in which another process works. Nothing was written then.
        """
        folder = cls(path, config, keypoints)
        with folder._held(folder._flat):
            folder._copy_keypoints()
            resumed = cls(path, config, RunFolder.open(folder.path / "keypoints"))
            if folder.has_checkpoint:
                resumed._check_keypoints()
            elif resumed.content != folder.content:
                raise UserError(
                    f"{keypoints.path} has changed while it was copied: is it still being trained? "
                    "Start again when it is done"
                )
            yield resumed

    @classmethod
    def create_or_resume(cls, path, config: AgentConfig, keypoints: RunFolder) -> "AgentFolder":
        """As `held`, but for a folder that no other process can be using: not locked any more."""
        with cls.held(path, config, keypoints) as folder:
            return folder

    def _flat(self, content):
        config, weights = self._parse(content, self.path)
        game = canonical_game(config.environment.game)
        return {**flatten(config), "game": game, "keypoint run": weights}

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
        with _naming(self.path):
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
    def _remedy(self) -> str:
        return (
            f"resume with the same ones (the run's own copy of the keypoints is "
            f"--keypoints={self.path / 'keypoints'}) or choose another --logdir"
        )


def _hash(keypoints: RunFolder) -> str:
    try:
        return hashlib.sha256(keypoints.best_checkpoint.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise UserError(
            f"{keypoints.best_checkpoint}: no such checkpoint; train the keypoints first"
        ) from error
