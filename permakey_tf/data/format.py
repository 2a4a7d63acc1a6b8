"""What stands in a frame store's files, for those who write them and those who read them.

store.py says which files there are; docs/data.md has the format in full.
"""

import hashlib
import json

import numpy as np

SPLITS = ("train", "validation", "test")
FORMAT = "permakey-frames"
FORMAT_VERSION = 1
COLUMNS = {"episodes": np.int32, "actions": np.int16, "rewards": np.float32}


def content_hash(splits: dict[str, int], hashes: dict[str, str]) -> str:
    """SHA-256 (hex) over the counts per split and the hashes of the stored arrays."""
    return hashlib.sha256(json.dumps([splits, hashes], sort_keys=True).encode()).hexdigest()
