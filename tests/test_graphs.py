"""Graphs of many models in one process."""

import logging

import pytest
import tensorflow as tf

from permakey_tf.system.graphs import traced, traced_once


class Model:
    """Of whose functions every instance traces its own."""

    def double(self, x):
        return 2 * x


def plainly(function):
    return tf.function(function, autograph=False)


@pytest.mark.parametrize(("make", "warned"), [(plainly, True), (traced, False)])
def test_many_models_are_not_one_that_is_traced_again(make, warned, caplog):
    """A warning stands in the middle of the progress bar, and blames who trains five seeds."""
    with caplog.at_level(logging.WARNING, "tensorflow"):
        for _ in range(12):
            assert make(Model().double)(tf.constant(3)) == 6
    assert ("retracing" in caplog.text) == warned


def test_the_function_keeps_its_name():
    graph = traced(Model().double).get_concrete_function(tf.constant(3))
    assert b"double" in graph.name
    assert traced_once(lambda x: x + 1)(2) == 3
