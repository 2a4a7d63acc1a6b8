#!/usr/bin/env bash
# tf2onnx turns area resizing into nearest neighbour.
#
# Packages:  tf2onnx==1.17.0 onnxruntime==1.32.0 onnx==1.23.2 tensorflow==2.21.0 numpy==2.4.6
# Guess:     tf.image.resize(method="area") has no counterpart in ONNX, so the
#            conversion is refused, as the one to LiteRT is.
# Behaviour: it succeeds, and the node that is written takes the nearest pixel: an
#            image is subsampled, not averaged, and small objects come and go.
# Seen:      mode nearest; largest difference from TensorFlow 196 of 255 levels
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tf2onnx==1.17.0 onnxruntime==1.32.0 onnx==1.23.2 tensorflow==2.21.0 numpy==2.4.6
env/bin/python - <<'PYTHON'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

signature = [tf.TensorSpec([None, 210, 160, 3], tf.float32)]
shrink = tf.function(lambda x: tf.image.resize(x, (84, 84), method="area"), signature)
model, _ = tf2onnx.convert.from_function(shrink, input_signature=signature, opset=18)
(node,) = (node for node in model.graph.node if node.op_type == "Resize")
mode = next(a.s.decode() for a in node.attribute if a.name == "mode")
frames = np.random.default_rng(0).integers(0, 256, (1, 210, 160, 3)).astype(np.float32)
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(
    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
)
(output,) = session.run(None, {session.get_inputs()[0].name: frames})
difference = np.abs(output - shrink(frames).numpy()).max()
print(f"mode {mode}; largest difference from TensorFlow {difference:.0f} of 255 levels")
raise SystemExit(not (mode == "nearest" and difference > 100))
PYTHON
