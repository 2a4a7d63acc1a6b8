"""A played game as pictures: what is played, what is drawn, and the command."""

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from support import call, refused, write_agent, write_keypoints

from permakey_tf.envs.games import make_task
from permakey_tf.player import load_player
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.scores.film import play_film
from permakey_tf.training.acting import play_episodes
from permakey_tf.types import Keypoints
from permakey_tf.viz import game_film
from permakey_tf.viz.game_film import GameFilm

CHOSEN, OTHER = (230, 159, 0), (86, 180, 233)


def film(length=2, size=42):
    """Two actions: of values 0 and 4, then 3 and 1, and so on; always the second is taken."""
    values = np.tile(np.array([[0.0, 4.0], [3.0, 1.0]]), (length, 1))[:length]
    centers = np.zeros([length, 1, 2], np.float32)
    keypoints = Keypoints(centers, np.ones([length, 1], np.float32))
    frames = np.zeros([length, size, size, 3], np.uint8)
    actions = np.ones(length, int)
    scores = np.arange(length) * 10.0
    return GameFilm("pong", frames, keypoints, values, actions, scores, ("NOOP", "FIRE"), 20.0)


def bars(picture, top, left):
    """Lengths of the bars of both actions, in the middles of rows 30 pixels high."""
    chart = picture[top:, left:]
    return [
        {name: int((chart[y] == color).all(-1).sum()) for name, color in
         (("chosen", CHOSEN), ("other", OTHER))}
        for y in (3, 33)  # above the words
    ]  # fmt: skip


def test_bars_show_the_values_between_the_lowest_and_the_highest_of_the_game():
    first, second = game_film.render(film())
    assert first.shape == (446, 680, 3)
    full = round(202 - 0.42 * 260) + 1  # of a chart 260 wide, the values' numbers in the last 58
    noop, fire = bars(first, 26, 420)  # values 0 and 4
    assert noop == {"chosen": 0, "other": 2} and fire["other"] == 0
    assert fire["chosen"] == pytest.approx(full, abs=1)
    noop, fire = bars(second, 26, 420)  # 3 and 1
    assert noop["other"] == pytest.approx(0.75 * full, abs=1.5)
    assert fire["chosen"] == pytest.approx(0.25 * full, abs=1.5)


def test_keypoints_are_drawn_on_the_enlarged_frame():
    picture = next(game_film.render(film()))
    ring = np.argwhere((picture[26:, :420] == CHOSEN).all(-1))  # the palette's first colour
    np.testing.assert_allclose(ring.mean(0), 209.5, atol=1)


def test_equal_values_are_drawn():
    level = film()._replace(q_values=np.ones([2, 2]))
    noop, _ = bars(next(game_film.render(level)), 26, 420)
    assert noop["other"] > 50


def test_bars_begin_behind_the_longest_name():
    long = film(1)._replace(action_names=("DOWNRIGHTFIRE",) * 2)
    chart = game_film.strip(long)[26 + 252 :]  # two rows of 18
    for top, color in ((0, OTHER), (18, CHOSEN)):
        row = chart[top : top + 18]
        left = np.flatnonzero((row[3] == color).all(-1))[0]  # above the words
        assert row[:, : left - 4].max() > 200  # the name
        assert (row[:, left - 4 : left] == chart[0, 0]).all()


@pytest.mark.parametrize(
    ("length", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (6, 4, 2), (50, 4, 2)]
)
def test_a_strip_has_the_first_step_and_the_last(length, columns, rows):
    """Tiles of a header of 26, a frame of 252 and two rows of 18, and gaps of 6 between them."""
    strip = game_film.strip(film(length))
    assert strip.shape == (rows * (26 + 252 + 36 + 6) - 6, columns * (252 + 6) - 6, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    keypoints = write_keypoints(path, noise="both")
    return write_agent(path / "agent", keypoints, max_episode_steps=90).path


def test_the_game_is_that_of_the_test(run):
    folder = AgentFolder.open(run)
    task = make_task(folder.config.environment)
    tested = play_episodes(load_player(folder, 9), task, "test", 4, 1, film=True)
    shown = play_film(run, seed=4)
    np.testing.assert_array_equal(shown.frames, tested.film.frames)
    for mine, theirs in zip(shown.keypoints, tested.film.keypoints, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert shown.final_score == tested.scores[0] and len(shown.scores) == tested.lengths[0]
    assert shown.scores[0] == 0 and (np.diff(shown.scores) >= 0).all()
    np.testing.assert_array_equal(shown.actions, shown.q_values.argmax(1))
    assert play_film(run, seed=4, episode=1).title == "mspacman, test seed 4, game 1"


def test_the_command_writes_a_video_or_a_strip(run, tmp_path):
    result = call("rl", mode="film", runs=run, out=tmp_path / "new" / "game.mp4", fps=30)
    assert result.returncode == 0, result.stderr
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "new" / "game.mp4"))
    assert (frames, seconds) == (90, pytest.approx(3, abs=0.1))
    assert " after 90 steps\nfilm: " in result.stdout
    out = tmp_path / "game.png"
    assert call("rl", mode="film", runs=run, out=out, seeds=3, episode=1).returncode == 0
    side = 13 * 20  # of a frame of 20 pixels, enlarged
    assert cv2.imread(str(out)).shape == (2 * (26 + side + 9 * 18 + 6) - 6, 4 * (side + 6) - 6, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["game.png", "new"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"out": "game.gif"}, ["--out=game.gif", ".mp4"]),
        ({"out": None}, ["--out is needed"]),
        ({"runs": "a,b"}, ["--runs", "one"]),
        ({"seeds": "1,2"}, ["--seeds", "one"]),
        ({"test_episodes": 2}, ["--test_episodes", "--mode=film"]),
        ({"keypoints": "x"}, ["--keypoints", "--mode=film"]),
        ({"out": "game.png", "fps": 3}, ["--fps", "strip"]),
        ({"mode": "evaluate"}, ["--episode", "--mode=evaluate"]),
        ({"mode": "train", "runs": None, "out": None}, ["--episode", "--mode=train"]),
    ],
)
def test_what_makes_no_film_is_refused(run, changes, words):
    flags = {"mode": "film", "runs": run, "out": "game.mp4", "episode": 0} | changes
    refused(
        call("rl", **{name: value for name, value in flags.items() if value is not None}), *words
    )
