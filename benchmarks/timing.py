"""Timing of functions in turn, beside the machine's own matrix multiplication."""

import statistics
import time

MATRIX = 2048  # side of the square matrices


class Stopwatch:
    """Best and median of repeated timings of named functions."""

    def __init__(self, functions):
        self.functions = functions
        self.seconds = {name: [] for name in functions}

    def measure(self, rounds):
        """Calls every function twice to warm up, then once a round, in turn."""
        for function in self.functions.values():
            function()
            function()
        for _ in range(rounds):
            for name, function in self.functions.items():
                start = time.perf_counter()
                function()
                self.seconds[name].append(time.perf_counter() - start)

    def best(self, name):
        return min(self.seconds[name])

    def median(self, name):
        return statistics.median(self.seconds[name])


def matrix_product(precision):
    """A function that multiplies two square matrices and waits."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.stateless_normal([MATRIX, MATRIX], [0, 0]), precision)
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    return lambda: product().numpy()
