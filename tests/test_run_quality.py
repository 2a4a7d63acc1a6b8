"""`python -m run.quality` from frames with boxes to tables, and what it refuses."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import (
    call,
    moving_square,
    refused,
    refuses,
    retold,
    run_folder,
    tiny_config,
    write_store,
)

from permakey_tf.configs.quality import QualityConfig
from permakey_tf.data.noise import draw_bars_at
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import FrameStoreWriter
from permakey_tf.detector import KeypointDetector
from permakey_tf.models.build import build_model
from permakey_tf.quality import averages, controls, report, seeds, tables
from permakey_tf.quality.baseline_candidates import BASELINES, RANKED
from permakey_tf.quality.benchmark import run_benchmark
from permakey_tf.quality.candidates import SeenFrames
from permakey_tf.quality.footage import open_footage
from permakey_tf.quality.report import write_report
from permakey_tf.quality.run_candidates import from_run, open_runs
from permakey_tf.quality.scoring import evaluate_keypoints
from permakey_tf.runs import checkpoint
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.runs.progress import KeypointProgress
from permakey_tf.types import Step
from permakey_tf.viz import plots

ROOT = Path(__file__).parents[1]
SIZE, COUNTS = 20, {"train": 60, "validation": 10, "test": 40}
CONFIG = QualityConfig(windows=(1, 5, 10))
FLAGS = ["--windows=1,5,10"]


def square_box(frame):
    """Box (x, y, w, h), in pixels of the 210x160 frame, of the bright square in a small frame."""
    rows, columns = np.nonzero(frame[..., 0] > 200)
    y, x = rows.min() * 209 / (SIZE - 1), columns.min() * 159 / (SIZE - 1)
    return round(x), round(y), round(3 * 159 / (SIZE - 1)), round(3 * 209 / (SIZE - 1))


def make_store(path, boxes=True, visible=True, game="mspacman", channels=3, seed=0):
    """A store of squares that jump about; each has a box, and a ghost's that is not drawn."""
    frames = moving_square(sum(COUNTS.values()), SIZE, channels, seed)
    splits = [name for name, count in COUNTS.items() for _ in range(count)]
    with FrameStoreWriter(path, SIZE, channels, {"objects"} if boxes else set()) as writer:
        for row, (frame, split) in enumerate(zip(frames, splits, strict=True)):
            step = Step(frame, first=row % 20 == 0 or row == 70)
            if boxes:
                ghost = ("Ghost", 0, 0, 9, 10)
                step = step._replace(boxes=[("Player", *square_box(frame)), ghost])
                step = step._replace(visible=np.array([True, False]) if visible else None)
            writer.append(step, split)
        writer.finish({"game": game, "source": "test"})
    return FrameStore.open(path)


def make_run(path, store, seed, **changes):
    """A run folder whose model is as it was drawn from the seed: training would take time."""
    config, frames = tiny_config(seed=seed, **changes), FrameSpec.of(store)
    folder = run_folder(KeypointFolder, path, config, frames)
    model = build_model(config, frames.image_size, frames.channels, seed)
    variables = checkpoint.named_variables({"model": model.variables})
    checkpoint.save(folder.best_checkpoint, {name: v.numpy() for name, v in variables.items()})
    return path


def perfect_centers(store):
    """float [N, 2, 2]: one keypoint on the square, one in the corner at the bottom right."""
    objects = store.objects()
    x, y, w, h = objects.xywh[objects.category == objects.categories.index("Player")].T
    on = np.stack([(y + h / 2) / 209 * 2 - 1, (x + w / 2) / 159 * 2 - 1], -1)
    return np.stack([on, np.ones_like(on)], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store, two noisy runs that differ in their seed, and a file of perfect keypoints."""
    folder = tmp_path_factory.mktemp("quality")
    store = make_store(folder / "store")
    for seed in (0, 1):
        make_run(folder / f"tiny_seed{seed}", store, seed, noise="both")
    confidence = np.tile(np.float32([0.8, 0.2]), (110, 1))
    np.savez(folder / "perfect.npz", centers=perfect_centers(store), confidence=confidence)
    return folder


@pytest.fixture(scope="module")
def result(folder):
    runs = [folder / "tiny_seed0", folder / "tiny_seed1"]
    return run_benchmark(open_footage(folder / "store"), runs, [folder / "perfect.npz"], CONFIG)


def row_of(result, label):
    (row,) = [row for row in result.rows if row.label == label]
    return row


def baseline_labels(suffix):
    for name in BASELINES:
        yield f"{name} {suffix}"
        if name in RANKED:
            yield f"{name} {suffix}, tracked"


class TestResult:
    def test_rows_and_their_kinds(self, result):
        several = ["(K=2, noise none)", "(K=3, noise both)"]
        assert [(row.label, row.kind) for row in result.rows] == [
            *(
                (f"{name}{order}", kind)
                for order in ("", ", tracked")
                for name, kind in (
                    ("perfect", "keypoints"),
                    ("tiny_seed0", "run"),
                    ("tiny_seed1", "run"),
                    ("tiny (2 seeds)", "seeds"),
                )
            ),
            *(
                (f"{name}, peaks of the error maps{order}", kind)
                for order in ("", ", tracked")
                for name, kind in (
                    ("tiny_seed0", "control"),
                    ("tiny_seed1", "control"),
                    ("tiny (2 seeds)", "seeds"),
                )
            ),
            ("perfect, shuffled", "control"),
            ("tiny_seed0, shuffled", "control"),
            ("tiny_seed1, shuffled", "control"),
            ("tiny (2 seeds), shuffled", "seeds"),
            *((label, "baseline") for suffix in several for label in baseline_labels(suffix)),
        ]

    def test_tracked_keypoints_are_the_same_but_for_their_indices(self, result):
        everywhere = ("recall", "precision", "average_precision", "unassigned", "redundancy")
        pairs = [
            (row, row_of(result, row.label.removesuffix(", tracked")))
            for row in result.rows
            if row.tracked
        ]
        assert len(pairs) == 7 + 2 * len(RANKED)
        for tracked, plain in pairs:
            assert (tracked.name, tracked.kind) == (plain.name, plain.kind)
            assert tracked.untracked_variant == plain.variant
            for name in everywhere:
                found, expected = (row.measures["all"][name] for row in (tracked, plain))
                assert found == pytest.approx(expected, nan_ok=True)

    def test_a_tracker_mends_an_order_that_changes(self, folder, tmp_path):
        """Two keypoints that change places in every other frame."""
        store = FrameStore.open(folder / "store")
        centers = perfect_centers(store)
        centers[::2] = centers[::2, ::-1].copy()
        np.savez(tmp_path / "swaps.npz", centers=centers)
        found = run_benchmark(
            open_footage(store.path), keypoint_files=[tmp_path / "swaps.npz"], config=CONFIG
        )
        plain, tracked = (row_of(found, "swaps" + end) for end in ("", ", tracked"))
        for row, same in ((plain, 0), (tracked, 1)):
            assert row.measures["Player"]["consistency"] == same
        assert tracked.measures["Player"]["probe_r2"] > 0.98 > plain.measures["Player"]["probe_r2"]

    def test_baselines_can_be_left_out(self, folder, result):
        runs = [
            Path(row.about["run"]) for row in result.rows if row.kind == "run" and not row.variant
        ]
        files = [folder / "perfect.npz"]
        alone = run_benchmark(open_footage(folder / "store"), runs, files, CONFIG, baselines=False)
        rows = [row for row in result.rows if row.kind != "baseline"]
        assert [(row.label, row.kind) for row in alone.rows] == [(r.label, r.kind) for r in rows]
        for row, expected in zip(alone.rows, rows, strict=True):
            found, wanted = (r.measures["all"]["recall"] for r in (row, expected))
            assert found == pytest.approx(wanted, nan_ok=True)
        assert len(rows) < len(result.rows)

    def test_tables_and_plots_show_each_row_where_it_says_something(self, result):
        shown = {table.title: [row[0] for row in table.rows] for table in tables.tables(result)}
        both = "perfect", "perfect, tracked"
        for title, labels in shown.items():
            by_index = title.startswith(("tracking of", "probe"))
            assert [label for label in labels if label in both] in (
                [list(both)] if by_index else [["perfect"], []]
            )
        drawn = report._series(result, [("Player", "tracking_recall", 5)])
        in_order = report._series(report._in_best_order(result), [("Player", "tracking_recall", 5)])
        assert [line[:4] for line in drawn] == [line[:4] for line in in_order]
        expected = row_of(result, "tiny (2 seeds), tracked").measures["Player"]["tracking_recall"]
        (line,) = [line for line in in_order if line.label == "tiny (2 seeds)"]
        assert line.values == [expected[5]]

    def test_perfect_keypoints_and_their_control(self, result):
        scores = row_of(result, "perfect").measures["characters"]
        assert scores["recall"][4] == 1 and scores["precision"][4] == 0.5
        assert scores["boxes"] == 40  # the ghost is not drawn
        # What is in the corner is less sure, so that the threshold can leave it out.
        assert scores["best_threshold"] == pytest.approx(0.8)
        assert scores["best_f1"] == scores["average_precision"] == 1
        control = row_of(result, "perfect, shuffled").measures["characters"]
        assert control["recall"][4] < 0.3 and control["best_f1"] < 0.3
        probe = row_of(result, "perfect").measures["Player"]
        # The penalty shrinks the weights a little: the fit has 60 frames.
        assert probe["probe_r2"] > 0.98 and probe["probe_error"] < 6

    def test_the_mean_over_seeds(self, result):
        of_seeds = [row_of(result, f"tiny_seed{seed}").measures for seed in (0, 1)]
        row = row_of(result, "tiny (2 seeds)")
        for at in range(17):
            values = [scores["all"]["recall"][at] for scores in of_seeds]
            assert row.measures["all"]["recall"][at] == pytest.approx(np.mean(values))
            assert row.range["all"]["recall"][at] == (min(values), max(values))
        assert row.measures["stability"]["distance"] > 0
        assert row.about["members"] == ["tiny_seed0", "tiny_seed1"]

    def test_tables_and_json_have_the_range_of_seeds(self, result):
        of_seeds = [row_of(result, f"tiny_seed{seed}").measures for seed in (0, 1)]
        shown = {}
        for table in tables.tables(result):
            for label, _, *cells in table.rows:
                if label == "tiny (2 seeds)":
                    shown |= dict(zip(table.header[2:], cells, strict=True))
        for title, group, name, at in (
            ("Player", "Player", "recall", 4),
            ("precision", "all", "precision", 4),
            ("chance", "bars", "chance", None),
            ("UAK", "all", "unassigned", None),
        ):
            column = tables.MeasureColumn(title, group, name, at)
            low, high = sorted(column.find(measures) for measures in of_seeds)
            assert shown[title] == f"{(low + high) / 2:.2f} ({low:.2f} to {high:.2f})"
        mean = row_of(result, "tiny (2 seeds)")
        found = tables.as_json(result)["rows"][3]["range"]
        assert found["all"]["unassigned"] == list(mean.range["all"]["unassigned"])

    def test_keypoints_on_the_bars_are_counted_where_there_are_bars(self, result):
        assert "bars" not in row_of(result, "perfect").measures
        scores = row_of(result, "random (K=3, noise both)").measures["bars"]
        # A bar covers 5 of 20 pixels: 1 - (3/4)^2 of the frame, less along its edges.
        assert scores["share"] == pytest.approx(scores["chance"], abs=0.15)
        assert 0.3 < scores["chance"] < 0.5

    def test_a_run_is_scored_by_the_bars_of_the_frames_that_it_saw(self, folder, result):
        footage = open_footage(folder / "store")
        (opened,) = open_runs([folder / "tiny_seed0"], footage)
        run, _ = from_run(opened, "tiny_seed0", SeenFrames(footage, CONFIG))
        clean = np.asarray(footage.frames)[footage.scored_rows.start : footage.scored_rows.stop]
        noisy = draw_bars_at(clean, run.bars)
        centers, confidence = KeypointDetector.load(folder / "tiny_seed0").keypoints(noisy)
        assert np.array_equal(run.scored_confidence, confidence)
        assert run.fitting_confidence.shape == run.fitting_centers.shape[:2]
        y, x = np.floor((centers + 1) / 2 * (SIZE - 1) + 0.5).astype(int).transpose(2, 0, 1)
        frame = np.arange(len(clean))[:, None]
        changed = (noisy != clean).any(-1)[frame, y, x]
        assert 0 < changed.mean() < 1
        assert row_of(result, "tiny_seed0").measures["bars"]["share"] == changed.mean()

    def test_what_a_reader_must_know_of_runs_is_noted(self, folder, tmp_path):
        run = shutil.copytree(folder / "tiny_seed0", tmp_path / "run")
        latest = KeypointFolder.open(run).latest_checkpoint
        other = make_store(tmp_path / "other", channels=3, seed=1)
        for finished, expected in (
            (False, ["run: not trained to its end (it stands at step 4)"]),
            (True, []),
        ):
            checkpoint.save(latest, KeypointProgress(step=4, finished=finished).to_arrays())
            result = run_benchmark(open_footage(other.path), [run], config=CONFIG)
            assert result.notes == expected
            assert row_of(result, "run").about["step"] == 4
        (note,) = run_benchmark(open_footage(folder / "store"), [run], config=CONFIG).notes
        assert note.startswith(f"run: was trained on the training split of {folder / 'store'}")
        frames = {"content_hash": "joined", "part_hashes": (frames_of(run).content_hash, "other")}
        joined = retold(run, tmp_path / "joined", frames=frames)
        (note,) = run_benchmark(open_footage(folder / "store"), [joined], config=CONFIG).notes
        assert note.startswith("joined: was trained on the training split")

    @pytest.mark.parametrize("name", ["frame difference", "median background", "MOG2 background"])
    def test_what_looks_for_change_finds_a_square_that_jumps(self, result, name):
        scores = row_of(result, f"{name} (K=2, noise none)").measures["Player"]
        assert scores["recall"][16] > 0.9 and scores["average_precision"] > 0.5

    def test_all_seeds_see_the_same_bars_and_a_second_time_gives_the_same(self, folder, result):
        runs = [folder / "tiny_seed1"]
        again = run_benchmark(open_footage(folder / "store"), runs, config=CONFIG)
        for label in ("tiny_seed1", "tiny_seed1, shuffled", "tiny_seed1, peaks of the error maps"):
            one, two = (json.dumps(row_of(r, label).measures) for r in (again, result))
            assert one == two


def test_a_transporter_on_grey_frames_is_scored_on_a_colour_store(folder, tmp_path):
    grey = make_store(tmp_path / "grey", channels=1)
    run = make_run(tmp_path / "run", grey, seed=0, method="transporter")
    runs = [run, folder / "tiny_seed0"]
    found = run_benchmark(open_footage(folder / "store"), runs, config=CONFIG)
    labels = [row.label for row in found.rows]
    assert "run, shuffled" in labels and "run, peaks of the error maps" not in labels
    assert labels[-2 * len(BASELINES + RANKED) :] == [
        label
        for seen in ("grey, noise none", "colour, noise both")
        for label in baseline_labels(f"({seen})")
    ]
    scores = row_of(found, "run").measures["characters"]
    detector, footage = KeypointDetector.load(run), open_footage(folder / "store")
    centers = detector.detect(np.asarray(footage.frames)[70:])
    expected = evaluate_keypoints(
        centers,
        footage.boxes(footage.scored_rows),
        footage.episodes[70:],
        "mspacman",
        config=CONFIG,
    )
    assert scores["recall"] == expected["characters"]["recall"]
    assert 0 < scores["recall"][16] < 1


def test_peaks_of_the_error_maps_are_those_of_their_mean():
    class Detector:
        """Two maps, each with a spot of its own, and a common spot, the brightest in the mean."""

        num_keypoints = 2

        def error_maps(self, frames):
            maps = np.zeros((len(frames), 20, 20, 2), np.float32)
            for frame, row in enumerate(frames[:, 0, 0, 0]):
                maps[frame, row - 1 : row + 2, 2:5] = 0.7
            maps[:, 9:12, 14:17, 0], maps[:, 1:4, 14:17, 1] = 1, 0.8
            return maps

    rows = 2 + np.arange(300) % 16
    frames = np.zeros((300, 20, 20, 3), np.uint8)
    frames[:, 0, 0] = rows[:, None]
    centers, heights = controls.error_map_peaks(Detector(), frames, CONFIG.peak_radius)
    np.testing.assert_allclose(heights[0], [0.7, 0.5], rtol=1e-5)
    found = (centers + 1) / 2 * 19
    np.testing.assert_allclose(found[:, 0], np.stack([rows, 3 + 0 * rows], -1), atol=1e-4)
    np.testing.assert_allclose(found[:, 1], np.tile([10, 15], (300, 1)), atol=1e-4)


def test_no_two_lines_of_a_plot_look_the_same():
    lines = [plots.Series("", "model", number, 0) for number in range(24)]
    lines += [plots.Series("", "baseline", number, 0) for number in range(12)]
    markers = {plots._style(line)["marker"] for line in lines[24 : 24 + len(BASELINES)]}
    assert len(markers) == len(BASELINES)  # dots of similar greys
    # Of clean and of noisy frames: lines are not drawn between dots.
    twice = [plots.Series("", "baseline", number, 0) for number in range(2 * len(BASELINES))]
    dots = {(plots._style(line)["marker"], plots._style(line)["color"]) for line in twice}
    assert len(dots) == len(twice)
    styles = {tuple(sorted(plots._style(line).items())) for line in lines}
    assert len(styles) == len(lines)


@pytest.fixture(scope="module")
def written(folder):
    """The real command, with everything on."""
    runs = ",".join(str(folder / f"tiny_seed{seed}") for seed in (0, 1))
    arguments = [f"--runs={runs}", f"--keypoints_npz={folder / 'perfect.npz'}", *FLAGS]
    arguments += [f"--data={folder / 'store'}", f"--out={folder / 'new' / 'out'}"]
    done = subprocess.run(
        [sys.executable, "-m", "run.quality", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "new" / "out", done.stdout


class TestCommand:
    def test_the_terminal_shows_the_first_set_and_says_where_everything_is(self, written):
        out, text = written
        assert "characters, within 4 pixels" in text
        assert "characters, one keypoint an object" in text and "recall by category" in text
        assert "tiny (2 seeds), peaks of the error maps" in text
        for name in ("quality.json", "quality.csv", "quality.md", "recall_curve.png",
                     "recall_by_category.png", "precision_recall.png", "tracking.png"):  # fmt: skip
            assert str(out / name) in text and (out / name).stat().st_size > 0

    def test_json_holds_what_another_process_found(self, written, result):
        content = json.loads((written[0] / "quality.json").read_text())
        assert content["format"] == "permakey-quality"
        assert content["data"]["frames"] == 40 and content["data"]["episodes"] == 3
        assert content["data"]["boxes"]["Player"] == 40
        assert content["settings"]["windows"] == [1, 5, 10]
        expected = json.loads(json.dumps(tables.as_json(result)))
        assert [row["name"] for row in content["rows"]] == [row.name for row in result.rows]
        for found, row in zip(content["rows"], expected["rows"], strict=True):
            assert_close(found["scores"], row["scores"])
        run = next(row for row in content["rows"] if row["name"] == "tiny_seed1")
        assert run["about"]["settings"]["training"]["seed"] == 1
        assert run["about"]["noise"] == "both"

    def test_csv_and_markdown_hold_the_same_values(self, written, result):
        with (written[0] / "quality.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        scores = row_of(result, "tiny (2 seeds)")
        (found,) = [
            row for row in rows
            if (row["row"], row["variant"], row["group"], row["measure"], row["at"])
            == ("tiny (2 seeds)", "", "characters", "recall", "16")
        ]  # fmt: skip
        value = scores.measures["characters"]["recall"][16]
        low, high = scores.range["characters"]["recall"][16]
        assert [float(found[k]) for k in ("value", "low", "high")] == pytest.approx(
            [value, low, high], rel=1e-4, abs=1e-5
        )
        text = (written[0] / "quality.md").read_text()
        assert "| perfect | 2 | 1.00 | 0.50 | 0.67 |" in text
        for title in ("tracking of characters", "probe", "share of keypoints on the bars",
                      "distance between the keypoints of two seeds"):  # fmt: skip
            assert f"## {title}" in text

    def test_plots_are_pictures_with_something_on_them(self, written):
        plots = sorted(written[0].glob("*.png"))
        expected = sorted(name for name in report.FILES if name.endswith(".png"))
        assert [path.name for path in plots] == expected
        for path in plots:
            image = cv2.imread(str(path))
            assert image.shape[0] > 300 and image.shape[1] > 600
            assert 100 < image.mean() < 254.5 and image.std() > 5

    def test_an_earlier_report_is_replaced(self, folder, result, tmp_path):
        write_report(result, tmp_path)
        first = (tmp_path / "quality.json").read_text()
        write_report(result, tmp_path)
        assert (tmp_path / "quality.json").read_text() == first
        (tmp_path / "file").write_text("")
        with refuses(tmp_path / "file", "folder"):
            write_report(result, tmp_path / "file")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--data=x", "--runs=a"], ["--out must"]),
            (["--data=x", "--out=x"], ["--runs or --keypoints_npz"]),
            (["--data=nowhere", "--out=x", "--runs=a"], ["--data=nowhere"]),
            (
                ["--data=x", "--out=x", "--runs=a", "--epsilon=17"],
                ["--epsilon=17", "--max_epsilon"],
            ),
            (["--export_frames=x.npz"], ["--data must"]),
            (["--data=x", "--export_frames=x.npy"], ["--export_frames=x.npy", ".npz"]),
            (["--data=x.npz", "--export_frames=./x.npz"], ["--export_frames=", "x.npz", "--data"]),
            (
                ["--data=x", "--export_frames=x/objects.npz"],
                ["--export_frames=x/objects", "--data"],
            ),
            (["--data=x", "--export_frames=x.npz", "--out=x"], ["--out ", "nothing"]),
            (
                ["--data=x", "--out=x", "--runs=a", "--keypoints_noise=both"],
                ["--keypoints_noise", "nothing"],
            ),
        ],
    )
    def test_mistakes_are_one_line(self, arguments, words):
        done = call("quality", *arguments)
        assert done.returncode == 1
        refused(done, *words)
        assert len(done.stderr.splitlines()) == 1


def assert_close(one, two):
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_close(one[key], two[key])
    elif one is None or two is None:
        assert one is two
    else:
        assert math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9)


# ----------------------------------------------------------------------------- what does not fit


class TestRefusals:
    def test_stores_without_what_is_needed(self, tmp_path):
        make_store(tmp_path / "bare", boxes=False)
        with refuses(tmp_path / "bare", "boxes", "run.data --game=mspacman --objects"):
            open_footage(tmp_path / "bare")
        make_store(tmp_path / "mine", game="mine", boxes=False)  # no game that could be played
        with refuses("boxes", "evaluate_keypoints(centers, Objects"):
            open_footage(tmp_path / "mine")
        make_store(tmp_path / "old", visible=False)
        with refuses(
            tmp_path / "old",
            "drawn",
            "run.data --game=mspacman --objects",
            "visible_only=false",
            settings=["visible_only"],
        ):
            open_footage(tmp_path / "old")
        footage = open_footage(tmp_path / "old", visible_only=False)
        assert footage.objects.visible is None
        with refuses("game=Seaquest", "mspacman", settings=["game"]):
            open_footage(tmp_path / "old", game="Seaquest")

    def test_all_boxes_count_where_asked(self, folder):
        footage = open_footage(folder / "store", visible_only=False)
        found = run_benchmark(footage, [], [folder / "perfect.npz"], CONFIG)
        assert row_of(found, "perfect").measures["characters"]["recall"][4] == 0.5
        assert found.data["boxes"]["Ghost"] == 40 and not found.data["visible_only"]

    def test_runs_of_another_game_or_of_colour(self, folder, tmp_path):
        run = folder / "tiny_seed0"
        make_store(tmp_path / "other", game="seaquest")
        with refuses(
            "mspacman", "seaquest", run, tmp_path / "other", settings=["data", "game", "runs"]
        ):
            run_benchmark(open_footage(tmp_path / "other"), [run], config=CONFIG)
        make_store(tmp_path / "grey", channels=1)
        with refuses(tmp_path / "grey", "colour"):
            run_benchmark(open_footage(tmp_path / "grey"), [run], config=CONFIG)
        with refuses(tmp_path / "config.json", "no run folder"):
            run_benchmark(open_footage(folder / "store"), [tmp_path], config=CONFIG)
        padded = shutil.copytree(run, tmp_path / "padded")
        content = (run / "config.json").read_text()
        (padded / "config.json").write_text(
            content.replace('"keep_aspect": false', '"keep_aspect": true')
        )
        with refuses(padded, "keep_aspect", settings=["keep_aspect"]):
            run_benchmark(open_footage(folder / "store"), [padded], config=CONFIG)
        with refuses("nothing to score", settings=["keypoints_npz", "runs"]):
            run_benchmark(open_footage(folder / "store"))
        for again in (run, folder / "store" / ".." / "tiny_seed0"):
            with refuses("tiny_seed0", "twice"):
                run_benchmark(open_footage(folder / "store"), [run, again], config=CONFIG)
        shutil.copytree(run, tmp_path / "copy")
        with refuses(run, tmp_path / "copy", "settings and seed"):
            run_benchmark(open_footage(folder / "store"), [run, tmp_path / "copy"], config=CONFIG)

    def test_the_last_run_is_looked_at_before_the_first_is_computed(
        self, folder, tmp_path, monkeypatch
    ):
        run = shutil.copytree(folder / "tiny_seed1", tmp_path / "run")
        KeypointFolder.open(run).best_checkpoint.unlink()
        monkeypatch.setattr(KeypointDetector, "load", None)  # cannot be called
        with refuses("run/checkpoints/best.npz", "train first"):
            run_benchmark(open_footage(folder / "store"), [folder / "tiny_seed0", run])

    def test_frames_smaller_than_the_run_saw(self, folder):
        footage = open_footage(folder / "store")
        small = footage._replace(frames=np.asarray(footage.frames)[:, ::2, ::2])
        with refuses("20 pixels", "10", "image_size=20", settings=["image_size"]):
            run_benchmark(small, [folder / "tiny_seed0"], config=CONFIG)

    def test_frames_in_which_nothing_is_drawn(self, folder):
        footage = open_footage(folder / "store")
        nothing = np.zeros(len(footage.objects.frame), bool)
        hidden = footage._replace(objects=footage.objects.replace(visible=nothing))
        with refuses("no object", "drawn"):
            run_benchmark(hidden, [], [folder / "perfect.npz"], CONFIG)

    @pytest.mark.parametrize("name", ["perfect", "random", "best constants"])  # baselines have rows
    def test_files_of_one_name_are_told_apart_by_their_folders(self, folder, tmp_path, name):
        other = tmp_path / f"{name}.npz"
        other.write_bytes((folder / "perfect.npz").read_bytes())
        files = [folder / "perfect.npz", other]
        found = run_benchmark(open_footage(folder / "store"), [], files, CONFIG)
        names = [str(files[0]) if name == "perfect" else "perfect", str(other)]
        assert [row.label for row in found.rows[:2]] == names

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            (
                {"centers": np.zeros((50, 2, 2))},
                ["50 frames", "110, of which 40", "rows 70 to 109"],
            ),
            ({"points": np.zeros((110, 2, 2))}, ["'centers'", "points"]),
            ({"centers": np.zeros((110, 4))}, ["centres", "[110, 4]"]),
            ({"centers": np.full((40, 2, 2), np.inf)}, ["centres", "finite"]),
            (
                {"centers": np.zeros((40, 2, 2)), "confidence": np.ones((110, 2))},
                ["confidence", "[40, 2]"],
            ),
            (
                {"centers": np.zeros((40, 2, 2)), "confidence": np.full((40, 2), 2.0)},
                ["confidence", "2 to 2"],
            ),
        ],
    )
    def test_keypoints_that_do_not_fit(self, folder, tmp_path, arrays, words):
        np.savez(tmp_path / "file.npz", **arrays)
        with refuses("file.npz", *words):
            run_benchmark(open_footage(folder / "store"), [], [tmp_path / "file.npz"], CONFIG)

    def test_keypoints_for_the_scored_frames_only_have_no_probe(self, folder, tmp_path):
        with np.load(folder / "perfect.npz") as file:
            np.savez(tmp_path / "scored.npz", **{name: file[name][70:] for name in file})
        found = run_benchmark(open_footage(folder / "store"), [], [tmp_path / "scored.npz"], CONFIG)
        scores = row_of(found, "scored").measures
        assert scores["characters"]["recall"][4] == 1
        assert scores["characters"]["average_precision"] == 1
        assert "probe_r2" not in scores["Player"] and "best_f1" not in scores["Player"]
        assert "probe_r2" in row_of(found, "random").measures["Player"]


# ---------------------------------------------------------------------------------- rollout files


def write_rollout(path, num_frames=40, starts=(0, 15, 30), **changes):
    """A player that walks on a dark frame; in every fourth frame it is not drawn."""
    frames = np.full((num_frames, 210, 160, 3), 20, np.uint8)
    for row, frame in enumerate(frames):
        if row % 4:
            frame[50:60, row : row + 9] = (210, 164, 74)
    arrays = {
        "frames": frames,
        "episode_start": np.isin(np.arange(num_frames), starts),
        "box_frame": np.arange(num_frames, dtype=np.int32),
        "box_cat": np.zeros(num_frames, np.uint8),
        "box_xywh": np.array([(row, 50, 9, 10) for row in range(num_frames)], np.int16),
        "categories": np.array(["Player"]),
    } | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_of_a_rollout_file_the_second_half_is_scored(tmp_path):
    path = write_rollout(tmp_path / "MsPacman.npz")
    footage = open_footage(path)
    assert footage.game == "mspacman" and footage.content_hash == ""
    assert (footage.fitting_rows, footage.scored_rows) == (range(20), range(20, 40))
    assert footage.episodes.tolist() == [0] * 15 + [1] * 15 + [2] * 10
    assert footage.objects.visible.tolist() == [row % 4 != 0 for row in range(40)]
    y, x = (55 / 209 * 2 - 1), (np.arange(40) + 4.5) / 159 * 2 - 1
    centers = np.stack([np.broadcast_to(y, 40), x], -1)[:, None]
    np.savez(tmp_path / "mine.npz", centers=centers)
    found = run_benchmark(footage, [], [tmp_path / "mine.npz"], CONFIG)
    scores = row_of(found, "mine").measures["characters"]
    assert scores["boxes"] == 15
    assert (scores["recall"][0], scores["precision"][0]) == (1, 15 / 20)
    # Only the episode that begins in the second half is held out from the probe's fit.
    assert found.data["probe_held_out_frames"] == 10
    assert found.data["first_row"] == 20 and found.notes == []


def test_a_rollout_file_through_the_command(tmp_path, monkeypatch):
    """Under another name, all boxes counted; keypoints in [0, 1] are told."""
    write_rollout(tmp_path / "mine.npz", box_xywh=np.array([(100, 150, 9, 10)] * 40, np.int16))
    np.savez(tmp_path / "points.npz", centers=np.tile(centers_of(155, 104), (40, 1, 1)))
    arguments = ["--data=mine.npz", "--keypoints_npz=points.npz", "--out=out", *FLAGS]
    arguments += ["--game=Ms-Pacman", "--novisible_only"]
    monkeypatch.chdir(tmp_path)
    done = call("quality", *arguments)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert content["data"]["game"] == "mspacman"
    assert content["data"]["boxes"]["Player"] == 20  # of the second half; no frame shows one here
    row = next(row for row in content["rows"] if row["name"] == "points")
    assert row["scores"]["characters"]["recall"]["0"] == 1
    assert "note: points: no centre is below 0; are they in [0, 1]?" in done.stdout


def frames_of(run):
    return KeypointFolder.open(run).frames


@pytest.mark.parametrize("noise", ["none", "both"])
def test_a_model_that_is_not_ours_sees_what_ours_see(tmp_path, monkeypatch, noise):
    """The frames are written, its keypoints found in them, here on all bars, and scored."""
    path = write_rollout(tmp_path / "MsPacman.npz")
    monkeypatch.chdir(tmp_path)
    export = [f"--keypoints_noise={noise}", "--export_frames=new/folder/f.npz", *FLAGS]
    done = call("quality", f"--data={path}", *export)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "scored rows: 20 to 39\nframes: new/folder/f.npz [40, 84, 84, 3]\n"
    frames = np.load("new/folder/f.npz")["frames"]
    footage = open_footage(path)
    clean = footage.prepared(range(40), FrameFormat())
    if noise == "none":
        np.testing.assert_array_equal(frames, clean)
        return
    scored = SeenFrames(footage, CONFIG).frames(FrameFormat(noise=noise), range(20, 40))
    np.testing.assert_array_equal(frames[20:], scored)
    pairs = zip(frames, clean, strict=True)
    on_bars = [np.argwhere((one != other).any(-1))[40] for one, other in pairs]
    np.savez("points.npz", centers=np.array(on_bars)[:, None] / 83 * 2 - 1)
    flags = ["--keypoints_npz=points.npz", "--keypoints_noise=both", "--out=out", *FLAGS]
    done = call("quality", f"--data={path}", *flags)
    assert done.returncode == 0, done.stderr
    assert "runs:" not in done.stderr  # no bar of progress where there is none
    content = json.loads(Path("out/quality.json").read_text())
    rows = {row["name"]: row for row in content["rows"] if not row["variant"]}
    assert rows["points"]["scores"]["bars"]["share"] == 1
    assert 0 < rows["grid"]["scores"]["bars"]["share"] < 0.5  # baselines see the same frames


@pytest.mark.parametrize("arrays", [{"centers": np.zeros((2, 1, 2))}, {"frames": 0, "x": 1}, None])
def test_exported_frames_replace_nothing_but_frames(tmp_path, arrays):
    data, path = write_rollout(tmp_path / "MsPacman.npz"), tmp_path / "mine.npz"
    if arrays is None:
        path.write_text("notes")
    else:
        np.savez(path, **arrays)
    before = path.read_bytes()
    done = call("quality", f"--data={data}", f"--export_frames={path}", *FLAGS)
    refused(done, str(path), "is no file of frames", "another name")
    assert path.read_bytes() == before
    np.savez(path, frames=np.zeros(3))
    done = call("quality", f"--data={data}", f"--export_frames={path}", *FLAGS)
    assert done.returncode == 0 and np.load(path)["frames"].shape == (40, 84, 84, 3)


def centers_of(row, column):
    return np.array([[[row / 209 * 2 - 1, column / 159 * 2 - 1]]])


def test_a_rollout_of_one_episode_has_no_probe_and_says_so(tmp_path):
    path = write_rollout(tmp_path / "rollout.npz", episode_start=None)
    np.savez(tmp_path / "mine.npz", centers=np.zeros((40, 1, 2)))
    found = run_benchmark(open_footage(path), [], [tmp_path / "mine.npz"], CONFIG)
    assert any("no probe" in note for note in found.notes)
    assert f"{path} has no 'episode_start': all its frames count as one episode" in found.notes
    assert any("no sets of objects are known for 'rollout'" in note for note in found.notes)
    assert found.sets == ("all",)
    assert open_footage(path, game="Ms-Pacman").game == "mspacman"


def test_categories_that_a_game_does_not_know_are_told(tmp_path):
    names, kinds = np.array(["Player", "Blob"]), np.arange(40, dtype=np.uint8) % 2
    path = write_rollout(tmp_path / "MsPacman.npz", categories=names, box_cat=kinds)
    np.savez(tmp_path / "mine.npz", centers=np.full((40, 1, 2), -0.5))
    found = run_benchmark(open_footage(path), [], [tmp_path / "mine.npz"], CONFIG)
    assert found.notes == ["not scored, no category of mspacman has the name: Blob"]
    assert "Blob" not in found.groups


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        (
            {"frames": np.zeros((40, 84, 84, 3), np.uint8)},
            ["visible_only"],
            ["210x160", "84x84", "visible_only=false"],
        ),
        ({"frames": np.zeros((40, 210, 160), np.uint8)}, [], ["'frames'", "[40, 210, 160]"]),
        ({"categories": None}, [], ["'categories'"]),
        ({"box_xywh": np.zeros((40, 3), np.int16)}, [], ["xywh", "[40, 4]"]),
        ({"box_frame": np.arange(40, dtype=np.int32)[::-1]}, [], ["frame", "ascending"]),
        ({"box_frame": np.arange(1, 41, dtype=np.int32)}, [], ["frame", "from 0 to 39", "40"]),
        ({"box_cat": np.ones(40, np.uint8)}, [], ["category", "below 1"]),
        ({"box_xywh": np.full((40, 4), 70_000)}, [], ["xywh", "range"]),
        ({"episode_start": np.zeros(3, bool)}, [], ["'episode_start'", "bool [40]"]),
    ],
)
def test_broken_rollouts_are_refused(tmp_path, changes, settings, words):
    path = write_rollout(tmp_path / "MsPacman.npz", **changes)
    with refuses("MsPacman.npz", *words, settings=settings):
        open_footage(path)


def test_other_games_and_files_are_refused(tmp_path):
    path = write_rollout(tmp_path / "rollout.npz")
    with refuses("game=tetris", settings=["game"]):
        open_footage(path, game="tetris")
    with refuses(f"data={tmp_path / 'movie.mp4'}", settings=["data"]):
        open_footage(tmp_path / "movie.mp4")
    write_store(tmp_path / "toy")
    with refuses(tmp_path / "toy", "boxes"):
        open_footage(tmp_path / "toy")


# ------------------------------------------------------------------------- mean of several reports


def report_of(path, game, rows, noise="none"):
    """A report; rows are (name, kind, variant, F1, members)."""
    content = {
        **{"format": tables.FORMAT, "format_version": tables.FORMAT_VERSION},
        **{"data": {"game": game}, "settings": {"epsilon": 4}, "sets": ["characters", "all"]},
        "rows": [
            {
                **{"name": name, "kind": kind, "variant": variant},
                "about": {"noise": noise}
                | ({"members": members} if members else {})
                | ({"baseline": name.partition(" (")[0]} if kind == "baseline" else {}),
                "scores": {"characters": {"best_f1": f1, "recall": {"4": f1}}},
            }
            for name, kind, variant, f1, members in rows
        ],
    }
    path.mkdir(parents=True)
    (path / "quality.json").write_text(json.dumps(content))
    return str(path)


def two_reports(folder):
    of_seeds = [("quick_seed0", 0.5), ("quick_seed1", 0.7)]
    rows = [(f"mspacman_{name}", "run", "", f1, []) for name, f1 in of_seeds]
    members = [row[0] for row in rows]
    rows += [("mspacman_quick (2 seeds)", "seeds", "", 0.6, members)]
    rows += [("mspacman_quick (2 seeds)", "seeds", "tracked", 0.6, members)]  # the same points
    rows += [("random (K=7)", "baseline", "", 0.1, []), ("dlp", "keypoints", "", 0.9, [])]
    one = report_of(folder / "one", "mspacman", rows)
    rows = [("game-seaquest_noise-both_quick_seed0", "run", "", 0.2, [])]
    rows += [("game-seaquest_noise-both_quick_seed1", "run", "", 0.1, [])]
    members = [row[0] for row in rows]
    rows += [("game-seaquest_noise-both_quick (2 seeds)", "seeds", "", 0.15, members)]
    rows += [("random", "baseline", "", 0.05, [])]
    return one, report_of(folder / "two", "seaquest", rows, "both")


def test_the_mean_of_several_reports(tmp_path):
    f1, precision, recall = averages.average(two_reports(tmp_path))
    assert f1.conditions == ("MsPacman", "Seaquest, both")
    assert averages.as_table(f1).rows == [
        # Of the seeds the means are 0.35 and 0.4.
        ["quick (2 seeds)", "0.60 (0.50 to 0.70)", "0.15 (0.10 to 0.20)", "0.38 (0.35 to 0.40)"],
        ["random", "0.10", "0.05", "0.08"],
        ["dlp", "0.90", "-", "-"],
    ]
    assert recall.rows.keys() == f1.rows.keys() and recall.measure == "recall"
    assert averages.as_table(precision).rows[0][1:] == ["-", "-", "-"]


def test_one_report_with_two_numbers_of_keypoints(tmp_path):
    rows = [(f"random (K={k})", "baseline", "", k / 100, []) for k in (5, 7)]
    f1, *_ = averages.average([report_of(tmp_path / "both", "mspacman", rows)])
    assert averages.as_table(f1).rows == [
        ["random (K=7)", "0.07", "0.07"],
        ["random (K=5)", "0.05", "0.05"],
    ]


def test_reports_through_the_command(tmp_path, result, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_report(result, tmp_path / "real")
    done = call("quality", "--mean=real,real/quality.json", "--out=mean")
    assert done.returncode == 0, done.stderr
    assert "F1 at the best threshold" in done.stdout and "tiny (2 seeds)" in done.stdout
    row = row_of(result, "tiny (2 seeds)").measures["characters"]
    with Path("mean/mean.csv").open(newline="") as file:
        (found,) = [
            line for line in csv.DictReader(file)
            if (line["row"], line["measure"], line["condition"])
            == ("tiny (2 seeds)", "best_f1", "MsPacman, both")
        ]  # fmt: skip
    assert float(found["value"]) == pytest.approx(row["best_f1"], rel=1e-5)
    assert "| perfect | 1.00 | - | - |" in Path("mean/mean.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mean=nowhere", "--out=x"], ["nowhere: ", "run.quality"]),
        (["--mean=one", "--out=x", "--data=x"], ["--mean", "--runs, --keypoints_npz, --data"]),
        (["--mean=one,other", "--out=x"], ["other: ", "'random'", "best_f1", "MsPacman"]),
        (["--mean=old", "--out=x"], ["old/quality.json", "version", "run.quality"]),
        (["--mean=foreign.json", "--out=x"], ["foreign.json", "no report"]),
        (["--mean=one,far", "--out=x"], ["one and far", "--epsilon is 4 and 16"]),
        (["--mean=alone,cut", "--out=x"], ["alone and cut", "other frames of Pong", "same"]),
        (["--mean=one,hidden", "--out=x"], ["hidden", "--visible_only is None and False"]),
        (["--mean=damaged", "--out=x"], ["damaged/quality.json", "data.game"]),
        (["--mean=empty", "--out=x"], ["empty/quality.json", "sets"]),
        (["--mean=one"], ["--out must"]),
    ],
)
def test_reports_that_have_no_mean(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    two_reports(tmp_path)
    report_of(tmp_path / "other", "mspacman", [("random", "baseline", "", 0.2, [])])
    text = Path(report_of(tmp_path / "old", "pong", []), "quality.json").read_text()
    Path("old/quality.json").write_text(text.replace('"format_version": 2', '"format_version": 1'))
    Path("foreign.json").write_text("{}")
    text = Path(report_of(tmp_path / "far", "pong", []), "quality.json").read_text()
    Path("far/quality.json").write_text(text.replace('"epsilon": 4', '"epsilon": 16'))
    for name, (old, new) in {
        "hidden": ('"game": "pong"', '"game": "pong", "visible_only": false'),
        "alone": ('"game": "pong"', '"game": "pong", "frames": 9'),
        "cut": ('"game": "pong"', '"game": "pong", "frames": 8'),
        "damaged": ('"game": "pong"', '"game": 3'),
        "empty": ('"sets": ["characters", "all"]', '"sets": []'),
    }.items():
        Path(name).mkdir()
        Path(name, "quality.json").write_text(text.replace(old, new))
    done = call("quality", *arguments)
    refused(done, *words)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mspacman_quick (3 seeds)", "quick (3 seeds)"),
        ("game-mspacman_noise-both (3 seeds)", "(3 seeds)"),
        ("k7/MsPacman", "k7"),
        ("a_both_mspacman_b", "a_b"),
        ("mspacmanlike", "mspacmanlike"),
        ("mspacman", "runs"),
    ],
)
def test_names_without_game_and_noise(name, expected):
    assert seeds.without_words(name, ("mspacman", "both")) == expected
