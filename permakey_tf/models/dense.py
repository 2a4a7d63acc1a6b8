"""Dense layers of the agent's networks, in Sonnet, and how Sonnet's variables are named."""

import sonnet as snt
import tensorflow as tf

# Checkpoints name variables as Keras does.
_NAMES = {
    "w": "kernel",
    "b": "bias",
    "scale": "gamma",
    "offset": "beta",
    "w_i": "kernel",
    "w_h": "recurrent_kernel",
}


def glorot() -> snt.initializers.Initializer:
    """Uniform, the variance 2 / (inputs + outputs)."""
    return snt.initializers.VarianceScaling(1.0, "fan_avg", "uniform")


def named_weights(module: snt.Module) -> dict[str, tf.Variable]:
    """{path: variable} of a Sonnet module and those in it, such as "norm/gamma".

    What Keras layers in it own is not among them: a module that has some adds theirs.
    """
    table = {}
    for variable in module.variables:
        *scopes, name = variable.name.removesuffix(":0").split("/")
        path = "/".join([*scopes, _NAMES.get(name, name)])
        if path in table:
            raise ValueError(f"two variables are named {path}: one would be lost")
        table[path] = variable
    return table


class Dense(snt.Linear):
    """Linear, batch normalisation where it is asked for, ReLU.

    snt.BatchNorm keeps a count and two averages for each moving statistic, which Polyak averaging
    cannot average; here a moving statistic is one variable, as in models.conv.

    Args:
      units: of the layer.
      momentum: of the moving statistics; None: no normalisation.
      name: in checkpoints.
      epsilon: added to the variance.
    """

    def __init__(self, units: int, momentum: float | None, name: str, epsilon: float = 1e-3):
        super().__init__(units, w_init=glorot(), name=name)
        self.momentum, self.epsilon = momentum, epsilon

    def __call__(self, inputs, training=False) -> tf.Tensor:
        """[N, C] -> [N, units]; by the batch's statistics in training, else by the moving ones."""
        outputs = super().__call__(inputs)
        if self.momentum is not None:
            self._make_statistics()
            outputs = self._normalize(outputs, training)
        return tf.nn.relu(outputs)

    @snt.once
    def _make_statistics(self):
        units = [self.output_size]
        self.gamma = tf.Variable(tf.ones(units), name="gamma")
        self.beta = tf.Variable(tf.zeros(units), name="beta")
        self.moving_mean = tf.Variable(tf.zeros(units), trainable=False, name="moving_mean")
        self.moving_variance = tf.Variable(tf.ones(units), trainable=False, name="moving_variance")

    def _normalize(self, outputs, training):
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, variance = tf.nn.moments(outputs, axes=[0])
            number = tf.cast(tf.shape(outputs)[0], tf.float32)
            unbiased = variance * number / tf.maximum(number - 1.0, 1.0)
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return tf.nn.batch_normalization(
            outputs, mean, variance, self.beta, self.gamma, self.epsilon
        )
