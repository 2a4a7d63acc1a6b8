"""The operations of a Transporter step, each alone: the most that a step of them can reach.

Timed are the convolutions of a training step, forwards and for both gradients, and the
normalisations with their ReLUs, one after the other, each counted as often as a step has it.
"""

from typing import NamedTuple

from benchmarks import flops
from benchmarks.timing import MATRIX, Stopwatch, matrix_product
from permakey_tf.configs.keypoints import KeypointConfig


class Conv(NamedTuple):
    """A convolution: side of its output, kernel, stride, channels in and out; and how often a step
    has it forwards, for the gradient of its weights, and for that of its inputs."""

    side: int
    kernel: int
    stride: int
    inputs: int
    outputs: int
    counts: tuple[int, int, int]
    normalised: bool


def transporter_convs() -> list[Conv]:
    """Of the paper's settings."""
    config, convs = KeypointConfig.make(None, "mspacman", method="transporter"), []
    for cost in flops.layer_costs(config, 84, 3):
        side, kernel, inputs, outputs = (int(w.split("^")[0]) for w in cost.formula.split(" * "))
        shared = not cost.name.startswith("refine_net")  # a's and b's networks
        first = cost.name.endswith("block_0") and shared
        counts = (1 + shared, 1, 0 if first else 1)
        plain = cost.name in ("refine_net/block_0", "keypointer/regressor")
        stride = 2 if shared and cost.name.endswith("block_2") else 1
        convs.append(Conv(side, kernel, stride, inputs, outputs, counts, not plain))
    return convs


def conv_functions(conv: Conv, batch_size: int):
    """{kind: function that does it once and waits}."""
    import tensorflow as tf

    draw, side = tf.random.stateless_normal, conv.side * conv.stride
    x = draw([batch_size, side, side, conv.inputs], [0, 1])
    kernel = draw([conv.kernel, conv.kernel, conv.inputs, conv.outputs], [0, 2])
    dy = draw([batch_size, conv.side, conv.side, conv.outputs], [0, 3])
    scale, offset = tf.ones([conv.outputs]), tf.zeros([conv.outputs])
    how = {"strides": [1, conv.stride, conv.stride, 1], "padding": "SAME"}

    def normalise():
        outputs, *_ = tf.compat.v1.nn.fused_batch_norm(dy, scale, offset, is_training=True)
        return tf.nn.relu(outputs)

    def normalise_backwards():
        masked = tf.raw_ops.ReluGrad(gradients=dy, features=dy)
        return tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=masked, x=dy, scale=scale,
            reserve_space_1=offset, reserve_space_2=scale, reserve_space_3=scale,
        )[0]  # fmt: skip

    kinds = {
        "forwards": lambda: tf.nn.conv2d(x, kernel, **how),
        "weights": lambda: tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=kernel.shape, out_backprop=dy, **how
        ),
        "inputs": lambda: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=x.shape, filter=kernel, out_backprop=dy, **how
        ),
        "normalise": normalise,
        "normalise backwards": normalise_backwards,
    }
    return {kind: tf.function(function) for kind, function in kinds.items()}


def measure(conv: Conv, rounds: int, batch_size: int):
    """Seconds that a step spends on a convolution and on its normalisation, and its operations."""
    watch = Stopwatch(conv_functions(conv, batch_size))
    watch.measure(rounds)
    times = [watch.median(kind) for kind in ("forwards", "weights", "inputs")]
    macs = conv.side**2 * conv.kernel**2 * conv.inputs * conv.outputs * batch_size
    rates = ", ".join(f"{2e-9 * macs / seconds:.0f}" for seconds in times)
    name = f"{conv.side}^2 {conv.kernel}^2 {conv.inputs} -> {conv.outputs}"
    print(f"  {name:<24} GFLOP/s forwards, weights, inputs: {rates}")
    convolution = sum(count * taken for count, taken in zip(conv.counts, times, strict=True))
    normalisation = conv.normalised * (
        conv.counts[0] * watch.median("normalise")
        + conv.counts[1] * watch.median("normalise backwards")
    )
    return convolution, normalisation, 2 * macs * sum(conv.counts)


def report(rounds: int, batch_size: int) -> None:
    """Prints the operations' rates, and what a step of them would have of matmul's."""
    print(f"\nTransporter's operations, each alone, float32, batch {batch_size}")
    watch = Stopwatch({"matmul": matrix_product("float32")})
    watch.measure(rounds)
    rate = 2 * MATRIX**3 / watch.median("matmul")
    parts = [measure(conv, rounds, batch_size) for conv in transporter_convs()]
    convolutions, normalisations, count = map(sum, zip(*parts, strict=True))
    print(f"  matmul: {rate / 1e9:.0f} GFLOP/s; a step: {count / 1e9:.1f} GFLOP")
    for what, seconds in (
        ("convolutions", convolutions),
        ("convolutions and normalisations", convolutions + normalisations),
    ):
        print(f"  {what}: {seconds:.3f} s, {100 * count / seconds / rate:.0f} % of matmul's rate")
