"""What version 0.1.0 left on disk opens and is resumed to what that version would have made of it.

tests/data/runs_0.1.0.tar.gz was made by that version: a store of 30 frames, a keypoint run of
4 steps that was interrupted at step 3, and an agent of 40 steps that was interrupted at step 30.
transporter_0.1.0.tar.gz too: on that store a Transporter run, interrupted in the same way, the same
run finished (transporter_finished), and that agent's test with max_episode_steps=150 (tested).
runs_0.1.0.json has, for every array in the last checkpoint of the same runs finished by it,
the sum of the absolute values, and the centres that it found in the store's first four frames.
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
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.scores import evaluation_file
from permakey_tf.scores.evaluation import AgentSpec, PolicySpec, Rules
from permakey_tf.scores.report import find_evaluations
from permakey_tf.training.agent import AgentTrainer
from permakey_tf.training.keypoints import KeypointTrainer
from permakey_tf.training.train import train

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "runs_0.1.0.json").read_text())


@pytest.fixture
def left(tmp_path):
    for name in ("runs_0.1.0.tar.gz", "transporter_0.1.0.tar.gz"):
        with tarfile.open(DATA / name) as archive:
            archive.extractall(tmp_path, filter="data")
    return tmp_path


def check_checkpoint(run: Path):
    """Sums of a layer's weights agree to six digits; other processors round otherwise."""
    with np.load(run / "checkpoints" / "latest.npz") as arrays:
        for name, expected in EXPECTED[run.name].items():
            found = float(np.abs(arrays[name].astype(float)).sum())
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-6), name


def check_centers(run: Path, store: FrameStore):
    found = KeypointDetector.load(run).detect(store.frames[:4])
    np.testing.assert_allclose(found, EXPECTED["centers"][run.name], atol=1e-4)


@pytest.mark.parametrize("run", ["keypoints", "transporter"])
def test_a_keypoint_run_is_finished(left, run):
    store = FrameStore.open(left / "store", verify_hash=True)
    folder = KeypointFolder.open(left / run)
    assert folder.frames == FrameSpec.of(store) and not folder.is_evaluated
    check_centers(folder.path, store)  # of its best weights, before more are made
    trainer = KeypointTrainer(folder, store, LoggingConfig(summary_every=1))
    assert trainer.progress.step == 3
    trainer.train()
    check_checkpoint(folder.path)
    centers = KeypointDetector.load(folder.path).detect(store.frames[:2])
    assert centers.shape == (2, 3, 2) and np.isfinite(centers).all()


def test_a_finished_run_stays_as_it_is(left):
    store = FrameStore.open(left / "store")
    folder = KeypointFolder.open(left / "transporter_finished")
    assert folder.is_evaluated and folder.evaluated_steps == 4
    files = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    detector = train(store, folder.config, folder.path, progress=False)
    assert detector.config.method == "transporter"
    assert files == {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    check_centers(folder.path, store)


def test_tests_of_agents_are_read_and_those_of_keypoints_passed_over(left):
    assert evaluation_file.read_evaluation(left / "transporter_finished/evaluation.json") is None
    ((path, evaluation, _),) = find_evaluations([str(left)])
    assert path == left / "tested" / "evaluation.json"
    assert evaluation.agent == AgentSpec("permakey", "gnn", 3, "none", 40, 4)
    assert evaluation.policies == (PolicySpec("longer", 0, num_steps=30, checkpoint_step=20),)
    assert evaluation.rules == Rules(max_episode_steps=150)  # openings had no settings yet
    assert evaluation.scores.tolist() == [[[70, 70]] * 3]
    assert evaluation.random_scores.tolist() == [[60, 70], [100, 110], [50, 120]]
    assert evaluation.aggregates.median_seed.mean == 70 and evaluation.repeats is None


def test_an_agent_is_finished(left):
    folder = AgentFolder.open(left / "agent")
    trainer = AgentTrainer.open(folder, AgentLoggingConfig(summary_every=5))
    assert (trainer.progress.step, trainer.playing.replay.num_rows) == (30, 32)
    trainer.train()
    check_checkpoint(folder.path)
