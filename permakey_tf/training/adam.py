"""Adam in one operation a variable."""

import keras
import tensorflow as tf


class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, of the same arithmetic, by TensorFlow's fused operation.

    Keras builds an update from some twenty operations a variable, and to trace them takes longer
    than to trace the model. Checkpoints of either fit the other. Without Keras's `amsgrad`.
    """

    def update_step(self, gradient, variable, learning_rate):
        """One variable's update, as Keras calls it."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
