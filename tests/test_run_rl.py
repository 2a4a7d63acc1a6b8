"""`python -m run.rl` on tiny settings: trained, killed, resumed, tested, refused."""

import csv
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import processes
import pytest
from support import TINY_AGENT as TINY
from support import (
    TINY_FLAGS,
    call,
    parsed,
    refused,
    refuses,
    run_folder,
    tiny_config,
    write_agent,
    write_keypoints,
)

from flags import rl as rl_flags
from permakey_tf.configs.agent import AgentConfig, EnvironmentConfig
from permakey_tf.envs.atari import AtariGame
from permakey_tf.launch import quick
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.checkpoint import load, save
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.scores.evaluation import AgentSpec, Evaluation, PolicySpec, Rules
from permakey_tf.scores.evaluation_file import read_evaluation, write_evaluation
from permakey_tf.system.seeds import ROLES, episode_seed
from permakey_tf.training.match import refuse_another_environment

ROOT = Path(__file__).parents[1]
CNN = {"encoder": "cnn", "sticky_actions": 0.25}  # the emulator draws, and must draw the same again


@pytest.fixture(scope="module")
def keypoints(tmp_path_factory):
    return write_keypoints(tmp_path_factory.mktemp("vision"), noise="vertical")


def arguments(**flags):
    return [f"--{name}={value}" for name, value in flags.items()]


def run(**flags):
    return processes.run("run.rl", arguments(**flags))


def call_rl(**flags):
    """As `run`, but within this process."""
    return call("rl", **flags)


def checkpoint(folder, name="latest"):
    with np.load(folder / "checkpoints" / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(keypoints, tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent") / "run"
    flags = arguments(keypoints=keypoints, logdir=folder, **TINY)
    command = [sys.executable, "-m", "run.rl", *flags]  # as users start it
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.fixture(scope="module")
def finished_cnn(keypoints, tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent") / "run"
    result = run(keypoints=keypoints, logdir=folder, **TINY, **CNN)
    assert result.returncode == 0, result.stderr
    return folder, result


class TestFinishedRun:
    def test_it_reports_scores_and_losses(self, finished):
        folder, result = finished
        table = rows(folder)
        assert [int(row["step"]) for row in table if row["validation/score"]] == [30, 60]
        assert [int(row["step"]) for row in table if row["train/loss"]] == [20, 30, 40, 50, 60]
        assert [float(row["train/episode_length"]) for row in table if row["train/episode_return"]]
        assert "best validation score" in result.stdout

    def test_epsilon_ends_where_it_should(self, finished):
        assert float([r for r in rows(finished[0]) if r["train/epsilon"]][-1]["train/epsilon"]) == (
            pytest.approx(0.1)
        )

    def test_games_are_cut_and_counted(self, finished):
        progress = checkpoint(finished[0])
        assert progress["progress/step"] == 60
        assert progress["progress/game"] == 2  # 22, 44, and 16 steps of the third
        assert progress["progress/game_step"] == 16
        # Two final observations, unless a life was lost with the last action of a game.
        assert 60 <= progress["progress/rows"] <= 62
        assert progress["progress/update"] == 12  # at 16, 20, ..., 60

    def test_the_replay_is_not_rewritten_by_checkpoints(self, finished):
        files = {path.name for path in (finished[0] / "replay").iterdir()}
        assert files == {
            f"{name}.dat"
            for name in ("features", "positions", "action", "reward", "terminal", "episode")
        }
        assert (finished[0] / "checkpoints" / "latest.npz").stat().st_size < 200_000

    def test_noise_is_the_keypoint_runs(self, finished):
        config = json.loads((finished[0] / "config.json").read_text())
        assert config["settings"]["environment"]["noise"] == "vertical"

    def test_the_run_records_its_seed_sets(self, finished):
        sets = json.loads((finished[0] / "config.json").read_text())["seeds"]
        assert set(sets) == {"train", "validation", "test"}
        assert len({record["spawn_key"][0] for record in sets.values()}) == 3
        for role in ("train", "validation"):
            entropy, (key, _) = sets[role]["entropy"], sets[role]["spawn_key"]
            recorded = np.random.SeedSequence(entropy, spawn_key=(key, 7))
            played = episode_seed(role, 0, 7)
            assert recorded.generate_state(4).tolist() == played.generate_state(4).tolist()

    def test_the_test_protocol_writes_every_score(self, finished, tmp_path):
        result = call_rl(
            mode="evaluate", runs=finished[0], seeds="3,1", test_episodes=2, out=tmp_path
        )
        assert result.returncode == 0, result.stderr
        evaluation = read_evaluation(tmp_path / "evaluation.json")
        assert evaluation.seeds == (3, 1)
        assert evaluation.scores.shape == (1, 2, 2)
        assert np.all(evaluation.lengths <= 22)
        assert evaluation.agent.num_keypoints == 3
        assert evaluation.agent.noise == "vertical"
        assert (evaluation.agent.cnn_filters, evaluation.agent.variant) == (None, "")
        assert evaluation.policies[0].checkpoint_step in (30, 60)
        assert f"{evaluation.aggregates.median_seed.mean:.1f}" in result.stdout
        assert (
            f"random play in the same games: {evaluation.random_scores.mean():.1f}" in result.stdout
        )
        assert f"repeats: {evaluation.repeats.describe(4)}" in result.stdout

        def screens(role, *games):
            game = AtariGame("mspacman")
            return [game.reset(episode_seed(role, *names)).tobytes() for names in games]

        test = screens("test", (3, 0), (3, 1), (1, 0), (1, 1))
        training = screens("train", (0, 0), (0, 1), (0, 2))
        assert evaluation.repeats.first_screens == len(set(test))
        assert evaluation.repeats.in_training == (sum(one in training for one in test),)

    def test_called_again_it_tells_the_results_without_loading_a_model(
        self, keypoints, finished, monkeypatch
    ):
        folder, first = finished
        monkeypatch.setitem(sys.modules, "permakey_tf.training.agent", None)  # refuses the import
        monkeypatch.setitem(sys.modules, "permakey_tf.system.device", None)
        monkeypatch.setattr(KeypointFolder, "load_model", None)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        result = call_rl(keypoints=keypoints, logdir=folder, **TINY)
        assert result.returncode == 0, result.stderr
        start, *results = result.stdout.splitlines()
        assert start == f"run folder: {folder} (finished at step 60)"
        assert results == first.stdout.splitlines()[-len(results) :] != []
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        assert after == before

    def test_one_that_is_worked_on_is_refused_before_a_model_is_loaded(
        self, keypoints, finished, tmp_path, monkeypatch
    ):
        shutil.copytree(finished[0], tmp_path / "run")
        monkeypatch.setitem(sys.modules, "permakey_tf.training.agent", None)
        latest = AgentFolder.open(tmp_path / "run").latest_checkpoint
        save(latest, load(latest) | {"progress/step": np.array(59)})
        with AgentFolder.open(tmp_path / "run").locked():
            result = call_rl(keypoints=keypoints, logdir=tmp_path / "run", **TINY)
        refused(result, tmp_path / "run", "in use")


def test_a_test_tells_which_runs_have_not_finished(keypoints, tmp_path):
    half, held, whole = (
        write_agent(tmp_path / name, keypoints, seed=seed, num_steps=60)
        for seed, name in enumerate(("half", "held", "whole"))
    )
    for folder, step in ((half, 40), (held, 59)):
        latest = folder.latest_checkpoint
        save(latest, load(latest) | {"progress/step": np.array(step)})
    runs = ",".join(str(folder.path) for folder in (half, held, whole))
    with held.locked():
        result = call_rl(mode="evaluate", runs=runs, seeds=3, test_episodes=1, out=tmp_path)
    assert result.returncode == 0, result.stderr
    notes = [line for line in result.stdout.splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: {half.path} is not trained to its end (at step 40 of 60)",
        f"note: {held.path} is being trained now (at step 59 of 60)",
    ]


@pytest.mark.parametrize(
    ("kind", "number", "steps"),
    [("finished", signal.SIGKILL, 20), ("finished_cnn", signal.SIGTERM, 40)],
)
def test_killed_and_resumed_it_ends_the_same(keypoints, request, tmp_path, kind, number, steps):
    finished = request.getfixturevalue(kind)
    folder = tmp_path / "run"
    flags = {"keypoints": keypoints, "logdir": folder, **TINY}
    if kind == "finished_cnn":
        flags |= CNN
    program = processes.Program("run.rl", arguments(**flags))
    deadline = time.monotonic() + 240
    while (
        not (folder / "metrics.csv").exists()
        or f"\n{steps}," not in (folder / "metrics.csv").read_text()
    ):
        assert program.poll() is None, program.errors
        assert time.monotonic() < deadline
        time.sleep(0.001)
    program.send_signal(number)
    code = program.wait()
    if number == signal.SIGTERM:
        assert code == 128 + number
    result = run(**flags)
    assert result.returncode == 0, result.stderr
    assert "lost" not in result.stdout
    for name in ("latest", "best"):
        ours, expected = checkpoint(folder, name), checkpoint(finished[0], name)
        assert set(ours) == set(expected)
        for key, array in expected.items():
            assert ours[key].tobytes() == array.tobytes(), key
    timed = {"agent_steps_per_second", "updates_per_second"}
    if number == signal.SIGKILL:  # a signal that saves may cut a report in two
        tables = [[{k: v for k, v in row.items() if k not in timed} for row in rows(path)]
                  for path in (folder, finished[0])]  # fmt: skip
        assert tables[0] == tables[1]


def test_the_convolutional_agent_on_any_gymnasium_environment(tmp_path):
    vision = write_keypoints(tmp_path, game="catch")
    flags = TINY | {"num_steps": 24, "validate_every": 24, "max_episode_steps": 50}
    result = call_rl(
        keypoints=vision, env_id="sprites:Catch-v0", encoder="cnn", logdir=tmp_path / "run",
        **flags,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "replay" / "frame.dat").exists()
    assert checkpoint(tmp_path / "run")["progress/step"] == 24


def test_without_keypoints_quick_ones_are_trained_once(tmp_path, monkeypatch, capfd):
    # The preset is found from where the command is typed: here stands a tiny one.
    preset = tmp_path / "flags" / "presets" / "quick.cfg"
    preset.parent.mkdir(parents=True)
    tiny = TINY_FLAGS | {
        "data_dir": "data", "policy": "random", "num_frames": 200, "split": "8,1,1",
        "max_steps": 2,
    }  # fmt: skip
    preset.write_text("".join(f"--{name}={value}\n" for name, value in tiny.items()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the process that trains the keypoints
    for encoder in ("gnn", "cnn"):
        flags = TINY | {"num_steps": 20, "validate_every": 20, "encoder": encoder}
        result = call_rl(game="Ms. Pac-Man", noise="both", **flags)
        assert result.returncode == 0, result.stderr
        assert "no keypoints are given: the quick preset's are trained first" in result.stdout
    vision = KeypointFolder.open(tmp_path / "runs" / "mspacman_permakey_quick_both_seed0")
    assert vision.config.training.noise == "both"
    for encoder in ("gnn", "cnn"):
        agent = AgentFolder.open(tmp_path / "runs" / f"mspacman_permakey_{encoder}_seed0")
        assert agent.keypoints.best_checkpoint.read_bytes() == vision.best_checkpoint.read_bytes()
    told = capfd.readouterr().out
    assert told.count("(at step 0 of 2)") == told.count("(finished at step 2)") == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gamma": 0.9}, ["gamma was 0.99, now 0.9"]),
        ({"noise": "both"}, ["noise was vertical, now both"]),
        ({}, ["noise was vertical, now none"]),
        # These could be the quick preset's, were they there.
        ({"noise": "vertical"}, ["_quick_vertical_seed0", "is missing", "--keypoints=run/keypoi"]),
        ({"noise": "vertical", "num_steps": 90},
         ["now 90", "--epsilon_steps=60", "stays at 0.1"]),
    ],
)  # fmt: skip
def test_a_run_that_has_begun_is_compared_before_quick_keypoints_are_trained(
    finished, tmp_path, monkeypatch, changes, words
):
    shutil.copytree(finished[0], tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quick, "run_in_foreground", None)
    refused(call_rl(game="Ms. Pac-Man", logdir="run", **TINY | changes), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(("tested", "words"), [(60, ""), (40, " (of step 40: test it again)")])
def test_a_finished_run_tells_whether_it_was_trained_on_since_its_test(
    finished, keypoints, tmp_path, tested, words
):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    evaluation = Evaluation(
        *("mspacman", "", Rules(), AgentSpec("permakey", "gnn", 3, "vertical", 60)),
        (PolicySpec("elsewhere/as_it_was_called", 0, tested, 30),),
        (0,),
        scores=np.ones([1, 1, 1]),
        lengths=np.ones([1, 1, 1], int),
        random_scores=np.ones([1, 1]),
    )
    write_evaluation(folder / "evaluation.json", evaluation)
    result = call_rl(keypoints=keypoints, logdir=folder, **TINY)
    assert f"evaluation: {folder / 'evaluation.json'}{words}\n" in result.stdout, result.stderr


def test_the_command_that_is_told_tests_the_run_whatever_its_name(finished, keypoints, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "o'clock, twelve")
    result = call_rl(keypoints=keypoints, logdir=folder, **TINY)
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("test it: "))
    program, *words = shlex.split(line.removeprefix("test it: python -m "))
    assert program == "run.rl" and parsed(rl_flags, *words).runs == [str(folder)]


def test_a_run_of_other_keypoints_than_the_quick_ones_is_refused(
    finished, keypoints, tmp_path, monkeypatch
):
    """Where the quick ones are there, they are not even looked for by their program."""
    shutil.copytree(finished[0], tmp_path / "run")
    vision = shutil.copytree(
        keypoints, tmp_path / "runs" / "mspacman_permakey_quick_vertical_seed0"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quick, "run_in_foreground", None)
    flags = TINY | {"noise": "vertical", "logdir": "run"}
    result = call_rl(**flags)
    assert "run folder: run (finished at step 60)" in result.stdout, result.stderr
    # Of a run that was evaluated, what only resuming needs may be gone.
    (vision / "evaluation.json").write_text('{"steps": 2}')
    KeypointFolder.open(vision).latest_checkpoint.unlink()
    result = call_rl(**flags)
    assert "run folder: run (finished at step 60)" in result.stdout, result.stderr
    best = KeypointFolder.open(vision).best_checkpoint
    save(best, {name: array + 1 for name, array in load(best).items()})
    refused(call_rl(**flags), "keypoint run was", "--keypoints=run/keypoints")


class TestRefusals:
    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ({"game": "seaquest"}, ["--game=seaquest", "keypoints of mspacman"]),
            ({"noise": "both"}, ["--noise=both", "noise=vertical"]),
            (
                {"keypoints": "/nowhere"},
                ["--keypoints=/nowhere", "no such", "RUN/keypoints"],
            ),
            ({"keypoints": __file__}, [__file__, "is a file"]),
            ({"polyak": 0}, ["--polyak=0", "> 0"]),
            ({"encoder": "mlp"}, ["--encoder=mlp"]),
            ({"env_id": "sprites:Steered-v0"}, ["discrete"]),
            ({"env_id": "sprites:Nowhere-v0"}, ["Nowhere"]),
            ({"env_id": "a:b:c"}, ["--env_id=a:b:c"]),
            ({"env_id": "nowhere:Some-v0"}, ["--env_id=nowhere:Some-v0"]),
            (
                {"env_id": "sprites:Catch-v0", "sticky_actions": 0.25},
                ["--sticky_actions=0.25", "nothing", "--env_id=sprites:Catch-v0"],
            ),
            ({"seeds": "1,2"}, ["--seeds", "--mode=train"]),
        ],
    )
    def test_one_line_that_names_the_flag(self, keypoints, tmp_path, flags, words):
        result = call_rl(**{"keypoints": keypoints, "logdir": tmp_path / "run"} | flags)
        refused(result, *words)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("played", "flags", "words"),
        [
            ("", {"env_id": "sprites:Catch-v0"}, ["--env_id=sprites:Catch-v0", "game mspacman"]),
            ("minigrid:Other-v0", {}, ["--env_id=minigrid:Other-v0"]),
        ],
    )
    def test_keypoints_of_another_environment(self, keypoints, tmp_path, played, flags, words):
        copied = shutil.copytree(keypoints, tmp_path / "copied")
        content = json.loads((copied / "config.json").read_text())
        content["frames"]["environment"] = record(played)
        (copied / "config.json").write_text(json.dumps(content))
        result = call_rl(keypoints=copied, logdir=tmp_path / "run", **flags)
        refused(result, copied, "keypoints of", *words)

    def test_keypoints_that_are_not_trained_to_their_end_are_told(self, keypoints, tmp_path):
        copied = shutil.copytree(keypoints, tmp_path / "copied")
        latest = KeypointFolder.open(copied).latest_checkpoint
        save(latest, load(latest) | {"progress/finished": np.array(False)})
        result = call_rl(keypoints=copied, game="seaquest", logdir=tmp_path / "run")
        refused(result, "keypoints of mspacman")
        assert f"note: {copied} is not trained to its end" in result.stdout

    @pytest.mark.parametrize(
        ("flags", "words"),
        [({}, ["--runs is needed"]), ({"runs": "/nowhere"}, ["/nowhere", "no run folder"])],
    )
    def test_a_test_needs_runs(self, flags, words):
        refused(call_rl(mode="evaluate", **flags), *words)

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ({"sticky_actions": 0.25}, ["--sticky_actions=0.25", "with 0.0"]),
            ({"game": "seaquest"}, ["--game=seaquest", "with mspacman"]),
            ({"logdir": "elsewhere"}, ["--logdir", "--mode=evaluate"]),
        ],
    )
    def test_a_policy_is_tested_as_it_was_trained(self, finished, flags, words):
        refused(call_rl(mode="evaluate", runs=finished[0], seeds="0", **flags), *words)

    def test_a_policy_is_tested_once(self, finished, tmp_path):
        copied = tmp_path / "copied"
        shutil.copytree(finished[0], copied)
        for other in (f"{finished[0]}/", copied):
            result = call_rl(mode="evaluate", runs=f"{finished[0]},{other}", out=tmp_path)
            refused(result, "--runs", finished[0], "one policy", "seed 0")

    def test_a_folder_that_cannot_be_made_is_told_before_the_games(self, finished, tmp_path):
        (tmp_path / "file").touch()
        result = call_rl(mode="evaluate", runs=finished[0], out=tmp_path / "file" / "out")
        refused(result, f"{tmp_path / 'file'} is no folder", "file/out")

    def test_policies_on_other_keypoints_are_not_tested_together(self, finished, tmp_path):
        other = tmp_path / "other"
        shutil.copytree(finished[0], other)
        for file in (other / "config.json", other / "keypoints" / "config.json"):
            file.write_text(file.read_text().replace('"max_steps": 2', '"max_steps": 3'))
        result = call_rl(mode="evaluate", runs=f"{finished[0]},{other}", out=tmp_path)
        refused(result, "--runs", "keypoints' max_steps is 2", "3 in", other)

    def test_keypoints_that_were_swapped_or_edited_are_not_seen_with(self, finished, tmp_path):
        """On evaluating, loading and resuming alike; the right ones, put back, are taken."""
        folder, other = tmp_path / "run", write_keypoints(tmp_path, noise="vertical", seed=1)
        shutil.copytree(finished[0], folder)
        config = AgentFolder.open(folder).config
        for name, content in (
            ("checkpoints/best.npz", (other / "checkpoints" / "best.npz").read_bytes()),
            ("config.json", (other / "config.json").read_bytes()),
        ):
            file = folder / "keypoints" / name
            right = file.read_bytes()
            file.write_bytes(content)
            with refuses(f"keypoints/{name}", "trained on"):
                AgentFolder.open(folder)
            keypoints = KeypointFolder.open(finished[0] / "keypoints")
            with refuses(f"keypoints/{name}", "trained on"):
                run_folder(AgentFolder, folder, config, keypoints)
            file.write_bytes(right)
            run_folder(AgentFolder, folder, config, keypoints)

    def test_other_settings_and_other_keypoints_in_the_same_folder(self, finished, tmp_path):
        folder, config = AgentFolder.open(finished[0]), AgentConfig()
        with refuses("num_steps was 60, now 100000", settings=["keypoints", "logdir"]):
            run_folder(AgentFolder, folder.path, config, folder.keypoints)
        other = KeypointFolder.open(write_keypoints(tmp_path, noise="vertical", seed=1))
        with refuses("keypoint run was", settings=["keypoints", "logdir"]):
            run_folder(AgentFolder, folder.path, folder.config, other)


def record(env_id, kwargs=None, package=None, version=None):
    package = package or ("sprites" if env_id else "ale-py")
    return {"id": env_id, "kwargs": kwargs or {}, "package": package, "version": version}


@pytest.mark.parametrize(
    ("then", "now", "kwargs", "same"),
    [
        (record("sprites:Catch-v0"), "sprites:Catch-v0", {}, True),
        (record("Catch-v0"), "sprites:Catch-v0", {}, True),
        (record("sprites:Catch-v0"), "sprites:Steered-v0", {}, False),
        (record("sprites:Catch-v0", package="others"), "sprites:Catch-v0", {}, False),
        (record("sprites:Catch-v0", {"size": 9}), "sprites:Catch-v0", {"size": 9}, True),
        (record("sprites:Catch-v0", {"size": 9}), "sprites:Catch-v0", {}, False),
        (record("sprites:Catch-v0"), "sprites:Catch-v0", {"size": 9}, False),
        (record(""), "ALE/MsPacman-v5", {}, True),
        (record(""), "ALE/Pong-v5", {}, False),
        (record(""), "sprites:Catch-v0", {}, False),
        (None, "sprites:Catch-v0", {}, True),
    ],
)
def test_an_agent_plays_what_its_keypoints_come_from(tmp_path, capsys, then, now, kwargs, same):
    frames = FrameSpec("mspacman", 20, 3, "hash", then)
    keypoints = KeypointFolder(tmp_path, tiny_config(), frames)
    package = "ale-py" if now.startswith("ALE") else "sprites"
    game = types.SimpleNamespace(
        environment=types.SimpleNamespace(record=record(now, kwargs, package, "2.0"))
    )
    environment = EnvironmentConfig(env_id=now, env_kwargs=json.dumps(kwargs))
    if same:
        refuse_another_environment(environment, game, keypoints)
        note = "does not say which environment" if then is None else "2.0 is installed"
        assert note in capsys.readouterr().out
        return
    with refuses(f"env_id={now}", "keypoints of ", settings=["env_id", "env_kwargs"]):
        refuse_another_environment(environment, game, keypoints)


def test_a_run_without_or_with_a_wrong_record(tmp_path):
    old = {"game": "toy", "image_size": 20, "channels": 3, "content_hash": "hash"}
    assert FrameSpec(**old).environment is None
    with refuses("environment.id", "text"):
        FrameSpec(**old, environment=record(None))
    folder = run_folder(KeypointFolder, tmp_path / "run", tiny_config(), FrameSpec(**old))
    save(folder.latest_checkpoint, {})
    # The store was made anew, by a version that records: the frames are the same.
    frames = FrameSpec(**old, environment=record("sprites:Catch-v0"))
    run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)


def test_training_validation_and_test_never_share_a_game():
    states = {
        tuple(episode_seed(role, seed, episode).generate_state(4))
        for role in ROLES
        for seed in range(20)
        for episode in range(50)
    }
    assert len(states) == len(ROLES) * 20 * 50
