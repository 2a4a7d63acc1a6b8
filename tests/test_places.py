"""Places for results are checked before the first long work, and a refusal leaves nothing."""

import errno
import json
import os
import tempfile

import numpy as np
import pytest
from absl import flags as absl_flags
from support import TINY_FLAGS, call, parsed, refused, refuses, run_folder, tiny_config, write_store
from test_report import write as write_evaluation

from flags import common, figures, keypoints, sweep
from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.data.sources import build_store
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.scores.evaluation import Rules
from permakey_tf.scores.evaluation_file import Planned, PlannedRun, check_place
from permakey_tf.system import disk
from permakey_tf.training.request import refuse_early

# ------------------------------------------------------------------------------------------ a place


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below", "link", "link/below"])
def test_what_is_in_the_way_is_named(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    culprit = tmp_path / place.partition("/")[0]
    with refuses(f"{culprit} is no folder"):
        disk.check_place(tmp_path / place)


def test_a_file_cannot_replace_a_folder(tmp_path):
    (tmp_path / "table1.md").mkdir()
    disk.check_place(tmp_path, "table2.md")
    with refuses(tmp_path / "table1.md", "folder"):
        disk.check_place(tmp_path, "table2.md", "table1.md")


def test_a_name_that_the_system_does_not_take_is_refused(tmp_path):
    with refuses("File name too long"):
        disk.check_place(tmp_path / ("x" * 300))


def refuse_writing(monkeypatch, number):
    """As a file system that is mounted read-only; from root nothing else is protected."""

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_where_no_file_can_be_made_is_told(tmp_path, monkeypatch, number):
    refuse_writing(monkeypatch, number)
    with refuses(f"{tmp_path} ", os.strerror(number)):
        disk.check_place(tmp_path / "new" / "place")


def test_looking_leaves_nothing(tmp_path):
    disk.check_place(tmp_path / "new" / "place", "file")
    disk.check_place(tmp_path, "file")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------- the programs


def command(tmp_path, **changes):
    """Of run.keypoints on frames that are still to be collected."""
    asked = TINY_FLAGS | {
        "game": "breakout", "num_frames": 60, "max_steps": 2,
        "data_dir": tmp_path / "data" / "store", "logdir": tmp_path / "run",
    } | changes  # fmt: skip
    return parsed(keypoints, **asked)


def test_a_bad_run_folder_is_refused_before_frames_are_collected(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    begun = run_folder(
        KeypointFolder,
        tmp_path / "begun",
        tiny_config(noise="both"),
        FrameSpec("breakout", 20, 3, "ab"),
    )
    begun.latest_checkpoint.parent.mkdir()
    begun.latest_checkpoint.touch()
    for logdir, settings, words in (
        ("file", ["logdir"], ["no run folder"]),
        ("file/run", [], [f"{tmp_path / 'file'} is no folder"]),
        ("other", ["logdir"], ["no run folder"]),
        ("begun", ["logdir"], ["noise was both, now none"]),
    ):
        with refuses(tmp_path / logdir, *words, settings=settings):
            refuse_early(command(tmp_path, logdir=tmp_path / logdir))
    with begun.locked(), refuses(begun.path, "noise was both, now none", settings=["logdir"]):
        refuse_early(command(tmp_path, logdir=begun.path))
    refuse_early(command(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"file", "other", "begun"}


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        (
            {"batch_size": 55},
            ["batch_size", "num_frames"],
            ["54 training frames", "batch_size=55"],
        ),
        ({"data_dir": "/dev/null/store"}, [], ["/dev/null is no folder"]),
        ({"game": "nogame"}, ["data_dir"], ["/store", "'nogame'"]),
    ],
)
def test_frames_that_would_not_do_are_not_collected(tmp_path, changes, settings, words):
    with refuses(*words, settings=settings):
        refuse_early(command(tmp_path, **changes))


def test_a_batch_may_be_the_whole_training_split_or_more_pairs_than_frames(tmp_path):
    refuse_early(command(tmp_path, batch_size=54))
    refuse_early(command(tmp_path, batch_size=55, method="transporter"))


def test_settings_that_do_not_fit_the_frames_are_flags_mistakes(tmp_path):
    with refuses("--patch_size=20", settings=["patch_size"]):
        command(tmp_path, patch_size=20)


def test_a_store_is_not_begun_where_it_cannot_be_finished(tmp_path, monkeypatch):
    refuse_writing(monkeypatch, errno.EROFS)
    with refuses(tmp_path, "Read-only"):
        build_store(CollectionConfig(game="breakout"), tmp_path / "new" / "store", progress=False)


def test_games_are_not_played_where_their_scores_cannot_be_written(tmp_path, monkeypatch):
    test = Planned("mspacman", "", Rules(), 1, (PlannedRun("runs/a0", 0),))
    (tmp_path / "evaluation.json").write_text(json.dumps({"split": "test", "losses": {}}))
    with refuses("losses", "another out", settings=["out"]):
        check_place(tmp_path / "evaluation.json", test)
    (tmp_path / "evaluation.json").unlink()
    (tmp_path / "evaluation.json").mkdir()
    with refuses("evaluation.json", "folder"):
        check_place(tmp_path / "evaluation.json", test)
    refuse_writing(monkeypatch, errno.EROFS)
    with refuses(tmp_path, "Read-only"):
        check_place(tmp_path / "new" / "evaluation.json", test)
    assert not (tmp_path / "new").exists()


def test_an_agents_run_goes_into_no_other_runs_folder(tmp_path):
    run_folder(KeypointFolder, tmp_path / "run", tiny_config(), FrameSpec("toy", 20, 3, ""))
    with refuses("'keypoints'", "'agent'"):
        AgentFolder.check_place(tmp_path / "run")
    (tmp_path / "file").touch()
    with refuses(tmp_path / "file", "no run folder", settings=["logdir"]):
        AgentFolder.check_place(tmp_path / "file")
    AgentFolder.check_place(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    write_evaluation(tmp_path / "agent")
    out = tmp_path / "out"
    result = call("report", "--table=1", "--curves", runs=tmp_path, out=out)
    refused(result, tmp_path, "validation/score")
    assert result.stdout == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "word"),
    [("out", "boxes"), ("store/manifest.json/out", "manifest.json is no folder")],
)
def test_a_refused_benchmark_leaves_no_folder(tmp_path, out, word):
    store = write_store(tmp_path / "store")
    np.savez(tmp_path / "points.npz", centers=np.zeros([60, 2, 2]))
    arguments = {
        "keypoints_npz": tmp_path / "points.npz",
        "data": store.path,
        "out": tmp_path / out,
    }
    refused(call("quality", **arguments), word)
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize("program", [figures, sweep], ids=["figures", "sweep"])
@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e400"])
def test_numbers_of_flags_are_finite(program, word):
    values = absl_flags.FlagValues()
    program.define(values)
    floats = [name for name in values if isinstance(values[name].default, float)]
    assert floats
    for name in floats:
        with refuses(f"--{name}={word}"):
            common.parse(values, ["program", f"--{name}={word}"])
