"""`python -m run.keypoints` from nothing to keypoints, killed, resumed and refused."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import processes
import pytest
import tensorflow as tf
from support import TINY_FLAGS, call, refused, refuses
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from permakey_tf import FrameStore, KeypointDetector

ROOT = Path(__file__).parents[1]
RUN_FLAGS = TINY_FLAGS | {
    "num_frames": 120,
    "split": "10,1,1",
    "max_steps": 24,
    "validate_every": 8,
    "summary_every": 2,
    "checkpoint_every": 5,
    "noise": "both",
    "learning_rate": 5e-3,
    "soft_argmax": "joint",
    "logit_scale": 10,
}


def settings(folder, **flags):
    return RUN_FLAGS | {"data_dir": folder / "store", "logdir": folder / "run"} | flags


def arguments(folder, **flags):
    return [f"--{name}={value}" for name, value in settings(folder, **flags).items()]


def run_here(folder, **flags):
    return call("keypoints", **settings(folder, **flags))


def run(folder, **flags):
    return processes.run("run.keypoints", arguments(folder, **flags))


def rows(run_folder):
    with (run_folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def column(run_folder, name):
    return np.array([float(row[name]) for row in rows(run_folder) if row[name]])


def logged(folder):
    """{(tag, step): values} of all of TensorBoard's files in a folder, as they stand there."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                content = value.tensor.SerializeToString() or value.metadata.SerializeToString()
                found.setdefault((value.tag, event.step), []).append(content)
    return found


def checkpoint(run_folder, name="latest"):
    with np.load(run_folder / "checkpoints" / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a store and a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    command = [sys.executable, "-m", "run.keypoints", *arguments(folder)]  # as users start it
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder, result


class TestFinishedRun:
    def test_it_collects_trains_and_says_where_everything_is(self, finished):
        folder, result = finished
        assert (folder / "store" / "manifest.json").exists()
        for path in ("evaluation.json", "figures/test_frames.png"):
            assert (folder / "run" / path).exists()
        assert str(folder / "run" / "evaluation.json") in result.stdout
        assert "device: " in result.stdout

    def test_losses_fall_and_keypoints_move(self, finished):
        folder = finished[0] / "run"
        # Not PointNet's: its targets, the error maps, change all the time.
        for name in ("train/loss_vae", "train/loss_lspn"):
            losses = column(folder, name)
            assert losses[-3:].mean() < 0.7 * losses[:3].mean(), name
        detector = KeypointDetector.load(folder)
        frames = np.load(finished[0] / "store" / "frames.npy")
        assert detector.detect(frames).std(axis=0).max() > 1e-3

    def test_metrics_have_a_row_per_report(self, finished):
        steps = [int(row["step"]) for row in rows(finished[0] / "run") if row["train/loss_vae"]]
        assert steps == list(range(2, 25, 2))
        validations = [
            int(row["step"]) for row in rows(finished[0] / "run") if row["validation/selection"]
        ]
        assert validations == [8, 16, 24]

    def test_tensorboard_holds_the_same_scalars_images_and_settings(self, finished):
        events = EventAccumulator(str(finished[0] / "run"), {"tensors": 0})
        events.Reload()
        tags = set(events.Tags()["tensors"])
        header = set(rows(finished[0] / "run")[0]) - {"step"}
        assert header <= tags
        names = ("error_map_0", "error_map_1", "reconstruction", "windows")
        panels = {f"panels/{name}" for name in names}
        assert {"keypoints"} | panels <= tags
        for tag in ("keypoints", *panels):
            assert [event.step for event in events.Tensors(tag)] == [0, 8, 16, 24]
            width, height, png = tf.make_ndarray(events.Tensors(tag)[0].tensor_proto)
            scale = 0 if tag in ("keypoints", "panels/reconstruction") else 20
            assert (int(width), int(height)) == (4 * 3 * 20, 3 * 20 + scale)
            assert tf.io.decode_png(png).shape == (60 + scale, 240, 3)
        (table,) = events.Tensors("config")
        table = tf.make_ndarray(table.tensor_proto).item().decode()
        for words in ("mspacman", "python -m run.keypoints --", str(finished[0] / "store")):
            assert words in table
        logged = [
            tf.make_ndarray(event.tensor_proto).item()
            for event in events.Tensors("train/loss_lspn")
        ]
        np.testing.assert_allclose(
            logged, column(finished[0] / "run", "train/loss_lspn"), rtol=1e-6
        )

    def test_evaluation_is_on_the_test_split_with_the_best_weights(self, finished):
        folder = finished[0] / "run"
        evaluation = json.loads((folder / "evaluation.json").read_text())
        selection = column(folder, "validation/selection")
        assert evaluation["split"] == "test"
        assert evaluation["best_step"] == 8 * (1 + int(selection.argmin()))
        assert evaluation["best_validation_selection"] == pytest.approx(selection.min())
        assert all(np.isfinite(value) for value in evaluation["losses"].values())

    def test_running_it_again_changes_nothing_and_tells_unused_flags(self, finished):
        folder = finished[0]
        before = {path: path.stat().st_mtime_ns for path in (folder / "run").rglob("*")}
        result = run_here(folder, num_frames=200)
        assert result.returncode == 0, result.stderr
        assert "with num_frames=120; num_frames is not used" in result.stdout
        assert "device: " not in result.stdout  # TensorFlow is not even loaded
        for path in ("evaluation.json", "figures/test_frames.png"):
            assert f": {folder / 'run' / path}" in result.stdout
        assert {path: path.stat().st_mtime_ns for path in (folder / "run").rglob("*")} == before

    def test_a_cut_evaluation_is_made_anew_once_it_is_deleted(self, finished, tmp_path):
        shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
        file = tmp_path / "run" / "evaluation.json"
        whole = file.read_text()
        file.write_text(whole[:40])
        refused(run_here(tmp_path), f"{file} is damaged", "delete it: the same command")
        file.unlink()
        assert run_here(tmp_path).returncode == 0
        assert json.loads(file.read_text())["losses"] == json.loads(whole)["losses"]
        # Where that would not help, it is not said.
        file.write_text(whole[:40])
        (tmp_path / "run" / "checkpoints" / "latest.npz").unlink()
        result = run_here(tmp_path)
        refused(result, f"{file} is damaged")
        assert "delete" not in result.stderr

    def test_that_its_store_is_small_is_told_at_the_end_too(self, finished, tmp_path):
        store = finished[0] / "store"
        result = run_here(tmp_path, data_dir=store, num_frames=500, max_steps=2)
        note = f"{store} exists, with num_frames=120; num_frames is not used"
        assert result.stdout.count(f"note: {note}") == 2
        assert result.stdout.rindex(note) > result.stdout.index("run folder: ")
        evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
        of_the_frames = FrameStore.open(store).manifest["notes"]  # so few repeat themselves
        assert evaluation["notes"] == [*of_the_frames, note]
        assert result.stdout.count(f"note: {of_the_frames[0]}") == 2
        again = run_here(tmp_path, data_dir=store, num_frames=120, max_steps=2)
        assert f"note: {note}" in again.stdout  # what it was trained on has not changed

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ({"learning_rate": 1e-3, "seed": 1}, ["learning_rate was 0.005, now 0.001", "seed"]),
            ({"game": "seaquest"}, ["frames", "--game=mspacman"]),
            ({"image_size": 24}, ["frames", "--image_size=20"]),
        ],
    )
    def test_other_settings_are_refused_by_name(self, finished, flags, words):
        refused(run_here(finished[0], **flags), *words)


def assert_equal_arrays(one, two):
    assert set(one) == set(two)
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), name


def start_and_kill(folder, number, when, **flags):
    """Starts a run, sends a signal as soon as `when(run_folder)` holds; its exit code."""
    program = processes.Program("run.keypoints", arguments(folder, **flags))
    deadline = time.monotonic() + 120
    while not when(folder / "run"):
        assert program.poll() is None, program.errors
        assert time.monotonic() < deadline
        time.sleep(0.001)
    program.send_signal(number)
    return program.wait(), program.errors


def written_up_to(step):
    def holds(run_folder):
        path = run_folder / "metrics.csv"
        return path.exists() and any(
            line.split(",")[0].isdigit() and int(line.split(",")[0]) >= step
            for line in path.read_text().splitlines()
        )

    return holds


class TestResume:
    """Bit for bit: the same weights, optimizer states and progress as without the interruption."""

    def test_after_kill_9(self, finished, tmp_path):
        """Before the first checkpoint, within the write of one, and between two."""

        def writing(run_folder):
            return any(run_folder.glob("checkpoints/latest.npz.partial-*"))

        for moment in (written_up_to(2), writing, written_up_to(18)):
            start_and_kill(tmp_path, signal.SIGKILL, moment)
        self.finish_and_compare(finished, tmp_path)

    def test_after_signals_that_save(self, finished, tmp_path):
        for number, step in ((signal.SIGTERM, 6), (signal.SIGINT, 14)):
            code, errors = start_and_kill(tmp_path, number, written_up_to(step))
            assert code == 128 + number
            assert f"interrupted by {number.name}; saved at step" in errors
            saved = checkpoint(tmp_path / "run")["progress/step"].item()
            assert saved >= step
            assert f"saved at step {saved};" in errors
        self.finish_and_compare(finished, tmp_path)

    def finish_and_compare(self, finished, folder):
        result = run(folder)
        assert result.returncode == 0, result.stderr
        assert "lost" not in result.stdout
        expected = finished[0] / "run"
        for name in ("latest", "best"):
            assert_equal_arrays(checkpoint(folder / "run", name), checkpoint(expected, name))
        timed = {"images_per_second"}
        tables = [
            [{k: v for k, v in row.items() if k not in timed} for row in rows(path)]
            for path in (folder / "run", expected)
        ]
        assert tables[0] == tables[1]
        ours, theirs = (logged(path) for path in (folder / "run", expected))
        assert len(ours) > 100
        assert len(ours) == len(theirs)
        for (tag, step), values in ours.items():
            assert len(values) == 1, (tag, step)
            if tag == "config":  # a table, in which the two runs have folders of their own
                assert without_places(values) == without_places(theirs[tag, step])
            elif tag not in (*timed, "_hparams_/session_start_info"):  # this one has the time
                assert values == theirs[tag, step], (tag, step)


def without_places(texts: list[bytes]) -> list[bytes]:
    """Rows of the logged table but those of store and command; the first holds its length."""
    rows = b"".join(texts).splitlines()[1:]
    kept = [row for row in rows if not row.startswith((b"| frame store |", b"| command |"))]
    assert len(kept) == len(rows) - 2 > 4
    return kept


class TestRefusals:
    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ({"batch_size": -3}, ["--batch_size=-3", ">= 2"]),
            ({"learning_rate": "nan"}, ["--learning_rate", "finite", "nan"]),
            ({"learning_rate": 0}, ["--learning_rate=0", "> 0"]),
            ({"batch_size": "many"}, ["batch_size"]),
            ({"lsp_layers": "0,9"}, ["--lsp_layers=0,9", "0 to 3"]),
            ({"lsp_layers": "0,x"}, ["--lsp_layers=0,x"]),
            ({"soft_argmax": "hard"}, ["--soft_argmax=hard", "marginal, joint"]),
            ({"learning_rat": 1}, ["learning_rat"]),
            ({"image_size": 30}, ["--image_size=30", "multiple of 4"]),
            ({"game": "pacmann"}, ["--data_dir=", "'pacmann'"]),
            ({"seed": 2**31}, ["--seed=2147483648", "<= 2147483647"]),
        ],
    )
    def test_bad_flags_are_refused_before_anything_is_made(self, tmp_path, flags, words):
        refused(run_here(tmp_path, **flags), *words)
        assert list(tmp_path.iterdir()) == []

    def test_missing_frames_with_nocollect(self, tmp_path):
        refused(run_here(tmp_path, collect=False), "--data_dir=", "run.data", "--collect")

    def test_more_frames_in_a_batch_than_there_are(self, finished, tmp_path):
        store = finished[0] / "store"
        refused(run_here(tmp_path, data_dir=store, batch_size=500), "100", "--batch_size=500")

    def test_a_folder_that_is_no_run(self, finished, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "thesis.txt").write_text("dear reader")
        refused(run_here(tmp_path, data_dir=finished[0] / "store"), "no run folder", "--logdir")

    def test_a_loss_that_is_not_finite_names_step_module_and_checkpoint(self, finished, tmp_path):
        result = run_here(tmp_path, data_dir=finished[0] / "store", learning_rate=1e18)
        refused(result, "loss of", "at step", "checkpoint")

    def test_help_explains_every_flag(self):
        text = processes.run("run.keypoints", ["--help"]).stdout
        for flag in ("--num_keypoints", "--[no]collect", "--lsp_layers", "--precision", "--noise"):
            assert flag in text
        assert "unset: 32 (permakey), 64 (transporter)." in " ".join(text.split())
        assert "Unit: training steps." in text


class TestTransporter:
    """The baseline goes through the same trainer, folders, logs and detector."""

    FLAGS: ClassVar = {"method": "transporter", "pairs_per_epoch": 40}

    @pytest.fixture(scope="class")
    def trained(self, finished, tmp_path_factory):
        folder = tmp_path_factory.mktemp("transporter")
        result = run(folder, data_dir=finished[0] / "store", **self.FLAGS)
        assert result.returncode == 0, result.stderr
        return folder

    def test_it_learns_and_leaves_the_same_files(self, trained):
        losses = column(trained / "run", "train/loss_transporter")
        assert losses[-3:].mean() < losses[:3].mean()
        evaluation = json.loads((trained / "run" / "evaluation.json").read_text())
        assert np.isfinite(evaluation["losses"]["loss_transporter"])
        assert (trained / "run" / "figures" / "test_frames.png").exists()
        events = EventAccumulator(str(trained / "run"), {"tensors": 0})
        events.Reload()
        panels = {f"panels/{name}" for name in ("windows", "first_frame", "reconstruction")}
        expected = {"keypoints"} | panels
        assert expected <= set(events.Tags()["tensors"])

    def test_keypoints_of_padded_frames_are_in_the_frames_coordinates(self, trained, tmp_path):
        copied = shutil.copytree(trained / "run", tmp_path / "copied")
        config = json.loads((copied / "config.json").read_text())
        config["frames"]["keep_aspect"] = True
        (copied / "config.json").write_text(json.dumps(config))
        square = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)
        square[:, :5], square[:, -5:] = 0, 0
        wide = square[:, 5:-5]
        detector = KeypointDetector.load(copied)
        expected = detector.detect(square) * [2, 1]  # half as high: its edges are at -0.5 and 0.5
        np.testing.assert_allclose(detector.detect(wide), expected, rtol=1e-6)
        np.testing.assert_array_equal(detector.windows(wide), detector.windows(square))
        plain = KeypointDetector.load(trained / "run")
        np.testing.assert_array_equal(plain.detect(square), detector.detect(square))

    def test_the_detector_opens_it_and_refuses_error_maps(self, trained):
        detector = KeypointDetector.load(trained / "run")
        frames = np.random.default_rng(0).integers(0, 256, [5, 50, 40, 3], np.uint8)
        assert detector.detect(frames).shape == (5, 3, 2)
        assert detector.windows(frames).shape == (5, 20, 20, 3)
        with refuses("transporter", "error maps"):
            detector.error_maps(frames)
        with refuses("transporter", "error maps"):
            detector.gains(frames)

    def test_killed_and_resumed_it_ends_the_same(self, finished, trained, tmp_path):
        flags = self.FLAGS | {"data_dir": finished[0] / "store"}
        start_and_kill(tmp_path, signal.SIGKILL, written_up_to(12), **flags)
        result = run(tmp_path, **flags)
        assert result.returncode == 0, result.stderr
        for name in ("latest", "best"):
            paths = (tmp_path / "run", trained / "run")
            assert_equal_arrays(*(checkpoint(path, name) for path in paths))


def test_greyscale_frames_and_names_in_folders(tmp_path):
    folders = {"data_dir": tmp_path / "{game}", "logdir": tmp_path / "{game}_{method}_{seed}"}
    result = run_here(tmp_path, channels=1, max_steps=1, seed=7, **folders)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "mspacman" / "manifest.json").exists()
    detector = KeypointDetector.load(tmp_path / "mspacman_permakey_7")
    assert detector.detect(np.zeros([2, 210, 160, 3], np.uint8)).shape == (2, 3, 2)


class TestDetector:
    @pytest.fixture(scope="class")
    def detector(self, finished):
        return KeypointDetector.load(finished[0] / "run")

    def test_sizes_and_batches(self, detector):
        rng = np.random.default_rng(0)
        for batch, height, width in ((1, 210, 160), (33, 20, 20), (3, 64, 300)):
            frames = rng.integers(0, 256, [batch, height, width, 3], np.uint8)
            centers = detector.detect(frames)
            assert centers.shape == (batch, 3, 2)
            assert centers.dtype == np.float32
            assert np.abs(centers).max() <= 1
        assert detector.detect(frames[:0]).shape == (0, 3, 2)
        assert detector.num_keypoints == 3
        assert detector.image_size == 20
        assert detector.config.training.noise == "both"

    def test_one_frame_equals_a_batch_of_one(self, detector):
        frame = np.random.default_rng(1).integers(0, 256, [210, 160, 3], np.uint8)
        for method in (detector.detect, detector.error_maps, detector.windows):
            np.testing.assert_array_equal(method(frame), method(frame[None])[0])

    def test_a_frame_does_not_depend_on_its_batch(self, detector):
        frames = np.random.default_rng(2).integers(0, 256, [40, 20, 20, 3], np.uint8)
        alone = np.concatenate([detector.detect(frame[None]) for frame in frames])
        np.testing.assert_allclose(detector.detect(frames), alone, atol=1e-4)

    def test_maps_and_windows(self, detector):
        frames = np.random.default_rng(3).integers(0, 256, [5, 50, 40, 3], np.uint8)
        maps, windows = detector.error_maps(frames), detector.windows(frames)
        assert maps.shape == (5, 20, 20, 2)
        assert (maps.min(), maps.max()) == (0, 1)
        assert windows.shape == (5, 20, 20, 3)
        # The brightest pixel of a window is the one nearest to its keypoint.
        pixels = np.round((detector.detect(frames) + 1) / 2 * 19).astype(int)
        for b, k in np.ndindex(5, 3):
            brightest = np.unravel_index(windows[b, :, :, k].argmax(), (20, 20))
            assert np.abs(np.array(brightest) - pixels[b, k]).max() <= 1

    @pytest.mark.parametrize(
        "frames",
        [np.zeros([2, 20, 20, 3], np.float32), np.zeros([20, 20], np.uint8),
         np.zeros([2, 20, 20, 4], np.uint8)],
    )  # fmt: skip
    def test_other_arrays_are_refused(self, detector, frames):
        with refuses("frames must be uint8", f"{frames.dtype} {list(frames.shape)}"):
            detector.detect(frames)

    def test_a_list_of_no_frames_is_refused_as_empty(self, detector):
        with refuses("frames must be uint8", "it is empty"):
            detector.detect([])

    def test_folders_that_are_no_runs(self, tmp_path, finished):
        with refuses(tmp_path / "config.json", "no run folder"):
            KeypointDetector.load(tmp_path)
        (tmp_path / "config.json").write_bytes((finished[0] / "run" / "config.json").read_bytes())
        with refuses(tmp_path / "checkpoints" / "best.npz", "train first"):
            KeypointDetector.load(tmp_path)
        (tmp_path / "config.json").write_text("{}")
        with refuses(tmp_path / "config.json", "damaged"):
            KeypointDetector.load(tmp_path)


def test_another_process_in_the_same_folder_is_refused(finished):
    import fcntl

    with (finished[0] / "run" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # A finished run is only told of; one that is to go on is written to.
        longer = run_here(finished[0], max_steps=32)
        refused(longer, finished[0] / "run", "in use")
