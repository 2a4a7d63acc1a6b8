"""Which boxes are drawn: on frames made by hand, on rendered games, and against labelled ghosts."""

import csv
import functools
import importlib.util
import os
import pathlib
import tracemalloc

import numpy as np
import pytest
from support import refuses

from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.data.sources import build_store
from permakey_tf.data.store import FrameStore
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.policies import collect_episodes, game_settings
from permakey_tf.objects import visibility
from permakey_tf.objects.boxes import Objects
from permakey_tf.objects.categories import GAMES, reliability_warning
from permakey_tf.objects.reader import INSTALL_COMMAND
from permakey_tf.objects.visibility import VisibilityTest

needs_ocatari = pytest.mark.skipif(
    importlib.util.find_spec("ocatari") is None,
    reason=f"the optional package ocatari is missing; install it with: {INSTALL_COMMAND}",
)
ORANGE, CYAN, PINK, RED = (180, 122, 48), (84, 184, 153), (198, 89, 179), (200, 72, 72)
EDIBLE, PATH, WALL = (66, 114, 194), (0, 28, 136), (228, 111, 111)


def striped(num_frames=1):
    """uint8 [N, 210, 160, 3]: horizontal stripes of five colours."""
    frames = np.zeros((num_frames, 210, 160, 3), np.uint8)
    for row in range(210):
        frames[:, row] = 10 + 20 * (row // 3 % 5)
    return frames


def paint(frame, x, y, w, h, color):
    frame[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = color


def objects_of(*boxes):
    """Objects from (frame, category, x, y, w, h), ordered by frame."""
    names = tuple(sorted({box[1] for box in boxes}))
    return Objects(
        np.array([box[0] for box in boxes], np.int32),
        np.array([names.index(box[1]) for box in boxes], np.uint8),
        np.array([box[2:] for box in boxes], np.int16).reshape(-1, 4),
        names,
    )


def drawn(game, frames, *boxes):
    return VisibilityTest(game)(frames, objects_of(*boxes)).tolist()


# --------------------------------------------------------------------------------- frames by hand


def test_what_stands_out_is_drawn_and_stripes_are_not():
    frames = striped()
    paint(frames[0], 50, 60, 8, 10, (200, 10, 10))
    assert drawn("other", frames, (0, "A", 50, 60, 8, 10), (0, "A", 90, 60, 8, 10)) == [True, False]


@pytest.mark.parametrize(("rows", "expected"), [(0, False), (1, True), (10, True)])
def test_a_tenth_of_the_box_must_show(rows, expected):
    frames = striped()
    paint(frames[0], 50, 60, 8, rows, (200, 10, 10))
    assert drawn("other", frames, (0, "A", 50, 60, 8, 10)) == [expected]


def test_a_sprite_may_reach_over_its_box_by_two_pixels():
    frames = striped()
    paint(frames[0], 48, 58, 12, 14, (200, 10, 10))
    assert drawn("other", frames, (0, "A", 50, 60, 8, 10)) == [True]
    # Where the same colour goes on farther, it is the background.
    paint(frames[0], 30, 50, 50, 30, (200, 10, 10))
    assert drawn("other", frames, (0, "A", 50, 60, 8, 10)) == [False]


@pytest.mark.parametrize("size", [(2, 30), (30, 2)])
def test_what_reaches_over_a_narrow_box_is_no_surrounding_of_any_side(size):
    frames, (w, h) = striped(), size
    paint(frames[0], 48, 58, w + 4, h + 4, (200, 10, 10))
    assert drawn("other", frames, (0, "A", 50, 60, w, h)) == [True]


@pytest.mark.parametrize(
    ("x", "y"), [(-9, 50), (160, 50), (50, -10), (50, 210), (-300, 50), (50, 495)]
)
def test_boxes_outside_the_frame_are_not_drawn(x, y):
    frames = np.random.default_rng(0).integers(0, 256, (1, 210, 160, 3), np.uint8)
    for game, name in (("other", "A"), ("mspacman", "Ghost"), ("mspacman", "Pill")):
        assert drawn(game, frames, (0, name, x, y, 9, 10)) == [False]


def test_a_box_that_is_partly_outside_counts_by_what_is_inside():
    frames = striped()
    paint(frames[0], -4, 60, 8, 10, (200, 10, 10))
    assert drawn("other", frames, (0, "A", -4, 60, 8, 10), (0, "A", -4, 100, 8, 10)) == [
        True,
        False,
    ]


def test_boxes_without_area_are_not_drawn():
    frames = np.random.default_rng(0).integers(0, 256, (1, 210, 160, 3), np.uint8)
    assert drawn("other", frames, (0, "A", 9, 8, 7, -1), (0, "A", 9, 8, 0, 5)) == [False, False]


def ghosts(frame, *places):
    """Boxes of the orange, cyan, pink and red ghost."""
    return [(frame, "Ghost", x, y, 9, 10) for x, y in places]


def maze(num_frames=1):
    frames = np.zeros((num_frames, 210, 160, 3), np.uint8)
    frames[:, :172] = PATH
    frames[:, 40:60] = WALL
    return frames


@pytest.mark.parametrize("color", [ORANGE, CYAN, PINK, RED])
def test_of_ghosts_in_one_place_the_one_of_that_colour_is_drawn(color):
    frames = maze()
    paint(frames[0], 70, 80, 8, 10, color)
    boxes = ghosts(0, *[(70, 80)] * 4)
    assert drawn("mspacman", frames, *boxes) == [c == color for c in (ORANGE, CYAN, PINK, RED)]


def test_a_ghost_drawn_in_one_of_the_two_frames_that_were_joined():
    """Its colour is then that of the larger channels: of the path's, or of another ghost's."""
    frames = maze()
    for x, one, other in ((20, ORANGE, PATH), (40, CYAN, PINK), (60, RED, CYAN)):
        paint(frames[0], x, 80, 8, 10, np.maximum(one, other))
    boxes = ghosts(0, (20, 80), (40, 80), (40, 80), (60, 80))
    assert drawn("mspacman", frames, *boxes) == [True] * 4
    boxes = ghosts(0, (40, 80), (20, 80), (60, 80), (40, 80))
    assert drawn("mspacman", frames, *boxes) == [False] * 4


def test_a_colour_that_only_shares_a_channel_is_another_one():
    frames = maze()
    paint(frames[0], 70, 80, 8, 10, (180, 60, 200))  # as red as the orange ghost, less green
    assert drawn("mspacman", frames, *ghosts(0, *[(70, 80)] * 4)) == [False] * 4


def test_edible_ghosts_share_a_colour_so_more_of_it_must_show():
    frames = maze()
    paint(frames[0], 70, 80, 8, 10, EDIBLE)
    boxes = ghosts(0, (70, 80), (77, 80), (72, 86), (120, 80))
    # In the second box one column of eight is another ghost's, in the third 6 by 4 of 90 pixels.
    assert drawn("mspacman", frames, *boxes) == [True, False, False, False]


def test_eyes_of_an_eaten_ghost_are_enough():
    frames = maze()
    paint(frames[0], 71, 82, 2, 4, np.maximum(PINK, PATH))
    paint(frames[0], 75, 82, 2, 4, np.maximum(PINK, PATH))
    boxes = ghosts(0, (70, 80), (70, 80), (70, 80), (70, 80))
    assert drawn("mspacman", frames, *boxes) == [False, False, True, False]


def test_pills_are_always_drawn_and_power_pills_blink():
    frames = maze(2)
    for frame in frames:
        paint(frame, 20, 100, 4, 2, WALL)
        paint(frame, 28, 100, 4, 2, WALL)
    paint(frames[0], 8, 146, 4, 7, WALL)
    boxes = [(f, name, *xywh) for f in (0, 1) for name, *xywh in
             (("Pill", 20, 100, 4, 2), ("PowerPill", 8, 146, 4, 7))]  # fmt: skip
    assert drawn("mspacman", frames, *boxes) == [True, True, True, False]


def test_flicker_is_followed_and_frames_do_not_touch_each_other():
    """More frames than are looked at together; each frame's answer is its own."""
    frames = maze(300)
    shown = np.random.default_rng(1).random((300, 4)) < 0.5
    places = [(20, 80), (45, 80), (70, 80), (95, 80)]
    boxes = []
    for number, frame in enumerate(frames):
        for ghost, color in enumerate((ORANGE, CYAN, PINK, RED)):
            if shown[number, ghost]:
                paint(frame, *places[ghost], 8, 10, color)
        boxes += ghosts(number, *places)
    test, objects = VisibilityTest("mspacman"), objects_of(*boxes)
    assert test(frames, objects).tolist() == shown.ravel().tolist()
    one = objects_of(*ghosts(0, *places))
    assert [test(f[None], one).tolist() for f in frames[:5]] == shown[:5].tolist()


def test_a_missile_beside_the_player_has_its_colour_and_is_drawn():
    frames = np.full((1, 210, 160, 3), (0, 28, 136), np.uint8)
    paint(frames[0], 50, 60, 16, 11, (187, 187, 53))  # the player
    paint(frames[0], 69, 65, 8, 1, (187, 187, 53))  # its missile
    missiles = (0, "PlayerMissile", 69, 64, 8, 3), (0, "PlayerMissile", 69, 80, 8, 3)
    assert drawn("seaquest", frames, *missiles) == [True, False]


def test_frames_of_a_film_with_more_colours_than_the_console_are_refused():
    frames = np.random.default_rng(0).integers(0, 256, (4, 210, 160, 3)).astype(np.uint8)
    boxes = [(n, "A", 10, 10, 140, 190) for n in range(4)]
    with refuses("65,536 colours", settings=["visible_only"]):
        drawn("other", frames, *boxes)


def test_many_colours_are_counted_in_parts_of_the_boxes(monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (1, 210, 160, 3)).astype(np.uint8)
    frames[:, :, 80:] = 0
    boxes = [(0, "A", x, y, 4, 4) for y in range(0, 210, 9) for x in range(0, 160, 9)]
    test, objects = VisibilityTest("other"), objects_of(*boxes)

    def drawn_and_bytes():
        tracemalloc.start()
        drawn = test(frames, objects)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return drawn, peak

    test(frames, objects)  # numbers the colours
    whole, most = drawn_and_bytes()
    monkeypatch.setattr(visibility, "_MAX_COUNTS", 1 << 18)
    parts, fewer = drawn_and_bytes()
    assert (parts == whole).all() and whole.any() and not whole.all()
    assert fewer < most / 3, (fewer, most)


def test_resized_frames_are_refused():
    with pytest.raises(ValueError, match=r"uint8 \[N, 210, 160, 3\]"):
        VisibilityTest("mspacman")(np.zeros((1, 84, 84, 3), np.uint8), objects_of())


# ------------------------------------------------------------------------------ labelled ghosts


@pytest.mark.skipif(
    "PERMAKEY_ROLLOUTS" not in os.environ,
    reason="needs recorded rollouts: set PERMAKEY_ROLLOUTS to a folder that holds MsPacman.npz",
)
def test_agreement_with_ghosts_labelled_by_looking():
    """The labels were made by eye, on magnified pictures, before the rule was tried on them."""
    with np.load(pathlib.Path(os.environ["PERMAKEY_ROLLOUTS"]) / "MsPacman.npz") as file:
        names = file["categories"].tolist()
        is_ghost = file["box_cat"] == names.index("Ghost")
        frame, xywh = file["box_frame"][is_ghost], file["box_xywh"][is_ghost]
        objects = Objects(frame, np.zeros(len(frame), np.uint8), xywh, ("Ghost",))
        visible = VisibilityTest("mspacman")(file["frames"], objects).reshape(-1, 4)
    path = pathlib.Path(__file__).parent / "data" / "ghost_visibility.csv"
    with path.open(newline="") as file:
        rows = [tuple(map(int, row.values())) for row in csv.DictReader(file)]
    label = np.array([row[2] for row in rows], bool)
    found = np.array([visible[row[0], row[1]] for row in rows])
    assert len(rows) >= 200 and (~label).sum() >= 50
    assert np.mean(found == label) >= 0.95
    assert np.mean(found[label]) >= 0.95 and np.mean(~found[~label]) >= 0.95


# ----------------------------------------------------------------------------- rendered frames


@functools.cache
def play(game, num_frames, seed=0):
    """Steps of random play with boxes."""
    config = CollectionConfig(game=game, objects=True, collect_seed=seed)
    steps = (step for episode in collect_episodes(AtariGame(**game_settings(config)), config)
             for step in episode)  # fmt: skip
    return [next(steps) for _ in range(num_frames)]


@needs_ocatari
@pytest.mark.parametrize(
    ("game", "category", "color"),
    [
        ("mspacman", "Player", (210, 164, 74)),
        ("seaquest", "Shark", (92, 186, 92)),
        ("frostbite", "Bird", (132, 144, 252)),
        ("spaceinvaders", "Player", (50, 132, 50)),  # blinks at the start of a life
        ("spaceinvaders", "Alien", (134, 134, 29)),
        ("montezumarevenge", "Skull", (236, 236, 236)),
        ("enduro", "Player", (192, 192, 192)),
    ],
)
def test_what_is_said_to_be_drawn_has_the_objects_colour_and_nothing_else_has(
    game, category, color
):
    """Independent of the rule, which knows no colours of these objects."""
    shows, drawn, beside = [], [], []
    for step in play(game, 350):
        mask = (step.frame >= np.array(color)).all(-1) & (step.frame == color).any(-1)
        for (name, x, y, w, h), visible in zip(step.boxes, step.visible, strict=True):
            if name == category:
                inside = mask[max(y, 0) : y + h, max(x, 0) : max(x + w, 0)]
                shows.append(inside.sum() >= 0.1 * w * h)
                drawn.append(visible)
                beside.append(mask[y : y + h, max(x + w, 0) : x + 2 * w].sum() >= 0.1 * w * h)
    assert sum(drawn) > 150
    assert np.mean(np.array(shows) == np.array(drawn)) >= 0.97
    assert np.mean(beside) < 0.3  # the colour is not everywhere


@needs_ocatari
def test_made_up_first_boxes_of_ghosts_are_not_drawn():
    first = play("mspacman", 1)[0]
    ghosts = [box for box in first.boxes if box[0] == "Ghost"]
    places = {box[1:3] for box in ghosts}
    assert places == {(0, 0)} and len(ghosts) > 0
    assert not any(v for box, v in zip(first.boxes, first.visible, strict=True) if box in ghosts)


@needs_ocatari
@pytest.mark.parametrize(
    ("game", "word"), [("battlezone", "unreliable"), ("enduro", "player's"), ("mspacman", None)]
)
def test_a_store_says_what_is_drawn_and_how_far_its_boxes_can_be_trusted(tmp_path, game, word):
    config = CollectionConfig(game=game, objects=True, num_frames=40, split=(2, 1, 1))
    made = build_store(config, tmp_path / "store", progress=False)
    notes = [note for note in made.manifest["notes"] if note.startswith("ground truth")]
    warning = reliability_warning(game)
    assert notes == ([warning] if warning else [])
    assert (word in warning) if word else warning is None
    objects = FrameStore.open(tmp_path / "store").objects()
    assert objects.visible.dtype == bool and objects.visible.shape == objects.frame.shape
    # The frames of the store are small; that the native ones were looked at shows here.
    steps = play(game, 20)
    assert objects.visible[objects.frame < 20].tolist() == [v for s in steps for v in s.visible]


def test_every_category_of_a_game_is_in_one_set():
    for known in GAMES.values():
        parts = known.characters + known.items + known.scenery + known.untrusted
        assert len(parts) == len(set(parts)) and set(parts) == set(known.categories)
        assert set(known.sets["all"]) == set(parts) - set(known.untrusted)
        assert known.sets["characters"] == known.characters != ()
        assert all(region.category in known.measured for region in known.regions.values())
    assert GAMES["enduro"].sets == {"characters": ("Player",), "all": ("Player",)}
