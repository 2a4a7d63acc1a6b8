"""Blank and repeated frames: counted by hand, told in one line, refused where nothing changes."""

import json

import numpy as np
import pytest
from support import refuses

from permakey_tf.data.repeats import RepeatCounter, is_blank, repeat_notes, without_blank_end
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import FrameStoreWriter
from permakey_tf.scores.repeats import GameRepeats, Games
from permakey_tf.types import Step

# Frames by letter; "_" is black, "#" white. Episodes are words.
TRAIN, VALIDATION, TEST = ["ab__", "acd"], ["ab", "ad#"], ["ad#", "abe", "e"]


def picture(letter: str) -> np.ndarray:
    """uint8 [4, 4, 3]."""
    frame = np.full([4, 4, 3], {"_": 0, "#": 255}.get(letter, 9), np.uint8)
    if letter.isalpha():
        frame[3, 3, 2] = ord(letter)
    return frame


def write(path, train=TRAIN, validation=VALIDATION, test=TEST) -> FrameStore:
    with FrameStoreWriter(path, 4, 3) as writer:
        for split, words in (("train", train), ("validation", validation), ("test", test)):
            for word in words:
                for i, letter in enumerate(word):
                    writer.append(Step(picture(letter), first=i == 0), split)
        writer.finish({"game": "letters"})
    return FrameStore.open(path)


def test_counts_by_hand(tmp_path):
    counts = write(tmp_path / "store").manifest["repeats"]
    # a b _ c d # e; black twice in training, white once in validation and once in test.
    assert (counts["frames"], counts["distinct"], counts["blank"]) == (19, 7, 4)
    train, validation, test = counts["splits"].values()
    assert train == {"frames": 7, "distinct": 5, "blank": 2, "episodes": 2, "seen_in": {}}
    assert (validation["frames"], validation["distinct"], validation["blank"]) == (5, 4, 1)
    # "ab" opens a training episode; of "ad#" only single frames are there.
    assert validation["seen_in"] == {"train": {"frames": 4, "episodes": 1}}
    # "ad#" is a validation episode; "abe" is longer than its like.
    assert test["seen_in"] == {
        "train": {"frames": 4, "episodes": 0},
        "validation": {"frames": 5, "episodes": 1},
    }


def test_the_same_frames_in_another_order_are_another_episode(tmp_path):
    counts = write(tmp_path / "store", ["abc"], ["ba"], ["bca"]).manifest["repeats"]["splits"]
    assert counts["validation"]["seen_in"]["train"] == {"frames": 2, "episodes": 0}
    assert counts["test"]["seen_in"]["train"] == {"frames": 3, "episodes": 0}


def test_a_frame_is_blank_where_all_its_pixels_are_equal():
    assert is_blank(np.full([5, 4, 3], [1, 2, 3], np.uint8))
    for pixel in np.ndindex(5, 4, 3):
        frame = np.full([5, 4, 3], [1, 2, 3], np.uint8)
        frame[pixel] += 1
        assert not is_blank(frame)
    assert is_blank(np.zeros([5, 4, 1], np.uint8)) and is_blank(np.zeros([1, 1, 3], np.uint8))


def test_the_hash_of_a_store_is_that_of_earlier_versions(tmp_path):
    store = write(tmp_path / "store")
    assert store.content_hash == (
        "fa3294da8e89dd6ae85376fdc8e5ba692d1d929583afc6056fa64b6df3003534"
    )
    manifest = json.loads((store.path / "manifest.json").read_text())
    del manifest["repeats"]
    (store.path / "manifest.json").write_text(json.dumps(manifest))
    assert FrameStore.open(store.path).content_hash == store.content_hash


def test_a_store_of_one_frame_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    for letter, words in (("a", ["6 frames", "equal"]), ("_", ["6 frames", "colour"])):
        with refuses(*words) as caught:
            write(tmp_path / "store", [letter * 4], [letter], [letter])
        assert "SDL" not in str(caught.value)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with refuses("SDL_VIDEODRIVER=dummy", "unset"):
        write(tmp_path / "store", ["____"], ["_"], ["_"])
    assert not list(tmp_path.iterdir())


def counted(**splits: str):
    counter = RepeatCounter()
    for split, word in splits.items():
        for i, letter in enumerate(word):
            counter.append(picture(letter), split, i == 0)
    return counter.counts()


def test_one_line_warns_of_what_is_above_a_threshold():
    assert repeat_notes(counted(train="abcdefghij", validation="ak", test="al")) == ()
    # A twentieth may be blank, and no more.
    assert repeat_notes(counted(train="abcdefghijklmno_", validation="pq", test="rs")) == ()
    (line,) = repeat_notes(counted(train="abcdefghijklmn_", validation="pq", test="rs"))
    assert line == "repeats: 1 of 19 frames are blank (one colour)"
    (line,) = repeat_notes(counted(train="abababababab__", validation="ab", test="ac"))
    assert line == (
        "repeats: only 4 of 18 frames are different; 2 of 18 frames are blank (one colour); "
        "2 of 2 validation frames and 1 of 1 validation episodes are in train too"
    )


@pytest.mark.parametrize(
    ("word", "kept", "left_out"),
    [("ab_", "ab", 1), ("a_b", "a_b", 0), ("a__", "a__", 0), ("___", "___", 0), ("_", "_", 0)],
)
def test_a_blank_last_frame_is_left_out_where_the_one_before_is_not(word, kept, left_out):
    origin = {"blank_ends_left_out": 0}
    steps = [Step(picture(letter), i == 0) for i, letter in enumerate(word)]
    result = list(without_blank_end(iter(steps), origin))
    assert [step is other for step, other in zip(result, steps[: len(kept)], strict=True)]
    assert origin["blank_ends_left_out"] == left_out


# ------------------------------------------------------------------------------------- of agents


def test_games_in_common_by_hand():
    """Two policies on four games with openings 1, 1, 2, 3."""
    openings = np.array([1, 1, 2, 3])
    test = [
        Games(openings, np.array([10, 10, 20, 30])),
        Games(openings, np.array([10, 11, 20, 31])),
    ]
    training = [np.array([1, 1, 5]), np.array([2, 3])]
    validation = [
        Games(np.array([2, 4]), np.array([21, 40])),
        Games(np.array([1, 2, 3]), np.array([11, 20, 30])),
    ]
    repeats = GameRepeats.count(test, training, validation)
    assert repeats == GameRepeats(
        first_screens=3,
        in_training=(2, 2),
        in_validation=(1, 4),
        different=(3, 4),
        validated=(0, 2),
    )
    assert repeats.describe(4) == (
        "of 4 games a policy, 3 first screens differ; 2, 2 begin like a training game, 1, 4 like "
        "a validation game; 3, 4 differ in some screen, 0, 2 equal a validation game throughout"
    )
