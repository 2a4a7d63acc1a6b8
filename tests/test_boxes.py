"""Ground-truth boxes guard themselves, however they are made; their parts and their files."""

import dataclasses

import numpy as np
import pytest
from support import refuses

from permakey_tf.objects.boxes import ROLLOUT_NAMES, Objects, ObjectsBuilder, boxes_of_one_frame
from permakey_tf.system.npz import NpzFile

BOXES = [[(10, 20, 3, 4)], [], [(30, 40, 5, 6), (1, 2, 7, 8)], [(50, 60, 9, 10)]]  # by frame


def four_boxes(**changes):
    """Boxes of frames 0, 2, 2 and 3; the second kind is drawn nowhere."""
    columns = {
        "frame": np.array([0, 2, 2, 3], np.int32),
        "category": np.array([0, 0, 1, 0], np.uint8),
        "xywh": np.array([box for frame in BOXES for box in frame], np.int16),
        "categories": ("Ball", "Bat"),
        "visible": np.array([True, True, False, True]),
    }
    return Objects(**columns | changes)


def columns_of(objects):
    values = {field.name: getattr(objects, field.name) for field in dataclasses.fields(Objects)}
    return {name: v if isinstance(v, tuple) or v is None else v.tolist() for name, v in
            values.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"visible": np.array([1, 0, 1, 1], np.uint8)}, ["visible", "bool [4]", "uint8"]),
        ({"visible": np.array([True])}, ["visible", "bool [4]"]),
        ({"category": np.array([0, 1, 2, 0])}, ["category", "below 2"]),
        ({"category": np.array([0, -1, 0, 0])}, ["category", "0 to 255"]),
        ({"category": np.zeros(4)}, ["category", "whole"]),
        ({"category": np.zeros(4, int), "categories": ()}, ["category", "below 0"]),
        ({"frame": np.array([3, 1, 1, 4], np.uint32)}, ["frame", "ascending"]),
        ({"frame": np.array([-1, 1, 1, 4])}, ["frame", "ascending", "from 0"]),
        ({"frame": np.array([0, 1, 1, 1 << 31])}, ["frame", "range"]),
        ({"frame": np.array([1], np.int32)}, ["category", "whole", "[1]"]),
        ({"frame": np.int32(1)}, ["frame", "whole", "[0]"]),
        ({"xywh": np.zeros((4, 3), np.int16)}, ["xywh", "whole", "[4, 4]"]),
        ({"xywh": np.full((4, 4), 1 << 15)}, ["xywh", "-32768 to 32767"]),
        ({"categories": (1, 2)}, ["categories", "strings"]),
        ({"categories": "Ball"}, ["categories", "strings"]),
        ({"xywh": [[1, 2, 3, 4], [1, 2, 3]]}, ["xywh", "one array"]),
        ({"frame": [[1], [1, 2]]}, ["frame", "one array"]),
        ({"categories": (["Ball"], ["Ball", "Player"])}, ["categories", "one array"]),
        ({"categories": ("Ball", "Ball")}, ["categories", "Ball, Ball"]),
    ],
)
def test_boxes_against_the_rules_are_refused_however_they_are_made(changes, words):
    with refuses("boxes'", *words):
        four_boxes(**changes)
    with refuses("boxes'", *words):
        four_boxes().replace(**changes)


def test_lists_and_other_whole_numbers_get_the_types_of_the_columns():
    of_lists = Objects([0, 2, 2, 3], [0, 0, 1, 0], four_boxes().xywh.tolist(), ["Ball", "Bat"])
    dtypes = [of_lists.frame.dtype, of_lists.category.dtype, of_lists.xywh.dtype]
    assert dtypes == [np.int32, np.uint8, np.int16]
    assert columns_of(of_lists) == columns_of(four_boxes(visible=None))
    assert columns_of(four_boxes(xywh=four_boxes().xywh.astype(np.int64))) == columns_of(
        four_boxes()
    )


def test_parts():
    objects = four_boxes()
    part = objects.of_frames(range(1, 3))
    assert part.frame.tolist() == [1, 1] and part.xywh.tolist() == [[30, 40, 5, 6], [1, 2, 7, 8]]
    assert part.visible.tolist() == [True, False] and part.categories == ("Ball", "Bat")
    assert objects.of_frames(range(1, 2)).frame.tolist() == []
    assert columns_of(objects.of_frames(range(100))) == columns_of(objects)
    drawn = objects.drawn()
    assert drawn.frame.tolist() == [0, 2, 3] and drawn.category.tolist() == [0, 0, 0]
    unknown = objects.replace(visible=None)
    assert unknown.drawn() is unknown and unknown.where([1, 2]).visible is None
    with refuses("frame", "ascending"):
        objects.where([3, 0])


def test_boxes_of_frames_that_there_are_not():
    four_boxes().check_frames(4)
    with refuses("boxes'", "frame", "from 0 to 2", "not 3"):
        four_boxes().check_frames(3)
    boxes_of_one_frame([]).check_frames(0)


@pytest.mark.parametrize("visible", [None, np.array([True, False, False, True])])
def test_a_file_gives_the_boxes_back(tmp_path, visible):
    objects = four_boxes(visible=visible)
    np.savez(tmp_path / "objects.npz", **objects.to_arrays())
    with NpzFile(tmp_path / "objects.npz") as file:
        again = Objects.read(file, 4)
        assert columns_of(again) == columns_of(objects) and again.sha256() == objects.sha256()
        with refuses("objects.npz", "frame", "from 0 to 2"):
            Objects.read(file, 3)


def test_a_file_of_rollouts_has_its_own_names(tmp_path):
    arrays = four_boxes(visible=None).to_arrays()
    named = {ROLLOUT_NAMES[name]: array for name, array in arrays.items()}
    np.savez(tmp_path / "rollout.npz", **named)
    with NpzFile(tmp_path / "rollout.npz") as file:
        assert columns_of(Objects.read(file, 4, ROLLOUT_NAMES)) == columns_of(
            four_boxes(visible=None)
        )


def test_every_column_counts_for_the_hash():
    objects = four_boxes()
    changed = [
        {"frame": [0, 2, 3, 3]},
        {"category": [0, 1, 0, 0]},
        {"xywh": objects.xywh + 1},
        {"categories": ("Ball", "Bar")},
        {"visible": None},
        {"visible": [True] * 4},
    ]
    hashes = {objects.replace(**change).sha256() for change in changed}
    assert len(hashes | {objects.sha256()}) == len(changed) + 1
    # As stores of earlier versions have it.
    assert objects.sha256() == "61cb66494b9b3c15d1620becd212e8c4080fc154d4d649335af13c4d200cf2c3"


def test_boxes_collected_frame_by_frame():
    builder = ObjectsBuilder()
    builder.append(0, [("Ball", 10, 20, 3, 4)], np.array([True]))
    builder.append(1, [], np.zeros(0, bool))
    builder.append(2, [("Ball", 30, 40, 5, 6), ("Bat", 1, 2, 7, 8)], np.array([True, False]))
    builder.append(3, [("Ball", 50, 60, 9, 10)], np.array([True]))
    assert columns_of(builder.finish()) == columns_of(four_boxes())
    one = boxes_of_one_frame([("Bat", 1, 2, 7, 8), ("Ball", 30, 40, 5, 6)])
    assert one.frame.tolist() == [0, 0] and one.category.tolist() == [1, 0]
    assert one.categories == ("Ball", "Bat") and one.visible is None
