"""The run folder: everything about one training run, and the way back to its model.

config.json     settings, which frames the run was trained on, and the command that made it
checkpoints/    latest.npz (everything, for resuming) and best.npz (weights, for using)
metrics.csv     scalars; events.out.tfevents.* have the same and images, for TensorBoard
evaluation.json, figures/   written at the end
"""

import contextlib
import json
import shlex
from pathlib import Path
from typing import ClassVar

import permakey_tf
from permakey_tf.errors import UserError
from permakey_tf.runs import checkpoint
from permakey_tf.runs.families import applies
from permakey_tf.runs.readers import read_metrics
from permakey_tf.system import disk, files, schema
from permakey_tf.system.files import make_folder, write_text, writing

FORMAT_VERSION = 1
_HEADER = ("format_version", "kind", "version")  # runs of 0.1.0 have no version
_MARKS = {"format_version": int, "kind": str}  # of every run's config.json
# What killed processes leave of files that are replaced; only the lock's holder may remove it.
_LEFTOVERS = (
    *("config.json", "metrics.csv", "checkpoints/*", "keypoints/*", "keypoints/*/*"),
    *("events.out.tfevents.*", "tensorboard/*", "figures/*", "evaluation.json"),
)


def left_by_an_early_death(path: Path) -> bool:
    """Whether a folder holds no more than a run leaves that was killed before it began."""
    return path.is_dir() and all(
        file.name == ".lock" or file.name.startswith("config.json.partial")
        for file in path.iterdir()
    )


def is_run_folder(path: Path) -> bool:
    """Whether a folder, which need not exist, is a run's of any kind, by its config.json."""
    try:
        content = schema.read_object(path / "config.json")
    except (FileNotFoundError, NotADirectoryError, UserError):  # or another program's
        return False
    return all(isinstance(content.get(name), kind) for name, kind in _MARKS.items())


@contextlib.contextmanager
def naming_config(path):
    """Names the config.json of a run folder in what is wrong with its content."""
    file = Path(path) / "config.json"
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is damaged: {error!r}") from error
    except UserError as error:
        raise UserError(
            f"{file} does not fit this version of the program ({error}): train the run anew"
        ) from error


class Folder:
    """A run folder on disk, of any kind of run: made once, checked when resumed, locked.

    Args:
      path: the folder.
      content: what config.json says beside the format.

    Attributes:
      lengths: settings whose larger values only add steps to a run's end.
      fixed_by: settings that `fixed_end` speaks of, as often as it does.
    """

    kind: str
    lengths: ClassVar[tuple[str, ...]]
    fixed_by: ClassVar[tuple[str, ...]]

    def __init__(self, path: Path, content: dict):
        self.path, self.content = Path(path), content

    @property
    def fixed_end(self) -> str:
        """Why a longer run would take other steps from its start on; "" where it would not."""
        raise NotImplementedError

    @property
    def command(self) -> str:
        """What was typed to make the run; "" where it was not typed, or by an earlier version."""
        return self.read(self.path).get("command", "")

    @property
    def latest_checkpoint(self) -> Path:
        """Everything that resuming needs."""
        return self.path / "checkpoints" / "latest.npz"

    @property
    def best_checkpoint(self) -> Path:
        """Weights with the best validation."""
        return self.path / "checkpoints" / "best.npz"

    @property
    def best_sha256(self) -> str | None:
        """SHA-256 (hex) of `best_checkpoint`; None where there is none."""
        return files.sha256(self.best_checkpoint) if self.best_checkpoint.is_file() else None

    @classmethod
    def read(cls, path) -> dict:
        """Content of a folder's config.json. Raises UserError where it is no such run's."""
        path = Path(path)
        file = path / "config.json"
        if path.is_file():
            raise UserError(f"{path} is a file: name a run folder")
        if not file.is_file():
            raise UserError(f"{path} is no run folder: {file} is missing")
        content = schema.read_object(file)
        schema.check_version(file, content, FORMAT_VERSION)
        kind = content.get("kind")
        if not isinstance(kind, str):
            raise UserError(f"{file} is damaged or of another program: it has no kind")
        if kind != cls.kind:
            inside = path / cls.kind
            instead = f": {inside} is the one it sees with" if inside.is_dir() else f" (see {file})"
            raise UserError(f"{path} holds a run of kind {kind!r}, not {cls.kind!r}{instead}")
        return {name: value for name, value in content.items() if name not in _HEADER}

    def require_best(self) -> Path:
        """`best_checkpoint`. Raises UserError where it is missing, with the way to it."""
        if self.best_checkpoint.is_file():
            return self.best_checkpoint
        self.refuse_lost_checkpoints()
        command = self._resuming_command
        remedy = f": `{command}`" if command else " with the command that made it"
        if self.in_use:
            advice = f"wait for the first validation of {self.path}, which is being trained"
        elif self.latest_checkpoint.is_file():
            advice = f"{self.path} ended before its first validation: resume it{remedy}"
        else:
            advice = f"train first{remedy}" if command else "train first"
        raise UserError(f"{self.best_checkpoint}: no such checkpoint; {advice}")

    @property
    def _resuming_command(self) -> str:
        """`command`, for where the folder is now; "" where it is not known."""
        words = shlex.split(self.command)
        words = [word for word in words if not word.startswith("--logdir=")]
        return shlex.join([*words, f"--logdir={self.path}"]) if words else ""

    def refuse_lost_checkpoints(self) -> None:
        """Raises UserError where checkpoints that the run has had are gone: without the latest it
        would begin anew, and replace the best and what it has reported."""
        latest, best = self.latest_checkpoint, self.best_checkpoint
        if self.in_use or (latest.is_file() and best.is_file()):
            return
        gone, what = "", "it"
        if best.is_file():
            gone = f"{latest} is gone, without which the run cannot go on; {best} still is there"
        elif latest.is_file():
            saved = checkpoint.load(latest, prefix="progress/best_step")
            if step := int(saved.get("progress/best_step", 0)):
                gone = f"{best} of step {step} is gone"
        elif self._outlived_a_checkpoint:
            gone, what = f"the checkpoints of {self.path} are gone", "them"
        if gone:
            raise UserError(
                f"{gone}: bring {what} back, or train anew in another logdir (or delete "
                f"{self.path} first)",
                ["logdir"],
            )

    @property
    def _outlived_a_checkpoint(self) -> bool:
        """Whether the run was tested or has reported behind a validation, at which it saves."""
        if (self.path / "evaluation.json").is_file():
            return True
        if not (self.path / "metrics.csv").is_file():
            return False
        try:
            table = read_metrics(self.path).items()
        except UserError:  # a run that goes on says what to do
            return False
        reported = [step for _, values in table for step in values]
        validated = [s for name, values in table if name.startswith("validation/") for s in values]
        return bool(validated) and max(reported) > min(validated)

    @contextlib.contextmanager
    def _held(self, command: str = ""):
        """Makes the folder, or checks that what it holds was made with the same settings.

        Nothing is written before the folder is locked, and it stays locked inside the block. A run
        that ended before its first checkpoint has nothing to lose, and takes new settings. One that
        is to take more steps than it was made for says so from then on.

        Args:
          command: that was typed, for config.json; "" for none.

        Raises:
          UserError: other settings (named), a folder that is not such a run's, or that is in use.
        """
        self._refuse_foreign(self.path)
        self.refuse_lost_checkpoints()
        make_folder(self.path)
        with self.locked():
            self._remove_leftovers()
            content = self.content | ({"command": command} if command else {})
            if not (self.path / "config.json").exists():
                self._write_config(content)
            elif not self.has_checkpoint:
                if self._differences():
                    (self.path / "metrics.csv").unlink(missing_ok=True)
                    self._write_config(content)
            elif self.compare():
                self._take_back_the_end()
                new = {name: content.get(name, "") for name in ("settings", "command")}
                self._write_config(self.read(self.path) | new)
            yield

    def compare(self) -> bool:
        """Checks that the run on disk was made with these settings; writes nothing.

        Returns:
          Whether these settings have it take more steps than it was made for.

        Raises:
          UserError: it was made otherwise (the differences are named), or is damaged.
        """
        different = self._differences()
        if not different:
            return False
        grows = all(
            name in self.lengths and _is_more(*values) for name, values in different.items()
        )
        if grows and not self.fixed_end:
            return True
        told = [_told(name, *values) for name, values in different.items()]
        why = f" and cannot take more steps: {self.fixed_end}" if grows else ""
        remedy, settings = self._remedy
        raise UserError(
            f"{self.path} holds a run with other settings ({'; '.join(told)}){why}: {remedy}",
            [*settings, *(self.fixed_by if why else ())],
        )

    def _flat(self, content: dict) -> dict:
        """{setting: value} of a run's content: what has to be equal on resuming."""
        raise NotImplementedError

    def _differences(self) -> dict[str, tuple]:
        """{setting: (its value in the folder, now)} of those that do something in both."""
        then, now = self._flat(self.read(self.path)), self._flat(self.content)
        return {
            name: (then[name], now[name])
            for name in now
            if now[name] != then[name] and applies(name, then) and applies(name, now)
        }

    def _take_back_the_end(self):
        """Removes what is true of a finished run only."""

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
            raise UserError(
                f"{path} exists and is no run folder; choose another logdir", ["logdir"]
            )

    def _remove_leftovers(self):
        for name in _LEFTOVERS:
            for file in self.path.glob(f"{name}.partial*"):
                file.unlink()

    @property
    def _remedy(self) -> tuple[str, list[str]]:
        """What to do where a run has other settings, and the settings that this speaks of."""
        return "resume with the same ones or choose another logdir", ["logdir"]

    @property
    def has_checkpoint(self) -> bool:
        """Whether anything was trained."""
        return self.latest_checkpoint.exists() or self.best_checkpoint.exists()

    @staticmethod
    def has_begun(path) -> bool:
        """Whether a folder, which need not exist, has anything trained: `has_checkpoint`."""
        return Folder(path, {}).has_checkpoint

    def _write_config(self, content):
        header = {"format_version": FORMAT_VERSION, "kind": self.kind}
        content = {**header, "version": permakey_tf.__version__, **content}
        write_text(self.path / "config.json", json.dumps(content, indent=2) + "\n")

    @contextlib.contextmanager
    def locked(self):
        """Keeps other processes from writing into the folder, inside the block.

        Raises:
          UserError: one of them is writing now, or the folder cannot be locked.
        """
        with writing(self.path / ".lock"):
            file = (self.path / ".lock").open("ab")
        with file:
            try:
                kept = disk.lock(file)
            except BlockingIOError as error:
                raise UserError(f"{self.path} is in use by another process") from error
            except OSError as error:
                raise UserError(
                    f"cannot lock the run folder {self.path}: {error.strerror}; choose a logdir "
                    "on another disk",
                    ["logdir"],
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


def _told(name: str, then, now) -> str:
    """What differs, in words; names of runs' settings as flags have them, hashes shortened."""
    if name == "content_hash":
        return f"its frames were others: store {then[:8]}, now {now[:8]}"
    return f"{name} was {then}, now {now}"


def _is_more(then: int | None, now: int | None) -> bool:
    """Of limits, where None is none."""
    return then is not None and (now is None or now > then)
