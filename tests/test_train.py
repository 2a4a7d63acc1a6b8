"""`permakey_tf.train`: what the command does, from Python."""

import contextlib
import dataclasses
import io
import json
import signal
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from support import moving_square, refuses, tiny_config

from permakey_tf import FrameStore, KeypointConfig, KeypointDetector, train
from permakey_tf.configs.keypoints import LoggingConfig
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.runs.metrics import MetricsLog
from permakey_tf.runs.progress import read_progress
from permakey_tf.system.interruption import Interrupted, deferred

CONFIG = tiny_config(max_steps=4, validate_every=2, method="transporter")


@pytest.fixture(scope="module")
def store():
    return FrameStore.from_arrays(moving_square(60, 20, 3, seed=0), image_size=20)


class Run(NamedTuple):
    """A run that was interrupted in silence, and went on with progress shown.

    detector: of the second call; stopped: what the first one raised.
    silent, shown: what each of the calls wrote to stdout and stderr.
    """

    folder: Path
    detector: KeypointDetector
    stopped: BaseException
    silent: str
    shown: str


@contextlib.contextmanager
def written_to(text):
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        yield


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    folder, silent, shown = tmp_path_factory.mktemp("train") / "run", io.StringIO(), io.StringIO()

    def interrupt(log, step, values):
        signal.raise_signal(signal.SIGINT)

    often = LoggingConfig(summary_every=1)
    with pytest.MonkeyPatch.context() as patch, written_to(silent):
        patch.setattr(MetricsLog, "scalars", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(store, CONFIG, folder, progress=False, logging=often)
    with written_to(shown):
        detector = train(store, CONFIG, folder)
    return Run(folder, detector, caught.value, silent.getvalue(), shown.getvalue())


def test_ctrl_c_saves_and_the_same_call_goes_on(run):
    assert isinstance(run.stopped, Interrupted) and run.stopped.signal == signal.SIGINT
    assert str(run.stopped).startswith("interrupted by SIGINT; saved at step 1; the same call")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # as it was before
    assert "at step 1 of 4" in run.shown
    assert read_progress(KeypointFolder.open(run.folder)).step == 4


def test_progress_is_shown_unless_it_is_switched_off(run):
    assert run.silent == ""
    for shown in (
        "device: CPU (",
        "run folder: ",
        "training: ",
        "4/4",
        "test losses: ",
        "evaluation.json",
    ):
        assert shown in run.shown


def test_what_is_to_be_known_of_the_frames_is_told_and_kept(store, run):
    (cut, *_) = notes = store.manifest["notes"]
    assert "cut into" in cut and f"note: {cut}\n" in run.shown
    assert json.loads((run.folder / "evaluation.json").read_text())["notes"] == notes


def test_a_detector_comes_back_and_the_folder_is_a_finished_run(store, run):
    centers = run.detector.detect(store.frames[:4])
    assert centers.shape == (4, 3, 2) and np.isfinite(centers).all()
    assert read_progress(KeypointFolder.open(run.folder)).finished
    for name in ("evaluation.json", "figures/test_frames.png", "metrics.csv"):
        assert (run.folder / name).is_file()


def test_a_finished_run_is_loaded_and_not_touched(store, run):
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    again = train(store, CONFIG, run.folder)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before
    np.testing.assert_array_equal(again.detect(store.frames), run.detector.detect(store.frames))


def test_what_is_unset_follows_the_game_and_other_settings_are_refused(store, run):
    other = tiny_config(max_steps=4, validate_every=2, method="transporter", seed=1)
    with refuses("(seed was 0, now 1)", settings=["logdir"]) as caught:
        train(store, other, run.folder)
    assert str(caught.value).endswith(" another out")  # as `train` calls it
    with refuses("'mine'", settings=["num_keypoints"]):
        train(store, KeypointConfig.make("quick"), run.folder)


@pytest.mark.parametrize(
    ("config", "settings"),
    [(tiny_config(patch_size=20), ["patch_size"]), (tiny_config(batch_size=512), ["batch_size"])],
)
def test_settings_that_do_not_fit_the_frames_are_refused(store, tmp_path, config, settings):
    with refuses(*settings, settings=settings):
        train(store, config, tmp_path / "run")


def test_a_folder_in_which_another_process_works_is_refused(store, tmp_path):
    held = KeypointFolder.held(tmp_path / "run", CONFIG, FrameSpec.of(store))
    with held, refuses(tmp_path / "run", "in use"):
        train(store, CONFIG, tmp_path / "run")


def test_in_another_thread_no_signal_is_caught():
    marks = []

    def work():
        with deferred() as mark:
            marks.append(mark.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert marks == [None]


def test_a_run_of_an_earlier_version_goes_on_with_its_selection(store, tmp_path):
    resolved = tiny_config(max_steps=2, validate_every=2, extractor="pursuit")
    asked = dataclasses.replace(
        resolved, training=dataclasses.replace(resolved.training, selection=None)
    )
    folder = tmp_path / "run"
    assert train(store, asked, folder, progress=False).config.training.selection == "unexplained"
    content = json.loads((folder / "config.json").read_text())
    del content["settings"]["training"]["selection"]
    (folder / "config.json").write_text(json.dumps(content))
    assert train(store, asked, folder, progress=False).config.training.selection == "loss"
    with refuses("(selection was loss, now unexplained)", settings=["logdir"]):
        train(store, resolved, folder, progress=False)
