"""Graphs that are called many thousand times."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from permakey_tf.system import memory


def _executor() -> str:
    """On a CPU, hundreds of small operations take longer to be handed to a pool of threads than to
    be computed: one thread computes all. On a GPU it would wait for each (untested)."""
    return "" if tf.config.list_physical_devices("GPU") else "SINGLE_THREADED_EXECUTOR"


def traced(function: Callable, signature: list | None = None, **options: Any) -> Callable:
    """The tf.function of an object's function, without autograph; `options`: others of its own.

    TensorFlow counts traces by a function's code: at the fifth training of a process it would warn
    of a graph that is traced again and again. Here each is an object of its own.
    """
    own: Any = functools.partial(function)
    own.__name__ = getattr(function, "__name__", "function")  # TensorBoard's and XLA's
    return tf.function(own, signature, autograph=False, **options)


def traced_once(function: Callable, signature: list | None = None, compiled=False) -> Callable:
    """A graph of one signature, traced at the first call.

    A call of a tf.function binds and compares its arguments each time. That takes a third of an
    agent's step, and while it lasts no other thread can run Python.

    Args:
      function: of tensors, to tensors.
      signature: its arguments; None: those of the first call.
      compiled: whether XLA compiles it, in the first call. What that needed is given back then.
    """
    whole = traced(function, signature, jit_compile=compiled)
    graph, tracing, executor = None, threading.Lock(), _executor()

    def call(*arguments):
        nonlocal graph
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        first_call = graph is None
        if first_call:
            with tracing:
                graph = graph or whole.get_concrete_function(*([] if signature else tensors))
        with tf.experimental.function_executor_type(executor):
            results = graph(*tensors)
        if first_call and compiled:
            memory.give_back()
        return results

    return call
