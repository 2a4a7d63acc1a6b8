"""The processes of one training on several machines: who they are, and the line between them.

Every worker keeps one connection to worker 0, the chief. They meet before TensorFlow starts, at the
chief's own address; then the line tells each of them at once, or within a minute where a machine
is lost, that another is gone. TensorFlow by itself would wait, or end without a word.
"""

import contextlib
import json
import os
import queue
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from permakey_tf.errors import UserError
from permakey_tf.system.interruption import Interrupted

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_PATIENCE = 180.0  # seconds until all workers have to be there
_NOTE_AFTER = 10.0  # seconds of waiting, until the user is told for whom
_ALIVE_EVERY = 5.0  # seconds
_HELLO = 2.0  # seconds for who connects to say who it is: anybody may, and the others wait
_AT_ONCE = 45.0  # seconds for what takes a moment: meeting again, TensorFlow's own meeting
# Seconds without a word, after which a machine is lost. TensorFlow's own meeting lets no worker say
# one, since the last of every _ALIVE_EVERY: who is only slow there must not be taken for lost.
_SILENCE = 60.0
_RESUME = (
    "all workers end: the same command on each of them resumes from the last checkpoint, if any"
)
_PROTOCOL = "permakey 1"
_MAX_LINE = 1 << 20  # bytes of a message
# Of another process: kills its parent where its standard input does not end in time.
_WATCH = """
import os, select, signal, sys
if not select.select([0], [], [], float(sys.argv[1]))[0]:
    print(f"\\nerror: {sys.argv[2]}", file=sys.stderr, flush=True)
    os.kill(os.getppid(), signal.SIGKILL)
"""


class Member(NamedTuple):
    """A process of a training. `addresses`: "host:port" of all workers; `index`: its own."""

    addresses: tuple[str, ...]
    index: int

    def name(self, index: int) -> str:
        """Of a worker, for the user."""
        return f"worker {index} ({self.addresses[index]})"


ALONE = Member(("localhost:0",), 0)


def find_member() -> Member:
    """Which process of a training this one is, by TF_CONFIG or by the Slurm step that it is of.

    Raises:
      UserError: there is neither, or TF_CONFIG is damaged.
    """
    if text := os.environ.get("TF_CONFIG"):
        return parse_tf_config(text)
    if "SLURM_PROCID" in os.environ and "SLURM_STEP_NODELIST" in os.environ:
        return _of_slurm()
    raise UserError(
        f"distribute=multiworker needs TF_CONFIG in the environment of every worker, such as "
        f"TF_CONFIG='{_EXAMPLE}', or a step of a Slurm job (srun)",
        ["distribute"],
    )


def parse_tf_config(text: str) -> Member:
    """Reads TensorFlow's description of a cluster.

    Raises:
      UserError: it is damaged, or has other jobs than workers.
    """
    try:
        content = json.loads(text)
        cluster, task = dict(content["cluster"]), content["task"]
        addresses, kind, index = tuple(cluster.pop("worker")), task["type"], task["index"]
        index = int(index) if isinstance(index, str) else index  # TensorFlow takes both
    except (ValueError, TypeError, KeyError) as error:
        raise _bad_config(f"it is damaged ({type(error).__name__}: {error})") from error
    if cluster or kind != "worker":
        raise _bad_config("all processes must be of the job worker; worker 0 is the chief")
    for address in addresses:
        parts = re.fullmatch(r"[^\s:]+:(\d{1,5})", address) if isinstance(address, str) else None
        if parts is None or not 0 < int(parts[1]) < 2**16:
            raise _bad_config(f"{address!r} is no host:port")
    if len(set(addresses)) < len(addresses):
        raise _bad_config("two workers have the same address")
    if type(index) is not int or not 0 <= index < len(addresses):
        raise _bad_config(f"there is no worker {index}: it lists {len(addresses)}")
    return Member(addresses, index)


def _bad_config(why: str) -> UserError:
    return UserError(f"TF_CONFIG: {why}; expected something like {_EXAMPLE}")


def _of_slurm() -> Member:
    # Imported here: who has TF_CONFIG need not wait for TensorFlow.
    import tensorflow as tf

    # Ports differ from job to job, which can share a node. One GPU a task is said because the
    # resolver fails at none; which GPUs a task sees is Slurm's affair.
    try:
        port = 20_000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 10_000
        places = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1")
        most = max(int(number) for number in re.findall(r"(?:^|,)(\d+)", places))
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=most, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = tuple(resolver.cluster_spec().as_dict()["worker"])
        # By the place, not by SLURM_PROCID: the resolver sorts hosts as text (node10, node9),
        # Slurm does not. It may name them in short.
        host, place = os.environ["SLURMD_NODENAME"], port + int(os.environ["SLURM_LOCALID"])
        own = {f"{host}:{place}", f"{host.partition('.')[0]}:{place}"}
        (index,) = (number for number, address in enumerate(addresses) if address in own)
        return Member(addresses, index)
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the Slurm step cannot be made out ({type(error).__name__}: {error}); give every "
            f"process its own TF_CONFIG='{_EXAMPLE}'"
        ) from error


class Line:
    """Between the workers of a training; this class is that of a single process.

    Attributes:
      member: who this process is.
      is_chief: whether it is worker 0.
    """

    def __init__(self, member: Member = ALONE):
        self.member, self.is_chief = member, member.index == 0

    def from_chief(self, function: Callable[[], Any]) -> Any:
        """What `function` returns on the chief, where alone it is called; the others wait for it.

        It must be what JSON can hold.
        """
        return function()

    def gather(self) -> None:
        """Returns when all workers have come as far as this."""

    def release(self) -> None:
        """From here on nobody is needed: the chief goes on without workers that are gone."""

    def await_verdict(self) -> None:
        """Where something failed that fails when a worker is gone: ends the process if one is."""

    def leave(self, failure: str = "") -> None:
        """Says farewell, and why this worker failed; the chief, that the training is over."""

    def wait_for_end(self) -> None:
        """Waits until the chief has left."""


@contextlib.contextmanager
def joined(member: Member, about: dict[str, Any]):
    """Meets the other workers; within the block, their deaths end this process with one line.

    Args:
      member: who this process is.
      about: what has to be equal on all workers; must be what JSON can hold.

    Yields:
      The Line. An exception that leaves the block on one worker ends them all, with its message.

    Raises:
      UserError: a worker did not come or was started otherwise, or the chief's port is taken.
    """
    if len(member.addresses) == 1:
        yield Line(member)
        return
    meet = _meet_workers if member.index == 0 else _meet_chief
    line = _Connected(member, meet(member, about, time.monotonic() + _PATIENCE))
    try:
        yield line
    except Interrupted:  # all are, at the same step
        line.leave()
        line.wait_for_end()
        raise
    except BaseException as error:
        line.leave(" ".join(str(error).split()) or type(error).__name__)
        raise
    line.leave()
    line.wait_for_end()


@contextlib.contextmanager
def ended_by_force():
    """Kills this process with one line where the block does not end at once.

    For calls that wait for other workers without giving Python's threads a turn, the line's among
    them: TensorFlow's own meeting is such a call. So it is another process that watches.
    """
    line = f"TensorFlow's workers did not meet within {_AT_ONCE:.0f} s; {_RESUME}"
    # Its standard input ends with the block, and with this process. It is in a process group of its
    # own: a terminal's Ctrl-C, which this process may not hear for long, is not for the watch.
    watch = [sys.executable, "-S", "-c", _WATCH, str(_AT_ONCE), line]
    process = subprocess.Popen(watch, stdin=subprocess.PIPE, process_group=0)
    try:
        yield
    finally:
        process.communicate()


# ----------------------------------------------------------------------------------------- meeting


class _Connection:
    """Messages, JSON objects of a line each, over a socket."""

    def __init__(self, sock: socket.socket, index: int = -1):
        self.index, self._socket, self._lock = index, sock, threading.Lock()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(_SILENCE)
        self._file = sock.makefile("rb")

    def send(self, **message) -> None:
        """Raises OSError."""
        with self._lock:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """The next message. Raises OSError where none comes, ValueError where it is none."""
        text = self._file.readline(_MAX_LINE)
        if not text.endswith(b"\n"):
            raise ConnectionResetError("the connection was closed")
        message = json.loads(text)
        if not isinstance(message, dict):
            raise ValueError("not a message")
        return message

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def _meet_workers(member: Member, about, deadline: float) -> list[_Connection]:
    """The chief's part: connections to all others."""
    port = int(member.addresses[0].rpartition(":")[2])
    try:
        # Closed before TensorFlow takes the port.
        listener = socket.create_server(("", port), backlog=len(member.addresses))
    except OSError as error:
        raise UserError(
            f"port {port} of {member.name(0)} cannot be used: {error.strerror}; end what uses it, "
            "or name another in TF_CONFIG"
        ) from error
    found: dict[int, _Connection] = {}
    due = dict.fromkeys(range(1, len(member.addresses)), deadline)
    told = False
    noted = time.monotonic() + _NOTE_AFTER
    with listener:
        while len(found) < len(member.addresses) - 1:
            missing = [index for index in due if index not in found]
            for index in missing:
                if time.monotonic() > due[index]:
                    _refuse(found, f"{member.name(index)} did not come")
            if time.monotonic() > noted and not told:
                told = _say(f"waiting for {', '.join(map(member.name, missing))}")
            gone = _gone(found)
            if gone is not None:
                del found[gone]
                due[gone] = min(deadline, time.monotonic() + _AT_ONCE)
                _say(f"{member.name(gone)} has ended, and may be started again")
            _greet(listener, member, about, found)
    for connection in found.values():
        with contextlib.suppress(OSError):  # it has died since, as the line finds out
            connection.send(go=True)
    return list(found.values())


def _greet(listener, member, about, found) -> None:
    """Takes in one worker that knocks, if there is one."""
    if not select.select([listener], [], [], 0.2)[0]:
        return
    sock = listener.accept()[0]
    connection = _Connection(sock)
    try:
        sock.settimeout(_HELLO)
        hello = connection.receive()
        sock.settimeout(_SILENCE)
    except (OSError, ValueError):
        connection.close()
        return
    index = hello.get("index")
    if hello.get("protocol") != _PROTOCOL or not isinstance(index, int):
        connection.close()
        return
    connection.index = index
    different = _difference(hello, {"addresses": list(member.addresses), **about})
    if not 0 < index < len(member.addresses) or index in found:
        different = f"there are two of worker {index}"
    if different:
        with contextlib.suppress(OSError):
            connection.send(refused=different)
        _refuse(found, f"worker {index} was started otherwise than worker 0: {different}")
    found[index] = connection
    with contextlib.suppress(OSError):  # it has died since, as `_gone` finds out
        connection.send(met=True)


def _difference(hello, own) -> str:
    """The first setting in which a worker differs from the chief, in words; "" for none."""
    theirs = hello.get("about", {})
    for name, value in json.loads(json.dumps(own)).items():
        if theirs.get(name) != value:
            return f"{name} is {theirs.get(name)} there, {value} here"
    return ""


def _refuse(found, why: str) -> NoReturn:
    for connection in found.values():
        with contextlib.suppress(OSError):
            connection.send(refused=why)
    raise UserError(f"{why}: start the same command on all workers")


def _gone(found) -> int | None:
    """A worker that came and has ended since: it may be started again."""
    ready = select.select([c._socket for c in found.values()], [], [], 0)[0]
    return next((i for i, c in found.items() if c._socket in ready), None)


def _meet_chief(member: Member, about, deadline: float) -> list[_Connection]:
    """Another worker's part: the connection to the chief."""
    host, _, port = member.addresses[0].rpartition(":")
    about = {"addresses": list(member.addresses), **about}
    hello = {"protocol": _PROTOCOL, "index": member.index, "about": about}
    noted, told, why = time.monotonic() + _NOTE_AFTER, False, ""
    while time.monotonic() < deadline:
        heard = False
        if time.monotonic() > noted and not told:
            told = _say(f"waiting for {member.name(0)}")
        try:
            sock = socket.create_connection((host, int(port)), timeout=5)
            connection = _Connection(sock, index=0)
            connection.send(**hello)
            sock.settimeout(max(deadline - time.monotonic(), 1.0))
            answer = connection.receive()
            if "met" in answer:
                heard = True
                answer = connection.receive()
        except (OSError, ValueError) as error:  # not there yet, or the port is another program's
            if heard:  # it was there, and has ended: it may be started again
                deadline = min(deadline, time.monotonic() + _AT_ONCE)
            why = f" ({error})"
            time.sleep(0.2)
            continue
        if "refused" in answer:
            raise UserError(f"worker 0 refuses: {answer['refused']}")
        sock.settimeout(_SILENCE)
        return [connection]
    raise UserError(f"{member.name(0)} did not come{why}: start the same command on all workers")


def _say(text: str) -> bool:
    print(f"note: {text}", flush=True)
    return True


# ---------------------------------------------------------------------------------------- the line


class _Connected(Line):
    """A Line between several processes: a star around the chief."""

    def __init__(self, member: Member, connections: list[_Connection]):
        super().__init__(member)
        self._connections = connections
        self._values: queue.Queue = queue.Queue()
        self._there = threading.Semaphore(0)  # released for each worker that gathers
        self._needed = True  # whether a death ends this process
        self._ending = threading.Lock()
        self._left, self._chief_left = threading.Event(), threading.Event()
        for connection in connections:
            threading.Thread(target=self._listen, args=[connection], daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def from_chief(self, function):
        if not self.is_chief:
            return self._values.get()
        value = function()
        self._tell(value=value)
        return value

    def gather(self):
        if self.is_chief:
            for _ in self._connections:
                self._there.acquire()
        else:
            self._tell(there=True)
        self.from_chief(lambda: None)

    def release(self):
        if self.is_chief:
            self._needed = False

    def await_verdict(self):
        time.sleep(_SILENCE + _ALIVE_EVERY)

    def leave(self, failure=""):
        if failure or self.is_chief:
            self._needed = False
        self._tell(left=failure)
        self._left.set()

    def wait_for_end(self):
        if not self.is_chief:
            self._chief_left.wait()

    def _tell(self, **message):
        for connection in self._connections:
            # Who does not hear it is gone, which the listening thread finds out.
            with contextlib.suppress(OSError):
                connection.send(**message)

    def _beat(self):
        while not self._left.wait(_ALIVE_EVERY):
            self._tell(alive=True)

    def _listen(self, connection: _Connection):
        name = self.member.name(connection.index)
        try:
            while True:
                message = connection.receive()
                if "value" in message:
                    self._values.put(message["value"])
                elif "there" in message:
                    self._there.release()
                elif "gone" in message:
                    self._end(message["gone"])
                elif "left" in message:
                    if message["left"]:
                        self._end(f"{name} stopped: {message['left']}; all workers end")
                    self._chief_left.set()
                    return
        except TimeoutError:
            self._end(f"{name} is lost: it has said nothing for {_SILENCE:.0f} s; {_RESUME}")
        except (OSError, ValueError):
            self._end(f"{name} has died; {_RESUME}")

    def _end(self, what: str):
        """Ends the process, whatever its other threads wait for: TensorFlow cannot be called back
        from an operation that waits for a worker."""
        self._ending.acquire()  # for good: two may be gone at once
        if not self._needed:
            return
        self._tell(gone=what)
        try:
            # The line before may be a progress bar, which nobody closes any more.
            print(f"\nerror: {what}", file=sys.stderr, flush=True)
            sys.stdout.flush()
        finally:  # where nobody reads what is printed, too
            os._exit(1)
