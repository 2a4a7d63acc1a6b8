"""Replay windows against a naive oracle, at episode ends, when the ring is full, after resuming."""

import errno
import fcntl
import os
import zlib

import numpy as np
import pytest
from support import refuses

from permakey_tf.data import replay as replay_module
from permakey_tf.data.replay import SequenceReplay
from permakey_tf.types import Column

LENGTH, N, G = 4, 3, 0.9
INPUTS = {"code": Column((2,), np.dtype(np.float32))}


def play(seed, num_rows):
    """Rows of made-up episodes: terminal ends, and cut ones with a final observation."""
    rng = np.random.default_rng(seed)
    rows, episode = [], 0
    while len(rows) < num_rows:
        length, cut = int(rng.integers(1, 9)), rng.random() < 0.4
        for i in range(length):
            ended = i == length - 1 and not cut
            rows.append((int(rng.integers(5)), float(rng.normal()), ended, episode))
        if cut:
            rows.append((-1, 0.0, False, episode))
        episode += 1
    return rows[:num_rows]


def filled(folder, rows, capacity=1000, slack=0, num_rows=0):
    replay = SequenceReplay(folder, INPUTS, capacity, slack, num_rows)
    for number, row in enumerate(rows[num_rows:], start=num_rows):
        replay.append({"code": np.array([number, -number], np.float32)}, *row)
    return replay


def oracle(rows, start):
    """What a window that starts at a row must hold, found by walking: {offset: (...)}, mask."""
    episode = rows[start][3]
    window, mask = [], []
    for offset in range(LENGTH + N):
        number = start + offset
        if number >= len(rows) or rows[number][3] != episode:
            break
        window.append(number)
    for offset in range(LENGTH):
        counts = offset < len(window) and rows[start + offset][0] >= 0
        if counts:
            for number in range(start + offset, start + offset + N):
                if number >= len(rows):
                    counts = False  # what follows is not known yet
                    break
                if rows[number][2] or rows[number][0] < 0:
                    break  # the episode ended: nothing is missing
            else:
                counts = start + offset + N < len(rows)
        mask.append(float(counts))
    return window, mask


def test_file_systems_without_fallocate_do(tmp_path, monkeypatch):
    """There the C library writes zeros instead, which it cannot to a file in append mode."""

    def emulated(descriptor, offset, length):
        assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        os.pwrite(descriptor, b"\0" * length, offset)

    monkeypatch.setattr(os, "posix_fallocate", emulated)
    rows = play(0, 50)
    filled(tmp_path, rows).flush()
    resumed = filled(tmp_path, rows, num_rows=50)
    assert resumed.column("code", np.arange(50))[:, 0].tolist() == list(range(50))


def sampled(replay, number):
    return replay.sample(np.random.default_rng(1), number, LENGTH, N, G)


def assert_windows_equal_the_oracle(batch, rows, capacity):
    starts = batch.inputs["code"][:, 0, 0].astype(int)
    assert starts.min() >= len(rows) - capacity
    for b, start in enumerate(starts):
        window, mask = oracle(rows, start)
        for offset, number in enumerate(window):
            action, reward, terminal, _ = rows[number]
            np.testing.assert_array_equal(batch.inputs["code"][b, offset], [number, -number])
            assert batch.actions[b, offset] == max(action, 0)
            assert batch.rewards[b, offset] == np.float32(reward)
            assert batch.discounts[b, offset] == np.float32(0 if terminal else G)
            assert batch.final[b, offset] == (action < 0)
        np.testing.assert_array_equal(batch.mask[b], mask, err_msg=f"start {start}")
        # The rest repeats the episode's last row, so that no other episode's frames are seen.
        assert np.all(batch.inputs["code"][b, len(window) :, 0] == window[-1])


@pytest.mark.parametrize("capacity", [1000, 40])
def test_windows_equal_the_oracle(tmp_path, capacity):
    rows = play(0, 130)
    replay = filled(tmp_path, rows, capacity, slack=7)
    assert_windows_equal_the_oracle(sampled(replay, 400), rows, capacity)


def test_a_blank_batch_is_made_as_a_sampled_one(tmp_path):
    replay = filled(tmp_path, play(0, 30))
    both = sampled(replay, 5), replay.blank(5, LENGTH, N)
    sample, blank = ([*batch.inputs.values(), *batch[1:]] for batch in both)
    for real, zeros in zip(sample, blank, strict=True):
        assert (real.shape, real.dtype) == (zeros.shape, zeros.dtype)
        assert not zeros.any()


def test_every_acted_step_starts_windows_equally_often(tmp_path):
    rows = play(2, 60)
    replay = filled(tmp_path, rows)
    batch = replay.sample(np.random.default_rng(0), 30_000, LENGTH, N, G)
    starts = batch.inputs["code"][:, 0, 0].astype(int)
    acted = [number for number, row in enumerate(rows) if row[0] >= 0]
    assert set(starts) == set(acted)
    shares = np.bincount(starts, minlength=60)[acted] / 30_000
    np.testing.assert_allclose(shares, 1 / len(acted), rtol=0.25)


def test_the_last_action_of_every_episode_is_trained(tmp_path):
    rows = play(3, 80)
    replay = filled(tmp_path, rows)
    batch = replay.sample(np.random.default_rng(0), 5000, LENGTH, N, G)
    numbers = batch.inputs["code"][:, :LENGTH, 0][batch.mask > 0].astype(int)
    ends = {i for i, row in enumerate(rows) if row[2]}
    before_cuts = {i - 1 for i, row in enumerate(rows) if row[0] < 0}
    assert ends | before_cuts <= set(numbers)


def test_reopened_with_the_checkpoints_rows_it_is_the_same(tmp_path):
    rows = play(4, 130)
    filled(tmp_path / "one", rows[:100], 40, slack=30).flush()
    # 25 more rows were written after the checkpoint, then the process died.
    killed = filled(tmp_path / "one", rows[:125], 40, slack=30, num_rows=100)
    killed.flush()
    resumed = SequenceReplay(tmp_path / "one", INPUTS, 40, 30, num_rows=100)
    whole = filled(tmp_path / "two", rows[:100], 40, slack=30)
    for a, b in zip(
        resumed.sample(np.random.default_rng(0), 50, LENGTH, N, G),
        whole.sample(np.random.default_rng(0), 50, LENGTH, N, G),
        strict=True,
    ):
        if isinstance(a, dict):
            a, b = a["code"], b["code"]
        np.testing.assert_array_equal(a, b)


def test_files_that_are_cut_off_are_refused(tmp_path):
    filled(tmp_path, play(5, 20)).flush()
    with (tmp_path / "reward.dat").open("r+b") as file:
        file.truncate(40)
    with refuses("reward.dat", "cut off"):
        SequenceReplay(tmp_path, INPUTS, 1000, 0, num_rows=20)


class TestDamage:
    COLUMNS = ("code", "action", "reward", "terminal", "episode")

    @pytest.fixture(autouse=True)
    def blocks(self, monkeypatch):
        monkeypatch.setattr(replay_module, "_BLOCK", 16)

    def damage(self, folder, name, row):
        """Another value in one row, which is as good as the right one."""
        column = (INPUTS | replay_module._STEP_COLUMNS)[name]
        array = np.memmap(folder / f"{name}.dat", column.dtype, "r+").reshape(-1, *column.shape)
        array[row] = 1 - array[row].astype(int)
        array.flush()

    def reopened(self, folder, replay, capacity=1000, slack=0):
        sums = {name: sums.copy() for name, sums in replay.checksums().items()}
        return SequenceReplay(folder, INPUTS, capacity, slack, replay.num_rows, sums)

    @pytest.mark.parametrize("name", COLUMNS)
    @pytest.mark.parametrize("row", [0, 15, 16, 39])
    def test_of_a_single_row_is_found(self, tmp_path, name, row):
        replay = filled(tmp_path, play(7, 40))
        replay.flush()
        self.reopened(tmp_path, replay)
        self.damage(tmp_path, name, row)
        start = row // 16 * 16
        with refuses(f"{name}.dat is damaged", f"rows {start} to ", settings=["logdir"]):
            self.reopened(tmp_path, replay)

    def test_rows_after_the_checkpoint_do_not_count(self, tmp_path):
        """In a ring they stand where the oldest rows were."""
        rows = play(8, 200)
        saved = filled(tmp_path, rows[:100], 40, slack=30)
        sums = {name: sums.copy() for name, sums in saved.checksums().items()}
        killed = SequenceReplay(tmp_path, INPUTS, 40, 30, 100, sums)
        for number, row in enumerate(rows[100:130], start=100):
            killed.append({"code": np.array([number, -number], np.float32)}, *row)
        resumed = SequenceReplay(tmp_path, INPUTS, 40, 30, 100, sums)
        assert {name: sums.tolist() for name, sums in resumed.checksums().items()} == {
            name: sums.tolist() for name, sums in sums.items()
        }
        self.damage(tmp_path, "action", 99 % 70)
        with refuses("action.dat is damaged", "rows 96 to 111", settings=["logdir"]):
            SequenceReplay(tmp_path, INPUTS, 40, 30, 100, sums)

    def test_a_resumed_run_sums_as_one_that_was_not_interrupted(self, tmp_path):
        rows = play(9, 100)
        whole = filled(tmp_path / "whole", rows)
        first = filled(tmp_path / "two", rows[:41])
        for resumed in (
            self.reopened(tmp_path / "two", first),
            SequenceReplay(tmp_path / "two", INPUTS, 1000, 0, 41),  # of an old version's run
        ):
            for number, row in enumerate(rows[41:], start=41):
                resumed.append({"code": np.array([number, -number], np.float32)}, *row)
            for name, sums in whole.checksums().items():
                np.testing.assert_array_equal(resumed.checksums()[name], sums)

    def test_a_column_of_the_checksum_is_bytes_in_order(self, tmp_path):
        replay = filled(tmp_path, play(10, 20))
        actions = np.array([row[0] for row in play(10, 20)], np.int16)
        expected = [zlib.crc32(actions[:16].tobytes()), zlib.crc32(actions[16:].tobytes())]
        assert replay.checksums()["action"].tolist() == expected


def test_a_disk_that_fails_is_one_line(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    replay = filled(tmp_path, play(0, 5))
    monkeypatch.setattr(np.memmap, "flush", fail)
    with refuses(".dat", "Input/output error"):
        replay.flush()


def test_it_grows_beyond_its_first_allocation(tmp_path):
    rows = play(6, 5000)
    replay = filled(tmp_path, rows, capacity=100_000)
    assert replay.num_rows == 5000
    numbers = np.array([0, 4095, 4096, 4999])
    np.testing.assert_array_equal(replay.column("code", numbers)[:, 0], numbers)
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("*.dat"))
    assert on_disk == 8192 * (8 + 2 + 4 + 1 + 4)
