"""Batches are a function of (seed, step) and visit every frame."""

import numpy as np
import pytest
from support import moving_square, refuses, tiny_config, write_store

from permakey_tf.data import pipeline
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import FrameStoreWriter
from permakey_tf.system.seeds import Stream, stream
from permakey_tf.types import Step


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "store", num_frames=60)  # 48 training frames


def batches(store, first, last, seed=0, noise="none", batch_size=8):
    config = tiny_config(seed=seed, noise=noise, batch_size=batch_size)
    sampler = pipeline.make_sampler(store, config, 1)
    dataset = pipeline.training_batches(store, sampler, config, first, last)
    return [batch.numpy() for batch in dataset]


def test_an_epoch_visits_every_training_frame_once(store):
    rows = store.split_range("train")
    seen = np.concatenate(batches(store, 0, 6))
    expected = store.frames[rows.start : rows.stop]
    as_bytes = [sorted(frame.tobytes() for frame in part) for part in (seen, expected)]
    assert as_bytes[0] == as_bytes[1]


def test_epochs_and_seeds_have_orders_of_their_own(store):
    first, second = (np.concatenate(batches(store, a, a + 6)) for a in (0, 6))
    other = np.concatenate(batches(store, 0, 6, seed=1))
    assert np.any(first != second)
    assert np.any(first != other)


@pytest.mark.parametrize("noise", ["none", "both"])
def test_starting_in_the_middle_gives_the_same_batches(store, noise):
    whole = batches(store, 0, 14, noise=noise)
    np.testing.assert_array_equal(np.stack(whole[9:]), np.stack(batches(store, 9, 14, noise=noise)))


def test_noise_is_fresh_at_every_step(store):
    clean, noisy = batches(store, 0, 12), batches(store, 0, 12, noise="vertical")
    bars = [np.any(c != n, axis=(1, 3)) for c, n in zip(clean, noisy, strict=True)]
    assert len({bar.tobytes() for bar in bars}) == 12


def test_held_out_batches_are_the_split_in_order_with_the_same_noise_each_time(store):
    rows = store.split_range("validation")

    def load(noise):
        config = tiny_config(noise=noise)
        sampler = pipeline.make_sampler(store, config, 1)
        dataset = pipeline.held_out_batches(store, sampler, config, "validation")
        return np.concatenate([batch.numpy() for batch in dataset])

    np.testing.assert_array_equal(load("none"), store.frames[rows.start : rows.stop])
    np.testing.assert_array_equal(load("both"), load("both"))
    assert np.any(load("both") != load("none"))


class TestBlocks:
    """Frames in blocks of 4, put off by up to 16."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr(pipeline, "_BLOCK", 4)
        monkeypatch.setattr(pipeline, "_PUT_OFF", 16)

    def epoch(self, store, number=0, **changes):
        sampler = pipeline.make_sampler(store, tiny_config(shuffle="blocks", **changes), 1)
        return np.concatenate([sampler.training(12 * number + step) for step in range(12)])

    def test_an_epoch_has_every_frame_once_in_an_order_of_its_own(self, store):
        first, second, other = self.epoch(store), self.epoch(store, 1), self.epoch(store, seed=1)
        for rows in (first, second, other):
            np.testing.assert_array_equal(np.sort(rows), range(48))
        assert np.any(first != second) and np.any(first != other)

    def test_the_frames_of_a_block_are_near_each_other_but_not_side_by_side(self, store):
        when = np.argsort(self.epoch(store)).reshape(12, 4)
        assert np.all(np.ptp(when, axis=1) < 16 + 4 + 16)
        assert np.mean(np.abs(np.diff(when, axis=1)) > 1) > 0.5
        assert np.any(np.diff(when.mean(1)) < 0)

    def test_batches_are_these_frames_and_each_is_read_once(self, store):
        config, asked = tiny_config(shuffle="blocks"), []
        sampler = pipeline.make_sampler(store, config, 1)

        def read(rows):
            asked.append(rows.tolist())
            return store.read(rows)

        noted = store._replace(read=read)
        seen = list(pipeline.training_batches(noted, sampler, config, 0, 12))
        np.testing.assert_array_equal(np.concatenate(seen), store.frames[self.epoch(store)])
        assert sorted(asked) == [list(range(row, row + 4)) for row in range(0, 48, 4)]
        (later,) = pipeline.training_batches(store, sampler, config, 9, 10)
        np.testing.assert_array_equal(later, seen[9])


def test_pairs_are_drawn_as_they_are_without_blocks(store):
    def batch(shuffle):
        config = tiny_config(method="transporter", shuffle=shuffle)
        sampler = pipeline.make_sampler(store, config, 2)
        (pairs,) = pipeline.training_batches(store, sampler, config, 3, 4)
        return pairs.numpy()

    np.testing.assert_array_equal(batch("blocks"), batch("full"))


def test_batches_are_read_without_the_memory_map(store):
    """Its pages would count as memory of the process: an epoch's would be the whole store."""

    class Shape:
        shape = store.frames.shape

    config = tiny_config()
    sampler = pipeline.make_sampler(store, config, 1)
    rows = sampler.training(0)
    unmapped = store._replace(frames=Shape())
    (batch,) = pipeline.training_batches(unmapped, sampler, config, 0, 1)
    np.testing.assert_array_equal(batch, store.frames[rows])
    assert len(list(pipeline.held_out_batches(unmapped, sampler, config, "test"))) == 2
    assert pipeline.held_out_examples(unmapped, sampler, config, "train", 5).shape[0] == 5


def test_too_few_frames_for_a_batch_is_refused(store):
    with refuses("48 training frames", "batch_size=49", settings=["batch_size"]):
        pipeline.SingleFrames(store, tiny_config(batch_size=49))


class TestPairs:
    """Frames are numbered by their brightness, so that a pair tells which frames it holds."""

    LENGTHS = (40, 1, 7, 25)  # of the training episodes; validation and test have 12 each

    @pytest.fixture
    def store(self, tmp_path):
        with FrameStoreWriter(tmp_path / "store", 20, 3) as writer:
            row = 0
            for split, lengths in (("train", self.LENGTHS), ("validation", (12,)), ("test", (12,))):
                for length in lengths:
                    for i in range(length):
                        frame = np.full([20, 20, 3], row, np.uint8)
                        writer.append(Step(frame, first=i == 0), split)
                        row += 1
            writer.finish({"game": "toy", "source": "test"})
        return FrameStore.open(tmp_path / "store")

    def pairs(self, store, steps=200, **changes):
        config = tiny_config(method="transporter", **changes)
        sampler = pipeline.make_sampler(store, config, 2)
        return np.concatenate([sampler.training(step) for step in range(steps)])

    def test_pairs_stay_within_an_episode_a_split_and_a_window(self, store):
        first, second = self.pairs(store, pair_window=10).T
        assert np.all(second > first)
        assert np.all(second - first < 10)
        np.testing.assert_array_equal(store.episodes[first], store.episodes[second])
        assert second.max() < sum(self.LENGTHS)
        lone = 40  # the only frame of the second episode
        assert not np.any(first == lone) and not np.any(second == lone)

    def test_the_two_halves_of_a_window_meet_in_the_middle(self, store):
        # The third episode, rows 41 to 47, is shorter than the window: halves of 3 and 4 frames.
        pairs = self.pairs(store, pair_window=10)
        inside = pairs[(pairs[:, 0] >= 41) & (pairs[:, 0] < 48)]
        assert set(inside[:, 0]) == {41, 42, 43}
        assert set(inside[:, 1]) == {44, 45, 46, 47}

    def test_pairs_are_drawn_of_the_list_of_all_windows(self, store):
        windows = [(start, 10) for start in range(31)]
        windows += [(41, 7)]
        windows += [(48 + start, 10) for start in range(16)]
        for step in range(20):
            rng = stream(0, Stream.PAIRS, step)
            starts, lengths = np.array(windows)[rng.integers(len(windows), size=4)].T
            first = starts + rng.integers(lengths // 2)
            second = starts + lengths // 2 + rng.integers(lengths - lengths // 2)
            config = tiny_config(method="transporter")
            drawn = pipeline.make_sampler(store, config, 2).training(step)
            np.testing.assert_array_equal(drawn, np.stack([first, second], axis=1))

    def test_all_windows_are_equally_likely(self, store):
        # Windows of 10: 31 in the first episode, 1 in the third, 16 in the fourth.
        episode = store.episodes[self.pairs(store, steps=3000, pair_window=10)[:, 0]]
        shares = [np.mean(episode == number) for number in (0, 1, 2, 3)]
        np.testing.assert_allclose(shares, np.array([31, 0, 1, 16]) / 48, atol=0.02)

    def test_batches_hold_the_drawn_pairs(self, store):
        config = tiny_config(method="transporter")
        sampler = pipeline.make_sampler(store, config, 2)
        (batch,) = pipeline.training_batches(store, sampler, config, 5, 6)
        assert batch.shape == (4, 2, 20, 20, 3)
        np.testing.assert_array_equal(batch[:, :, 0, 0, 0], sampler.training(5))

    def test_held_out_pairs_are_the_splits_and_the_same_each_time(self, store):
        sampler = pipeline.make_sampler(store, tiny_config(method="transporter"), 2)
        pairs = sampler.held_out("validation")
        assert pairs.shape == (12, 2)
        assert pairs.min() >= 73 and pairs.max() < 85
        np.testing.assert_array_equal(pairs, sampler.held_out("validation"))

    def test_the_two_frames_have_bars_of_their_own(self, store):
        config = tiny_config(method="transporter", noise="vertical", batch_size=32)
        sampler = pipeline.make_sampler(store, config, 2)
        (batch,) = pipeline.training_batches(store, sampler, config, 0, 1)
        bars = np.all(batch.numpy()[:, :, 0] == (128, 0, 255), axis=-1)  # [32, 2, 20]
        assert np.all(bars.sum(-1) == 5)
        assert np.mean(np.any(bars[:, 0] != bars[:, 1], axis=-1)) > 0.8

    def test_episodes_of_single_frames_are_refused(self, tmp_path):
        frames = moving_square(12, 20, 3, seed=0)
        with FrameStoreWriter(tmp_path / "singles", 20, 3) as writer:
            for i, frame in enumerate(frames):
                split = ("train", "validation", "test")[min(i // 4, 2)]
                writer.append(Step(frame, first=True), split)
            writer.finish({"game": "toy", "source": "test"})
        store = FrameStore.open(tmp_path / "singles")
        with refuses(tmp_path / "singles", "two frames"):
            pipeline.make_sampler(store, tiny_config(method="transporter"), 2)


@pytest.mark.parametrize("frames_per_example", [1, 2])
def test_parts_of_a_batch_are_what_the_whole_has_there(store, frames_per_example):
    """Each worker reads its own, with the bars that its frames have in the whole."""
    config = tiny_config(noise="both", batch_size=8)
    sampler = pipeline.make_sampler(store, config, frames_per_example)

    def load(*part):
        (batch,) = pipeline.training_batches(store, sampler, config, 3, 4, *part)
        return batch.numpy()

    parts = [load(slice(start, start + 2)) for start in range(0, 8, 2)]
    assert {len(part) for part in parts} == {2}
    np.testing.assert_array_equal(np.concatenate(parts), load())
