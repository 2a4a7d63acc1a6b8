"""Unsupervised object keypoints from local spatial predictability (PermaKey) in TensorFlow.

What most users need, by name:

  import permakey_tf as pk

  store = pk.FrameStore.from_arrays(frames)                # uint8 [N, H, W, 3]
  config = pk.KeypointConfig.make("quick", num_keypoints=5)
  detector = pk.train(store, config, "runs/mine")          # resumes where it was interrupted
  centers = detector.detect(frames[500:508])               # float32 [8, 5, 2], (y, x) in [-1, 1]

Names are loaded on first use: settings, frame stores and scores need no TensorFlow, which takes
seconds to load, and a detector needs no emulator.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from permakey_tf.configs.frames import CollectionConfig as CollectionConfig
    from permakey_tf.configs.keypoints import KeypointConfig as KeypointConfig
    from permakey_tf.configs.keypoints import LoggingConfig as LoggingConfig
    from permakey_tf.data.joining import join_stores as join_stores
    from permakey_tf.data.store import FrameStore as FrameStore
    from permakey_tf.detector import KeypointDetector as KeypointDetector
    from permakey_tf.errors import UserError as UserError
    from permakey_tf.objects.boxes import Objects as Objects
    from permakey_tf.player import AgentPlayer as AgentPlayer
    from permakey_tf.quality.footage import open_footage as open_footage
    from permakey_tf.quality.scoring import evaluate_keypoints as evaluate_keypoints
    from permakey_tf.scores.other import evaluate_agent as evaluate_agent
    from permakey_tf.training.train import train as train
    from permakey_tf.wrappers import KeypointObservation as KeypointObservation
    from permakey_tf.wrappers import VectorKeypointObservation as VectorKeypointObservation

__version__ = "0.2.0"

_HOMES = {
    "AgentPlayer": "permakey_tf.player",
    "CollectionConfig": "permakey_tf.configs.frames",
    "FrameStore": "permakey_tf.data.store",
    "KeypointConfig": "permakey_tf.configs.keypoints",
    "KeypointDetector": "permakey_tf.detector",
    "KeypointObservation": "permakey_tf.wrappers",
    "LoggingConfig": "permakey_tf.configs.keypoints",
    "Objects": "permakey_tf.objects.boxes",
    "UserError": "permakey_tf.errors",
    "VectorKeypointObservation": "permakey_tf.wrappers",
    "evaluate_agent": "permakey_tf.scores.other",
    "evaluate_keypoints": "permakey_tf.quality.scoring",
    "join_stores": "permakey_tf.data.joining",
    "open_footage": "permakey_tf.quality.footage",
    "train": "permakey_tf.training.train",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # from now on without this function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
