"""The recurrent Q-network (ICLR app. A.2.3)."""

from typing import NamedTuple

import keras
import tensorflow as tf

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.models.encoders import CNNEncoder
from permakey_tf.models.graph import GraphEncoder
from permakey_tf.models.serialization import Serializable


class LSTMState(NamedTuple):
    """hidden, cell: float32 [B, units]."""

    hidden: tf.Tensor
    cell: tf.Tensor


class QOutput(NamedTuple):
    """q_values: float32 [B, T, A]; state: after the last step."""

    q_values: tf.Tensor
    state: LSTMState


class RecurrentQNetwork(Serializable, keras.Model):
    """Encoder -> LSTM -> linear, one Q value per action at every step.

    Args:
      encoder: keras.Model, what `vision.prepare` gives of N frames -> float32 [N, D].
      lstm_units: units of the LSTM.
      num_actions: A.
    """

    def __init__(self, encoder: keras.Model, lstm_units: int, num_actions: int):
        super().__init__(name="q_network")
        self.encoder = encoder
        self.cell = keras.layers.LSTMCell(lstm_units, name="lstm")
        self.head = keras.layers.Dense(num_actions, name="q_values")

    def initial_state(self, batch_size) -> LSTMState:
        """Zeros."""
        zeros = tf.zeros([batch_size, self.cell.units])
        return LSTMState(zeros, zeros)

    def call(self, observations, state: LSTMState, length: int = 1, training=False) -> QOutput:
        """Unrolls over `length` steps.

        Args:
          observations: of B * T frames, sequence by sequence.
          state: before the first step.
          length: T.
          training: batch statistics in the encoder's normalisation.
        """
        codes = self.encoder(observations, training=training)
        codes = tf.reshape(codes, [-1, length, codes.shape[-1]])
        carried, outputs = list(state), []
        for step in range(length):
            output, carried = self.cell(codes[:, step], carried)
            outputs.append(output)
        q_values = self.head(tf.stack(outputs, axis=1))
        return QOutput(q_values, LSTMState(*carried))


def build_q_network(config: AgentConfig, num_keypoints: int, num_actions: int) -> RecurrentQNetwork:
    """An untrained network; its variables are made at the first call."""
    learning = config.learning
    if config.encoder.encoder == "gnn":
        encoder = GraphEncoder(config.encoder, num_keypoints)
    else:
        dtype = "mixed_bfloat16" if learning.precision == "bfloat16" else "float32"
        encoder = CNNEncoder(config.encoder, learning.batch_norm_momentum, dtype)
    return RecurrentQNetwork(encoder, learning.lstm_units, num_actions)
