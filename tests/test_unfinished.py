"""A test of agents that is interrupted and goes on."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
from support import call, refused, write_agent, write_keypoints

from permakey_tf.envs.games import make_task
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.checkpoint import load, save
from permakey_tf.scores import evaluate
from permakey_tf.scores.evaluate import evaluate_policies
from permakey_tf.system.interruption import Interrupted
from permakey_tf.system.npz import NpzFile

PARTS = [
    *("random play, seed 3", "random play, seed 1", "policy 0, test, seed 3"),
    *("policy 0, test, seed 1", "policy 1, test, seed 3", "policy 1, test, seed 1"),
    *("policy 0, validation, seed 0", "policy 1, validation, seed 1"),
]
FLAGS = {"mode": "evaluate", "seeds": "3,1", "test_episodes": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    keypoints = write_keypoints(path)
    return [str(write_agent(path / f"seed{s}", keypoints, seed=s).path) for s in (0, 1)]


@pytest.fixture(scope="module")
def whole(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "evaluation.json"
    evaluate_policies(runs, [3, 1], 2, path, progress=False)
    assert [file.name for file in path.parent.iterdir()] == ["evaluation.json"]
    return path.read_bytes()


def signalled(monkeypatch, name, number, when):
    """The call of number `when` of a function of evaluate.py gets a signal; returns its calls."""
    calls, play = [], getattr(evaluate, name)

    def wrapped(*arguments, **more):
        calls.append(arguments)
        if len(calls) == when:
            os.kill(os.getpid(), number)
        return play(*arguments, **more)

    monkeypatch.setattr(evaluate, name, wrapped)
    return calls


def test_goes_on_and_ends_as_if_nothing_had_been(runs, whole, tmp_path, monkeypatch):
    out = tmp_path / "evaluation.json"
    calls = signalled(monkeypatch, "play_episodes", signal.SIGTERM, when=3)
    result = call("rl", runs=",".join(runs), out=tmp_path, **FLAGS)
    refused(result, "SIGTERM", "4 of 8 parts", "same command")
    assert result.returncode == 128 + signal.SIGTERM and len(calls) == 3
    (kept,) = tmp_path.iterdir()
    content = json.loads(kept.read_text())
    assert kept.name == "evaluation.unfinished.json" and list(content["played"]) == PARTS[:4]
    signalled(monkeypatch, "random_scores", signal.SIGTERM, when=1)  # not to be called any more
    assert call("rl", runs=",".join(runs), out=tmp_path, **FLAGS).returncode == 0
    assert len(calls) == 3 + 4
    assert out.read_bytes() == whole and not kept.exists()


def test_goes_on_with_runs_and_seeds_in_another_order(runs, tmp_path, monkeypatch):
    there, back = ",".join(runs), ",".join(runs[::-1])
    calls = signalled(monkeypatch, "play_episodes", signal.SIGTERM, when=4)
    refused(call("rl", runs=there, out=tmp_path / "a", **FLAGS), "5 of 8 parts")
    flags = FLAGS | {"seeds": "1,3"}
    assert call("rl", runs=back, out=tmp_path / "a", **flags).returncode == 0
    assert len(calls) == 4 + 3
    assert call("rl", runs=back, out=tmp_path / "b", **flags).returncode == 0
    at_once, gone_on = ((tmp_path / one / "evaluation.json").read_bytes() for one in "ba")
    assert gone_on == at_once


def test_random_play_is_a_part_too(runs, tmp_path, monkeypatch):
    signalled(monkeypatch, "random_scores", signal.SIGINT, when=2)
    with pytest.raises(Interrupted, match="SIGINT; 1 of 8 parts") as stop:
        evaluate_policies(runs, [3, 1], 2, tmp_path / "evaluation.json", progress=False)
    assert stop.value.signal == signal.SIGINT
    content = json.loads((tmp_path / "evaluation.unfinished.json").read_text())
    assert list(content["played"]) == PARTS[:1]


def test_the_test_of_another_run_stays(runs, whole, tmp_path):
    """Its games are gone otherwise, without a word."""
    (tmp_path / "evaluation.json").write_bytes(whole)
    for run, other in (runs, runs[::-1]):
        result = call("rl", runs=run, out=tmp_path, **FLAGS | {"test_episodes": 4})
        refused(result, tmp_path / "evaluation.json", other, "--out")
    assert (tmp_path / "evaluation.json").read_bytes() == whole


def test_of_the_latest_checkpoint_the_progress_alone_is_read(runs, tmp_path, monkeypatch):
    """The rest of it may be hundreds of megabytes, for three numbers."""
    shutil.copytree(runs[0], tmp_path / "run")
    folder = AgentFolder.open(tmp_path / "run")
    latest = load(folder.latest_checkpoint)
    save(folder.latest_checkpoint, latest | {"agent/weights": np.zeros(3)})
    read = []

    def reading(file, name, own=NpzFile.read):
        read.append(name)
        return own(file, name)

    monkeypatch.setattr(NpzFile, "read", reading)
    tested = evaluate.load_policy(folder, make_task(folder.config.environment))
    assert (tested.spec.checkpoint_step, tested.num_games) == (10, 3)
    assert "progress/step" in read and "agent/weights" not in read


def test_out_is_no_file(runs, tmp_path):
    file = tmp_path / "evaluation.json"
    refused(call("rl", runs=runs[0], out=file, **FLAGS), f"--out={file} ", f"folder, {tmp_path}")
    assert not file.exists()


def test_what_belongs_to_another_test_is_refused(runs, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    signalled(monkeypatch, "random_scores", signal.SIGINT, when=1)
    # Nothing is kept of a test that has no part yet.
    refused(call("rl", runs=run, **FLAGS), "0 of 5 parts")
    assert not (run / "evaluation.unfinished.json").exists()
    signalled(monkeypatch, "play_episodes", signal.SIGINT, when=1)
    refused(call("rl", runs=run, **FLAGS), "2 of 5 parts")
    unfinished = run / "evaluation.unfinished.json"
    before = unfinished.read_bytes()

    def is_refused(*words, runs=run, **changes):
        result = call("rl", runs=runs, out=run, **FLAGS | changes)
        refused(result, str(unfinished), *words, "delete", "--out")

    is_refused("2 episodes", test_episodes=3)
    is_refused("seeds 3,1", seeds="3")
    is_refused("other runs", run, runs=runs[1])
    is_refused("other runs", run, runs=f"{run},{runs[1]}")
    best = run / "checkpoints" / "best.npz"
    trained_on = load(best)
    trained_on[min(trained_on)] += 1
    save(best, trained_on)
    is_refused("best checkpoint", run)
    assert unfinished.read_bytes() == before
    unfinished.write_text(before.decode().replace('"scores"', '"score"'))
    is_refused("damaged", "scores")
    unfinished.write_text("{")
    is_refused("damaged", "JSON")
    unfinished.unlink()
    (run / "evaluation.json").write_text("{")
    refused(call("rl", runs=run, **FLAGS), run / "evaluation.json", "JSON", "delete it, and test")
