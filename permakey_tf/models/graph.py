"""The graph keypoint encoder: encode, process, decode (PKey+GNN; ICLR section 3, eq. 4).

The only module that uses graph_nets. Its modules are told of Keras layers that belong to the
encoder: Keras would neither train nor save the variables of layers that graph_nets owns.
"""

import graph_nets
import keras
import numpy as np
import tensorflow as tf

from permakey_tf.configs.agent import EncoderConfig
from permakey_tf.models.serialization import Serializable
from permakey_tf.models.vision import Nodes


class MLP(Serializable, keras.layers.Layer):
    """Two times dense, ReLU; then layer normalisation, in the place of the code's BatchNorm.

    Biases start at small random values: on inputs of zeros, as the edges are, every unit would
    sit at the kink of its ReLU and never learn.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.denses = [
            keras.layers.Dense(
                units, activation="relu", bias_initializer="random_normal", name=f"dense_{i}"
            )
            for i in range(2)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm")

    def call(self, inputs):
        """[..., C] -> [..., units of the last layer]."""
        for dense in self.denses:
            inputs = dense(inputs)
        return self.norm(inputs)


class GraphEncoder(Serializable, keras.Model):
    """A fully connected graph with one node per keypoint.

        node k = [mean features in window k, embedding of its position], edges = 0
        encode:  nodes and edges each on their own
        process: e'_ij = f_e(v_i, v_j, e_ij),  v'_i = f_v(v_i, sum_j e'_ij), as often as configured
        decode:  nodes on their own (decoded edges would feed nothing)
        outputs: all nodes in order -> 2 x dense, ReLU

    Args:
      config: sizes and number of message-passing steps.
      num_keypoints: K.
    """

    def __init__(self, config: EncoderConfig, num_keypoints: int):
        super().__init__(name="graph_encoder")
        self.num_keypoints, self.num_steps = num_keypoints, config.message_passing_steps
        units = config.gnn_units
        self.position_hidden = keras.layers.Dense(
            config.position_units, activation="relu", name="position_hidden"
        )
        self.position_embedding = keras.layers.Dense(config.position_units, name="position")
        self.encode_node, self.encode_edge = (
            MLP(units, name="encode_node"),
            MLP(units, name="encode_edge"),
        )
        self.process_node, self.process_edge = (
            MLP(units, name="process_node"),
            MLP(units, name="process_edge"),
        )
        self.decode_node = MLP(config.gnn_decode_units, name="decode_node")
        self.outputs_hidden = [
            keras.layers.Dense(config.gnn_output_units, activation="relu", name=f"output_{i}")
            for i in range(2)
        ]
        modules = graph_nets.modules
        self._encode = modules.GraphIndependent(
            edge_model_fn=lambda: self.encode_edge, node_model_fn=lambda: self.encode_node
        )
        self._process = modules.InteractionNetwork(
            edge_model_fn=lambda: self.process_edge, node_model_fn=lambda: self.process_node
        )
        self._decode = modules.GraphIndependent(node_model_fn=lambda: self.decode_node)
        pairs = np.array(
            [
                (sender, receiver)
                for sender in range(num_keypoints)
                for receiver in range(num_keypoints)
                if config.self_edges or sender != receiver
            ],
            np.int32,
        ).reshape(-1, 2)
        self._senders, self._receivers = pairs.T

    def call(self, nodes: Nodes, training=False) -> tf.Tensor:
        """Features [B, K, F] and positions [B, K, 2] -> float32 [B, units]."""
        decoded = self.decode(nodes)
        outputs = tf.reshape(decoded, [-1, self.num_keypoints * decoded.shape[-1]])
        for dense in self.outputs_hidden:
            outputs = dense(outputs)
        return outputs

    def decode(self, nodes: Nodes) -> tf.Tensor:
        """The decoded nodes, float32 [B, K, units], in the order of the keypoints."""
        embedding = self.position_embedding(self.position_hidden(nodes.positions))
        graphs = self._encode(self._graphs(tf.concat([nodes.features, embedding], axis=-1)))
        # All edges start equal, so one was encoded for all.
        edges = tf.repeat(graphs.edges, tf.shape(graphs.senders)[0], axis=0)
        graphs = graphs.replace(edges=edges)
        for _ in range(self.num_steps):
            graphs = self._process(graphs)
        decoded = self._decode(graphs).nodes  # [B * K, units]
        return tf.reshape(decoded, [-1, self.num_keypoints, decoded.shape[-1]])

    def _graphs(self, nodes) -> graph_nets.graphs.GraphsTuple:
        """[B, K, F] -> B graphs of K nodes, and a single zero for all edges."""
        batch, num_edges = tf.shape(nodes)[0], len(self._senders)
        first_nodes = tf.range(batch)[:, None] * self.num_keypoints  # [B, 1]
        return graph_nets.graphs.GraphsTuple(
            nodes=tf.reshape(nodes, [-1, nodes.shape[-1]]),
            edges=tf.zeros([1, 1]),
            senders=tf.reshape(first_nodes + self._senders, [-1]),
            receivers=tf.reshape(first_nodes + self._receivers, [-1]),
            globals=None,
            n_node=tf.fill([batch], self.num_keypoints),
            n_edge=tf.fill([batch], num_edges),
        )
