"""What the frames of a large store cost a run: memory, pauses, reads of the disk.

  python -m benchmarks.frames [--frames=1000000] [--batches=3000] [--shuffle=full] [--folder=/tmp]
  python -m benchmarks.frames --train=60 [--preset=paper]

Makes a store of black frames, 84x84 RGB, in a file of holes that takes no room on the disk, and
draws batches of 32 of it, the last 300 of them after the border of an epoch. With --train a model
of the preset learns from that many batches, half of them after the border.
"""

import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.data.format import FORMAT, FORMAT_VERSION, content_hash
from permakey_tf.data.store import FrameStore

_FRAMES = absl_flags.DEFINE_integer("frames", 1_000_000, "Frames of the store.", lower_bound=10_000)
_BATCHES = absl_flags.DEFINE_integer("batches", 3000, "Batches drawn.", lower_bound=400)
_SHUFFLE = absl_flags.DEFINE_enum("shuffle", "full", ["full", "blocks"], "As of run.keypoints.")
_TRAIN = absl_flags.DEFINE_integer("train", 0, "Steps of training; 0: draw only.", lower_bound=0)
_PRESET = absl_flags.DEFINE_string("preset", "quick", "Whose model is trained.")
_FOLDER = common.define_path("folder", tempfile.gettempdir(), "Where the store is made.")
_AFTER = 300  # batches after the border
_SHAPE = (84, 84, 3)
_EPISODE = 1000  # frames


def make_store(path: Path, number: int) -> None:
    """Writes a store of black frames, a twentieth of them for validation and for test."""
    path.mkdir()
    header = {"descr": "|u1", "fortran_order": False, "shape": (number, *_SHAPE)}
    with (path / "frames.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + number * int(np.prod(_SHAPE)))
    episodes = (np.arange(number) // _EPISODE).astype(np.int32)
    np.save(path / "episodes.npy", episodes)
    held_out = number // _EPISODE // 20 * _EPISODE or _EPISODE
    splits = {"train": number - 2 * held_out, "validation": held_out, "test": held_out}
    hashes = {"frames": "", "episodes": hashlib.sha256(episodes.data).hexdigest()}
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "game": "black",
        "splits": splits,
        "sha256": hashes,
        "content_hash": content_hash(splits, hashes),
    }
    (path / "manifest.json").write_text(json.dumps(manifest))


def memory() -> str:
    """How much of this process is in memory, by the kernel's names."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sizes = {kind: int(lines[kind].split()[0]) / 1e3 for kind in ("VmRSS", "RssAnon", "RssFile")}
    return ", ".join(f"{kind} {size:,.0f} MB" for kind, size in sizes.items())


def count_reads() -> list[int]:
    """A list that gets the bytes of every read of the disk from now on."""
    sizes, pread = [], os.pread

    def noted(file, number, place):
        sizes.append(number)
        return pread(file, number, place)

    os.pread = noted
    return sizes


def measure(path: Path) -> None:
    """Opens the store, draws batches and prints what that took."""
    from permakey_tf.data import pipeline

    config = KeypointConfig.make(None, game="black", num_keypoints=1, shuffle=_SHUFFLE.value)
    start = time.perf_counter()
    store = FrameStore.open(path)
    sampler = pipeline.make_sampler(store, config, 1)
    print(f"opened in {time.perf_counter() - start:.2f} s: {len(store.frames):,} frames")
    print(memory())
    last = sampler.steps_per_epoch + _AFTER
    sizes, times = count_reads(), [time.perf_counter()]
    for _ in pipeline.training_batches(store, sampler, config, last - _BATCHES.value, last):
        times.append(time.perf_counter())
    gaps = 1e3 * np.diff(times)
    border = len(gaps) - _AFTER
    print(f"a batch: median {np.median(gaps):.1f} ms, longest {gaps[20:].max():.0f} ms")
    print(f"longest at the border of the epoch {gaps[border - 20 : border + 2].max():.0f} ms")
    print(
        f"reads of the disk: {len(sizes) / len(gaps):.2f} a batch, {np.mean(sizes) / 1e3:,.0f} KB "
        f"each, {sum(sizes) / len(gaps) / 1e3:,.0f} KB a batch"
    )
    print(memory())


def train(path: Path) -> None:
    """Trains across the border and prints what steps took and what is in memory."""
    from permakey_tf.configs.keypoints import LoggingConfig
    from permakey_tf.data import pipeline
    from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
    from permakey_tf.training.keypoints import KeypointTrainer

    preset = {"game": "black", "num_keypoints": 7, "shuffle": _SHUFFLE.value}
    config, store = KeypointConfig.make(_PRESET.value, **preset), FrameStore.open(path)
    folder = KeypointFolder(path / "no_run", config, FrameSpec.of(store))
    trainer = KeypointTrainer(folder, store, LoggingConfig())
    sampler = trainer.sampler
    border, half = sampler.steps_per_epoch, _TRAIN.value // 2
    times, before = [time.perf_counter()], memory()
    for batch in pipeline.training_batches(store, sampler, config, border - half, border + half):
        losses, _ = trainer.train_step(batch, 0)
        [loss.numpy() for loss in losses.values()]
        times.append(time.perf_counter())
    seconds = np.diff(times)
    print(f"a step of {config.training.batch_size} frames: median {np.median(seconds):.2f} s")
    print(f"longest of the ten after the border {seconds[half : half + 10].max():.2f} s")
    print(f"before: {before}\nafter: {memory()}")


def main():
    with tempfile.TemporaryDirectory(prefix="frames-", dir=_FOLDER.value) as folder:
        make_store(Path(folder) / "store", _FRAMES.value)
        (train if _TRAIN.value else measure)(Path(folder) / "store")


if __name__ == "__main__":
    common.run(main)
