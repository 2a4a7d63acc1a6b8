"""`python -m run.data` from end to end, as users start it."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from absl import flags as absl_flags
from support import call, refused, refuses, write_store

from flags import keypoints as keypoint_flags
from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS, CollectionConfig, canonical_game
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import MadeMeanwhileError
from permakey_tf.envs.atari import find_rom
from permakey_tf.training import request

ROOT = Path(__file__).parents[1]
GAMES = sorted((ROOT / "flags/games").glob("*.cfg"))


def command(*arguments):
    return [sys.executable, "-m", "run.data", *map(str, arguments)]


def test_help_explains_every_flag_without_loading_tensorflow():
    code = (
        "import sys, runpy\n"
        "sys.argv = ['run.data', '--help']\n"
        "try: runpy.run_module('run.data', run_name='__main__', alter_sys=True)\n"
        "finally: assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "AssertionError" not in result.stderr
    fields = [field.name for field in dataclasses.fields(CollectionConfig)]
    names = [name.replace("collect_seed", "seed") for name in fields]
    for name in [*names, "out"]:
        assert re.search(rf"^  --(\[no\])?{name}: ", result.stdout, re.MULTILINE), name


def test_a_store_is_made_and_described(tmp_path):
    arguments = ("--game=Breakout", "--num_frames=100", "--split=8,1,1", "--max_episode_steps=30")
    out = tmp_path / "new" / "store"
    first = call("data", *arguments, "--seed=3", f"--out={out}")
    assert first.returncode == 0, first.stderr
    store = FrameStore.open(out, verify_hash=True)
    assert store.frames.shape == (100, 84, 84, 3)
    assert len(np.unique(store.frames.reshape(100, -1), axis=0)) > 50  # the game moves
    assert f"frame store: {out}" in first.stdout
    assert "80 train, 10 validation, 10 test (5 episodes)" in first.stdout
    assert f"hash: {store.content_hash}" in first.stdout
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["game"], manifest["source"], manifest["seed"]) == ("breakout", "ale", 3)
    assert manifest["config"]["max_episode_steps"] == 30 and manifest["versions"]["ale-py"]

    # As a process of its own: how common.start ends it.
    again = subprocess.run(
        command(*arguments, "--seed=3", f"--out={out}"),
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert again.returncode == 1
    assert again.stderr.splitlines() == [
        f"error: {out}: exists already; delete it or choose another folder"
    ]
    other = call("data", *arguments, "--seed=4", f"--out={tmp_path / 'other'}")
    assert f"hash: {store.content_hash}" not in other.stdout and "hash: " in other.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--gamee=pong"], 2, ["gamee"]),
        (["pong"], 2, ["'pong'"]),
        (["--num_frames=many"], 2, ["num_frames"]),
        (["--num_frames=2"], 1, ["--num_frames=2", ">= 3"]),
        (["--seed=-1"], 1, ["--seed=-1", ">= 0"]),
        (["--source=disk"], 1, ["--source=disk", "ale, npz"]),
        (["--game=mspackman"], 1, ["did you mean mspacman"]),
        (["--source=npz"], 1, ["--npz ", "--source=npz"]),
        (["--source=npz", "--npz=/nowhere", "--game=mine"], 1, ["--npz=/nowhere", "no such"]),
        (["--source=images", "--images=film.mp4"], 1, ["--game is needed", "--source=images"]),
        (["--split=1,2"], 1, ["--split", "three"]),
        (["--image_size=30"], 1, ["--image_size=30", "multiple of 4"]),
    ],
)
def test_mistakes_are_one_clear_line_and_make_nothing(tmp_path, arguments, code, words):
    result = call("data", *arguments, out=tmp_path / "store")
    assert result.returncode == code
    refused(result, *words)
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_process_of_its_own_ends_with_the_same_line_and_code(tmp_path):
    """The other tests of mistakes call the same functions within their own process."""
    mistyped = subprocess.run(
        command("--gamee=pong"), capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    here = call("data", gamee="pong")
    assert (mistyped.returncode, mistyped.stderr) == (2, here.stderr)


def test_a_store_that_another_process_has_made_meanwhile_is_used(tmp_path, monkeypatch, capsys):
    def slower(collection, path):
        write_store(Path(path), game="mspacman")
        raise MadeMeanwhileError(path)

    values = absl_flags.FlagValues()
    keypoint_flags.define(values)
    values(["program", f"--data_dir={tmp_path / 'store'}", "--image_size=20"])
    monkeypatch.setattr(request, "build_store", slower)
    store = request.open_or_collect(keypoint_flags.from_flags(values))
    assert store.path == tmp_path / "store"
    assert "made by another process meanwhile, and is used" in capsys.readouterr().out


def wait_for_frames(folder, process):
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size > 500_000 for file in folder.glob(".*/frames.npy")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_leaves_no_store_and_the_next_succeeds(tmp_path, end):
    out = tmp_path / "store"
    process = subprocess.Popen(
        command("--game=pong", f"--out={out}"), stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    wait_for_frames(tmp_path, process)
    process.send_signal(end)
    _, messages = process.communicate(timeout=30)
    assert process.returncode != 0 and "Traceback" not in messages
    with refuses(out, "no such"):
        FrameStore.open(out)
    assert len(list(tmp_path.iterdir())) == (1 if end == signal.SIGKILL else 0)
    assert call("data", game="pong", num_frames=20, out=out).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_each_game_of_the_papers_has_a_flag_file():
    assert {file.stem for file in GAMES} == set(PAPER_NUM_KEYPOINTS)


@pytest.mark.parametrize("file", GAMES, ids=lambda file: file.stem)
def test_flag_files_fit_run_data_and_run_keypoints(file):
    """Both read them, so --seed, which means different things to them, must not occur. The agent
    reads them too, and knows no settings of collecting: those must be under --undefok."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    settings = dict(line.removeprefix("--").split("=") for line in lines)
    unknown_to_the_agent = set(filter(None, settings.pop("undefok", "").split(",")))
    assert unknown_to_the_agent == {name for name in settings if name.startswith("lookahead")}
    assert canonical_game(settings["game"]) == file.stem and find_rom(settings["game"])
    assert set(settings) <= {field.name for field in dataclasses.fields(CollectionConfig)}
    arguments = {name: int(v) if v.isdigit() else v for name, v in settings.items()}
    CollectionConfig(**arguments)
