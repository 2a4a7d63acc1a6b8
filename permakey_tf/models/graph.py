"""The graph keypoint encoder: encode, process, decode (PKey+GNN; ICLR section 3, eq. 4).

Sonnet networks in graph_nets modules. `GraphEncoder.decode_by_graph_nets` defines what is computed;
`decode`, which runs, is the same mathematics in fewer operations.
"""

import graph_nets
import numpy as np
import sonnet as snt
import tensorflow as tf

from permakey_tf.configs.agent import EncoderConfig
from permakey_tf.models.dense import Dense, glorot, named_weights
from permakey_tf.models.vision import Nodes

_EPSILON = 1e-5  # added to the variance by the layer normalisation


class MLP(snt.Module):
    """Two times linear, ReLU; then layer normalisation, in the place of the code's BatchNorm.

    Args:
      units: of both layers.
      config: how weights are drawn.
      name: in checkpoints.
    """

    def __init__(self, units: int, config: EncoderConfig, name: str):
        super().__init__(name=name)
        # On inputs of zeros, as the edges are, biases of zeros would put every unit at the kink of
        # its ReLU, where it never learns. The authors' code has it so.
        ours = config.gnn_init == "glorot"
        drawn = {
            "w_init": glorot() if ours else None,
            "b_init": snt.initializers.RandomNormal(stddev=0.05) if ours else None,
        }
        self.linears = [snt.Linear(units, **drawn, name=f"dense_{i}") for i in range(2)]
        self.norm = snt.LayerNorm(
            -1, create_scale=True, create_offset=True, eps=_EPSILON, name="norm"
        )

    def __call__(self, inputs) -> tf.Tensor:
        """[N, C] -> [N, units]."""
        return self.norm(self.before_norm(inputs))

    def before_norm(self, inputs) -> tf.Tensor:
        """What is normalised: [N, C] -> [N, units]."""
        return self.second(tf.nn.relu(self.linears[0](inputs)))

    def second(self, hidden) -> tf.Tensor:
        """From the first layer's output to what is normalised: [N, units] -> [N, units]."""
        return tf.nn.relu(self.linears[1](hidden))

    def normalized_sum(self, values, chosen: np.ndarray) -> tf.Tensor:
        """The sum of normalised values: scale and offset wait for it, which is smaller.

        Args:
          values: float32 [..., M, N, units] of `second`.
          chosen: bool [M, N], those of each row that are added up.

        Returns:
          float32 [..., M, units].
        """
        mean, variance = tf.nn.moments(values, axes=[-1])
        factors = tf.math.rsqrt(variance + _EPSILON) * chosen.astype(np.float32)  # [..., M, N]
        total = tf.reduce_sum(factors[..., None] * values, axis=-2)
        total -= tf.reduce_sum(factors * mean, axis=-1, keepdims=True)
        number = chosen.sum(axis=-1, keepdims=True).astype(np.float32)
        return total * self.norm.scale + number * self.norm.offset


class GraphEncoder(snt.Module):
    """A fully connected graph with one node per keypoint.

        node k = [mean features in window k, embedding of its position], edges = 0
        encode:  nodes and edges each on their own
        process: e'_ij = f_e(v_i, v_j, e_ij),  v'_i = f_v(v_i, sum_j e'_ij), as often as configured
        decode:  nodes on their own (decoded edges would feed nothing)
        outputs: all nodes in order -> 2 x dense, ReLU

    Its variables are made at the first call.

    Args:
      config: sizes and number of message-passing steps.
      num_keypoints: K.
      momentum: of the batch normalisation, where there is one.

    Attributes:
      mixes_frames: whether in training a frame's output depends on the other frames of its batch.
    """

    def __init__(self, config: EncoderConfig, num_keypoints: int, momentum: float = 0.99):
        super().__init__(name="graph_encoder")
        self.num_keypoints, self.num_steps = num_keypoints, config.message_passing_steps
        self.mixes_frames = config.gnn_dense_norm == "batch"
        hidden, units = config.position_hidden_units, config.gnn_units
        norm = momentum if self.mixes_frames else None
        self.position_hidden = Dense(hidden or config.position_units, norm, name="position_hidden")
        self.position_embedding = snt.Linear(
            config.position_units, w_init=glorot(), name="position"
        )
        self.encode_node = MLP(units, config, name="encode_node")
        self.encode_edge = MLP(units, config, name="encode_edge")
        self.process_node = MLP(units, config, name="process_node")
        self.process_edge = MLP(units, config, name="process_edge")
        self.decode_node = MLP(config.gnn_decode_units, config, name="decode_node")
        self.outputs = [Dense(config.gnn_output_units, norm, name=f"output_{i}") for i in range(2)]
        self._connected = np.ones([num_keypoints, num_keypoints], bool)  # [receiver, sender]
        if not config.self_edges:
            np.fill_diagonal(self._connected, False)

    @property
    def named_weights(self) -> dict[str, tf.Variable]:
        """{name: variable}, moving statistics included; after the first call."""
        return named_weights(self)

    def __call__(self, nodes: Nodes, training=False) -> tf.Tensor:
        """Features [B, K, F] and positions [B, K, 2] -> float32 [B, units]."""
        vectors = self.embed(nodes, training)
        decoded = self.decode(vectors)
        outputs = tf.reshape(decoded, [-1, self.num_keypoints * decoded.shape[-1]])
        for dense in self.outputs:
            outputs = dense(outputs, training)
        return outputs

    def embed(self, nodes: Nodes, training=False) -> tf.Tensor:
        """The graph's input nodes: float32 [B, K, F + position units]."""
        positions = tf.reshape(nodes.positions, [-1, 2])
        embedding = self.position_embedding(self.position_hidden(positions, training))
        embedding = tf.reshape(embedding, [-1, self.num_keypoints, embedding.shape[-1]])
        return tf.concat([nodes.features, embedding], axis=-1)

    @snt.once
    def _make_variables(self, vectors):
        self.decode_by_graph_nets(vectors)

    def decode_by_graph_nets(self, vectors) -> tf.Tensor:
        """The decoded nodes, float32 [B, K, units], of input nodes [B, K, C]: the definition."""
        modules = graph_nets.modules
        encode = modules.GraphIndependent(
            edge_model_fn=lambda: self.encode_edge, node_model_fn=lambda: self.encode_node
        )
        process = modules.InteractionNetwork(
            edge_model_fn=lambda: self.process_edge, node_model_fn=lambda: self.process_node
        )
        decode = modules.GraphIndependent(node_model_fn=lambda: self.decode_node)
        graphs = encode(self._graphs(vectors))
        for _ in range(self.num_steps):
            graphs = process(graphs)
        decoded = decode(graphs).nodes  # [B * K, units]
        return tf.reshape(decoded, [-1, self.num_keypoints, decoded.shape[-1]])

    def _graphs(self, vectors) -> graph_nets.graphs.GraphsTuple:
        """[B, K, C] -> B graphs of K nodes, and zeros on all edges."""
        batch, pairs = tf.shape(vectors)[0], np.argwhere(self._connected.T)
        senders, receivers = pairs.astype(np.int32).T
        first_nodes = tf.range(batch)[:, None] * self.num_keypoints  # [B, 1]
        return graph_nets.graphs.GraphsTuple(
            nodes=tf.reshape(vectors, [-1, vectors.shape[-1]]),
            edges=tf.zeros([batch * len(pairs), 1]),
            senders=tf.reshape(first_nodes + senders, [-1]),
            receivers=tf.reshape(first_nodes + receivers, [-1]),
            globals=None,
            n_node=tf.fill([batch], self.num_keypoints),
            n_edge=tf.fill([batch], len(pairs)),
        )

    def decode(self, vectors) -> tf.Tensor:
        """As `decode_by_graph_nets`, without what a fully connected graph can save.

        One edge is encoded for all, since all start equal. The first layer of the edges' model is
        linear in [edge, receiver, sender]: applied to the K nodes, and added up for the K^2 pairs,
        it takes a K-th of the operations, and nothing is gathered. Messages are normalised and
        added up in one, and each on its own only where another step follows.
        """
        self._make_variables(vectors)
        nodes = self.encode_node(tf.reshape(vectors, [-1, vectors.shape[-1]]))  # [B * K, units]
        edges = self.encode_edge(tf.zeros([1, 1]))  # [1, units], then [B * K * K, units]
        for step in range(self.num_steps):
            messages = self._messages(nodes, edges)  # [B, K, K, units]
            received = self.process_edge.normalized_sum(messages, self._connected)
            received = tf.reshape(received, [-1, received.shape[-1]])
            nodes = self.process_node(tf.concat([received, nodes], axis=-1))
            if step + 1 < self.num_steps:
                edges = self.process_edge.norm(tf.reshape(messages, [-1, messages.shape[-1]]))
        decoded = self.decode_node(nodes)
        return tf.reshape(decoded, [-1, self.num_keypoints, decoded.shape[-1]])

    def _messages(self, nodes, edges) -> tf.Tensor:
        """f_e of every pair, before its normalisation: [B * K, C], [1 or B * K * K, C] -> [B,
        receiver, sender, units]."""
        first, number = self.process_edge.linears[0], self.num_keypoints
        of_edges, of_receivers, of_senders = tf.split(first.w, 3)
        encoded = edges @ of_edges + first.b
        receivers = nodes @ of_receivers
        if edges.shape[0] == 1:
            receivers, encoded = receivers + encoded, 0.0
        else:
            encoded = tf.reshape(encoded, [-1, number, number, first.output_size])
        receivers = tf.reshape(receivers, [-1, number, 1, first.output_size])
        senders = tf.reshape(nodes @ of_senders, [-1, 1, number, first.output_size])
        pairs = tf.nn.relu(receivers + senders + encoded)  # [B, receiver, sender, units]
        messages = self.process_edge.second(tf.reshape(pairs, [-1, first.output_size]))
        return tf.reshape(messages, [-1, number, number, messages.shape[-1]])
