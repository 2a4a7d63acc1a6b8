"""The devices that share a keypoint training: which part of a batch each has, and who writes.

Every device has a copy of each variable. The copies stay equal: gradients are summed over all
devices, and a batch's statistics and random numbers are those of the whole batch (`ops.replicas`).
"""

import contextlib
import signal
from collections.abc import Callable

import tensorflow as tf

from permakey_tf.errors import UserError
from permakey_tf.ops import replicas
from permakey_tf.system import graphs
from permakey_tf.system.cluster import Line, ended_by_force
from permakey_tf.system.interruption import Interruption
from permakey_tf.training.sharing import check_share


class Replicas:
    """One device, in one process: it has all of each batch, and writes all there is to write.

    Attributes:
      number: of devices that share a batch.
      line: to the other processes; the chief validates, logs and saves.
    """

    number = 1

    def __init__(self):
        self.line = Line()

    def check(self, batch_size: int) -> None:
        """Raises UserError where a batch cannot be shared evenly."""
        check_share(batch_size, self.number, "devices")

    def scope(self) -> contextlib.AbstractContextManager:
        """Models and optimizers that are made within are on all devices."""
        return contextlib.nullcontext()

    def part(self, batch_size: int) -> slice:
        """Of each global batch, the examples of this process."""
        return slice(None)

    def traced(self, step: Callable) -> Callable:
        """The graph of a training step.

        Args:
          step: (uint8 [B, ...], int32 []) -> a nest of float32 [], means over the batch.

        Returns:
          The same of this process' part of the global batch; the means are over the global batch.
        """
        return graphs.traced(step)

    def heed(self, interruption: Interruption) -> Interruption:
        """From now on, a signal that interrupts one process interrupts all, after the same step.

        Returns:
          The mark to look at: a process that left by its own would leave the others waiting.
        """
        return interruption


class Mirrored(Replicas):
    """Several devices of this machine.

    Args:
      strategy: of TensorFlow.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        super().__init__()
        self._strategy, self.number = strategy, strategy.num_replicas_in_sync

    def scope(self):
        return self._strategy.scope()

    def traced(self, step):
        def of_one(frames, number):
            return replicas.mean(step(frames, number))

        graph = self._on_all(of_one)
        return lambda frames, number: graph(self._spread(frames), number)

    def _on_all(self, function):
        """The graph of a function on all devices; its results are equal on all."""

        def graph(*arguments):
            results = self._strategy.run(function, arguments)
            return tf.nest.map_structure(self._first, results)

        return graphs.traced(graph)

    def _first(self, value):
        return self._strategy.experimental_local_results(value)[0]

    def _spread(self, frames):
        """[B, ...] of this process -> [B / n, ...] on each of its n devices."""
        parts = iter(tf.split(frames, len(self._strategy.extended.worker_devices)))
        return self._strategy.experimental_distribute_values_from_function(lambda _: next(parts))


class Workers(Mirrored):
    """All devices of several machines, each a process that is joined to the others.

    Args:
      strategy: of TensorFlow.
      line: to the other workers.
    """

    def __init__(self, strategy: tf.distribute.Strategy, line: Line):
        super().__init__(strategy)
        self.line, self._own, self._agreed = line, Interruption(), Interruption()

    def part(self, batch_size):
        size = batch_size // len(self.line.member.addresses)
        return slice(self.line.member.index * size, (self.line.member.index + 1) * size)

    def heed(self, interruption):
        self._own = interruption
        return self._agreed

    def traced(self, step):
        def of_one(frames, number, is_interrupted):
            return replicas.mean((step(frames, number), is_interrupted))

        graph = self._on_all(of_one)

        def call(frames, number):
            # Known to all by the all-reduce of the losses, which comes anyway.
            flag = tf.constant(float(self._own.signal is not None))
            try:
                outputs, flags = graph(self._spread(frames), number, flag)
                if float(flags):
                    self._agreed.signal = self._own.signal or signal.SIGTERM
            except tf.errors.OpError as error:
                self.line.await_verdict()
                raise UserError(
                    f"the workers cannot compute together: {str(error).partition('. ')[0]}"
                ) from error
            return outputs

        return call


def make_replicas(distribute: str, line: Line) -> Replicas:
    """The devices that a training is to use; TensorFlow must not have computed anything before.

    Args:
      distribute: "none", "mirrored" or "multiworker".
      line: between the workers.

    Raises:
      UserError: TensorFlow has computed in this process before, and cannot be joined to others.
    """
    if distribute == "none":
        return Replicas()
    tf.get_logger().setLevel("WARNING")  # else a line for every operation between devices
    if len(line.member.addresses) == 1:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        if len(devices) == 1:
            return Replicas()
        return Mirrored(tf.distribute.MirroredStrategy([device.name for device in devices]))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(line.member.addresses)}),
        task_type="worker",
        task_id=line.member.index,
        rpc_layer="grpc",
    )
    line.gather()  # TensorFlow's meeting takes a moment then, and hears of no death
    try:
        with ended_by_force():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        own = line.member.name(line.member.index)
        raise UserError(
            f"TensorFlow cannot serve the other workers at the address of {own}: is its port used "
            f"by another program? Name another in TF_CONFIG ({error.message.splitlines()[0]})"
        ) from error
    except RuntimeError as error:
        raise UserError(
            "distribute=multiworker: TensorFlow has computed in this process before; train in a "
            "process of its own",
            ["distribute"],
        ) from error
    return Workers(strategy, line)
