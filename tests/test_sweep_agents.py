"""`python -m run.sweep --program=rl`: a grid of agents, on keypoints of their own, and tests."""

import json
import re
import shutil
from pathlib import Path

import pytest
from absl import flags as absl_flags
from support import TINY_AGENT, call, refused, refuses, write_keypoints

from flags import sweep
from permakey_tf.errors import UserError
from permakey_tf.launch import agents, plan
from permakey_tf.launch.local import Job, Launcher, Process, run_all
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.progress import read_agent_progress
from permakey_tf.scores.evaluation_file import read_evaluation

ROOT = Path(__file__).parents[1]


def parsed(*arguments) -> sweep.Sweep:
    values = absl_flags.FlagValues()
    sweep.define(values)
    values(["program", "--program=rl", *map(str, arguments)])
    return sweep.from_flags(values)


# ------------------------------------------------------------------------------------------- grid


GRID = ("--grid=game=mspacman", "--grid=sweep=a b", "--grid=seed=0 1")


class TestGrid:
    def test_each_run_has_keypoints_of_its_own_and_each_cell_a_test(self):
        command = parsed(*GRID, "--keypoints=runs/{sweep}/seed-{seed}_{game}", "--out=o")
        runs = {run.name: run for run in command.runs}
        assert list(runs) == [
            "game-mspacman_sweep-a_seed-0",
            "game-mspacman_sweep-a_seed-1",
            "test_game-mspacman_sweep-a",
            "game-mspacman_sweep-b_seed-0",
            "game-mspacman_sweep-b_seed-1",
            "test_game-mspacman_sweep-b",
        ]
        second, test = runs["game-mspacman_sweep-b_seed-1"], runs["test_game-mspacman_sweep-b"]
        assert second.keypoints == "runs/b/seed-1_mspacman"
        assert second.job.command[3:] == [
            *("--keypoints=runs/b/seed-1_mspacman", "--game=mspacman", "--seed=1"),
            "--logdir=o/game-mspacman_sweep-b_seed-1",
        ]
        assert (second.agent.learning.seed, "sweep" in second.given) == (1, False)
        folders = ("o/game-mspacman_sweep-b_seed-0", "o/game-mspacman_sweep-b_seed-1")
        assert test.runs == folders
        assert test.job.after == ("game-mspacman_sweep-b_seed-0", "game-mspacman_sweep-b_seed-1")
        assert test.job.command[3:] == [
            *("--mode=evaluate", f"--runs={','.join(folders)}", "--seeds=0,1,2,3,4,5,6,7,8,9"),
            *("--test_episodes=10", "--out=o/tests/game-mspacman_sweep-b"),
        ]

    def test_a_test_comes_after_the_last_of_its_cell(self):
        seeds_first = parsed("--grid=seed=0 1", "--grid=n_step=3 5", "--keypoints=k")
        assert [run.name for run in seeds_first.runs] == [
            *("seed-0_n_step-3", "seed-0_n_step-5", "seed-1_n_step-3", "test_n_step-3"),
            *("seed-1_n_step-5", "test_n_step-5"),
        ]
        (_, _, test) = parsed("--grid=seed=0 1", "--keypoints=k").runs
        assert test.name == "test_all"

    def test_values_stand_in_the_keypoints_folder_as_sweeps_name_them(self):
        point = {"flagfile": "flags/games/seaquest.cfg", "lsp_layers": "0,1"}
        template = "runs/flagfile-{flagfile}_lsp_layers-{lsp_layers}"
        assert agents.fill_in_axes(template, point) == f"runs/{plan.run_name(point)}"

    def test_the_keypoints_may_stand_in_a_flag_file(self, tmp_path):
        (tmp_path / "run.cfg").write_text("--keypoints=there\n--encoder=cnn\n")
        run, _ = parsed("--grid=seed=0", f"--run_flagfile={tmp_path / 'run.cfg'}").runs
        assert (run.keypoints, run.agent.encoder.encoder) == ("there", "cnn")


@pytest.mark.parametrize(
    ("arguments", "words", "settings"),
    [
        (["--grid=seed=0"], ["--keypoints is needed"], []),
        (["--grid=method=a b", "--keypoints=k"], ["--method", "{method}"], []),
        (["--grid=encodr=gnn", "--keypoints=k"], ["did you mean encoder"], []),
        (["--grid=seed=0", "--keypoints=k-{sed}"], ["axis sed", "has seed"], ["keypoints"]),
        (["--grid=seeds=0 1", "--keypoints=k"], ["--seeds is no axis"], []),
        (["--grid=seed=0", "--keypoints=k", "--seeds=0,0"], ["--seeds", "different"], ["seeds"]),
        (["--grid=encoder=gnn rnn", "--keypoints=k"], ["run encoder-rnn", "cnn, gnn"], []),
        (["--grid=seed=0 0", "--keypoints=k"], ["two runs", "seed-0"], ["grid"]),
        (["--grid=seed=0 00", "--keypoints=k"],
         ["same training", "seed=0 and seed=00"], ["grid", "seed"]),
        (["--grid=game=mspacman MsPacman", "--keypoints=k"],
         ["game-mspacman and game-MsPacman"], ["grid", "game"]),
        (["--grid=encoder=gnn", "--grid=cnn_units=8 16", "--keypoints=k"],
         ["cnn_units does nothing without encoder=cnn"], ["grid", "cnn_units", "encoder"]),
        (["--grid=keypoints=a b", "--keypoints=k"], ["--keypoints", "beside --grid=keypoints"], []),
    ],
)  # fmt: skip
def test_refusals_of_flags(arguments, words, settings):
    with refuses(*words, settings=settings):
        parsed(*arguments)


def test_the_advice_on_env_kwargs_holds_in_a_grid():
    file = "--run_flagfile=flags/presets/quick.cfg"
    axes = "source=gymnasium", "env_id=CartPole-v1", "game=c", "num_keypoints=2"
    gym = [file, *(f"--grid={axis}" for axis in axes)]
    with pytest.raises(UserError, match="no JSON") as caught:
        parsed("--program=keypoints", *gym, '--grid=env_kwargs={"a": 1}')
    example = re.search("such as '(.*)'$", str(caught.value))[1]
    (run,) = parsed("--program=keypoints", *gym, f"--grid=env_kwargs={example}").runs
    assert json.loads(run.wanted.collection.env_kwargs) == {"highlight": False}


@pytest.mark.parametrize(
    ("axis", "keypoints"), [("sweep=a b", "k-{sweep}"), ("summary_every=10 20", "k")]
)
def test_keypoints_and_reports_tell_agents_apart(axis, keypoints):
    command = parsed(f"--grid={axis}", f"--keypoints={keypoints}")
    assert [run.what for run in command.runs].count("run") == 2


@pytest.mark.parametrize("flag", ["--keypoints=k", "--seeds=1", "--test_episodes=2"])
def test_flags_of_agents_have_no_meaning_for_keypoints(flag):
    with refuses(f"{flag.partition('=')[0]} ", "--program=keypoints"):
        parsed("--program=keypoints", "--grid=seed=0", flag)


# ---------------------------------------------------------------------------------- order of jobs


class Ended(Process):
    def __init__(self, failure):
        self.where, self._failure = "here", failure

    def poll(self):
        return self._failure


class InThisProcess(Launcher):
    """Runs a job of run.rl where the tests run; `started` has the names of all."""

    poll_seconds = 0.0

    def __init__(self, slots=1, bad=()):
        self.slots, self.started, self._bad = slots, [], bad

    def owns(self, name):
        return False

    def start(self, job):
        self.started.append(job.name)
        if job.name in self._bad:
            return Ended("exit code 3")
        if not job.command:
            return Ended("")
        result = call("rl", *job.command[3:])
        job.log.write_text(result.stdout + result.stderr)
        return Ended(f"exit code {result.returncode}" if result.returncode else "")


class TestJobsThatComeAfterOthers:
    def job(self, folder, name, *after):
        return Job(name, [], folder / f"{name}.log", after)

    def test_they_wait_and_others_go_first(self, tmp_path):
        class Slow(InThisProcess):
            """The first job ends when another was started."""

            def start(self, job):
                process = super().start(job)
                if job.name == "a":
                    process.poll = lambda: "" if len(self.started) > 1 else None
                return process

        launcher = Slow(2)
        jobs = [self.job(tmp_path, "a"), self.job(tmp_path, "test", "a"), self.job(tmp_path, "b")]
        outcome = run_all(jobs, launcher)
        assert launcher.started == ["a", "b", "test"]
        assert sorted(outcome.finished) == ["a", "b", "test"]

    def test_what_is_not_of_the_batch_is_not_waited_for(self, tmp_path):
        assert run_all([self.job(tmp_path, "t", "before")], InThisProcess()).finished == ["t"]

    def test_after_a_failure_they_are_not_started(self, tmp_path, capfd):
        launcher = InThisProcess(1, bad=["a"])
        jobs = [
            self.job(tmp_path, "a"), self.job(tmp_path, "test", "a", "b"),
            self.job(tmp_path, "b"), self.job(tmp_path, "next", "test"),
        ]  # fmt: skip
        outcome = run_all(jobs, launcher)
        assert launcher.started == ["a", "b"]
        assert (outcome.finished, list(outcome.failed)) == (["b"], ["a"])
        assert outcome.not_started == ["test", "next"]
        assert "not started test: a is not finished" in capfd.readouterr().out


# ------------------------------------------------------------------------------------ whole sweeps


@pytest.fixture(scope="module")
def vision(tmp_path_factory):
    """Keypoint runs that say they are of two seeds."""
    folder = tmp_path_factory.mktemp("vision")
    (folder / "0").mkdir()
    write_keypoints(folder / "0")
    shutil.copytree(folder / "0", folder / "1")
    file = folder / "1" / "keypoints" / "config.json"
    content = json.loads(file.read_text())
    content["settings"]["training"]["seed"] = 1
    file.write_text(json.dumps(content))
    return folder


class Sweep:
    """A sweep of tiny agents in a folder, its jobs in this process."""

    def __init__(self, folder, vision, monkeypatch):
        self.folder, self.vision = folder, vision
        # Without updates, whose tracing would take most of the time.
        changes = {"num_steps": 20, "validate_every": 20, "epsilon_steps": 20, "learn_start": 99}
        tiny = TINY_AGENT | changes | {"encoder": "cnn", "validation_episodes": 1}
        lines = [f"--{name}={value}" for name, value in tiny.items()]
        (folder / "run.cfg").write_text("\n".join(lines))
        self._monkeypatch = monkeypatch

    def call(self, *more, bad=()):
        """(result, names of the jobs that were started)."""
        launcher = InThisProcess(bad=bad)
        self._monkeypatch.setattr("run.sweep.make_launcher", lambda command: launcher)
        flags = {
            "program": "rl", "run_flagfile": self.folder / "run.cfg", "out": self.folder / "out",
            "keypoints": f"{self.vision}/{{seed}}/keypoints", "seeds": "3,4", "test_episodes": 1,
        }  # fmt: skip
        words = [f"--{k}={v}" for k, v in flags.items() if not any(f"--{k}=" in m for m in more)]
        result = call("sweep", *words, *more)
        return result, launcher.started

    def states(self, *more):
        result, started = self.call("--dry_run", *more)
        assert (result.returncode, started) == (0, []), result.stderr
        lines = [line for line in result.stdout.splitlines() if line.startswith("# ")]
        return dict(line[2:].split(": ", 1) for line in lines)


@pytest.fixture
def agents_of_two_seeds(tmp_path, vision, monkeypatch):
    return Sweep(tmp_path, vision, monkeypatch)


def test_a_sweep_trains_tests_skips_and_takes_more(agents_of_two_seeds):
    run, out = agents_of_two_seeds, agents_of_two_seeds.folder / "out"
    result, started = run.call("--grid=seed=0", bad=["test_all"])
    assert (result.returncode, started) == (1, ["seed-0", "test_all"])
    assert "1 of 2 (1 run and 1 test) failed: test_all" in result.stderr
    assert run.states("--grid=seed=0") == {"seed-0": "finished", "test_all": "new"}

    # A run of an earlier version, whose defaults were others, is found all the same.
    config = out / "seed-0" / "config.json"
    text = config.read_text()
    content = json.loads(text)
    for name in ("overlap", "jit_compile"):
        del content["settings"]["learning"][name]
    config.write_text(json.dumps(content))
    assert run.states("--grid=seed=0")["seed-0"] == "finished"
    config.write_text(text)

    # Another seed, on keypoints of its own; what is there is not made again.
    result, started = run.call("--grid=seed=0 1")
    assert (result.returncode, started) == (0, ["seed-1", "test_all"]), result.stderr
    assert "2 runs and 1 test, 1 finished before" in result.stdout
    names = f"{out / 'seed-0'},{out / 'seed-1'}"
    assert result.stdout.splitlines()[-1] == f"finished run folders: {names}"
    evaluation = read_evaluation(out / "tests" / "all" / "evaluation.json")
    assert [Path(one.run).name for one in evaluation.policies] == ["seed-0", "seed-1"]
    assert [one.train_seed for one in evaluation.policies] == [0, 1]
    assert (evaluation.seeds, evaluation.scores.shape) == ((3, 4), (2, 2, 1))
    for seed in (0, 1):
        own = AgentFolder.open(out / f"seed-{seed}").keypoints.config.training.seed
        assert own == seed
    assert run.call("--grid=seed=0 1")[1] == []
    # A test of more runs is one of these too, but is not replaced by one of fewer.
    assert run.states("--grid=seed=0") == {"seed-0": "finished", "test_all": "finished"}
    result, started = run.call("--grid=seed=0", "--test_episodes=2")
    refused(result, "run test_all", f"also of {out / 'seed-1'}", "--out")
    assert started == []

    # The same test with its seeds in another order; and one of what an agent was before.
    assert run.states("--grid=seed=0 1", "--seeds=4,3")["test_all"] == "finished"
    best = AgentFolder.open(out / "seed-0").best_checkpoint
    weights = checkpoint.load(best)
    checkpoint.save(best, weights | {min(weights): weights[min(weights)] + 1})
    assert run.states("--grid=seed=0 1") == {
        "seed-0": "finished", "seed-1": "finished", "test_all": "new",
    }  # fmt: skip
    checkpoint.save(best, weights)
    assert run.states("--grid=seed=0 1")["test_all"] == "finished"

    # A copy of the sweep has tests of its own runs; earlier versions' files cannot tell.
    copy = shutil.copytree(out, run.folder / "copy")
    more = "--grid=seed=0 1", "--test_episodes=2", f"--out={copy}"
    assert run.states(*more)["test_all"] == "new"
    file = copy / "tests" / "all" / "evaluation.json"
    file.write_text(re.sub(r', "weights": "\w+"', "", file.read_text()))
    refused(run.call(*more, "--dry_run")[0], "run test_all", f"also of {out / 'seed-0'}", "--out")

    # More steps: trained on, and tested again.
    assert run.states("--grid=seed=0 1", "--grid=num_steps=20")["seed-0_num_steps-20"] == "new"
    longer = run.folder / "run.cfg"
    longer.write_text(longer.read_text().replace("--num_steps=20", "--num_steps=30"))
    assert run.states("--grid=seed=0 1") == {
        "seed-0": "interrupted at step 20", "seed-1": "interrupted at step 20", "test_all": "new",
    }  # fmt: skip
    result, started = run.call("--grid=seed=0 1")
    assert (result.returncode, started) == (0, ["seed-0", "seed-1", "test_all"]), result.stderr
    assert read_agent_progress(AgentFolder.open(out / "seed-0")).step == 30
    evaluation = read_evaluation(out / "tests" / "all" / "evaluation.json")
    assert [one.num_steps for one in evaluation.policies] == [30, 30]

    kept = run.folder / "kept"
    result = call("report", f"--collect={kept}", f"--runs={out}")
    cell = kept / "mspacman_permakey_cnn_k3_none_filters-4+4_30-steps"
    assert result.stdout == f"collected: {cell}\n", result.stderr
    assert (cell / "seed-1" / "metrics.csv").read_bytes() == (
        (out / "seed-1" / "metrics.csv").read_bytes()
    )


def test_keypoints_that_are_missing_or_unfinished_are_refused_before_anything_starts(
    agents_of_two_seeds, tmp_path
):
    run = agents_of_two_seeds
    result, started = run.call("--grid=seed=0 7")
    refused(result, "run seed-7: --keypoints=", "/7/keypoints", "train them")
    assert started == [] and not (tmp_path / "out").exists()
    shutil.copytree(run.vision / "0" / "keypoints", tmp_path / "half" / "0" / "keypoints")
    file = tmp_path / "half" / "0" / "keypoints" / "checkpoints" / "latest.npz"
    file.unlink()
    run.vision = tmp_path / "half"
    refused(run.call("--grid=seed=0")[0], "run seed-0: --keypoints=", "resume them")
    # Of a run that was evaluated, what only resuming needs may be gone.
    (file.parents[1] / "evaluation.json").write_text('{"steps": 2}')
    result, started = run.call("--grid=seed=0", "--dry_run")
    assert (result.returncode, started) == (0, []), result.stderr


def test_a_test_of_something_else_is_left_alone(agents_of_two_seeds, tmp_path):
    place = tmp_path / "out" / "tests" / "all" / "evaluation.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"split": "test", "losses": {}}))
    refused(agents_of_two_seeds.call("--grid=seed=0")[0], "run test_all", place, "no test", "--out")


def test_an_unfinished_test_of_others_is_told_before_anything_starts(agents_of_two_seeds, tmp_path):
    """Its command would refuse to start, after all training."""
    sweep = agents_of_two_seeds
    place = tmp_path / "out" / "tests" / "all"
    place.mkdir(parents=True)

    def unfinished(runs, seeds=(3, 4), episodes=1):
        test = {"runs": runs, "weights": ["x"] * len(runs), "seeds": seeds, "episodes": episodes}
        content = {"format_version": 1, "test": test, "played": {}}
        (place / "evaluation.unfinished.json").write_text(json.dumps(content))
        return sweep.call("--grid=seed=0 1", "--dry_run")

    both = [str(tmp_path / "out" / f"seed-{seed}") for seed in (0, 1)]
    assert unfinished(both)[0].returncode == 0
    refused(unfinished(both[:1])[0], "other runs", "seed-0", "delete", "--out")
    refused(unfinished(both, seeds=(3,))[0], "unfinished", "seeds 3")
    refused(unfinished(both, episodes=2)[0], "unfinished", "2 episodes")


def folders_of(*arguments) -> set[str]:
    values = absl_flags.FlagValues()
    sweep.define(values)
    values(["program", *arguments])
    return {run.folder for run in sweep.from_flags(values).runs}


def test_the_tables_agents_see_with_keypoints_that_the_keypoint_sweeps_make(monkeypatch):
    monkeypatch.chdir(ROOT)
    files = ROOT / "flags" / "sweeps"
    made = folders_of(f"--flagfile={files / 'table3_keypoints.cfg'}")
    games = "--grid=game=mspacman frostbite seaquest battlezone"
    for name in ("quality", "quality_transporter"):
        made |= folders_of(f"--flagfile={files / name}.cfg", "--grid=noise=none both", games)
    wanted = {}
    for name in ("table1_gnn", "table1_cnn", "table2", "table3", "tracked", "controls"):
        runs = parsed(f"--flagfile={files / name}.cfg").runs
        wanted[name] = {run.folder for run in runs}
        assert {run.keypoints for run in runs if run.what == "run"} <= made
    assert len(wanted["tracked"] & wanted["table1_gnn"]) == 4  # three agents and their test
    assert not wanted["table2"] & wanted["table1_gnn"]
