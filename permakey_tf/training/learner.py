"""One update of recurrent double Q-learning (ICLR app. A.2.3)."""

import keras
import tensorflow as tf

from permakey_tf.configs.agent import LearningConfig
from permakey_tf.models.q_network import RecurrentQNetwork
from permakey_tf.ops import returns
from permakey_tf.runs import checkpoint
from permakey_tf.types import SequenceBatch


class Learner:
    """The online network, its target, and the update that trains both.

    Both networks are unrolled over a whole window from a zero state, each with its own encoder.
    The online network takes a step of Adam on the TD loss; the target network then follows it by
    Polyak averaging, moving statistics of the normalisation included. The loss of a step is
    (y - Q(s_t, a_t))^2 / 2 with the n-step double-Q target y of ops.returns.

    Args:
      online, target: networks of one architecture with their variables made; the target is set to
        the online network's weights.
      prepare: function of what the replay stores of N frames to what the encoder reads.
      config: settings.
    """

    def __init__(
        self, online: RecurrentQNetwork, target: RecurrentQNetwork, prepare, config: LearningConfig
    ):
        self.online, self.target, self.config = online, target, config
        self._prepare = prepare
        for copy, original in zip(target.weights, online.weights, strict=True):
            copy.assign(original)
        self.optimizer = keras.optimizers.Adam(config.learning_rate, name="adam")
        self.optimizer.build(online.trainable_variables)

    @property
    def variables(self) -> dict:
        """{name: variable} of both networks and the optimizer: what a checkpoint holds of them."""
        groups = {"online": self.online.weights, "target": self.target.weights}
        return checkpoint.named_variables(groups | {"optimizer": self.optimizer.variables})

    @tf.function(autograph=False)
    def update(self, batch: SequenceBatch) -> dict[str, tf.Tensor]:
        """One step of gradient descent and of Polyak averaging; returns scalar metrics."""
        observations, batch_size, length = self._observations(batch)
        start = self.online.initial_state(batch_size)
        target_q = self.target(observations, start, length=length, training=True).q_values
        trained = length - self.config.n_step
        with tf.GradientTape() as tape:
            q_values = self.online(observations, start, length=length, training=True).q_values
            targets = returns.n_step_targets(
                batch.rewards,
                batch.discounts,
                batch.final,
                returns.double_q_values(q_values, target_q),
                self.config.n_step,
            )
            loss, errors = returns.td_loss(
                q_values[:, :trained], batch.actions[:, :trained], targets, batch.mask
            )
        variables = self.online.trainable_variables
        gradients = tape.gradient(loss, variables)
        gradients, norm = tf.clip_by_global_norm(gradients, self.config.clip_norm)
        self.optimizer.apply(gradients, variables)
        self._follow()
        return {
            "loss": loss,
            "td_error": tf.math.divide_no_nan(
                tf.reduce_sum(tf.abs(errors)), tf.reduce_sum(batch.mask)
            ),
            "q_value": tf.reduce_mean(tf.reduce_max(q_values, axis=-1)),
            "gradient_norm": norm,
        }

    def _observations(self, batch):
        """What the encoder reads of all B * T frames, B and T."""
        batch_size, length = batch.rewards.shape
        flat = {
            name: tf.reshape(values, [batch_size * length, *values.shape[2:]])
            for name, values in batch.inputs.items()
        }
        return tf.nest.map_structure(tf.stop_gradient, self._prepare(flat)), batch_size, length

    def _follow(self):
        """target <- target + polyak * (online - target), all weights."""
        for copy, original in zip(self.target.weights, self.online.weights, strict=True):
            copy.assign(copy + self.config.polyak * (original - copy))
