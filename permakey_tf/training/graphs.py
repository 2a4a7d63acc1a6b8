"""Graphs that are called many thousand times."""

from collections.abc import Callable

import tensorflow as tf


def traced_once(function: Callable, signature: list | None = None, compiled=False) -> Callable:
    """A graph of one signature, traced at the first call.

    A call of a tf.function binds and compares its arguments each time. That takes a third of an
    agent's step, and while it lasts no other thread can run Python.

    Args:
      function: of tensors, to tensors.
      signature: its arguments; None: those of the first call.
      compiled: whether XLA compiles it.
    """
    traced = tf.function(function, signature, autograph=False, jit_compile=compiled)

    graph = None

    def call(*arguments):
        nonlocal graph
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        if graph is None:
            graph = traced.get_concrete_function(*([] if signature else tensors))
        return graph(*tensors)

    return call
