"""Batches are a function of (seed, step) and visit every frame."""

import numpy as np
import pytest
from conftest import write_store

from permakey_tf.data import pipeline
from permakey_tf.errors import UserError


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "store", num_frames=60)  # 48 training frames


def batches(store, first, last, seed=0, noise="none", batch_size=8):
    dataset = pipeline.training_batches(store, batch_size, noise, seed, first, last)
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
        dataset = pipeline.held_out_batches(store, "validation", 4, noise, 0)
        return np.concatenate([batch.numpy() for batch in dataset])

    np.testing.assert_array_equal(load("none"), store.frames[rows.start : rows.stop])
    np.testing.assert_array_equal(load("both"), load("both"))
    assert np.any(load("both") != load("none"))


def test_too_few_frames_for_a_batch_is_refused(store):
    with pytest.raises(UserError, match=r"48 training frames.*--batch_size=49"):
        pipeline.steps_per_epoch(store, 49)
