"""What holds for all tests, and the fixtures that several files share."""

import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
from support import write_store

from permakey_tf.data.store import FrameStore

# As in a terminal, for all processes that tests start: under nohup or in the background of a script
# both signals are ignored, and what the tests send would never arrive.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def toy_store(tmp_path) -> FrameStore:
    """60 frames of 20x20x3."""
    return write_store(tmp_path / "toy_store")
