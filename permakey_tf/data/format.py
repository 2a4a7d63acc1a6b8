"""What stands in a frame store's files, for those who write them and those who read them.

store.py says which files there are; docs/data.md has the format in full.
"""

import hashlib
import json

import numpy as np

from permakey_tf.objects.boxes import Objects

SPLITS = ("train", "validation", "test")
FORMAT = "permakey-frames"
FORMAT_VERSION = 1
COLUMNS = {"episodes": np.int32, "actions": np.int16, "rewards": np.float32}
OBJECTS = {"frame": np.int32, "category": np.uint8, "xywh": np.int16, "visible": np.bool_}


def hash_objects(objects: Objects) -> str:
    """SHA-256 (hex) of ground-truth boxes."""
    digest = hashlib.sha256(json.dumps(list(objects.categories)).encode())
    for column in (objects.frame, objects.category, objects.xywh, objects.visible):
        if column is not None:
            digest.update(np.ascontiguousarray(column))
    return digest.hexdigest()


def content_hash(splits: dict[str, int], hashes: dict[str, str]) -> str:
    """SHA-256 (hex) over the counts per split and the hashes of the stored arrays."""
    return hashlib.sha256(json.dumps([splits, hashes], sort_keys=True).encode()).hexdigest()
