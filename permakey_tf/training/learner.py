"""One update of recurrent double Q-learning (ICLR app. A.2.3)."""

import sonnet as snt
import tensorflow as tf

from permakey_tf.configs.agent import LearningConfig
from permakey_tf.models.q_network import RecurrentQNetwork
from permakey_tf.ops import returns
from permakey_tf.runs import checkpoint
from permakey_tf.system.graphs import traced_once
from permakey_tf.training.adam import Adam
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
      compiled: whether XLA compiles the update.

    Attributes:
      update: function of a SequenceBatch, always of the same shapes: one step of gradient descent
        and of Polyak averaging; scalar metrics, {name: float32 []}.
    """

    def __init__(
        self,
        online: RecurrentQNetwork,
        target: RecurrentQNetwork,
        prepare,
        config: LearningConfig,
        compiled: bool = False,
    ):
        self.online, self.target, self.config = online, target, config
        self.compiled = compiled
        self._prepare = prepare
        self._trained = list(online.trainable_weights.values())
        self._pairs = list(
            zip(target.named_weights.values(), online.named_weights.values(), strict=True)
        )
        for copy, original in self._pairs:
            copy.assign(original)
        self.optimizer = Adam(config.learning_rate, epsilon=config.adam_epsilon, name="adam")
        self.optimizer.build(self._trained)
        self.update = traced_once(self._update, compiled=compiled)

    @property
    def variables(self) -> dict:
        """{name: variable} of both networks and the optimizer: what a checkpoint holds of them."""
        groups = {"online": self.online.named_weights, "target": self.target.named_weights}
        return checkpoint.named_variables(groups | {"optimizer": self._optimizer_variables})

    @property
    def _optimizer_variables(self) -> dict:
        """Keras names them after its own variables, and does not know the names of Sonnet's."""
        names = ["iteration", "learning_rate"]
        for weight in self.online.trainable_weights:
            name = weight.replace("/", "_")
            names += [f"{name}_momentum", f"{name}_velocity"]
        variables = zip(names, self.optimizer.variables, strict=True)
        return {f"adam/{name}": variable for name, variable in variables}

    def warm_up(self, batch: SequenceBatch) -> None:
        """Makes an update and takes it back: the first one is when XLA compiles it.

        Args:
          batch: of the shapes of all that follow, whatever is in it.
        """
        kept = checkpoint.to_arrays(self.variables)
        self.update(batch)
        for name, variable in self.variables.items():
            variable.assign(kept[name])

    def _update(self, batch: SequenceBatch) -> dict[str, tf.Tensor]:
        observations = self._observed(batch.inputs)
        target_q = self._unroll(self.target, observations)[0]
        with tf.GradientTape() as tape:
            trained_q, q_values = self._online_values(observations, tape)
            targets = returns.n_step_targets(
                batch.rewards,
                batch.discounts,
                batch.final,
                returns.double_q_values(q_values, target_q),
                self.config.n_step,
            )
            actions = batch.actions[:, : trained_q.shape[1]]
            loss, errors = returns.td_loss(trained_q, actions, targets, batch.mask)
        gradients = tape.gradient(loss, self._trained)
        # Of all at once: XLA would compile sums for each shape of variable.
        norm = tf.norm(tf.concat([tf.reshape(one, [-1]) for one in gradients], axis=0))
        gradients, _ = tf.clip_by_global_norm(gradients, self.config.clip_norm, use_norm=norm)
        self.optimizer.apply(gradients, self._trained)
        self._follow()
        return {
            "loss": loss,
            "td_error": tf.math.divide_no_nan(
                tf.reduce_sum(tf.abs(errors)), tf.reduce_sum(batch.mask)
            ),
            "q_value": tf.reduce_mean(tf.reduce_max(q_values, axis=-1)),
            "gradient_norm": norm,
        }

    def _observed(self, inputs):
        """What the encoder reads, [B, T, ...], of what the replay stores, {name: [B, T, ...]}."""
        return tf.nest.map_structure(tf.stop_gradient, snt.BatchApply(self._prepare)(inputs))

    def _online_values(self, observations, tape) -> tuple[tf.Tensor, tf.Tensor]:
        """Q values of the steps that are trained, and of all steps, which carry no gradient.

        No gradient comes from the last n steps: the value of their best action is the target
        network's. Where frames do not depend on each other, they are only looked at.
        """
        length = tf.nest.flatten(observations)[0].shape[1]
        trained = length - self.config.n_step
        if self.online.encoder.mixes_frames:
            q_values, _ = self._unroll(self.online, observations)
            return q_values[:, :trained], tf.stop_gradient(q_values)
        first, last = (
            tf.nest.map_structure(lambda values, part=part: values[:, part], observations)
            for part in (slice(trained), slice(trained, length))
        )
        trained_q, state = self._unroll(self.online, first)
        with tape.stop_recording():
            ahead, _ = self._unroll(self.online, last, state)
            return trained_q, tf.concat([trained_q, ahead], axis=1)

    def _unroll(self, network, observations, state=None):
        """QOutput of observations [B, T, ...]."""
        batch_size, length = tf.nest.flatten(observations)[0].shape[:2]
        flat = tf.nest.map_structure(lambda part: snt.merge_leading_dims(part, 2), observations)
        state = network.initial_state(batch_size) if state is None else state
        return network(flat, state, length=length, training=True)

    def _follow(self):
        """target <- target + polyak * (online - target), all weights."""
        for copy, original in self._pairs:
            copy.assign(copy + self.config.polyak * (original - copy))
