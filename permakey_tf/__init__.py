"""Unsupervised object keypoints from local spatial predictability (PermaKey) in TensorFlow."""

__version__ = "0.1.0"
__all__ = ["KeypointDetector", "__version__"]


def __getattr__(name):
    # Imported on first use: settings, frame stores and flags need no TensorFlow, which takes
    # seconds to load, and `--help` should not wait for it.
    if name == "KeypointDetector":
        from permakey_tf.detector import KeypointDetector

        return KeypointDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
