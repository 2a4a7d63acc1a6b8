"""What holds for any input, on inputs that hypothesis draws; the same ones at every call."""

import collections
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_replay import assert_windows_equal_the_oracle, filled, play, sampled

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.configs.base import Config, flatten, leaves, plain_type
from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.configs.quality import QualityConfig
from permakey_tf.data.format import SPLITS
from permakey_tf.data.recordings import Group, Recording
from permakey_tf.data.splits import plan_recording
from permakey_tf.errors import UserError
from permakey_tf.launch.plan import run_name
from permakey_tf.objects.boxes import Objects
from permakey_tf.objects.tracks import link_boxes
from permakey_tf.system.npz import NpzFile

MAX_DISTANCE = 16
drawn = settings(max_examples=40, deadline=None, derandomize=True, database=None)


# ------------------------------------------------------------------------------------------ tracks

NUM_FRAMES = 5
PLACES = st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(0, 6))  # category, x, y
FRAMES = st.lists(st.lists(PLACES, max_size=4), min_size=NUM_FRAMES, max_size=NUM_FRAMES)
EPISODES = st.lists(st.integers(0, 1), min_size=NUM_FRAMES, max_size=NUM_FRAMES).map(np.cumsum)


def boxes(frames) -> Objects:
    rows = [(t, kind, 5 * x, 5 * y) for t, frame in enumerate(frames) for kind, x, y in frame]
    columns = np.array(rows, int).reshape(-1, 4)
    xywh = np.concatenate([columns[:, 2:], np.full([len(rows), 2], 4)], axis=1)
    return Objects(
        columns[:, 0].astype(np.int32), columns[:, 1].astype(np.uint8), xywh.astype(np.int16),
        ("A", "B"),
    )  # fmt: skip


def cost(objects, tracks) -> float:
    """Displacements over all links, where each box that continues none counts as half the most."""
    linked = np.flatnonzero(tracks.previous >= 0)
    moved = objects.xywh[linked, :2] - objects.xywh[tracks.previous[linked], :2].astype(float)
    return np.linalg.norm(moved, axis=1).sum() - MAX_DISTANCE * len(linked)


class TestLinks:
    @drawn
    @given(FRAMES, EPISODES)
    def test_are_one_to_one_within_category_and_episode(self, frames, episodes):
        objects = boxes(frames)
        tracks = link_boxes(objects, episodes, MAX_DISTANCE)
        new = np.flatnonzero(tracks.previous >= 0)
        old = tracks.previous[new]
        assert len(np.unique(old)) == len(old)
        assert (objects.frame[new] == objects.frame[old] + 1).all()
        assert (objects.category[new] == objects.category[old]).all()
        assert (episodes[objects.frame[new]] == episodes[objects.frame[old]]).all()
        moved = objects.xywh[new, :2] - objects.xywh[old, :2].astype(float)
        assert (np.linalg.norm(moved, axis=1) <= MAX_DISTANCE).all()
        assert (tracks.track[new] == tracks.track[old]).all()
        starts = tracks.track[tracks.previous < 0]
        assert starts.tolist() == list(range(len(starts)))  # numbered by their first boxes

    @drawn
    @given(FRAMES, EPISODES)
    def test_cost_the_same_backwards_and_in_any_order_of_boxes(self, frames, episodes):
        expected = cost(boxes(frames), link_boxes(boxes(frames), episodes, MAX_DISTANCE))
        backwards = (frames[::-1], -episodes[::-1])
        for others, numbers in (backwards, ([frame[::-1] for frame in frames], episodes)):
            objects = boxes(others)
            found = cost(objects, link_boxes(objects, numbers, MAX_DISTANCE))
            assert found == pytest.approx(expected, abs=1e-4)

    @drawn
    @given(FRAMES, EPISODES)
    def test_of_a_category_do_not_depend_on_the_others(self, frames, episodes):
        together = link_boxes(boxes(frames), episodes, MAX_DISTANCE).previous >= 0
        for kind in (0, 1):
            alone = boxes([[place for place in frame if place[0] == kind] for frame in frames])
            linked = link_boxes(alone, episodes, MAX_DISTANCE).previous >= 0
            assert linked.sum() == together[boxes(frames).category == kind].sum()


# ------------------------------------------------------------------------------------------ splits

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=12).map(tuple)
GROUPS = st.one_of(
    LENGTHS.map(lambda lengths: (Group(SPLITS, lengths),)),
    st.tuples(LENGTHS, LENGTHS).map(
        lambda two: (Group(SPLITS[:2], two[0]), Group(SPLITS[2:], two[1]))
    ),
)


@drawn
@given(GROUPS, st.tuples(*[st.integers(1, 9)] * 3), st.none() | st.integers(3, 120))
def test_a_plan_gives_every_split_whole_episodes_in_order(groups, split, num_frames):
    config = CollectionConfig(
        game="toy", source="npz", npz="x", split=split, num_frames=num_frames
    )  # fmt: skip
    recording = Recording(groups, iter(()), frozenset(), {})
    try:
        blocks, _ = plan_recording(recording, config)
    except UserError as error:
        assert "too few frames" in str(error)
        assume(False)
    assert [block.split for block in blocks] == list(SPLITS)
    edges = [0, *(edge for block in blocks for edge in (block.start, block.stop))]
    assert edges == sorted(edges) and all(block.start < block.stop for block in blocks)
    total = sum(sum(group.lengths) for group in groups)
    if num_frames:
        assert sum(block.stop - block.start for block in blocks) == num_frames
        assert blocks[-1].stop <= total
    else:
        assert edges[1::2] == edges[:-1:2] == [0, *(block.stop for block in blocks[:-1])]
        assert blocks[-1].stop == total
    whole = {0, *itertools.accumulate(n for group in groups for n in group.lengths)}
    for group in groups:
        if len(group.lengths) >= len(group.splits):  # else some episode must be cut
            assert {b.start for b in blocks if b.split in group.splits} <= whole


# ------------------------------------------------------------------------------------------ replay


@drawn
@given(
    st.integers(0, 99), st.integers(2, 90), st.integers(10, 60), st.integers(0, 9), st.integers(0)
)
def test_windows_of_any_run_equal_the_oracle(seed, num_rows, capacity, slack, saved):
    """Also where it was reopened after `saved` rows."""
    rows = play(seed, num_rows)
    acted = [row for row in rows[max(num_rows - capacity, 0) :] if row[0] >= 0]
    assume(acted)
    with tempfile.TemporaryDirectory() as folder:
        saved %= num_rows + 1
        filled(folder, rows[:saved], capacity, slack).flush()
        replay = filled(folder, rows, capacity, slack, saved)
        assert_windows_equal_the_oracle(sampled(replay, 30), rows, capacity)


# --------------------------------------------------------------------------------------------- npz

ARRAYS = {
    "frames": np.arange(60, dtype=np.uint8).reshape(5, 4, 3),
    "rewards": np.linspace(0, 1, 7, dtype=np.float32),
    "names": np.array(["a", "bc"]),
}


@pytest.fixture(scope="module", params=[np.savez, np.savez_compressed])
def archive(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("npz") / "arrays.npz"
    request.param(path, **ARRAYS)
    return path.read_bytes()


@settings(drawn, max_examples=300)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
       length=st.none() | st.integers(0, 10_000))  # fmt: skip
def test_a_damaged_archive_gives_its_arrays_or_one_line(archive, changes, length):
    content = bytearray(archive)
    for place, value in changes:
        content[place % len(content)] = value
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        file.write(content if length is None else content[: length % len(content)])
        file.flush()
        try:
            with NpzFile(Path(file.name)) as npz:
                found = {name: npz.read(name) for name in ARRAYS}
        except UserError as error:
            assert file.name in str(error) and "\n" not in str(error)
            return
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


# ---------------------------------------------------------------------------------------- settings


def setting_values(field, hint):
    """Values of a setting that its own range allows; those of tuples are left as they are."""
    meta, kind = field.metadata, plain_type(hint)
    if meta["choices"]:
        return st.sampled_from(meta["choices"])
    if kind is bool:
        return st.booleans()
    low, high = (
        next((meta[name] for name in names if meta[name] is not None), None)
        for names in (("low", "above"), ("high", "below"))
    )
    if kind is int:
        low = None if low is None else low + (meta["low"] is None)
        return st.integers(low, min(high if high is not None else 10**6, 10**6))
    if kind is float:
        return st.floats(
            low, high, exclude_min=meta["low"] is None and low is not None,
            exclude_max=meta["high"] is None and high is not None, allow_nan=False,
            allow_infinity=False,
        )  # fmt: skip
    return st.just(field.default)


def all_settings(config_class) -> dict:
    """{name: strategy} of the settings of all parts."""
    return {leaf.name: setting_values(leaf.field, leaf.hint) for leaf in leaves(config_class)}


@pytest.mark.parametrize(
    "config_class", [KeypointConfig, AgentConfig, CollectionConfig, QualityConfig]
)
def test_settings_come_back_from_json_and_from_flat_names(config_class):
    strategies = all_settings(config_class)

    @drawn
    @given(st.lists(st.sampled_from(sorted(strategies)), max_size=5, unique=True), st.data())
    def check(names, data):
        given_values = {name: data.draw(strategies[name], label=name) for name in names}
        try:
            config = Config.make.__func__(config_class, None, **given_values)
        except UserError:
            assume(False)  # two that contradict each other
        flat = flatten(config)
        assert given_values.items() <= flat.items()
        assert config_class.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert Config.make.__func__(config_class, None, **flat) == config

    check()


# ------------------------------------------------------------------------------------------ sweeps

WORDS = st.sampled_from(["0", "1", "11", "-1", "1e-3", "none"])
VALUES = st.lists(WORDS, min_size=1, max_size=3).map(",".join)
AXES = st.lists(st.sampled_from(["seed", "noise", "lsp_layers", "learning_rate"]), unique=True,
                min_size=1)  # fmt: skip


@drawn
@given(AXES, st.data())
def test_runs_of_a_sweep_have_names_of_their_own(axes, data):
    grid = [data.draw(st.lists(VALUES, min_size=1, max_size=3, unique=True)) for _ in axes]
    names = [run_name(dict(zip(axes, point, strict=True))) for point in itertools.product(*grid)]
    assert max(collections.Counter(names).values()) == 1
    assert not any(set(name) & set("/, {}") for name in names)
