"""`python -m run.sweep`: the grid and its names, refusals, launching, and whole sweeps."""

import dataclasses
import fcntl
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import fake_slurm
import numpy as np
import pytest
from absl import flags as absl_flags
from support import TINY_FLAGS, call, moving_square, refused, refuses, run_folder, write_store

from flags import sweep
from permakey_tf.launch import plan
from permakey_tf.launch.local import (
    Job,
    LocalLauncher,
    describe_exit,
    last_lines,
    run_all,
    run_in_foreground,
)
from permakey_tf.launch.slurm import SlurmLauncher, SlurmRequest
from permakey_tf.runs import checkpoint
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.runs.progress import KeypointProgress
from permakey_tf.system.interruption import deferred
from permakey_tf.training.request import open_store
from run.sweep import make_launcher

ROOT = Path(__file__).parents[1]
SWEEP_FILES = sorted((ROOT / "flags" / "sweeps").glob("*.cfg"))
PATIENCE = 300  # seconds; for what takes a few on a machine with nothing else to do


def parsed(*arguments) -> sweep.Sweep:
    values = absl_flags.FlagValues()
    sweep.define(values)
    values(["program", *map(str, arguments)])
    return sweep.from_flags(values)


def wait_until(holds, process=None):
    """Waits until `holds()`; fails where `process`, which is to bring that about, ends before."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ------------------------------------------------------------------------------------------- grid


class TestGrid:
    def test_the_product_by_hand(self):
        grid = sweep.parse_grid(["seed=0 1", "lsp_layers=0 0,1 2,3"])
        assert grid == {"seed": ["0", "1"], "lsp_layers": ["0", "0,1", "2,3"]}
        assert [tuple(point.values()) for point in plan.grid_points(grid)] == [
            ("0", "0"), ("0", "0,1"), ("0", "2,3"), ("1", "0"), ("1", "0,1"), ("1", "2,3"),
        ]  # fmt: skip

    def test_a_later_axis_of_the_same_name_replaces_the_first_in_its_place(self):
        grid = sweep.parse_grid(["seed=0", "noise=none both", "seed=1 2"])
        assert list(grid.items()) == [("seed", ["1", "2"]), ("noise", ["none", "both"])]

    @pytest.mark.parametrize(
        ("point", "name"),
        [
            ({"game": "mspacman", "noise": "both", "seed": "0"}, "game-mspacman_noise-both_seed-0"),
            ({"lsp_layers": "0,1,2"}, "lsp_layers-0+1+2"),
            ({"data_dir": "data/{game}_small", "learning_rate": "1e-3"},
             "data_dir-data-game-_small_learning_rate-1e-3"),
            ({"flagfile": "flags/games/seaquest.cfg"}, "flagfile-seaquest"),
        ],
    )  # fmt: skip
    def test_names(self, point, name):
        assert plan.run_name(point) == name

    def test_a_run_keeps_its_folder_when_an_axis_gets_more_values(self):
        flags = ["--out=o", "--grid=noise=none both"]
        one, two = (parsed(*flags, f"--grid=seed={seeds}") for seeds in ("0", "0 1"))
        folders = {run.wanted.logdir for run in one.runs}
        assert folders == {"o/noise-none_seed-0", "o/noise-both_seed-0"}
        assert folders < {run.wanted.logdir for run in two.runs}

    def test_flag_files_keep_spaces_and_give_way_to_the_grid(self, tmp_path):
        (tmp_path / "sweep.cfg").write_text(
            f"# a comment\n--grid=lsp_layers=0 0,1\n--run_flagfile={tmp_path / 'run.cfg'}\n"
        )
        (tmp_path / "run.cfg").write_text("--num_keypoints=3\n--lsp_layers=2\n--logdir=ignored\n")
        command = parsed(f"--flagfile={tmp_path / 'sweep.cfg'}", "--grid=num_keypoints=5")
        wanted = [run.wanted for run in command.runs]
        assert [w.keypoints.lspn.lsp_layers for w in wanted] == [(0,), (0, 1)]
        assert [w.keypoints.pointnet.num_keypoints for w in wanted] == [5, 5]
        assert wanted[1].logdir == "runs/sweep/lsp_layers-0+1_num_keypoints-5"

    def test_an_axis_of_flag_files_changes_settings_together(self, tmp_path):
        for name, keypoints in (("few", 3), ("many", 30)):
            (tmp_path / f"{name}.cfg").write_text(
                f"--num_keypoints={keypoints}\n--data_dir=data/{name}\n"
            )
        files = f"--grid=flagfile={tmp_path / 'few.cfg'} {tmp_path / 'many.cfg'}"
        command = parsed("--grid=num_frames=100", files)
        wanted = [run.wanted for run in command.runs]
        assert [w.data_dir for w in wanted] == ["data/few", "data/many"]
        assert [w.keypoints.pointnet.num_keypoints for w in wanted] == [3, 30]
        assert [run.name for run in command.runs] == [
            "num_frames-100_flagfile-few",
            "num_frames-100_flagfile-many",
        ]

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ([], "none"),
            (["--launcher=slurm", "--slurm_gpus=1"], "none"),
            (["--launcher=slurm", "--slurm_gpus=4"], "mirrored"),
            (["--launcher=slurm", "--slurm_gpus=4", "--grid=distribute=none"], "none"),
            (["--launcher=slurm", "--slurm_nodes=2", "--slurm_gpus=4"], "multiworker"),
        ],
    )
    def test_a_job_of_several_gpus_or_nodes_shares_its_batches(self, arguments, expected):
        (run,) = parsed("--grid=seed=0", *arguments).runs
        assert run.wanted.distribute == expected
        typed = [word for word in run.job.command if word.startswith("--distribute=")]
        assert typed[-1:] == [f"--distribute={expected}"] * bool(typed)
        assert typed or expected == "none"

    def test_a_flag_file_decides_whether_batches_are_shared(self, tmp_path):
        (tmp_path / "alone.cfg").write_text("--distribute=none\n")
        words = "--launcher=slurm", "--slurm_gpus=4", f"--run_flagfile={tmp_path / 'alone.cfg'}"
        (run,) = parsed("--grid=seed=0", *words).runs
        assert run.wanted.distribute == "none"

    @pytest.mark.parametrize("path", SWEEP_FILES, ids=lambda path: path.name)
    def test_the_sweeps_of_the_repository_are_valid(self, path, monkeypatch):
        monkeypatch.chdir(ROOT)
        assert len(parsed(f"--flagfile={path}").runs) > 1


@pytest.mark.parametrize(
    ("arguments", "words", "settings"),
    [
        ([], ["--grid is missing"], []),
        (["--grid=sede=0 1"], ["no flag --sede", "seed"], []),
        (["--grid=seed"], ["no values"], []),
        (["--grid=seed="], ["no values"], []),
        (['--grid="seed=0 1"'], ["no quotes"], []),
        (["--grid=logdir=a b"], ["--out"], []),
        (["--grid=seed=0 x"], ["run seed-x", "seed"], []),
        (["--grid=noise=none bth"], ["run noise-bth", "none, vertical"], []),
        (["--grid=lsp_layers=0 0,9"], ["run lsp_layers-0+9", "0 to 3"], []),
        (["--grid=game=mspacman pong"], ["run game-pong", "--num_keypoints"], []),
        (["--grid=noise=none none"], ["two runs", "noise-none"], ["grid"]),
        (["--grid=data_dir=a/b a-b"], ["two runs", "data_dir-a-b"], ["grid"]),
        (["--grid=game=mspacman seaquest", "--grid=data_dir=data/one"],
         ["data/one", "game=mspacman", "game=seaquest"], ["data_dir"]),
        (["--grid=num_frames=100 200"], ["data/mspacman", "num_frames=100"], ["data_dir"]),
        (["--grid=seed=0", "--run_flagfile=nowhere.cfg"], ["nowhere.cfg"], []),
        (["--grid=seed=0", "--out=a,b"], ["--out=a,b"], []),
        (["--grid=seed=0", "--out={game}"], ["--out={game}"], []),
        (["--grid=seed=0", "--slurm_cpus=2"], ["--slurm_cpus", "--launcher=local"], []),
        (["--grid=seed=0", "--jobs=2", "--launcher=slurm"], ["--jobs", "--launcher=slurm"], []),
        (["--grid=distribute=multiworker"], ["--distribute=multiworker", "--launcher=slurm"], []),
        (["--grid=distribute=none", "--launcher=slurm", "--slurm_nodes=2"],
         ["--distribute=none", "--slurm_nodes=2"], []),
        (["--grid=seed=0", "--launcher=slurm", "--slurm_nodes=3"],
         ["--batch_size=", "divisible by 3"], []),
        (["--grid=seed=0", "--launcher=slurm", "--slurm_gpus=3"],
         ["--batch_size=", "divisible by 3"], []),
        (["--grid=seed=0", "--program=rl", "--launcher=slurm", "--slurm_nodes=2"],
         ["--slurm_nodes=2", "--program=rl"], []),
        ([f"--grid=data_dir={'x' * 250}"], ["too long"], []),
    ],
)  # fmt: skip
def test_refusals_of_flags(arguments, words, settings):
    with refuses(*words, settings=settings):
        parsed(*arguments)


class TestOneTrainingInTwoFolders:
    @pytest.mark.parametrize(
        ("axes", "words"),
        [
            (["seed=0 00"], ["seed=0 and seed=00", "seed-0 and seed-00"]),
            (["learning_rate=1e-3 0.001"], ["learning_rate-1e-3 and learning_rate-0.001"]),
            # Of a product the axis is told that makes no difference.
            (["seed=1 2", "lsp_layers=0,1 00,1"], ["lsp_layers=00,1", "seed-1_lsp_layers-0+1"]),
            (["collect=true false"], ["collect=true and collect=false"]),
            (["num_keypoints=7", "game=mspacman MsPacman"], ["game=MsPacman"]),
        ],
    )
    def test_one_value_in_two_spellings(self, axes, words):
        names = [axis.partition("=")[0] for axis in axes]
        with refuses("same training", *words, settings=["grid", names[-1]]):
            parsed(*(f"--grid={axis}" for axis in axes))

    def test_a_setting_without_effect_beside_the_others(self):
        words = ("pointnet_filters does nothing without extractor=pointnet", "8+8+8+8 and ")
        axis = "--grid=pointnet_filters=8,8,8,8 16,16,16,16"
        with refuses(*words, settings=["grid", "pointnet_filters", "extractor"]):
            parsed("--grid=extractor=pursuit", axis)
        assert len(parsed("--grid=extractor=pointnet", axis).runs) == 2

    def test_flag_files_that_mean_the_same(self, tmp_path):
        for name, rate in (("one", "1e-3"), ("two", ".001")):
            (tmp_path / f"{name}.cfg").write_text(f"--learning_rate={rate}\n")
        files = f"--grid=flagfile={tmp_path / 'one.cfg'} {tmp_path / 'two.cfg'}"
        with refuses("flagfile-one and flagfile-two", settings=["grid", "flagfile"]):
            parsed(files)

    @pytest.mark.parametrize("axis", ["data_dir=a b", "summary_every=10 20"])
    def test_frames_and_reports_tell_runs_apart(self, axis):
        assert len(parsed(f"--grid={axis}").runs) == 2


@pytest.mark.parametrize("out", ["file", "file/below", "file/far/below", "occupied"])
@pytest.mark.parametrize("more", [[], ["--dry_run"]], ids=["run", "dry_run"])
def test_an_ordinary_file_in_the_place_of_a_folder_is_refused(tmp_path, out, more):
    (tmp_path / "file").touch()
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "logs").touch()
    culprit = {"occupied": "occupied/logs"}.get(out, "file")
    result = call("sweep", "--grid=seed=0", f"--out={tmp_path / out}", *more)
    refused(result, f"--out={tmp_path / out}: ", f"{tmp_path / culprit} is no folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is protected from root")
def test_a_protected_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    refused(call("sweep", "--grid=seed=0", out=tmp_path / "out"), f"{tmp_path} ", "written")


def test_a_folder_that_is_to_be_made_is_not_made_by_looking(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parsed("--grid=seed=0", "--out=new/sweep").out == Path("new/sweep")
    assert call("sweep", "--grid=seed=0", "--dry_run", "--out=new/sweep").returncode == 0
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------- where runs stand


class TestStatus:
    @pytest.fixture
    def run(self, tmp_path):
        write_store(tmp_path / "store", game="mspacman")
        flags = [f"--grid=data_dir={tmp_path / 'store'}", "--grid=image_size=20"]
        return parsed(*flags, f"--out={tmp_path / 'out'}").runs[0]

    @pytest.fixture
    def folder(self, run):
        store = open_store(run.wanted)
        return run_folder(
            KeypointFolder, run.wanted.logdir, run.wanted.keypoints, FrameSpec.of(store)
        )

    def save(self, folder, **progress):
        arrays = {"model/weights": np.zeros(3)} | KeypointProgress(**progress).to_arrays()
        checkpoint.save(folder.latest_checkpoint, arrays)

    def words(self, run):
        return plan.in_words(run, plan.status(run))

    def test_before_the_first_checkpoint(self, run, tmp_path):
        assert plan.status(run) == (0, False, False)
        Path(run.wanted.logdir).mkdir(parents=True)
        (Path(run.wanted.logdir) / ".lock").touch()  # killed at its start
        assert self.words(run) == "new"
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        assert self.words(run) == f"new; {tmp_path / 'store'} is collected first"
        assert [path.name for path in Path(run.wanted.logdir).iterdir()] == [".lock"]

    def test_with_a_checkpoint(self, run, folder):
        assert self.words(run) == "new"
        self.save(folder, step=12)
        assert plan.status(run) == (12, False, False)
        assert self.words(run) == "interrupted at step 12"
        self.save(folder, step=40, finished=True)
        assert self.words(run) == "interrupted at step 40"  # not evaluated
        (folder.path / "evaluation.json").touch()
        assert plan.status(run) == (40, True, False)
        assert self.words(run) == "finished"

    def test_without_its_frames(self, run, folder, tmp_path):
        self.save(folder, step=40, finished=True)
        (folder.path / "evaluation.json").touch()
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        assert plan.status(run).finished
        arguments = [argument for argument in run.job.command if argument.startswith("--")]
        other = parsed("--grid=image_size=24", f"--grid={arguments[0][2:]}").runs[0]
        wanted = dataclasses.replace(other.wanted, logdir=run.wanted.logdir)
        with refuses("image_size was 20, now 24", settings=["logdir"]):
            plan.status(other._replace(wanted=wanted))

    def test_in_use(self, run, folder):
        with (folder.path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert plan.status(run) == (0, False, True)
            assert self.words(run) == "running in another process"
            with refuses(run.wanted.logdir, "in use"):
                plan.refuse_in_use([run], {run.name: plan.status(run)}, LocalLauncher(1))
        assert not plan.status(run).in_use

    def test_without_a_checkpoint_other_settings_are_taken(self, run, folder):
        file = folder.path / "config.json"
        content = json.loads(file.read_text())
        content["settings"]["training"]["batch_size"] = 5
        file.write_text(json.dumps(content))
        assert self.words(run) == "new"
        assert json.loads(file.read_text()) == content  # looking changes nothing

    def test_folders_of_something_else(self, run):
        Path(run.wanted.logdir).mkdir(parents=True)
        (Path(run.wanted.logdir) / "thesis.txt").touch()
        with refuses(f"run {run.name}: ", "no run folder", settings=["logdir"]):
            plan.status(run)

    def test_what_the_run_would_refuse_is_refused(self, run, folder, tmp_path):
        self.save(folder, step=1)
        folder.latest_checkpoint.write_bytes(b"PK")
        with refuses(f"run {run.name}: ", "latest.npz", "damaged", settings=["logdir"]):
            plan.status(run)
        file = folder.path / "config.json"
        content = json.loads(file.read_text())
        content["settings"]["training"]["batch_size"] = 5
        file.write_text(json.dumps(content))
        with refuses("batch_size was 5, now 32", settings=["logdir"]):
            plan.status(run)
        (tmp_path / "store" / "frames.npy").unlink()
        with refuses(f"run {run.name}: ", "frames.npy"):
            plan.status(run)

    def test_a_game_that_there_is_not(self, tmp_path):
        flags = ["--grid=game=pacmann", "--grid=num_keypoints=3"]
        (run,) = parsed(*flags, f"--grid=data_dir={tmp_path / 'none'}").runs
        with refuses(f"run {run.name}: ", "'pacmann'", settings=["data_dir"]):
            plan.status(run)


# --------------------------------------------------------------------------------------- launching


def python(folder, name, code) -> Job:
    return Job(name, [sys.executable, "-c", code], folder / f"{name}.log")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, ""),
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (-35, "killed by signal 35"),  # real-time signals but for two have no names
    ],
)
def test_how_a_job_ended_in_words(code, words):
    assert describe_exit(code) == words


class TestLaunching:
    def test_every_job_is_run_and_the_failed_are_reported(self, tmp_path, capfd):
        jobs = [
            python(tmp_path, "good", "print('all is well')"),
            python(tmp_path, "bad", "print('first'); print('last words'); raise SystemExit(3)"),
            python(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)"),
            Job("absent", [str(tmp_path / "no_such_program")], tmp_path / "absent.log"),
            python(tmp_path, "late", "pass"),
        ]
        outcome = run_all(jobs, LocalLauncher(2))
        assert sorted(outcome.finished) == ["good", "late"]
        assert "no_such_program: No such file" in outcome.failed.pop("absent")
        assert outcome.failed == {"bad": "exit code 3", "killed": "killed by SIGKILL"}
        assert (outcome.interrupted, outcome.not_started, outcome.signal) == ([], [], None)
        text = capfd.readouterr().out
        assert "started good (process " in text
        assert "failed bad after 0 s: exit code 3" in text
        assert f"bad: exit code 3; the last lines of {tmp_path / 'bad.log'}:\n    first\n" in text
        assert "    last words\n" in text
        assert "all is well" not in text
        assert "(5 of 5)" in text

    def test_no_more_jobs_than_slots_run_at_a_time(self, tmp_path):
        code = (
            "import pathlib, time; here = pathlib.Path({!r}); mark = here / {!r}; mark.touch()\n"
            "time.sleep(1); print(len(list(here.glob('*.mark')))); mark.unlink()"
        )
        jobs = [
            python(tmp_path, name, code.format(str(tmp_path), f"{name}.mark")) for name in "abcd"
        ]
        run_all(jobs, LocalLauncher(2))
        together = [int(last_lines(job.log, 1)[0]) for job in jobs]
        assert max(together) == 2

    @pytest.mark.parametrize(
        ("slots", "users", "expected"),
        [(1, None, "None None"), (2, None, "3 3"), (4, None, "1 1"), (2, "7", "7 3")],
    )
    def test_cores_are_shared_unless_the_user_says_otherwise(
        self, tmp_path, monkeypatch, slots, users, expected
    ):
        monkeypatch.setattr("permakey_tf.launch.local.available_cores", lambda: 6)
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        if users:
            monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", users)
        code = (
            "import os; print(*map(os.environ.get, ('TF_NUM_INTRAOP_THREADS', 'OMP_NUM_THREADS')))"
        )
        job = python(tmp_path, "job", code)
        run_all([job], LocalLauncher(slots))
        assert last_lines(job.log, 1) == [expected]

    def test_last_lines_are_of_the_last_start_and_without_bars_that_were_overwritten(
        self, tmp_path
    ):
        log = tmp_path / "job.log"
        assert last_lines(log, 3) == []
        run_all([python(tmp_path, "job", "print('old')")], LocalLauncher(1))
        assert last_lines(log, 3) == ["old"]
        run_all([python(tmp_path, "job", r"print('1 %\r50 %\r99 %\n\nend')")], LocalLauncher(1))
        assert last_lines(log, 3) == ["50 %", "99 %", "end"]
        assert last_lines(log, 9) == ["1 %", "50 %", "99 %", "end"]
        assert "old" in log.read_text()


# A sweep of two jobs that save when told to, and one that is never started.
PATIENT_SWEEP = """
import json
import sys
from pathlib import Path
from permakey_tf.launch import plan
from permakey_tf.launch.local import Job, LocalLauncher, run_all

CODE = '''
import pathlib, signal, sys, time
def save(number, _):
    if {stubborn}:
        return
    signal.signal(number, signal.SIG_DFL)  # as in training: a second one kills
    time.sleep(0.5)
    pathlib.Path("{name}.saved").touch()
    sys.exit("error: saved after signal %d" % number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, save)
pathlib.Path("{name}.up").touch()
time.sleep(600)
'''

def main():
    jobs = [
        Job(name, [sys.executable, "-c", CODE.format(name=name, stubborn=sys.argv[1:] == ["--x"])],
            Path(f"{name}.log"))
        for name in "abc"
    ]
    outcome = run_all(jobs, LocalLauncher(2))
    Path("outcome").write_text(json.dumps([outcome.interrupted, outcome.not_started]))
    sys.exit(128 + outcome.signal)

main()
"""


def test_a_signal_is_passed_on_to_a_program_in_the_foreground(tmp_path):
    """SIGTERM, which reaches the parent alone: the child saves and leaves before the parent."""
    child = (
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n    time.sleep(1); pathlib.Path('saved').touch(); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "pathlib.Path('ready').touch()\ntime.sleep(60)\n"
    )
    parent = (
        "import sys\nfrom permakey_tf.launch.local import run_in_foreground\n"
        f"try:\n    run_in_foreground([sys.executable, '-c', {child!r}])\n"
        "except KeyboardInterrupt as signal:\n    print('told by', signal)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    wait_until((tmp_path / "ready").exists, process)
    process.terminate()
    assert process.communicate(timeout=30)[0] == "told by SIGTERM\n"
    assert (tmp_path / "saved").exists()


def test_the_exit_code_of_a_program_in_the_foreground():
    assert run_in_foreground([sys.executable, "-c", "raise SystemExit(3)"]) == 3


class TestInterruption:
    def start(self, folder, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", PATIENT_SWEEP, *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        wait_until(lambda: (folder / "a.up").exists() and (folder / "b.up").exists(), process)
        return process

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signals_are_passed_on_and_waited_for(self, tmp_path, number):
        process = self.start(tmp_path)
        os.killpg(process.pid, number)  # as a terminal does
        text, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + number
        assert json.loads((tmp_path / "outcome").read_text()) == [["a", "b"], ["c"]]
        assert (tmp_path / "a.saved").exists() and (tmp_path / "b.saved").exists()
        assert not (tmp_path / "c.up").exists()
        assert f"{number.name}: 2 running are told to save and leave" in text
        assert f"saved after signal {int(number)} (1 of 3)" in text

    def test_jobs_save_though_nobody_reads_the_sweep_any_more(self, tmp_path):
        process = self.start(tmp_path)
        process.stdout.close()  # `python -m run.sweep | tee`: Ctrl-C ends tee at once
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE)
        assert (tmp_path / "a.saved").exists() and (tmp_path / "b.saved").exists()

    def test_only_a_second_ctrl_c_kills(self):
        def die(*_):
            pytest.fail("killed by the second SIGTERM")

        before = signal.signal(signal.SIGTERM, die)
        try:
            self.get_two_of_each()
        finally:
            signal.signal(signal.SIGTERM, before)

    def get_two_of_each(self):
        with deferred() as interruption:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
                assert interruption.signal == signal.SIGTERM
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

    def test_nohup_is_respected(self):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with deferred() as interruption:
                os.kill(os.getpid(), signal.SIGHUP)
                assert interruption.signal is None
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, before)

    def test_a_second_ctrl_c_kills_the_jobs(self, tmp_path):
        process = self.start(tmp_path, "--x")
        process.send_signal(signal.SIGINT)
        pids = []
        while "told to save" not in (line := process.stdout.readline()):
            pids += [int(line.rpartition(" ")[2].rstrip(")\n"))]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) != 0
        assert len(pids) == 2
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


# ------------------------------------------------------------------------------------------- Slurm


class TestSlurm:
    """Through a stand-in for Slurm's programs that really runs the submitted scripts."""

    @pytest.fixture
    def cluster(self, tmp_path, monkeypatch):
        submitit = pytest.importorskip("submitit", reason='needs pip install -e ".[slurm]"')
        folder = tmp_path / "cluster"
        for name, value in fake_slurm.install(folder).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        # Else what an earlier test's job 1 came to stands for this one's.
        submitit.SlurmJob.watcher.clear()
        yield folder
        fake_slurm.end_all(folder)

    def launcher(self, folder, partition=""):
        return SlurmLauncher(folder / "slurm", SlurmRequest(partition, 60, 2, 0, 1.5))

    def test_a_run_is_found_again_preempted_requeued_and_finished(self, cluster, tmp_path):
        tiny_flag_file(tmp_path)
        name, arguments = "seed-0", ["--grid=seed=0", "--launcher=slurm"]
        first = start_sweep(tmp_path, *arguments)
        submitted = tmp_path / "out" / "logs" / "slurm" / f"{name}.job"
        wait_until(submitted.exists, first)
        first.kill()  # the sweep alone; its job goes on
        first.wait()
        second = start_sweep(tmp_path, *arguments)
        wait_until((tmp_path / "out" / name / "checkpoints" / "latest.npz").exists, second)
        # Both at once: the job may then hear SIGUSR2 first, and passes a second SIGTERM on.
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGUSR2, signal.SIGCONT):
            fake_slurm.send(cluster, "1", number)
        text, errors = second.communicate(timeout=PATIENCE)
        assert second.returncode == 0, errors
        assert f"started {name} (in the queue already as Slurm job 1)" in text
        assert f"finished {name} in " in text
        assert not submitted.exists()
        assert not (cluster / "2.script").exists()
        log = (tmp_path / "out" / "logs" / f"{name}.log").read_text()
        saved = re.search(r"interrupted by SIGTERM; saved at step (\d+)", log)[1]
        assert f"(at step {saved} of {STEPS})" in log.partition("saved at step")[2]
        script = (cluster / "1.script").read_text()
        for option in ("time=240", "cpus-per-task=4", "mem=8GB", "requeue", f"job-name={name}"):
            assert f"#SBATCH --{option}" in script

    def test_a_time_limit_and_a_failure(self, cluster, tmp_path, capfd):
        long = (
            f"import pathlib, signal, sys, time; here = pathlib.Path({str(tmp_path)!r})\n"
            "if (here / 'saved').exists(): sys.exit(print('resumed'))\n"
            "def save(*_): (here / 'saved').touch(); sys.exit(143)\n"
            "signal.signal(signal.SIGTERM, save); (here / 'up').touch(); time.sleep(600)"
        )
        jobs = [
            python(tmp_path, "long", long),
            python(tmp_path, "bad", "print('last words'); raise SystemExit(3)"),
        ]
        limit = Thread(
            target=lambda: (
                wait_until((tmp_path / "up").exists),
                fake_slurm.send(cluster, "1", signal.SIGUSR2),
            )
        )
        limit.start()
        outcome = run_all(jobs, self.launcher(tmp_path))
        limit.join()
        assert outcome.finished == ["long"]
        assert outcome.failed == {"bad": "exit code 3"}
        assert last_lines(jobs[0].log, 1) == ["resumed"]
        assert "    last words\n" in capfd.readouterr().out

    def test_a_job_that_dies_without_a_word(self, cluster, tmp_path, monkeypatch):
        import submitit

        monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 1)
        kill = "import os, signal; os.killpg(os.getpgid(0), signal.SIGKILL)"  # as out of memory
        outcome = run_all([python(tmp_path, "job", kill)], self.launcher(tmp_path))
        assert "left no result (state FAILED)" in outcome.failed["job"]

    def test_what_a_job_asks_for(self, cluster, tmp_path):
        given = ["--slurm_account=vision", "--slurm_qos=long", "--slurm_partition=cpu"]
        command = parsed("--grid=seed=0", f"--out={tmp_path}", "--launcher=slurm", *given)
        outcome = run_all([python(tmp_path, "job", "")], make_launcher(command))
        assert not outcome.failed
        script = (cluster / "1.script").read_text().splitlines()
        for words in ("account=vision", "qos=long", "partition=cpu", "cpus-per-task=4", "time=240"):
            assert f"#SBATCH --{words}" in script

    def test_every_node_runs_the_command_and_has_a_log(self, cluster, tmp_path):
        given = ["--slurm_nodes=2", "--slurm_gpus=8"]
        command = parsed("--grid=seed=0", f"--out={tmp_path}", "--launcher=slurm", *given)
        job = python(tmp_path, "job", "import os; print('task', os.environ['SLURM_PROCID'])")
        outcome = run_all([job], make_launcher(command))
        assert outcome.finished == ["job"]
        assert last_lines(job.log, 1) == ["task 0"]
        assert last_lines(job.log.with_suffix(".1.log"), 1) == ["task 1"]
        script = (cluster / "1.script").read_text().splitlines()
        for words in ("nodes=2", "ntasks-per-node=1", "gpus-per-node=8", "cpus-per-task=4"):
            assert f"#SBATCH --{words}" in script

    def test_a_submission_that_is_refused(self, cluster, tmp_path):
        outcome = run_all([python(tmp_path, "job", "")], self.launcher(tmp_path, "nowhere"))
        assert "invalid partition specified: nowhere" in outcome.failed["job"]

    def test_a_submission_that_is_answered_without_a_job(self, cluster, tmp_path):
        outcome = run_all([python(tmp_path, "job", "")], self.launcher(tmp_path, "elsewhere"))
        assert "sbatch: " in outcome.failed["job"] and "mailed" in outcome.failed["job"]

    def test_ctrl_c_cancels_jobs_which_save(self, cluster, tmp_path):
        code = PATIENT_SWEEP.replace("LocalLauncher(2)", "LAUNCHER").replace(
            "def main():",
            "from permakey_tf.launch.slurm import SlurmLauncher, SlurmRequest\n"
            "LAUNCHER = SlurmLauncher(Path('slurm'), SlurmRequest('', 60, 1, 1, 1.0))\n"
            "def main():",
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
        wait_until(lambda: all((tmp_path / f"{name}.up").exists() for name in "abc"), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 128 + signal.SIGINT
        assert json.loads((tmp_path / "outcome").read_text()) == [["a", "b", "c"], []]
        wait_until(lambda: all((tmp_path / f"{name}.saved").exists() for name in "abc"))
        assert (cluster / "1.state").read_text() == "CANCELLED"
        assert "--gpus-per-node=1" in (cluster / "1.script").read_text()

    def test_a_closed_terminal_leaves_the_job_in_the_queue(self, cluster, tmp_path):
        launcher = self.launcher(tmp_path)
        process = launcher.start(python(tmp_path, "job", "import time; time.sleep(600)"))
        wait_until((cluster / "1.pid").exists)
        process.interrupt(signal.SIGHUP)
        assert process.poll() == "left in the queue"
        assert launcher.owns("job")
        process = launcher.start(python(tmp_path, "job", ""))
        assert process.where == "in the queue already as Slurm job 1"
        process.interrupt(signal.SIGTERM)
        assert process.poll() == "cancelled"
        assert not launcher.owns("job")

    def test_a_queue_that_does_not_answer_is_no_empty_one(self, cluster, tmp_path, monkeypatch):
        launcher = self.launcher(tmp_path)
        launcher.start(python(tmp_path, "job", "import time; time.sleep(600)"))
        monkeypatch.setenv("FAKE_SLURM_DOWN", "1")
        with refuses("squeue", "job", "try again"):
            launcher.start(python(tmp_path, "job", ""))
        monkeypatch.delenv("FAKE_SLURM_DOWN")
        assert not (cluster / "2.script").exists()
        (tmp_path / "slurm" / "job.job").write_text("77\n")  # of long ago
        assert not launcher.owns("job")

    def test_machines_without_submitit_or_slurm(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        if importlib.util.find_spec("submitit"):
            with refuses("sbatch", "launcher=local", settings=["launcher"]):
                self.launcher(tmp_path)
        monkeypatch.setitem(sys.modules, "submitit", None)
        with refuses('pip install -e ".[slurm]"', settings=["launcher"]):
            self.launcher(tmp_path)


# ------------------------------------------------------------------------------------ whole sweeps

STEPS = 100


def tiny_flag_file(folder):
    settings = TINY_FLAGS | {
        "game": "mspacman",
        "source": "npz",
        "npz": folder / "rollout.npz",
        "split": "10,1,1",
        "max_steps": STEPS,
        "validate_every": 50,
        "checkpoint_every": 4,
        "data_dir": folder / "store",
    }
    np.savez(folder / "rollout.npz", frames=moving_square(120, 20, 3, seed=0))
    lines = [f"--{name}={value}" for name, value in settings.items()]
    (folder / "tiny.cfg").write_text("\n".join(lines))


def sweep_command(folder, *arguments):
    flags = [f"--run_flagfile={folder / 'tiny.cfg'}", f"--out={folder / 'out'}", *arguments]
    return [sys.executable, "-m", "run.sweep", *flags]


def start_sweep(folder, *arguments):
    return subprocess.Popen(
        sweep_command(folder, *arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_sweep(folder, *arguments):
    process = start_sweep(folder, *arguments)
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors


# The first of these runs fails: there are fewer frames than that, which nobody knows of frames that
# are not played until they are stored.
AXIS = "--grid=batch_size=500 4 5"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A sweep that got SIGTERM in the middle of its second run: its folder, code and words."""
    folder = tmp_path_factory.mktemp("sweep")
    tiny_flag_file(folder)
    process = start_sweep(folder, AXIS)
    wait_until((folder / "out" / "batch_size-4" / "checkpoints" / "latest.npz").exists, process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=PATIENCE)
    return folder, process.returncode, output, errors


class TestWholeSweep:
    def test_an_interruption_saves_and_starts_no_more(self, interrupted):
        folder, code, output, errors = interrupted
        assert code == 128 + signal.SIGTERM
        assert "error: interrupted by SIGTERM; 3 of 3 runs are not finished" in errors
        assert output.count("collecting") == 1
        assert re.search(
            r"interrupted batch_size-4 after .*; saved at step \d+; .*\(2 of 3\)", output
        )
        assert not (folder / "out" / "logs" / "batch_size-5.log").exists()

    def test_a_failure_does_not_stop_the_others_and_is_told_at_the_end(self, interrupted):
        folder, _, output, _ = interrupted
        assert "started batch_size-4" in output.partition("failed batch_size-500")[2]
        report = output.partition("(2 of 3)")[2]
        log = folder / "out" / "logs" / "batch_size-500.log"
        assert f"batch_size-500: exit code 1; the last lines of {log}:" in report
        assert re.search(r"\n    error: .*--batch_size=500", report)

    def test_a_dry_run_tells_states_and_commands_and_starts_nothing(self, interrupted):
        folder = interrupted[0]
        before = sorted(folder.rglob("*"))
        code, output, errors = run_sweep(folder, AXIS, "--dry_run")
        assert code == 0, errors
        assert sorted(folder.rglob("*")) == before
        lines = output.splitlines()
        assert lines[0] == "# batch_size-500: new"
        assert re.fullmatch(r"# batch_size-4: interrupted at step \d+", lines[2])
        assert lines[4] == "# batch_size-5: new"
        assert shlex.split(lines[5]) == [
            *(sys.executable, "-m", "run.keypoints", f"--flagfile={folder / 'tiny.cfg'}"),
            *("--batch_size=5", f"--logdir={folder / 'out' / 'batch_size-5'}"),
        ]

    def test_the_same_command_continues_and_then_skips_what_is_finished(self, interrupted):
        folder = interrupted[0]
        code, output, errors = run_sweep(folder, AXIS, "--jobs=3")
        assert code == 1
        assert "error: 1 of 3 runs failed: batch_size-500" in errors
        folders = [folder / "out" / f"batch_size-{size}" for size in (4, 5)]
        pasted = f"finished run folders: {folders[0]},{folders[1]}"
        assert output.splitlines()[-1] == pasted
        assert all((path / "evaluation.json").exists() for path in folders)
        log = (folder / "out" / "logs" / "batch_size-4.log").read_text()
        (saved,) = re.findall(r"saved at step (\d+)", log)
        starts = re.findall(r"\(at step (\d+) of", log)
        assert starts == ["0", saved]
        stamps = [(path / "checkpoints/latest.npz").stat().st_mtime_ns for path in folders]
        code, output, errors = run_sweep(folder, "--grid=batch_size=4 5")
        assert code == 0, errors
        assert output.splitlines() == ["2 runs, 2 finished before", pasted]
        assert stamps == [(path / "checkpoints/latest.npz").stat().st_mtime_ns for path in folders]

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["--grid=sed=0"], 1, ["--sed;", "did you mean seed"]),
            (["--grid=seed=0", "--batch_size=3"], 2, ["batch_size"]),
            (
                ["--grid=seed=0 1 2", "--grid=gauss_std=0.1 0"],
                1,
                ["run seed-0_gauss_std-0", "--gauss"],
            ),
        ],
    )
    def test_refusals_are_one_line_and_start_nothing(self, tmp_path, arguments, code, words):
        tiny_flag_file(tmp_path)
        before = sorted(tmp_path.iterdir())
        flags = {"run_flagfile": tmp_path / "tiny.cfg", "out": tmp_path / "out"}
        result = call("sweep", *arguments, **flags)
        assert (result.returncode, result.stdout) == (code, "")
        refused(result, *words)
        assert len(result.stderr.splitlines()) == 1
        assert sorted(tmp_path.iterdir()) == before


def test_planning_a_sweep_does_not_load_tensorflow():
    code = "import sys, run.sweep; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
