"""What version 0.1.0 left on disk opens and is resumed to what that version would have made of it.

tests/data/runs_0.1.0.tar.gz was made by that version: a store of 30 frames, a keypoint run of
4 steps that was interrupted at step 3, and an agent of 40 steps that was interrupted at step 30.
runs_0.1.0.json has, for every array in the last checkpoint of the same runs finished by it,
the sum of the absolute values.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from permakey_tf.configs.agent import AgentLoggingConfig
from permakey_tf.configs.keypoints import LoggingConfig
from permakey_tf.data.store import FrameStore
from permakey_tf.detector import KeypointDetector
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import FrameSpec, RunFolder
from permakey_tf.training.agent import AgentTrainer
from permakey_tf.training.keypoints import KeypointTrainer

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "runs_0.1.0.json").read_text())


@pytest.fixture
def left(tmp_path):
    with tarfile.open(DATA / "runs_0.1.0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def check_checkpoint(run: Path):
    """Sums of a layer's weights agree to six digits; other processors round otherwise."""
    with np.load(run / "checkpoints" / "latest.npz") as arrays:
        for name, expected in EXPECTED[run.name].items():
            found = float(np.abs(arrays[name].astype(float)).sum())
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-6), name


def test_a_keypoint_run_is_finished(left):
    store = FrameStore.open(left / "store", verify_hash=True)
    folder = RunFolder.open(left / "keypoints")
    assert folder.frames == FrameSpec.of(store)
    trainer = KeypointTrainer(folder, store, LoggingConfig(summary_every=1))
    assert trainer.progress.step == 3
    trainer.train()
    check_checkpoint(folder.path)
    centers = KeypointDetector.load(folder.path).detect(store.frames[:2])
    assert centers.shape == (2, 3, 2) and np.isfinite(centers).all()


def test_an_agent_is_finished(left):
    folder = AgentFolder.open(left / "agent")
    trainer = AgentTrainer.open(folder, AgentLoggingConfig(summary_every=5))
    assert (trainer.progress.step, trainer.playing.replay.num_rows) == (30, 32)
    trainer.train()
    check_checkpoint(folder.path)
