#!/usr/bin/env bash
# graph_nets orders the edges of a full graph in two ways.
#
# Packages:  graph_nets==1.1.0 dm-sonnet==2.0.2 tensorflow-probability==0.25.0 tf_keras==2.21.0 tensorflow==2.21.0 numpy==2.4.6
# Guess:     fully_connect_graph_static is fully_connect_graph_dynamic for shapes that
#            are known: the same edges in the same order.
# Behaviour: the static one lists them receiver by receiver, the dynamic one sender by
#            sender. Edge features that are laid out for one and given to the other
#            land on the reversed edges; sums over all edges do not show it.
# Seen:      static  (0, 0) (1, 0) (2, 0) (0, 1) (1, 1) (2, 1) (0, 2) (1, 2) (2, 2)
#            dynamic (0, 0) (0, 1) (0, 2) (1, 0) (1, 1) (1, 2) (2, 0) (2, 1) (2, 2)
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet graph_nets==1.1.0 dm-sonnet==2.0.2 tensorflow-probability==0.25.0 tf_keras==2.21.0 tensorflow==2.21.0 numpy==2.4.6
env/bin/python - <<'PYTHON'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
from graph_nets import graphs, utils_tf

tf.get_logger().setLevel("ERROR")
count = tf.constant([3])
nodes = graphs.GraphsTuple(tf.ones([3, 1]), None, None, None, None, count, count)
static, dynamic = (
    [(int(s), int(r)) for s, r in zip(full.senders, full.receivers)]
    for full in (
        utils_tf.fully_connect_graph_static(nodes), utils_tf.fully_connect_graph_dynamic(nodes)
    )
)
print("static ", *static)
print("dynamic", *dynamic)
reversed_edges = [(sender, receiver) for receiver, sender in dynamic]
raise SystemExit(not (static == reversed_edges and static != dynamic))
PYTHON
