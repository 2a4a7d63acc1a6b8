"""Run folders on disk: who may write when. Nothing here needs TensorFlow."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import refuses, run_folder, tiny_config

import permakey_tf
from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.configs.keypoints import LoggingConfig
from permakey_tf.runs import checkpoint
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.runs.progress import read_status
from permakey_tf.system import files
from permakey_tf.training.request import KeypointRequest

ROOT = Path(__file__).parents[1]
FRAMES = FrameSpec("toy", 20, 3, "hash")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run"


def names(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


class TestStartsAtTheSameMoment:
    @pytest.fixture(scope="class")
    def races(self, tmp_path_factory):
        """(folder, [(settings, outcome)]) of six races, three of them of equal commands."""
        folder = tmp_path_factory.mktemp("races")
        starters = [[{"seed": i} for i in range(4)], [{}] * 4] * 3
        done = subprocess.run(
            [sys.executable, ROOT / "tests" / "starters.py", folder, json.dumps(starters)],
            cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [(folder / str(i), met) for i, met in enumerate(json.loads(done.stdout))]

    def test_one_trains_and_the_others_are_refused_in_one_line(self, races):
        for folder, met in races:
            outcomes = sorted(outcome for _, outcome in met)
            assert outcomes == [f"{folder} is in use by another process"] * 3 + ["won"]

    def test_the_settings_on_disk_are_those_that_are_trained(self, races):
        for folder, met in races:
            (won,) = (settings for settings, outcome in met if outcome == "won")
            assert KeypointFolder.open(folder).config == tiny_config(**won)
            assert names(folder) == [".lock", "config.json"]


def test_nothing_is_written_where_another_process_works(path):
    with KeypointFolder.held(path, tiny_config(seed=1), FRAMES):
        before = {name: (path / name).stat().st_mtime_ns for name in names(path)}
        with refuses(path, "in use"), KeypointFolder.held(path, tiny_config(seed=2), FRAMES):
            pass
        assert {name: (path / name).stat().st_mtime_ns for name in names(path)} == before
    with KeypointFolder.held(path, tiny_config(seed=2), FRAMES):  # the lock ends with the block
        pass


def test_a_run_keeps_the_version_that_made_it_and_another_resumes_it(path):
    """Runs of 0.1.0 name no version."""
    folder = run_folder(KeypointFolder, path, tiny_config(), FRAMES)
    file = path / "config.json"
    content = json.loads(file.read_text())
    assert content["version"] == permakey_tf.__version__
    checkpoint.save(folder.latest_checkpoint, {})
    for version in ("9.9", None):
        content["version"] = version
        if version is None:
            del content["version"]
        file.write_text(json.dumps(content))
        run_folder(KeypointFolder, path, tiny_config(), FRAMES)
        assert json.loads(file.read_text()) == content
        assert KeypointFolder.open(path).config == tiny_config()


# What pursuit did before these settings were there, or had the defaults that they have now.
ONCE = {
    "pursuit_border": 1.0,
    "pursuit_lines": "none",
    "pursuit_radius": 0.2,
    "pursuit_sharpness": 30.0,
}


def made_by_an_earlier_version(path, config) -> None:
    """A trained run of pursuit that knows nothing of these settings."""
    folder = run_folder(KeypointFolder, path, config, FRAMES)
    content = json.loads((path / "config.json").read_text())
    for name in ONCE:
        del content["settings"]["pursuit"][name]
    del content["settings"]["training"]["selection"]
    (path / "config.json").write_text(json.dumps(content))
    checkpoint.save(folder.latest_checkpoint, {})


def request(path, config, *given) -> KeypointRequest:
    places = {"data_dir": "nowhere", "logdir": str(path), "collect": False}
    return KeypointRequest(
        config, LoggingConfig(), CollectionConfig(), **places, given=frozenset(given)
    )


def test_a_run_of_an_earlier_version_goes_on_as_it_began(path):
    config = tiny_config(extractor="pursuit")
    assert request(path, config).as_begun().keypoints == config  # nothing is trained yet
    made_by_an_earlier_version(path, config)
    as_begun = request(path, config).as_begun().keypoints
    assert as_begun == tiny_config(extractor="pursuit", selection="loss", **ONCE)
    assert not KeypointFolder(path, as_begun, FRAMES).compare()
    asked = request(path, config, "pursuit_lines").as_begun().keypoints
    with refuses("(pursuit_lines was none, now median)", settings=["logdir"]):
        KeypointFolder(path, asked, FRAMES).compare()


def test_a_setting_that_does_nothing_may_differ(path):
    made_by_an_earlier_version(path, tiny_config())  # PointNet's keypoints
    assert not KeypointFolder(path, tiny_config(pursuit_lines="median"), FRAMES).compare()
    with refuses("(extractor was pointnet, now pursuit; ", settings=["logdir"]):
        KeypointFolder(path, tiny_config(extractor="pursuit"), FRAMES).compare()


def test_what_killed_processes_left_is_removed_by_the_next(path):
    config = tiny_config()
    run_folder(KeypointFolder, path, config, FRAMES)
    (path / "checkpoints").mkdir()
    for name in ("config.json.partial", "checkpoints/latest.npz.partial-1234"):
        (path / name).touch()
    run_folder(KeypointFolder, path, config, FRAMES)
    assert names(path) == [".lock", "checkpoints", "config.json"]


@pytest.mark.parametrize("foreign", ["thesis.txt", "metrics.csv"])
def test_a_folder_of_something_else_is_left_as_it_is(path, foreign):
    path.mkdir()
    (path / foreign).touch()
    refused = refuses(path, "no run folder", settings=["logdir"])
    with refused, KeypointFolder.held(path, tiny_config(), FRAMES):
        pass
    assert names(path) == [foreign]


def test_two_that_replace_one_file_do_not_meet(tmp_path):
    file = tmp_path / "evaluation.json"
    with files.replaced(file) as first:
        first.write(b"the first")
        with files.replaced(file) as second:
            second.write(b"2nd")
    assert file.read_bytes() == b"the first"
    assert names(tmp_path) == ["evaluation.json"]


class TestLooking:
    """What a sweep does in a folder that a run may be about to start in."""

    def test_makes_nothing(self, path):
        run_folder(KeypointFolder, path, tiny_config(), FRAMES)
        (path / ".lock").unlink()
        assert read_status(path, tiny_config(), FRAMES) == (0, False, False)
        assert names(path) == ["config.json"]

    def test_refuses_no_one(self, path, monkeypatch):
        """A start that meets a look tries again: the look is over at once."""
        folder = run_folder(KeypointFolder, path, tiny_config(), FRAMES)
        look = (path / ".lock").open("rb")
        fcntl.flock(look, fcntl.LOCK_SH)
        monkeypatch.setattr("time.sleep", lambda _: look.close())
        with folder.locked():
            assert look.closed

    def test_sees_whoever_works_there(self, path):
        config = tiny_config()
        with KeypointFolder.held(path, config, FRAMES) as folder:
            assert folder.in_use
            assert read_status(path, config, FRAMES).in_use
            with refuses("seed was 0, now 1", settings=["logdir"]):
                read_status(path, tiny_config(seed=1), FRAMES)
        assert not folder.in_use

    def test_sees_who_has_only_just_begun(self, path):
        path.mkdir()
        with KeypointFolder(path, tiny_config(), FRAMES).locked():
            assert read_status(path, tiny_config(), FRAMES) == (0, False, True)
        assert read_status(path, tiny_config(), FRAMES) == (0, False, False)

    def test_changes_no_settings(self, path):
        folder = run_folder(KeypointFolder, path, tiny_config(), FRAMES)
        checkpoint.save(folder.best_checkpoint, {})
        before = (path / "config.json").read_bytes()
        with refuses("seed was 0, now 1", settings=["logdir"]):
            read_status(path, tiny_config(seed=1), FRAMES)
        assert (path / "config.json").read_bytes() == before


class TestFileSystems:
    @pytest.fixture
    def flock(self, monkeypatch):
        def answers(number):
            def refuse(*_):
                raise OSError(number, os.strerror(number))

            monkeypatch.setattr(fcntl, "flock", refuse)

        return answers

    @pytest.mark.parametrize(
        "number", [524, errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EIO, errno.EINVAL]
    )
    def test_without_locks_it_says_so(self, path, flock, number, capsys):
        flock(number)
        with KeypointFolder.held(path, tiny_config(), FRAMES) as folder:
            (line,) = capsys.readouterr().out.splitlines()
            assert line.startswith(f"note: the file system of {path} has no locks")
            assert not folder.in_use

    @pytest.mark.parametrize("number", [errno.ESTALE, errno.EPERM])
    def test_a_fault_is_one_line(self, path, flock, number):
        flock(number)
        with refuses(path, os.strerror(number), settings=["logdir"]):
            run_folder(KeypointFolder, path, tiny_config(), FRAMES)

    def test_a_held_lock_is_told_in_two_ways(self, path, flock):
        flock(errno.EACCES)
        with refuses(path, "in use"):
            run_folder(KeypointFolder, path, tiny_config(), FRAMES)

    @pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, 524])
    def test_files_are_kept_where_they_cannot_be_synced(self, path, monkeypatch, number):
        def refuse(_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        folder = run_folder(KeypointFolder, path, tiny_config(), FRAMES)
        checkpoint.save(folder.latest_checkpoint, {})
        assert checkpoint.load(folder.latest_checkpoint) == {}
