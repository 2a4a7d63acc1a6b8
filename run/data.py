"""Makes a frame store: the frames that keypoints are learned from.

  python -m run.data --game=mspacman
  python -m run.data --flagfile=flags/games/seaquest.cfg --policy=lookahead --out=data/seaquest

See docs/data.md for all sources and the format of the store.
"""

import time

from flags import common
from flags import data as data_flags
from permakey_tf.data.format import SPLITS
from permakey_tf.data.sources import build_store


def main(command):
    started = time.monotonic()
    store = build_store(command.collection, command.out)
    seconds = time.monotonic() - started
    counts = ", ".join(f"{len(store.split_range(split)):,} {split}" for split in SPLITS)
    for note in store.manifest["notes"]:
        print(f"note: {note}")
    print(f"frame store: {store.path}")
    print(f"frames: {counts} ({store.manifest['episodes']:,} episodes)")
    print(f"speed: {len(store.frames) / seconds:,.0f} frames/s")
    print(f"hash: {store.content_hash}")


if __name__ == "__main__":
    common.start(data_flags, main)
