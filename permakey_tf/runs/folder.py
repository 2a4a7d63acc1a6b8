"""The run folder: everything about one training run, and the way back to its model.

config.json     settings, and which frames the run was trained on
checkpoints/    latest.npz (everything, for resuming) and best.npz (weights, for using)
metrics.csv     scalars; tensorboard/ has the same and images
evaluation.json, figures/   written at the end
"""

import contextlib
import json
from pathlib import Path

import permakey_tf
from permakey_tf.errors import UserError
from permakey_tf.system import disk, schema
from permakey_tf.system.files import write_text

_FORMAT_VERSION = 1
_HEADER = ("format_version", "kind", "version")  # runs of 0.1.0 have no version
# What killed processes leave of files that are replaced; only the lock's holder may remove it.
_LEFTOVERS = (
    *("config.json", "metrics.csv", "checkpoints/*", "keypoints/*", "keypoints/*/*"),
    *("tensorboard/*", "figures/*", "evaluation.json"),
)


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
        header = {"format_version": _FORMAT_VERSION, "kind": self.kind}
        content = {**header, "version": permakey_tf.__version__, **self.content}
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
