"""Results on a full disk: the old file or the new one, and a line that names it."""

import imageio.v2 as imageio
import numpy as np
import pytest
from matplotlib.figure import Figure
from support import refuses, small_files

from permakey_tf.figures import recipes as paper_figures
from permakey_tf.runs import checkpoint
from permakey_tf.runs.metrics import MetricsLog
from permakey_tf.system import files
from permakey_tf.types import Keypoints
from permakey_tf.viz.files import write_figure
from permakey_tf.viz.video import FORMATS, Video

LIMIT = 2000  # bytes of a file


def noise(num_frames=4):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, [num_frames, 20, 20, 3], np.uint8)
    return Video(frames, {"a": Keypoints(np.zeros([num_frames, 1, 2]), None)}, 15.0)


def figure():
    drawn = Figure()
    drawn.subplots().imshow(noise().frames[0])
    return drawn


WRITERS = {
    "text": ("table.md", lambda path: files.write_text(path, "a" * 2 * LIMIT)),
    "checkpoint": ("latest.npz", lambda path: checkpoint.save(path, {"x": np.ones(LIMIT)})),
    "png": ("figure.png", lambda path: write_figure(figure(), [path], 150)),
    "pdf": ("figure.pdf", lambda path: write_figure(figure(), [path], 150)),
    **{
        format: (f"film.{format}", lambda path: paper_figures.save(noise(), path, path.suffix[1:]))
        for format in FORMATS
    },
}


@pytest.mark.parametrize("what", WRITERS)
def test_what_does_not_fit_is_named_and_the_old_file_stays(tmp_path, what):
    name, write = WRITERS[what]
    path = tmp_path / name
    write(path)
    whole = path.stat().st_size
    assert whole > LIMIT
    path.write_text("old")
    for limit in (0, LIMIT, whole - 1):  # at the beginning, on the way, in the last bytes
        with small_files(limit), refuses(path):
            write(path)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", FORMATS)
def test_a_video_in_a_folder_that_is_gone(tmp_path, format):
    with (
        refuses(tmp_path / "gone" / "film", "No such file"),
        files.replaced_by_name(tmp_path / "gone" / "film") as partial,
    ):
        paper_figures.video.write(noise(), partial, format)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, ValueError])
def test_whatever_ends_the_writing_leaves_nothing(tmp_path, ending):
    with pytest.raises(ending), files.replaced(tmp_path / "file") as file:
        file.write(b"half a file")
        raise ending
    assert list(tmp_path.iterdir()) == []


class TestMetrics:
    def test_a_row_that_does_not_fit_names_the_table(self, tmp_path):
        log = MetricsLog(tmp_path, ["a"], 0)
        with small_files(10), refuses(tmp_path / "metrics.csv", "too large"):
            log.scalars(1, {"a": 1.0})

    @pytest.mark.parametrize("limit", [1000, 100_000])
    def test_tensorboards_files_are_named_too(self, tmp_path, limit):
        """At once: TensorFlow's own writer does not tell of the first."""
        log = MetricsLog(tmp_path, ["a"], 0)
        image = np.random.default_rng(0).integers(0, 256, [200, 200, 3], np.uint8)
        with small_files(limit), refuses("events.out.tfevents") as caught:
            log.image(1, "noise", image)
        assert str(caught.value).endswith(": File too large")  # said once

    def test_nor_can_they_be_begun(self, tmp_path):
        with small_files(10), refuses(tmp_path, "too large"):
            MetricsLog(tmp_path, ["a"], 0)


@pytest.mark.parametrize("fps", [1, 15, 24, 30, 33.3, 48, 50])
def test_a_gif_runs_as_fast_as_asked_for(tmp_path, fps):
    film = noise(40)._replace(fps=fps)
    (path,) = paper_figures.save(film, tmp_path / "film", "gif")
    with imageio.get_reader(path) as reader:
        seconds = [reader.get_meta_data(index)["duration"] / 1000 for index in range(40)]
    # The n-th picture comes within half a hundredth of its time, and viewers take 0.02 s and more.
    assert np.abs(np.cumsum(seconds) - np.arange(1, 41) / fps).max() <= 0.00501
    assert min(seconds) >= 0.02


def test_a_gif_that_no_viewer_plays_as_fast_is_refused(tmp_path):
    with refuses("fps=60", "50", "format=mp4", settings=["format", "fps"]):
        paper_figures.save(noise()._replace(fps=60), tmp_path / "film", "gif")
    assert list(tmp_path.iterdir()) == []
    (path,) = paper_figures.save(noise()._replace(fps=60), tmp_path / "film", "mp4")
    with imageio.get_reader(path) as reader:
        assert reader.get_meta_data()["fps"] == 60


def test_rows_as_csv():
    rows = iter([["name", "value"], ('one, or "more"', 0.5), [None, ""]])
    assert files.csv_text(rows) == 'name,value\n"one, or ""more""",0.5\n,\n'
