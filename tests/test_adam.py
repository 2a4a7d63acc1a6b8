"""Our Adam is Keras's, in fewer operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from permakey_tf.training.adam import Adam

RNG = np.random.default_rng(0)
STARTS = [RNG.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,), ())]
# From steps that Adam's epsilon outweighs to such that it does not see.
SCALES = (1e-9, 1e-6, 1e-3, 1.0, 1e3)
GRADIENTS = [
    [(SCALES[step % 5] * RNG.normal(size=start.shape)).astype(np.float32) for start in STARTS]
    for step in range(20)
]
RATE = keras.optimizers.schedules.InverseTimeDecay(1e-2, 5, 0.5)


def made(optimizer, epsilon=1e-7):
    variables = [keras.Variable(start, name=f"weight_{i}") for i, start in enumerate(STARTS)]
    optimizer = optimizer(RATE, epsilon=epsilon, name="adam")
    optimizer.build(variables)
    return optimizer, variables


def go(optimizer, variables, steps, compiled=False):
    apply = tf.function(
        lambda gradients: optimizer.apply(gradients, variables), jit_compile=compiled
    )
    for step in steps:
        apply([tf.constant(gradient) for gradient in GRADIENTS[step]])


def assert_alike(left, right):
    """To the rounding of 1 - beta_2, which TensorFlow takes of 0.999 as float32: 1.3e-5 of it."""
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=0)


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("epsilon", [1e-7, 1e-3])
def test_equals_keras(epsilon, compiled):
    ours, variables = made(Adam, epsilon)
    theirs, expected = made(keras.optimizers.Adam, epsilon)
    go(ours, variables, range(20), compiled)
    go(theirs, expected, range(20))
    assert_alike(variables, expected)
    assert_alike(ours.variables, theirs.variables)
    assert int(ours.iterations) == 20


def test_goes_on_where_keras_stopped():
    """Run folders of earlier versions hold the variables of Keras's."""
    theirs, expected = made(keras.optimizers.Adam)
    go(theirs, expected, range(10))
    ours, variables = made(Adam)
    for copy, original in zip(
        [*ours.variables, *variables], [*theirs.variables, *expected], strict=True
    ):
        assert copy.shape == original.shape
        copy.assign(original)
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    go(ours, variables, range(10, 20))
    go(theirs, expected, range(10, 20))
    assert_alike(variables, expected)


def test_bfloat16_gradients_reach_float32_variables():
    (variable,), optimizer = [keras.Variable([1.0, 2.0])], Adam(0.1)
    optimizer.build([variable])
    optimizer.apply([tf.constant([3.0, -5.0], tf.bfloat16)], [variable])
    np.testing.assert_allclose(variable, [0.9, 2.1], rtol=1e-6)  # a first step is of the rate
