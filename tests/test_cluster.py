"""Who the workers of a training are, and the line between them; all without TensorFlow."""

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import refuses

from benchmarks.ports import free_ports
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.system import cluster
from permakey_tf.system.cluster import Member
from permakey_tf.training import sharing
from permakey_tf.training.sharing import of_training

CONFIG = KeypointConfig.make(batch_size=8)

# A worker: index, number of workers, first port, and what it does.
WORKER = """
import os, signal, sys, time
from permakey_tf.errors import UserError
from permakey_tf.system import cluster
from permakey_tf.system.interruption import Interrupted
index, number, port, action, patience = *map(int, sys.argv[1:4]), sys.argv[4], float(sys.argv[5])
cluster._SILENCE, cluster._ALIVE_EVERY, cluster._AT_ONCE = 2.0, 0.5, 1.0
cluster._PATIENCE = patience
member = cluster.Member(tuple(f"localhost:{port + i}" for i in range(number)), index)
about = {"learning_rate": 1 + index * (action == "other")}
try:
    with cluster.joined(member, about) as line:
        print(line.from_chief(lambda: [os.getpid()])[0] == os.getpid(), flush=True)
        if action == f"die{index}":
            os.kill(os.getpid(), signal.SIGKILL)
        if action == f"stop{index}":
            os.kill(os.getpid(), signal.SIGSTOP)
        if action == f"fail{index}":
            raise UserError("disk full")
        if action == "interrupt":
            raise Interrupted(signal.SIGTERM, "saved at step 3")
        if action == "release":
            line.release()
            line.from_chief(lambda: "released")
            if index == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.5)
            print("evaluated", flush=True)
        elif action == "gather":
            begin = time.monotonic()
            time.sleep(1.0 if index == 1 else 0.0)
            line.gather()
            print("waited" if time.monotonic() - begin > 0.9 else "went on alone", flush=True)
        elif action.startswith("late"):
            if action == f"late{index}":
                time.sleep(0.5)  # while the others gather
                os.kill(os.getpid(), signal.SIGKILL)
            line.gather()
        elif action != "work":
            time.sleep(60)
except UserError as error:
    sys.exit(f"error: {error}")
except Interrupted as stop:
    sys.exit(128 + stop.signal)
"""


def start_worker(index, number, port, action, patience):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *map(str, (index, number, port, action, patience))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def connected(port):
    """A connection to a worker that may still have to start."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("localhost", port))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def greeting(port, number=3):
    """What worker 1 says to the chief."""
    addresses = [f"localhost:{port + i}" for i in range(number)]
    about = {"addresses": addresses, "learning_rate": 1}
    hello = {"protocol": cluster._PROTOCOL, "index": 1, "about": about}
    return json.dumps(hello).encode() + b"\n"


def run_workers(number, action, port=None, patience=30, started=None):
    port = port or free_ports(1)[0]
    begin = time.monotonic()
    processes = [
        start_worker(i, number, port, action, patience) for i in (started or range(number))
    ]
    done = []
    for process in processes:
        if action == f"stop{len(done)}":
            done.append((None, "", ""))
            continue
        out, err = process.communicate(timeout=60)
        done.append((process.returncode, out, err))
    for process in processes:
        process.kill()
        process.communicate()
    assert time.monotonic() - begin < 60
    return done


def one_line(result, *words):
    code, _, errors = result
    assert code == 1, result
    assert errors.strip().count("\n") == 0, errors
    for word in ("error: ", *words):
        assert word in errors, errors


def test_what_the_chief_finds_reaches_all():
    codes, outputs, errors = zip(*run_workers(3, "work"), strict=True)
    assert codes == (0, 0, 0), errors
    assert outputs == ("True\n", "False\n", "False\n")
    assert errors == ("", "", "")


@pytest.mark.parametrize("dead", [0, 1])
def test_a_death_ends_all_with_one_line_that_names_it(dead):
    done = run_workers(3, f"die{dead}")
    assert done.pop(dead)[0] == -signal.SIGKILL
    for result in done:
        one_line(result, f"worker {dead} (", "has died", "same command", "last checkpoint")


def test_workers_gather():
    codes, outputs, errors = zip(*run_workers(3, "gather"), strict=True)
    assert codes == (0, 0, 0), errors
    assert [output.splitlines()[-1] for output in outputs] == ["waited"] * 3


@pytest.mark.parametrize("dead", [0, 1])
def test_a_death_ends_those_who_gather(dead):
    done = run_workers(3, f"late{dead}")
    assert done.pop(dead)[0] == -signal.SIGKILL
    for result in done:
        one_line(result, f"worker {dead} (", "has died")


@pytest.mark.parametrize("seconds", [1, 30])
def test_a_wait_that_gives_no_thread_a_turn_is_ended_by_force(seconds):
    """`PyDLL` calls C without giving Python's lock away."""
    wait = (
        f"import ctypes; from permakey_tf.system import cluster; cluster._AT_ONCE = {seconds}\n"
        "with cluster.ended_by_force(): ctypes.PyDLL(None).sleep(4)\n"
        "print('met')"
    )
    done = subprocess.run([sys.executable, "-c", wait], capture_output=True, text=True)
    if seconds == 30:
        assert (done.returncode, done.stdout, done.stderr) == (0, "met\n", "")
    else:
        assert done.returncode == -signal.SIGKILL and done.stdout == ""
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("error: TensorFlow's workers did not meet within 1 s; all workers")


def test_who_is_still_meeting_is_not_lost():
    """A meeting as slow as is allowed, begun just before a worker would have said that it lives."""
    assert cluster._SILENCE > cluster._AT_ONCE + cluster._ALIVE_EVERY


def test_ctrl_c_does_not_end_the_watch():
    """A terminal sends it to the whole process group; the process itself hears it later."""
    wait = (
        "import signal, time; from permakey_tf.system import cluster; cluster._AT_ONCE = 2\n"
        "signal.signal(signal.SIGINT, lambda *_: print('heard', flush=True))\n"
        "with cluster.ended_by_force():\n"
        "    print('waiting', flush=True)\n"
        "    time.sleep(20)"
    )
    words = [sys.executable, "-c", wait]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, process_group=0, **pipes) as process:
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.5)  # the watch is there
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (-signal.SIGKILL, "heard\n")
    (line,) = err.strip().splitlines()
    assert line.startswith("error: TensorFlow's workers did not meet within 2 s")


def test_a_death_ends_a_worker_whose_output_nobody_reads():
    [port] = free_ports(1)
    chief, other = (
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, (i, 2, port, "die1", 30))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for i in range(2)
    )
    chief.stderr.close()
    other.communicate()
    assert chief.wait(timeout=60) == 1


def test_a_machine_that_says_nothing_any_more_is_lost():
    _, *others = run_workers(3, "stop0")
    for result in others:
        one_line(result, "worker 0 (", "is lost", "2 s")


@pytest.mark.parametrize("failed", [0, 1])
def test_a_failure_of_one_is_told_to_all_in_its_words(failed):
    done = run_workers(3, f"fail{failed}")
    one_line(done.pop(failed), "error: disk full")
    for result in done:
        one_line(result, f"worker {failed} (", "stopped: disk full")


def test_an_interruption_is_no_failure():
    code = 128 + signal.SIGTERM
    assert run_workers(2, "interrupt") == [(code, "True\n", ""), (code, "False\n", "")]


def test_the_chief_evaluates_without_workers_that_are_gone():
    chief, other = run_workers(2, "release")
    assert chief == (0, "True\nevaluated\n", "")
    assert other[0] == -signal.SIGKILL


def test_a_worker_with_other_settings_is_refused_by_name():
    chief, other = run_workers(2, "other")
    one_line(chief, "worker 1 was started otherwise", "learning_rate is 2 there, 1 here")
    one_line(other, "worker 0 refuses", "learning_rate is 2 there, 1 here")


@pytest.mark.parametrize(("started", "missing"), [([0], 1), ([1], 0)])
def test_a_worker_that_does_not_come(started, missing):
    (result,) = run_workers(2, "work", patience=1, started=started)
    one_line(result, f"worker {missing} (", "did not come")


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        (result,) = run_workers(2, "work", port, patience=1, started=[0])
    one_line(result, f"port {port} ", "cannot be used")


def test_alone_there_is_nobody_to_meet():
    with of_training("none", CONFIG, "run") as line:
        assert line.is_chief
        assert line.from_chief(lambda: 5) == 5


def test_a_batch_that_workers_cannot_share_is_refused_before_they_meet(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(["a:1", "b:1", "c:1"]))
    with refuses("batch_size=8", "3 workers", "multiple of 3", settings=["batch_size"]):
        of_training("multiworker", CONFIG, "run")


def test_all_workers_must_write_to_the_same_folder(tmp_path, monkeypatch):
    asked = []

    def answer(member, about):
        asked.append(about["logdir"])

    monkeypatch.setattr(sharing, "joined", answer)
    monkeypatch.setenv("TF_CONFIG", config())
    (tmp_path / "link").symlink_to(Path.cwd())
    for folder in ("run", Path("run"), Path.cwd() / "run", tmp_path / "link" / "run", "elsewhere"):
        of_training("multiworker", CONFIG, folder)
    assert asked[0] == asked[1] == asked[2] == asked[3] != asked[4]


def greet_and_die(port):
    """As worker 1."""
    with connected(port) as worker:
        worker.sendall(greeting(port))
        time.sleep(0.5)  # the chief looks five times a second


def test_a_worker_that_dies_while_others_still_come_is_not_waited_for_long():
    """Worker 1 says who it is, and is gone; worker 2 does not come."""
    [port] = free_ports(1)
    chief = start_worker(0, 3, port, "work", patience=50)
    greet_and_die(port)
    out, err = chief.communicate(timeout=30)
    assert out == f"note: worker 1 (localhost:{port + 1}) has ended, and may be started again\n"
    one_line((chief.returncode, out, err), "worker 1 (", "did not come")


def test_one_that_is_started_again_takes_no_time_from_the_others():
    """Worker 1 dies and is back at once; worker 2 comes after the time that 1 had for it."""
    [port] = free_ports(1)
    chief = start_worker(0, 3, port, "work", patience=50)
    greet_and_die(port)
    time.sleep(0.5)  # less than _AT_ONCE there
    with connected(port) as again:
        again.sendall(greeting(port))
        time.sleep(2.0)  # more than _AT_ONCE there
        other = start_worker(2, 3, port, "work", patience=50)
        ends = [
            (*process.communicate(timeout=50), process.returncode) for process in (chief, other)
        ]
    assert [code for *_, code in ends] == [0, 0], ends


def test_who_connects_and_says_nothing_keeps_no_worker_waiting():
    """As a port scan does. The chief's own times are at work here."""
    [port] = free_ports(1)
    member = Member((f"localhost:{port}", f"localhost:{port + 1}"), 0)
    deadline = time.monotonic() + 30
    with concurrent.futures.ThreadPoolExecutor() as pool:
        chief = pool.submit(cluster._meet_workers, member, {"learning_rate": 1}, deadline)
        with connected(port), connected(port) as worker:
            worker.settimeout(10)
            worker.sendall(greeting(port, 2))
            with worker.makefile() as answers:
                assert [answers.readline(), answers.readline()] == [
                    '{"met": true}\n',
                    '{"go": true}\n',
                ]
            (connection,) = chief.result(timeout=10)
            assert connection._socket.gettimeout() == cluster._SILENCE
            connection.close()


def test_a_program_that_answers_at_the_chiefs_port_is_no_chief_that_has_died():
    """It takes connections and closes them, as a tunnel does; the chief comes in its place."""
    with socket.create_server(("", 0)) as tunnel:
        port = tunnel.getsockname()[1]
        worker = start_worker(1, 2, port, "work", patience=30)
        tunnel.settimeout(30)
        begin = time.monotonic()
        while time.monotonic() < begin + 2.5:  # more than _AT_ONCE there
            tunnel.accept()[0].close()
    chief = start_worker(0, 2, port, "work", patience=30)
    assert [process.wait(timeout=30) for process in (worker, chief)] == [0, 0]
    for process in (worker, chief):
        process.communicate()


def test_a_chief_that_dies_while_others_still_come_is_not_waited_for_long():
    with socket.create_server(("", 0)) as chief:
        port = chief.getsockname()[1]
        worker = start_worker(1, 3, port, "work", patience=50)
        connection, _ = chief.accept()
        with connection, connection.makefile() as file:
            assert json.loads(file.readline())["index"] == 1
            connection.sendall(b'{"met": true}\n')
    out, err = worker.communicate(timeout=30)
    one_line((worker.returncode, out, err), "worker 0 (", "did not come")


# ---------------------------------------------------------------------------------- who is there


def config(workers=("a:1", "b:2"), kind="worker", index=1, **more):
    return json.dumps(
        {"cluster": {"worker": list(workers), **more}, "task": {"type": kind, "index": index}}
    )


def test_tf_config_by_hand():
    assert cluster.parse_tf_config(config()) == Member(("a:1", "b:2"), 1)
    assert cluster.parse_tf_config(config(index="1")) == Member(("a:1", "b:2"), 1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"cluster": {}, "task": {}}', "damaged"),
        (config(ps=["c:3"]), "job worker"),
        (config(kind="chief"), "job worker"),
        (config(index=2), "no worker 2"),
        (config(index=-1), "no worker -1"),
        (config(index=0.7), "no worker 0.7"),
        (config(index="x"), "damaged"),
        (config(workers=("a", "b:2")), "'a'"),
        (config(workers=("a:0", "b:2")), "'a:0'"),
        (config(workers=("a:65536", "b:2")), "'a:65536'"),
        (config(workers=("a:1", "a:1")), "same address"),
    ],
)
def test_a_damaged_tf_config_is_refused_with_an_example(text, word):
    with refuses("TF_CONFIG", "host0:2222", word):
        cluster.parse_tf_config(text)


def test_multiworker_needs_to_know_the_workers(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with refuses("distribute=multiworker", "TF_CONFIG", settings=["distribute"]):
        cluster.find_member()


STEP = {
    "SLURM_JOB_ID": "1234",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NODELIST": "node[9-10]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURMD_NODENAME": "node9",
}


def in_step(monkeypatch, **changes):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in (STEP | changes).items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("host", "index"), [("node9", 1), ("node10", 0), ("node10.cluster.org", 0)]
)
def test_a_slurm_step_whose_hosts_sort_otherwise_as_text(host, index, monkeypatch):
    in_step(monkeypatch, SLURMD_NODENAME=host, SLURM_PROCID=str(1 - index))
    assert cluster.find_member() == Member(("node10:21234", "node9:21234"), index)


@pytest.mark.parametrize(
    "changes",
    [
        {"SLURM_STEP_NUM_TASKS": None},
        {"SLURM_STEP_NODELIST": "gpu-a[01-03,07]-x"},
        {"SLURM_JOB_ID": "x"},
        {"SLURM_LOCALID": None},
        {"SLURMD_NODENAME": "elsewhere"},
    ],
)
def test_a_slurm_step_that_cannot_be_read_is_refused_with_the_other_way(changes, monkeypatch):
    in_step(monkeypatch, **changes)
    with refuses("Slurm", "TF_CONFIG="):
        cluster.find_member()
