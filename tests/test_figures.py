"""Every figure of the papers from tiny runs: what is drawn is what the detector says."""

import csv
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.text import Text
from support import call, parsed, refused, refuses, retold, write_store
from test_training import make_trainer

from flags import figures as figure_flags
from permakey_tf.data.noise import BAR_COLOR
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import FrameStoreWriter
from permakey_tf.figures import recipes as paper_figures
from permakey_tf.figures.runs import FrameChoice, open_shown_runs
from permakey_tf.types import Keypoints, Step
from permakey_tf.viz import figures, overlay, video
from permakey_tf.viz.curves import MAX_LOOKS, Charts, Curve, limits_without_spikes, looks

ROOT = Path(__file__).parents[1]
# TensorFlow says that data pipelines stay graphs where all else runs eagerly.
pytestmark = pytest.mark.filterwarnings("ignore:Even though:UserWarning")

# Name -> settings that differ from the tiny ones. All are trained; enough for weights to differ.
TRAINED = {
    "pk0": {},
    "pk1": {"seed": 1},
    "k2": {"num_keypoints": 2},
    "deep": {"lsp_layers": (2,)},
    "kernel": {"vae_kernel_sizes": (6, 3, 3, 3)},
    "tr0": {"method": "transporter"},
    "tr1": {"method": "transporter", "seed": 1},
}
# Name -> (trained run, settings, game): the same weights, but other words in config.json.
RETOLD = {
    "pk0_noisy": ("pk0", {"noise": "both"}, "toy"),
    "tr0_noisy": ("tr0", {"noise": "both"}, "toy"),
    "pk_frostbite": ("pk1", {}, "frostbite"),
    "tr_frostbite": ("tr1", {}, "frostbite"),
    "tr_frostbite_again": ("tr0", {}, "frostbite"),
    "pk0_again": ("pk1", {"seed": 0}, "toy"),
    "tr0_again": ("tr1", {"seed": 0}, "toy"),
    "pk0_noisy_again": ("pk1", {"seed": 0, "noise": "both"}, "toy"),
}
STORES = ("toy", "frostbite")


@pytest.fixture(scope="module", autouse=True)
def eager():
    """Tracing a graph for each of the many models takes most of the time otherwise."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run folders of TRAINED and RETOLD, stores "toy" and "frostbite"."""
    root = tmp_path_factory.mktemp("figures")
    stores = {name: write_store(root / name, seed=i, game=name) for i, name in enumerate(STORES)}
    settings = {"max_steps": 2, "learning_rate": 5e-3, "soft_argmax": "joint", "logit_scale": 30.0}
    for name, changes in TRAINED.items():
        make_trainer(stores["toy"], root / name, **settings, **changes).train()
    for name, (trained, changes, game) in RETOLD.items():
        frames = {"game": game, "content_hash": stores[game].content_hash}
        retold(root / trained, root / name, frames=frames, **changes)
    return root


@pytest.fixture(scope="module")
def shown(folder):
    """{name: ShownRun}, opened once for all tests: models take their time to load."""
    names = [*TRAINED, *RETOLD]
    runs = open_shown_runs(
        [str(folder / name) for name in names], [str(folder / s) for s in STORES]
    )
    shown = dict(zip(names, runs, strict=True))
    for name, (trained, _, _) in RETOLD.items():
        shown[name].model = shown[trained].model
    return shown


# Figure -> runs that it can be drawn from.
RUNS = {
    "2a": ["pk0", "tr0", "tr_frostbite", "pk_frostbite"],
    "2b": ["tr0_noisy", "pk0_noisy"],
    "4": ["pk0"],
    "5": ["pk0", "pk1"],
    "6": ["pk0", "k2"],
    "7": ["pk0", "deep"],
    "8": ["pk0", "pk1"],
    "9": ["tr0", "tr1"],
    "10": ["tr1"],
    "kernel": ["kernel", "pk0"],
    "transporter": ["tr0"],
    "curves": ["pk0", "pk1", "tr0"],
    "video": ["pk0", "tr0"],
}


def make(shown, figure, names=None, **choice):
    runs = [shown[name] for name in (names or RUNS[figure])]
    return paper_figures.make(figure, runs, FrameChoice(**choice))


def is_refused(shown, figure, names, words, settings, **choice):
    with refuses(f"figure {figure}: ", *words, settings=settings):
        make(shown, figure, names, **choice)


def panels(picture):
    """[(image, offsets (x, y) of the rings)] of a drawn grid, in drawing order."""
    found = []
    for axes in figures.draw(picture).axes:
        if axes.get_label() == figures.SCALE:
            continue
        scatters = [c for c in axes.collections if isinstance(c, PathCollection)]
        rings = [np.asarray(scatter.get_offsets()) for scatter in scatters]
        for other in rings[1:]:  # the rims are where the rings are
            np.testing.assert_array_equal(other, rings[0])
        found.append((axes.images[0].get_array().data, rings[0] if rings else None))
    return found


def expected_rings(shown, name, frame):
    """(x, y) of a run's keypoints on one frame, in pixels."""
    centers = shown[name].detector.detect(frame)
    return overlay.to_pixels(centers, 20, 20)[:, ::-1]


def held_out(folder, positions, store="toy"):
    frames = np.load(folder / store / "frames.npy")
    return frames[54:][list(positions)]  # the last tenth of 60 frames


def test_every_figure_has_a_recipe():
    assert tuple(paper_figures.RECIPES) == figure_flags.FIGURES == tuple(RUNS)


class TestMarkersAreWhereTheDetectorSays:
    """Rings against `detect` on the frames of the test split, panel by panel."""

    def check(self, shown, panel, name, frame):
        image, rings = panel
        np.testing.assert_array_equal(image, frame)
        np.testing.assert_allclose(rings, expected_rings(shown, name, frame), atol=1e-3)

    def test_2a(self, folder, shown):
        drawn = panels(make(shown, "2a"))
        frames = [held_out(folder, [3], store)[0] for store in STORES]  # the middle of six
        for column, (frame, runs) in enumerate(
            zip(frames, [("tr0", "pk0"), ("tr_frostbite", "pk_frostbite")], strict=True)
        ):
            np.testing.assert_array_equal(drawn[column][0], frame)
            assert drawn[column][1] is None
            for row, run in enumerate(runs, start=1):
                self.check(shown, drawn[2 * row + column], run, frame)
            maps = shown[runs[1]].detector.error_maps(frame)
            for layer in (0, 1):
                image, rings = drawn[2 * (3 + layer) + column]
                np.testing.assert_allclose(image, maps[..., layer], atol=1e-5)
                assert rings is None

    def test_2b_shows_both_methods_the_same_bars(self, folder, shown):
        drawn = panels(make(shown, "2b"))
        clean = held_out(folder, [3])[0]
        noisy = drawn[0][0]
        bar = np.all(noisy == BAR_COLOR, axis=-1)
        rows, columns = bar.all(axis=1), bar.all(axis=0)
        assert rows.sum() == columns.sum() == 5
        np.testing.assert_array_equal(bar, rows[:, None] | columns[None, :])
        np.testing.assert_array_equal(noisy[~bar], clean[~bar])
        for panel, run in zip(drawn[1:3], ("tr0", "pk0"), strict=True):
            self.check(shown, panel, run, noisy)
        moved = panels(make(shown, "2b", seed=1, positions=(3,)))[0][0]
        assert np.any(moved != noisy)

    def test_4_and_10(self, folder, shown):
        frames = held_out(folder, [1, 4])
        windows = shown["tr1"].detector.windows(frames)
        seen = 1 - np.prod(1 - windows, axis=-1)
        for figure, rows in (("4", 2), ("10", 3)):
            drawn = panels(make(shown, figure, ["tr1"], positions=(1, 4)))
            assert len(drawn) == 2 * rows
            for i, frame in enumerate(frames):
                np.testing.assert_array_equal(drawn[i][0], frame)
                dark = drawn[-2 + i][0].astype(float)
                np.testing.assert_allclose(
                    dark, frame * (0.2 + 0.8 * seen[i, ..., None]), atol=0.51
                )
                if figure == "10":
                    self.check(shown, drawn[2 + i], "tr1", frame)

    @pytest.mark.parametrize("figure", ["5", "8", "9"])
    def test_seeds(self, folder, shown, figure):
        frames = held_out(folder, [0, 5])
        drawn = panels(make(shown, figure, positions=(0, 5)))
        plain, marked = (drawn[::2], drawn[1::2]) if figure == "5" else (drawn[:2], drawn[2:])
        for frame, (image, rings), (marked_image, marks) in zip(frames, plain, marked, strict=True):
            np.testing.assert_array_equal(image, frame)
            np.testing.assert_array_equal(marked_image, frame)
            assert rings is None
            both = [expected_rings(shown, name, frame) for name in RUNS[figure]]
            np.testing.assert_allclose(marks, np.concatenate(both), atol=1e-3)

    def test_a_seed_has_one_colour_whatever_the_order_of_the_runs(self, shown):
        picture = make(shown, "8", ["pk1", "pk0"])
        assert list(picture.legend) == ["seed 0", "seed 1"]
        panel = picture.rows["keypoints"][0]
        colors = list(picture.legend.values())
        np.testing.assert_array_equal(panel.colors, [colors[0]] * 3 + [colors[1]] * 3)
        expected = expected_rings(shown, "pk0", panel.image)[:, ::-1]
        np.testing.assert_allclose(panel.points_yx[:3], expected, atol=1e-3)

    @pytest.mark.parametrize("figure", ["2a", "5", "6", "7", "10", "transporter"])
    def test_rings_are_as_opaque_as_the_detector_is_sure(self, shown, figure):
        detectors = [shown[name].detector for name in RUNS[figure]]
        places = [place for row in make(shown, figure).rows.values() for place in row]
        marked = [p for p in places if isinstance(p, figures.Panel) and len(p.points_yx)]
        assert marked
        for panel in marked:
            found = [detector.keypoints(panel.image[None]) for detector in detectors]
            opacity = [overlay.opacities(*keypoints)[0] for keypoints in found]
            opacity.append(np.concatenate(opacity))  # the seeds of figures 5, 8 and 9
            assert 0.25 <= panel.opacity.min() <= panel.opacity.max() <= 1
            assert any(
                len(one) == len(panel.opacity) and np.allclose(one, panel.opacity, atol=1e-3)
                for one in opacity
            )

    def test_6_is_sorted_by_the_number_of_keypoints(self, folder, shown):
        picture = make(shown, "6", positions=(2, 3))
        assert list(picture.rows) == ["frame", "K = 2", "K = 3"]
        drawn = panels(picture)
        for row, name in enumerate(["k2", "pk0"], start=1):
            for i, frame in enumerate(held_out(folder, [2, 3])):
                self.check(shown, drawn[2 * row + i], name, frame)

    @pytest.mark.parametrize(
        ("figure", "labels"),
        [("7", ["layers 0,1", "layers 2"]), ("kernel", ["kernels 6,3,3,3", "kernels 4,3,3,3"])],
    )
    def test_ablations(self, folder, shown, figure, labels):
        picture = make(shown, figure, positions=(2, 3))
        assert list(picture.rows) == ["frame", *labels]
        frames = held_out(folder, [2, 3])
        for label, name in zip(labels, RUNS[figure], strict=True):
            drawn = picture.rows[label]
            detector = shown[name].detector
            maps, layers = detector.error_maps(frames[0]), detector.config.lspn.lsp_layers
            for panel, frame in zip(drawn, frames, strict=False):
                self.check(shown, (panel.image, panel.points_yx[:, ::-1]), name, frame)
            for words, panel in zip(picture.rows["frame"][2:], drawn[2:], strict=True):
                layer = int(re.fullmatch(r"error map, layer (\d)", words)[1])
                if layer in layers:
                    expected = maps[..., layers.index(layer)]
                    np.testing.assert_allclose(panel.image, expected, atol=1e-5)
                else:
                    assert panel is None

    def test_transporter(self, folder, shown):
        picture = make(shown, "transporter")
        numbers = re.findall(r"(\d+) and (\d+)", picture.caption)
        drawn = panels(picture)
        assert len(drawn) == 6 * 4
        model = shown["tr0"].model
        for i, (a, b) in enumerate(numbers):
            first, second = held_out(folder, [int(a), int(b)])
            assert int(a) < int(b)
            self.check(shown, drawn[i], "tr0", first)
            self.check(shown, drawn[8 + i], "tr0", second)
            windows = shown["tr0"].detector.windows(np.stack([first, second]))
            for row, window in zip((1, 3), windows, strict=True):
                union = 1 - np.prod(1 - window, axis=-1)
                np.testing.assert_allclose(drawn[4 * row + i][0], union, atol=1e-5)
            pair = np.stack([first, second])[None].astype(np.float32) / 255
            view = model.view(pair)
            reconstruction = np.asarray(view.panels["reconstruction"])[0] * 255
            np.testing.assert_allclose(drawn[16 + i][0], reconstruction, atol=0.6)
            off = np.abs(reconstruction - second).mean(axis=-1) / 255
            np.testing.assert_allclose(drawn[20 + i][0], off, atol=0.6 / 255)


def test_the_two_frames_of_a_noisy_pair_have_bars_of_their_own(shown):
    picture = make(shown, "transporter", ["tr0_noisy"])
    for first, second in zip(
        picture.rows["first frame"], picture.rows["second frame"], strict=True
    ):
        bars = [np.all(panel.image == BAR_COLOR, axis=-1) for panel in (first, second)]
        assert all(bar.any() for bar in bars)
        assert np.any(bars[0] != bars[1])


ALL = range(9)  # columns, more than any of these figures has


class TestAnotherRun:
    """Another run in the place of one changes exactly that run's panels."""

    @pytest.mark.parametrize(
        ("figure", "old", "new", "changed"),
        [
            ("2a", "pk0", "pk1", {"PermaKey keypoints": [0], "error map, layer 0": [0],
                                  "error map, layer 1": [0]}),
            ("2a", "tr_frostbite", "tr_frostbite_again", {"Transporter keypoints": [1]}),
            ("2b", "pk0_noisy", "pk0_noisy_again", {"Toy": [2, 3, 4]}),  # one game: a row
            ("4", "pk0", "tr0", {"windows": ALL}),
            ("5", "pk0", "pk0_again", {"": [1, 3]}),
            ("6", "pk0", "pk0_again", {"K = 3": ALL}),
            ("7", "pk0", "pk0_again", {"layers 0,1": ALL}),
            ("8", "pk0", "pk0_again", {"keypoints": ALL}),
            ("9", "tr0", "tr0_again", {"keypoints": ALL}),
            ("10", "tr1", "pk1", {"keypoints": ALL, "windows": ALL}),
            ("kernel", "pk0", "pk0_again", {"kernels 4,3,3,3": ALL}),
            ("transporter", "tr0", "tr0_again", {"first frame": ALL, "first windows": ALL,
                "second frame": ALL, "second windows": ALL, "second, reconstructed": ALL,
                "difference to the second": ALL}),
        ],
    )  # fmt: skip
    def test_changes_its_panels_alone(self, shown, figure, old, new, changed):
        names = [new if name == old else name for name in RUNS[figure]]
        before, after = make(shown, figure), make(shown, figure, names)
        drawn = zip(panels(before), panels(after), strict=True)
        for label, row in before.rows.items():
            for column, panel in enumerate(row):
                if not isinstance(panel, figures.Panel):
                    assert after.rows[label][column] == panel
                    continue
                one, two = next(drawn)
                same = all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
                assert same == (column not in changed.get(label, ())), (label, column)

    @pytest.mark.parametrize("new", ["tr0_again", "tr1"])
    def test_of_transporter_sees_the_same_pairs(self, shown, new):
        before, after = (make(shown, "transporter", [name]) for name in ("tr0", new))
        assert before.caption == after.caption
        for label, row in before.rows.items():
            for one, two in zip(row, after.rows[label], strict=True):
                of_frames = label in ("first frame", "second frame")
                assert np.array_equal(one.image, two.image) == of_frames, label
                assert np.any(one.points_yx != two.points_yx) == of_frames, label

    def test_changes_its_losses_alone(self, shown):
        before = make(shown, "curves", ["k2", "pk0", "tr0"])
        after = make(shown, "curves", ["k2", "pk0_again", "tr0"])
        assert list(before.legend) == list(after.legend)
        pk0 = before.legend["PermaKey, num_keypoints=3"]
        for title, curves in before.charts.items():
            for one, two in zip(curves, after.charts[title], strict=True):
                of_pk0 = np.array_equal(one.look.color, pk0.color)
                assert np.array_equal(one.look.color, two.look.color)
                assert np.any(one.middle != two.middle) == of_pk0, title

    def test_changes_its_track_alone(self, shown):
        before, after = (make(shown, "video", [name, "tr0"]) for name in ("pk0", "pk0_again"))
        np.testing.assert_array_equal(before.frames, after.frames)
        same = [
            np.array_equal(track.centers_yx, after.tracks[name].centers_yx)
            for name, track in before.tracks.items()
        ]
        assert dict(zip(before.tracks, same, strict=True)) == {
            "PermaKey": False,
            "Transporter": True,
        }

    def test_of_one_seed_moves_its_rings_alone(self, shown):
        before, after = make(shown, "8"), make(shown, "8", ["pk0_again", "pk1"])
        for one, two in zip(before.rows["keypoints"], after.rows["keypoints"], strict=True):
            assert np.all(np.any(one.points_yx[:3] != two.points_yx[:3], axis=1))
            np.testing.assert_array_equal(one.points_yx[3:], two.points_yx[3:])


class TestFrames:
    def test_are_spread_over_the_test_split_or_chosen_or_drawn(self, shown):
        store = shown["pk0"].store
        assert FrameChoice().pick(store, 1).tolist() == [3]
        assert FrameChoice().pick(store, 3).tolist() == [1, 3, 5]
        assert FrameChoice(positions=(5, 0)).pick(store, 3).tolist() == [5, 0]
        drawn = FrameChoice(seed=3).pick(store, 4)
        assert sorted(set(drawn)) == drawn.tolist()
        np.testing.assert_array_equal(FrameChoice(seed=3).pick(store, 4), drawn)
        assert any(FrameChoice(seed=s).pick(store, 4).tolist() != drawn.tolist() for s in range(9))

    def test_columns(self, shown):
        assert len(make(shown, "10", columns=2).rows["frame"]) == 2

    @pytest.mark.parametrize(
        ("figure", "choice", "settings", "words"),
        [
            ("10", {"positions": (6,)}, ["frames"], ["frames=6", "0 to 5"]),
            ("10", {"positions": (-1,)}, ["frames"], ["frames=-1", "0 to 5"]),
            ("10", {"columns": 7}, ["columns"], ["7 frames", "lower columns"]),
            ("2a", {"columns": 2}, ["columns"], ["fixed"]),
            ("2a", {"positions": (1,)}, ["frames"], ["one frame a game", "2 in all"]),
            ("curves", {"positions": (1,)}, ["frames"], ["nothing"]),
            ("video", {"positions": (1,)}, ["frames"], ["nothing"]),
            ("curves", {"seed": 1}, ["frames_seed"], ["nothing"]),
            ("video", {"seed": 1}, ["frames_seed"], ["nothing"]),
            ("10", {"positions": (1,), "seed": 1}, ["frames_seed"], ["nothing"]),
            ("video", {"episode": 1}, ["episode"], ["episode=1", "0 to 0"]),
        ],
    )
    def test_that_are_not_there_are_refused(self, shown, figure, choice, settings, words):
        is_refused(shown, figure, None, words, settings, **choice)


class TestWrongCombinations:
    @pytest.mark.parametrize(
        ("figure", "runs", "settings", "words"),
        [
            (
                "2a",
                ["pk0"],
                ["runs"],
                ["no transporter run", "toy", "pk0", "--method=transporter"],
            ),
            ("2a", ["pk0", "tr0", "pk1"], [], ["pk0", "pk1", "both permakey runs", "toy"]),
            ("2a", ["pk0_noisy", "tr0_noisy"], [], ["pk0_noisy", "noise=both", "figure 2b"]),
            ("2b", ["pk0", "tr0"], [], ["pk0", "without noise", "figure 2a"]),
            ("2a", ["k2", "tr0"], [], ["num_keypoints is 3 and 2"]),
            (
                "2a",
                ["deep", "tr0", "pk_frostbite", "tr_frostbite"],
                [],
                ["lsp_layers is 2 and 0,1"],
            ),
            ("4", ["pk0", "pk1"], ["runs"], ["one run", " 2"]),
            ("5", ["pk0"], [], ["pk0 alone", "differ in seed"]),
            ("5", ["pk0", "k2"], [], ["pk0", "k2", "both have seed=0"]),
            ("8", ["k2", "pk1"], [], ["num_keypoints is 2 and 3"]),
            ("9", ["pk0", "tr1"], [], ["method is permakey and transporter"]),
            ("6", ["k2", "pk_frostbite"], [], ["game is toy and frostbite"]),
            ("6", ["pk0", "pk0_again"], [], ["num_keypoints=3"]),
            ("7", ["pk0", "tr0"], [], ["tr0 is a transporter run"]),
            ("7", ["deep", "k2"], [], ["num_keypoints is 3 and 2"]),
            (
                "kernel",
                ["pk0", "deep"],
                [],
                ["vae_kernel_sizes=4,3,3,3, vae_strides=1,2,2,1"],
            ),
            ("transporter", ["pk0"], [], ["pk0 is a permakey run"]),
            ("video", ["pk0", "tr0_noisy"], [], ["noise is none and both"]),
            ("video", ["pk0", "pk_frostbite"], [], ["game is toy and frostbite"]),
        ],
    )
    def test_are_refused_in_one_line(self, shown, figure, runs, settings, words):
        is_refused(shown, figure, runs, words, settings)

    def test_frames_that_do_not_belong_to_the_run(self, folder, tmp_path):
        run, store = str(folder / "pk0"), str(folder / "toy")
        larger = str(write_store(tmp_path / "larger", size=24).path)
        for stores, settings, words in (
            (
                [larger],
                ["image_size", "channels"],
                [run, "20x20", larger, "24x24", "image_size=20"],
            ),
            ([store, larger], ["data"], [store, larger, "toy"]),
        ):
            with refuses(*words, settings=settings):
                open_shown_runs([run], stores)
        padded = retold(run, tmp_path / "padded", frames={"keep_aspect": True})
        with refuses("padded", "keep_aspect=True", folder / "toy", "False"):
            open_shown_runs([str(padded)], [store])
        with refuses(run, "toy", "run.data", settings=["data"]):
            paper_figures.make(
                "4", open_shown_runs([run], [str(folder / "frostbite")]), FrameChoice()
            )
        with refuses(run, "twice", settings=["runs"]):
            open_shown_runs([run, run + "/"], [store])
        other = write_store(tmp_path / "other", seed=9)
        assert open_shown_runs([run], [str(other.path)])[0].seen_other_frames
        assert not open_shown_runs([run], [store])[0].seen_other_frames
        parts = "x", FrameStore.open(store).content_hash
        frames = {"content_hash": "joined", "part_hashes": parts}
        joined = str(retold(run, tmp_path / "joined", frames=frames))
        assert not open_shown_runs([joined], [store])[0].seen_other_frames

    def test_a_run_of_several_games_shows_the_one_whose_frames_are_named(self, folder, tmp_path):
        mixed = retold(folder / "pk0", tmp_path / "mixed", frames={"game": "toy+frostbite"})
        stores = [str(folder / name) for name in STORES]
        for store, game in zip(stores, STORES, strict=True):
            (run,) = open_shown_runs([str(mixed)], [store])
            assert (run.game, run.store.game) == (game, game)
        assert open_shown_runs([str(mixed)], [])[0].game == "toy+frostbite"
        with refuses("several", *stores, settings=["data"]):
            open_shown_runs([str(mixed)], stores)


class TestCurves:
    def test_seeds_are_one_line_with_its_range(self, folder, shown):
        charts = make(shown, "curves").charts
        assert [title.split(":")[0] for title in charts] == [
            "VAE", "LSPN", "PointNet", "Transporter",
        ]  # fmt: skip
        tables = [metrics(folder / name) for name in ("pk0", "pk1")]
        for title, module in zip(charts, ("vae", "lspn", "pointnet"), strict=False):
            for curve, stage in zip(charts[title], ("train", "validation"), strict=True):
                values = np.array([table[f"{stage}/loss_{module}"] for table in tables])
                assert curve.steps.tolist() == {"train": [1, 2], "validation": [2]}[stage]
                np.testing.assert_allclose(curve.middle, values.mean(axis=0))
                np.testing.assert_allclose(curve.low, values.min(axis=0))
                np.testing.assert_allclose(curve.high, values.max(axis=0))
                assert curve.validation == (stage == "validation")

    def test_what_differs_beside_the_seed_is_a_line_of_its_own_and_named(self, folder, shown):
        picture = make(shown, "curves", ["pk0", "k2", "pk1", "tr0", "pk_frostbite"])
        assert list(picture.legend) == [
            "Toy, PermaKey, num_keypoints=3 (2 seeds: mean and range)",
            "Toy, PermaKey, num_keypoints=2",
            "Toy, Transporter",
            "Frostbite, PermaKey",
        ]
        drawn = figures.draw(picture).axes
        lines = drawn[0].get_lines()
        assert len(lines) == 2 * 3
        np.testing.assert_allclose(
            lines[0].get_ydata(),
            np.mean([metrics(folder / n)["train/loss_vae"] for n in ("pk0", "pk1")], axis=0),
        )

    def test_a_seed_does_not_name_a_line(self, shown):
        picture = make(shown, "curves", ["pk1", "pk0_noisy"])
        assert list(picture.legend) == ["noise=none", "noise=both"]

    def test_no_two_lines_look_alike(self, folder, tmp_path):
        runs = []
        for number in range(MAX_LOOKS + 1):
            path = tmp_path / f"run{number}"
            runs.append(str(retold(folder / "pk0", path, learning_rate=(number + 1) / 1000)))
        with refuses("29 lines", "28"):
            paper_figures.make("curves", open_shown_runs(runs, []), FrameChoice())
        picture = paper_figures.make("curves", open_shown_runs(runs[:-1], []), FrameChoice())
        drawn = figures.draw(picture)
        validation = [line for line in drawn.axes[0].get_lines() if line.get_marker() == "o"]
        legend = drawn.legends[0].get_lines()
        for lines in (validation, legend):
            assert len({(*line.get_color(), line.get_linestyle()) for line in lines}) == 28
        for line, entry in zip(validation, legend, strict=True):
            assert (*line.get_color(), line.get_linestyle()) == (
                *entry.get_color(),
                entry.get_linestyle(),
            )

    def test_only_steps_that_all_seeds_have_are_drawn(self, folder, shown, tmp_path):
        shutil.copytree(folder / "pk1", tmp_path / "short")
        path = tmp_path / "short" / "metrics.csv"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:2]) + lines[2][:-3])  # killed in its last number
        runs = open_shown_runs([str(folder / "pk0"), str(tmp_path / "short")], [])
        charts = paper_figures.make("curves", runs, FrameChoice()).charts
        assert all(curve.steps.tolist() == [1] for curves in charts.values() for curve in curves)
        path.unlink()
        with refuses("metrics.csv", "missing"):
            paper_figures.make("curves", runs, FrameChoice())

    def test_a_copy_of_a_run_is_no_second_seed(self, folder, tmp_path):
        copy = shutil.copytree(folder / "pk0", tmp_path / "copy")
        runs = open_shown_runs([str(folder / "pk0"), str(folder / "pk1"), str(copy)], [])
        with refuses(folder / "pk0", copy, "same settings and seed", "leave one out"):
            paper_figures.make("curves", runs, FrameChoice())

    @pytest.mark.parametrize("order", [("pk0", "begun"), ("begun", "pk0")])
    def test_a_run_that_has_just_begun_is_named(self, folder, tmp_path, order):
        shutil.copytree(folder / "pk1", tmp_path / "begun")
        path = tmp_path / "begun" / "metrics.csv"
        path.write_text(path.read_text().splitlines(keepends=True)[0])
        places = {"pk0": folder / "pk0", "begun": tmp_path / "begun"}
        runs = open_shown_runs([str(places[name]) for name in order], [])
        with refuses(tmp_path / "begun", "no losses"):
            paper_figures.make("curves", runs, FrameChoice())


def metrics(run):
    """{column: list of values} of a run's metrics.csv."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


class TestVideo:
    def test_tracks_are_those_of_the_whole_episode(self, folder, shown, tmp_path):
        with FrameStoreWriter(tmp_path / "store", 20, 3) as writer:
            rng = np.random.default_rng(0)
            lengths = {"train": [3], "validation": [3], "test": [4, 7]}
            for split, episodes in lengths.items():
                for length in episodes:
                    for i in range(length):
                        frame = rng.integers(0, 256, [20, 20, 3], np.uint8)
                        writer.append(Step(frame, first=i == 0), split)
            writer.finish({"game": "toy", "source": "test"})
        frames = FrameStore.open(tmp_path / "store").frames
        runs = open_shown_runs(
            [str(folder / name) for name in ("pk0", "tr0")], [str(tmp_path / "store")]
        )
        film = paper_figures.make("video", runs, FrameChoice(episode=1))
        np.testing.assert_array_equal(film.frames, frames[10:17])
        assert list(film.tracks) == ["PermaKey", "Transporter"]
        for track, name in zip(film.tracks.values(), ("pk0", "tr0"), strict=True):
            for part, expected in zip(
                track, shown[name].detector.keypoints(frames[10:17]), strict=True
            ):
                np.testing.assert_allclose(part, expected, atol=1e-4)

    def test_runs_of_equal_settings_are_named_by_their_folders(self, folder, shown, tmp_path):
        film = make(shown, "video", ["pk0", "pk0_again"])
        assert list(film.tracks) == ["pk0", "pk0_again"]
        for track, name in zip(film.tracks.values(), ("pk0", "pk1"), strict=True):
            expected = shown[name].detector.detect(film.frames)
            np.testing.assert_allclose(track.centers_yx, expected, atol=1e-4)
        places = [tmp_path / "one" / "run", tmp_path / "two" / "run"]
        for place in places:
            shutil.copytree(folder / "pk0", place)
        runs = open_shown_runs(list(map(str, places)), [str(folder / "toy")])
        film = paper_figures.make("video", runs, FrameChoice())
        assert list(film.tracks) == list(map(str, places))

    def test_a_jump_has_no_tail(self):
        xs = np.array([-0.8, -0.7, 0.7, 0.8])  # of [-1, 1]: 0.05 and 0.7 frame sides
        track = np.stack([np.zeros(4), xs], axis=-1)[:, None]
        *_, last = video.render(
            video.Video(np.zeros([4, 21, 21, 3], np.uint8), {"a": Keypoints(track, None)}, 15)
        )
        line = last[26:][205:215, :420].max(axis=(0, 2))
        middles = (xs[1:] + xs[:-1]) / 2 * 200 + 209.5
        left, gap, _ = (line[round(x)] for x in middles)
        assert gap == 0 < left

    @pytest.mark.parametrize("format", video.FORMATS)
    def test_a_picture_for_each_frame_even_where_nothing_moves(self, tmp_path, format):
        track = np.zeros([30, 2, 2])  # longer than the tails: without its number, frames are equal
        tracks = dict.fromkeys(("one", "two"), Keypoints(track, None))
        film = video.Video(np.full([30, 20, 20, 1], 99, np.uint8), tracks, 20)
        pictures = list(video.render(film))
        path = tmp_path / f"film.{format}"
        video.write(film, path, format)
        with imageio.get_reader(path) as reader:
            read = [np.asarray(picture)[..., :3] for picture in reader]
        assert len(read) == len(pictures) == 30
        for picture, back in zip(pictures, read, strict=True):
            assert picture.shape == back.shape
            assert all(side % 2 == 0 for side in picture.shape[:2])
            assert np.abs(picture.astype(int) - back).mean() < 4  # lossy colours

    def test_rings_and_fading_tails_are_where_the_keypoint_is_and_was(self):
        xs = np.linspace(-0.8, 0.8, 9)
        track = np.stack([np.zeros(9), xs], axis=-1)[:, None]  # to the right, one keypoint
        film = video.Video(np.zeros([9, 21, 21, 3], np.uint8), {"a": Keypoints(track, None)}, 15)
        *_, last = video.render(film)
        picture = last[26:, :420]  # below the header; 420 = 20 * 21
        ring = np.all(picture == overlay.keypoint_colors(1)[0], axis=-1)
        rows, columns = np.nonzero(ring[:, 340:])
        top = columns[rows == rows.min()]
        # Pixel 10 of 21, enlarged 20 times, has its middle at 209.5; x = 0.8 is pixel 18.
        assert (rows.min() + rows.max()) / 2 == pytest.approx(209.5, abs=1)
        assert 340 + top.mean() == pytest.approx(18.5 * 20 - 0.5, abs=1)
        middles = np.round((xs[1:] + xs[:-1]) / 2 * 200 + 209.5).astype(int)
        brightness = picture[205:215, middles].max(axis=(0, 2))
        opacity = 1 - np.arange(7, -1, -1) / 12  # of the segments, oldest first
        full = overlay.keypoint_colors(1).max()
        np.testing.assert_allclose(brightness[:-1], full * opacity[:-1], atol=3)
        assert picture[:200, :330].max() == 0

    def test_an_unsure_keypoints_ring_number_and_tail_are_fainter(self):
        xs = np.linspace(-0.8, 0.8, 9)
        track = np.stack([np.tile(np.linspace(-0.8, 0.8, 8), [9, 1]), np.tile(xs, [8, 1]).T], -1)
        frames = np.zeros([9, 21, 21, 3], np.uint8)

        def brightness(confidence):
            tracks = {"a": Keypoints(track, confidence)}
            *_, last = video.render(video.Video(frames, tracks, 15))
            return last[26:].astype(int)

        opaque, sure, half, faint = (
            brightness(None if c is None else np.full([9, 8], c)) for c in (None, 1.0, 0.1, 0.0)
        )
        np.testing.assert_array_equal(opaque, sure)
        marked = opaque > 40
        assert marked[:, :300].any() and marked[:, 350:].any()  # tails; rings and numbers
        assert np.all(faint[marked] < half[marked])
        assert np.mean(half[marked] < sure[marked]) > 0.99  # some lie on what was drawn before
        assert faint[200:, :300].max() < opaque[200:, :300].max() / 2


def test_one_spike_does_not_flatten_a_curve():
    steps = np.arange(30)
    falling = 100 * 0.8**steps  # steep at its start: all of that is shown
    look = looks(1)[0]

    def curve(values):
        return Curve(steps, values, values, values, look, False)

    assert limits_without_spikes([curve(falling)]) is None
    spiked = falling.copy()
    spiked[20] = 1e9
    low, high = limits_without_spikes([curve(falling), curve(spiked)])
    assert 0 < low < falling[-1]
    assert falling[0] < high < 1000
    below = limits_without_spikes([curve(spiked - 50)])  # an axis that is not logarithmic
    assert below[0] < falling[-1] - 50
    assert 50 < below[1] < 100
    drawn = figures.draw(Charts("", {"a": [curve(spiked)]}, {"b": look}))
    assert drawn.axes[0].get_ylim()[1] < 1000


def test_the_caption_names_the_charts_with_spikes(folder, tmp_path):
    shutil.copytree(folder / "pk0", tmp_path / "run")
    path = tmp_path / "run" / "metrics.csv"
    names = path.read_text().splitlines()[0].split(",")
    rows = [",".join(names)]
    for step in range(1, 21):
        values = {
            "step": step,
            "train/loss_vae": 1 + step % 2,
            "train/loss_lspn": 1e9 * (step == 9) + 2,
        }
        rows.append(",".join(str(values.get(name, "")) for name in names))
    path.write_text("\n".join(rows) + "\n")
    picture = paper_figures.make(
        "curves", open_shown_runs([str(tmp_path / "run")], []), FrameChoice()
    )
    assert picture.caption == "single spikes leave the charts of LSPN"


class TestDrawing:
    def test_windows_over_black_are_outlined(self):
        windows = np.zeros([21, 21])
        windows[5:11, 8:15] = 1
        panel = figures.Panel(np.zeros([21, 21, 3], np.uint8), windows=windows)
        axes = figures.draw(figures.PanelGrid("", {"": [panel]})).axes[0]
        outline = np.concatenate([path.vertices for path in axes.collections[-1].get_paths()])
        # Half way between the pixels inside and outside.
        assert outline.min(axis=0).tolist() == [7.5, 4.5]
        assert outline.max(axis=0).tolist() == [14.5, 10.5]

    @pytest.mark.parametrize("number", [7, 20])
    def test_rings_are_numbered_where_colours_repeat(self, number):
        centers = np.random.default_rng(0).uniform(-1, 1, [1, number, 2])
        centers[0, 0] = (0, 1)  # at the right edge
        frames = np.zeros([1, 84, 84, 3], np.uint8)
        drawn = figures.draw(
            figures.PanelGrid("", {"": figures.keypoint_panels(frames, Keypoints(centers, None))})
        )
        texts = drawn.axes[0].texts
        assert [text.get_text() for text in texts] == [str(k) for k in range(number) if number > 7]
        drawn.draw_without_rendering()
        renderer = FigureCanvasAgg(drawn).get_renderer()
        frame = drawn.axes[0].get_window_extent(renderer)
        for text in texts:
            box = text.get_window_extent(renderer)
            assert frame.x0 - 2 <= box.x0 <= box.x1 <= frame.x1 + 2

    def test_numbers_of_twenty_rings_do_not_cover_each_other(self):
        grid = np.linspace(-0.9, 0.9, 5)
        keypoints = Keypoints(np.array([[(y, x) for y in grid[:4] for x in grid]]), None)
        panels = figures.keypoint_panels(np.zeros([1, 84, 84, 3], np.uint8), keypoints)
        drawn = figures.draw(figures.PanelGrid("", {"": panels}))
        drawn.draw_without_rendering()
        renderer = FigureCanvasAgg(drawn).get_renderer()
        frame = drawn.axes[0].get_window_extent(renderer)
        boxes = [text.get_window_extent(renderer) for text in drawn.axes[0].texts]
        assert len(boxes) == 20
        for one, other in itertools.combinations(boxes, 2):
            assert not one.shrunk(0.8, 0.8).overlaps(other.shrunk(0.8, 0.8))
        assert all(frame.x0 - 2 <= box.x0 <= box.x1 <= frame.x1 + 2 for box in boxes)

    def test_rings_and_numbers_are_as_opaque_as_their_keypoints_are_sure(self):
        places, confidence = np.linspace(-0.9, 0.9, 18).reshape(1, 9, 2), np.linspace(0, 0.5, 9)
        keypoints = Keypoints(places, confidence[None])
        frames = np.zeros([1, 84, 84, 3], np.uint8)
        drawn = figures.draw(
            figures.PanelGrid("", {"": figures.keypoint_panels(frames, keypoints)})
        )
        (axes,) = drawn.axes
        expected = 0.25 + 0.75 * np.sqrt(2 * confidence)
        white, own = (scatter.get_edgecolors()[:, 3] for scatter in axes.collections)
        np.testing.assert_allclose(own, expected)
        np.testing.assert_allclose(white, expected**2)
        np.testing.assert_allclose([text.get_alpha() for text in axes.texts], expected)

    @pytest.mark.parametrize("figure", ["2a", "2b", "7", "transporter"])
    def test_maps_have_a_scale(self, shown, figure):
        drawn = figures.draw(make(shown, figure))
        assert [axes.get_label() for axes in drawn.axes].count(figures.SCALE) == 1
        words = [text.get_text() for text in drawn.texts]
        assert "maps: 0" in words
        assert "1" in words

    @pytest.mark.parametrize("figure", [name for name in RUNS if name != "video"])
    def test_fits_a_column_and_can_be_read(self, shown, figure):
        drawn = figures.draw(make(shown, figure))
        assert drawn.get_figwidth() <= 5.5 + 1e-9
        renderer = FigureCanvasAgg(drawn).get_renderer()
        drawn.draw_without_rendering()
        texts = drawn.findobj(match=is_text)
        assert texts
        assert all(text.get_fontsize() >= 7 for text in texts)
        page = drawn.bbox.padded(3)  # pixels, 0.01 inches
        boxes = [axes.get_tightbbox(renderer) for axes in drawn.axes]  # with their tick labels
        for text in [*drawn.texts, *(t for legend in drawn.legends for t in legend.texts)]:
            box = text.get_window_extent(renderer)
            assert not any(box.overlaps(other) for other in boxes), text.get_text()
            boxes.append(box)
        for box in boxes:
            assert page.containsx(box.x0) and page.containsx(box.x1)
            assert page.containsy(box.y0) and page.containsy(box.y1)

    def test_long_labels_and_many_columns(self):
        image = figures.Panel(np.zeros([8, 8, 3], np.uint8))
        rows = {f"a row with a long label {i}": [image] * 9 for i in range(2)}
        grid = figures.PanelGrid("A title " * 20, rows, ["two words"] * 9, {"x" * 30: np.zeros(3)})
        drawn = figures.draw(grid)
        renderer = FigureCanvasAgg(drawn).get_renderer()
        for text in drawn.findobj(match=is_text):
            box = text.get_window_extent(renderer)
            assert drawn.bbox.x0 - 3 <= box.x0 <= box.x1 <= drawn.bbox.x1 + 3

    @pytest.mark.parametrize("figure", [name for name in RUNS if name != "video"])
    def test_png_has_300_dpi_and_pdf_true_type_fonts(self, shown, tmp_path, figure):
        picture = make(shown, figure)
        paths = paper_figures.save(picture, tmp_path / "new" / f"figure_{figure}", "gif")
        assert [path.name for path in paths] == [f"figure_{figure}.png", f"figure_{figure}.pdf"]
        height, width = imageio.imread(paths[0]).shape[:2]
        inches = figures.draw(picture).get_size_inches()
        assert (width, height) == pytest.approx(inches * 300, abs=1)
        pdf = paths[1].read_bytes()
        assert pdf.startswith(b"%PDF")
        assert b"/Type3" not in pdf
        assert sorted((tmp_path / "new").iterdir()) == sorted(paths)

    @pytest.mark.parametrize("format", video.FORMATS)
    def test_a_video_is_one_file_with_every_frame(self, shown, tmp_path, format):
        film = make(shown, "video")
        (path,) = paper_figures.save(film, tmp_path / "new" / "figure_video", format)
        assert list((tmp_path / "new").iterdir()) == [path]
        assert path.name == f"figure_video.{format}"
        with imageio.get_reader(path) as reader:
            assert sum(1 for _ in reader) == len(film.frames)

    @pytest.mark.parametrize("figure", ["8", "video"])
    def test_a_file_in_the_place_of_the_folder_is_refused(self, shown, tmp_path, figure):
        (tmp_path / "file").touch()
        for place in ("file", "file/below"):
            with refuses(tmp_path / place, "folder"):
                paper_figures.save(make(shown, figure), tmp_path / place / "figure", "gif")


def is_text(artist):
    return isinstance(artist, Text) and artist.get_text().strip()


class TestCommandLine:
    def test_from_folders_to_a_figure(self, folder, tmp_path):
        stores = ",".join(str(folder / name) for name in STORES)
        arguments = [f"--runs={folder / 'tr0'}", f"--data={stores}", f"--out={tmp_path}"]
        command = [sys.executable, "-m", "run.figures", "--figure=10", "--frames=4,0", *arguments]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        for name in ("figure_10.png", "figure_10.pdf"):
            assert (tmp_path / name).stat().st_size > 1000
            assert f"figure: {tmp_path / name}" in result.stdout
        assert "shown: toy: test frames 4,0" in result.stdout
        assert "pruned" not in result.stderr  # the font library's chatter

    def test_a_mistake_is_one_line(self, folder, tmp_path):
        runs = f"{folder / 'k2'},{folder / 'pk_frostbite'}"
        result = call("figures", figure="6", runs=runs, out=tmp_path / "out")
        assert result.returncode == 1
        refused(result, "figure 6", "game is toy and frostbite")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("arguments", "settings", "words"),
        [
            ([], [], ["--figure is needed"]),
            (["--figure=4"], [], ["--runs is needed"]),
            (["--figure=4", "--runs=a", "--frames=1,x"], [], ["--frames=1,x", "whole numbers"]),
            (["--figure=4", "--runs=a", "--frames="], [], ["--frames", "at least one"]),
            (
                ["--figure=4", "--runs=a", "--frames=1", "--columns=2"],
                [],
                ["--frames", "--columns", "one"],
            ),
            (
                ["--figure=video", "--runs=a", "--fps=50.5", "--format=gif"],
                ["fps", "format"],
                ["fps=50.5", "GIF"],
            ),
        ],
    )
    def test_wrong_flags(self, arguments, settings, words):
        with refuses(*words, settings=settings):
            parsed(figure_flags, *arguments)
