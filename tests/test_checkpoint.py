"""Checkpoints are complete, atomic and refuse what does not fit."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support import refuses

from permakey_tf.runs import checkpoint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "latest.npz"


def test_arrays_come_back_bit_for_bit(path):
    arrays = {
        "a/b": np.array([1.1, np.pi, -0.0], np.float32),
        "n": np.asarray(7),
        "empty": np.zeros([0, 3]),
    }
    checkpoint.save(path, arrays)
    loaded = checkpoint.load(path)
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].tobytes() == array.tobytes()


def test_a_write_that_fails_leaves_the_old_checkpoint(path, monkeypatch):
    checkpoint.save(path, {"x": np.ones(3)})

    def disk_full(file, **_):
        file.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", disk_full)
    with refuses("latest.npz", "No space left"):
        checkpoint.save(path, {"x": np.zeros(3)})
    np.testing.assert_array_equal(checkpoint.load(path)["x"], np.ones(3))
    assert [file.name for file in path.parent.iterdir()] == ["latest.npz"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "flipped byte"])
def test_damaged_files_are_named(path, damage):
    checkpoint.save(path, {"x": np.arange(1000.0)})
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped byte":
        content[500] ^= 0xFF
    else:
        content = {"empty": b"", "text": b"hello"}[damage]
    path.write_bytes(content)
    with refuses("latest.npz", "damaged", settings=["logdir"]):
        checkpoint.load(path)


def with_zip_fields(path, flags=None, method=None):
    """Sets fields of both headers of a zip of one member: an encrypted bit, a compression."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.index(signature) + offset
        for position, value in ((start, flags), (start + 2, method)):
            if value is not None:
                content[position : position + 2] = value.to_bytes(2, "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"flags": 1}, "encrypted"), ({"method": 99}, "compression"), ({"method": 8}, "damaged")],
)
def test_archives_that_numpy_did_not_write_are_named(path, fields, reason):
    checkpoint.save(path, {"x": np.arange(10.0)})
    with_zip_fields(path, **fields)
    with refuses("latest.npz", "damaged", reason, settings=["logdir"]):
        checkpoint.load(path)


def test_a_single_array_is_no_checkpoint(path):
    path.parent.mkdir()
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with refuses("latest.npz", "np.savez", settings=["logdir"]):
        checkpoint.load(path)


@dataclasses.dataclass
class Record(checkpoint.ProgressRecord):
    step: int = 0
    loss: float = float("inf")
    finished: bool = False


def test_progress_comes_back_and_is_checked(path):
    arrays = Record(3, finished=True).to_arrays()
    assert Record.pop_from(dict(arrays), path) == Record(3, float("inf"), True)
    for name, wrong in (
        ("step", np.array(1.5)), ("step", np.array("x")), ("step", np.zeros(2, int)),
        ("step", np.array(True)), ("loss", np.array("x")), ("finished", np.array(1)),
    ):  # fmt: skip
        with refuses("latest.npz", f"progress/{name}"):
            Record.pop_from(arrays | {f"progress/{name}": wrong}, path)


def test_texts_are_no_weights(path):
    with refuses("latest.npz", "model: a ", "type"):
        checkpoint.assign({"a": tf.Variable([1.0])}, {"a": np.array(["x"])}, path)


def test_pickles_are_never_read(path):
    path.parent.mkdir()
    np.savez(path, x=np.array([{"a": 1}], object))
    with refuses("latest.npz", "pickled", settings=["logdir"]):
        checkpoint.load(path)


def test_missing_file(path):
    with refuses("latest.npz", "train first"):
        checkpoint.load(path)


def test_names_and_shapes_must_all_agree(path):
    variables = {"a": tf.Variable([1.0, 2.0]), "b": tf.Variable(0.0)}
    with refuses("latest.npz", "model: b "):
        checkpoint.assign(variables, {"a": np.zeros(2, np.float32)}, path)
    with refuses("latest.npz", "model: a ", "shape"):
        checkpoint.assign(variables, {"a": np.zeros(3, np.float32), "b": np.float32(0)}, path)


def test_two_variables_of_one_name_are_an_error():
    class Named:
        path = "kernel"

    with pytest.raises(ValueError, match="two variables are named g/kernel"):
        checkpoint.named_variables({"g": [Named(), Named()]})


def test_a_checkpoint_is_replaced_and_never_written_over(path, tmp_path):
    checkpoint.save(path, {"x": np.ones(3)})
    (tmp_path / "old.npz").hardlink_to(path)
    checkpoint.save(path, {"x": np.zeros(3)})
    np.testing.assert_array_equal(checkpoint.load(tmp_path / "old.npz")["x"], np.ones(3))
    np.testing.assert_array_equal(checkpoint.load(path)["x"], np.zeros(3))
