"""The recurrent Q-network (ICLR app. A.2.3)."""

from typing import NamedTuple

import keras
import sonnet as snt
import tensorflow as tf

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.models.dense import glorot, named_weights
from permakey_tf.models.encoders import CNNEncoder
from permakey_tf.models.graph import GraphEncoder


class LSTMState(NamedTuple):
    """hidden, cell: float32 [B, units]."""

    hidden: tf.Tensor
    cell: tf.Tensor


class QOutput(NamedTuple):
    """q_values: float32 [B, T, A]; state: after the last step."""

    q_values: tf.Tensor
    state: LSTMState


class RecurrentQNetwork(snt.Module):
    """Encoder -> LSTM -> linear, one Q value per action at every step.

    Its variables are made at the first call. Sonnet does not see those of a Keras encoder, nor
    Keras Sonnet's: `named_weights` has all of them, and is what is trained, saved and averaged.

    Args:
      encoder: what `vision.prepare` gives of N frames -> float32 [N, D]; a Sonnet module with
        `named_weights`, or a Keras model. `mixes_frames` says whether in training a frame's output
        depends on the others of its batch.
      lstm_units: units of the LSTM.
      num_actions: A.
    """

    def __init__(self, encoder: snt.Module | keras.Model, lstm_units: int, num_actions: int):
        super().__init__(name="q_network")
        self.encoder = encoder
        self.lstm = snt.LSTM(
            lstm_units,
            w_i_init=glorot(),
            w_h_init=snt.initializers.Orthogonal(),
            name="lstm",
        )
        self.head = snt.Linear(num_actions, w_init=glorot(), name="q_values")

    @property
    def named_weights(self) -> dict[str, tf.Variable | keras.Variable]:
        """{name: variable} of all parts, moving statistics included; after the first call."""
        if isinstance(self.encoder, keras.Model):
            encoder = {variable.path: variable for variable in self.encoder.weights}
        else:
            encoder = self.encoder.named_weights
        own = named_weights(self.lstm) | named_weights(self.head)
        return {f"q_network/{n.removeprefix('q_network/')}": v for n, v in (encoder | own).items()}

    @property
    def trainable_weights(self) -> dict[str, tf.Variable | keras.Variable]:
        """Those of `named_weights` that gradients train."""
        return {name: v for name, v in self.named_weights.items() if v.trainable}

    def initial_state(self, batch_size) -> LSTMState:
        """Zeros."""
        return LSTMState(*self.lstm.initial_state(batch_size))

    def __call__(self, observations, state: LSTMState, length: int = 1, training=False) -> QOutput:
        """Unrolls over `length` steps.

        Args:
          observations: of B * T frames, sequence by sequence.
          state: before the first step.
          length: T.
          training: batch statistics in the encoder's normalisation.
        """
        codes = self.encoder(observations, training=training)
        codes = tf.reshape(codes, [-1, length, codes.shape[-1]])
        carried, outputs = snt.LSTMState(*state), []
        for step in range(length):
            output, carried = self.lstm(codes[:, step], carried)
            outputs.append(output)
        q_values = snt.BatchApply(self.head)(tf.stack(outputs, axis=1))
        return QOutput(q_values, LSTMState(*carried))


def build_q_network(config: AgentConfig, num_keypoints: int, num_actions: int) -> RecurrentQNetwork:
    """An untrained network; its variables are made at the first call."""
    learning = config.learning
    if config.encoder.encoder == "gnn":
        encoder = GraphEncoder(config.encoder, num_keypoints, learning.batch_norm_momentum)
    else:
        dtype = "mixed_bfloat16" if learning.precision == "bfloat16" else "float32"
        encoder = CNNEncoder(config.encoder, learning.batch_norm_momentum, dtype)
    return RecurrentQNetwork(encoder, learning.lstm_units, num_actions)
