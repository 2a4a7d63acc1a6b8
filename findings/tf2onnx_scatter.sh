#!/usr/bin/env bash
# In tf2onnx's models scatter_nd forgets all but one of the values that fall in one place.
#
# Packages:  tf2onnx==1.17.0 onnx==1.23.2 onnxruntime==1.32.0 tensorflow==2.21.0 keras==3.15.1
#            numpy==2.4.6
# Guess:     a converted model gives what the model gave. tf.scatter_nd adds what falls in one
#            place (its documentation); tf.one_hot of -1, as in padded lists, is all zeros.
# Behaviour: tf.scatter_nd becomes ScatterND without a reduction: of two keypoints in one
#            cell of a map one counts, and a histogram has ones only. No warning.
#            tf.tensor_scatter_nd_add and unsorted_segment_sum are converted with the sum.
#            one_hot of -1 is the last class.
# Seen:      a map of four cells, with keypoints in cells 1, 1, 1 and 3
#              scatter_nd:            TensorFlow 0 3 0 1, ONNX 0 1 0 1
#              tensor_scatter_nd_add: TensorFlow 0 3 0 1, ONNX 0 3 0 1
#              unsorted_segment_sum:  TensorFlow 0 3 0 1, ONNX 0 3 0 1
#            one_hot(-1, 4): TensorFlow 0 0 0 0, ONNX 0 0 0 1
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tf2onnx==1.17.0 onnx==1.23.2 onnxruntime==1.32.0 \
    tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1
env/bin/python - <<'PYTHON' 2>log.txt || { code=$?; tail -n 5 log.txt >&2; exit "$code"; }
import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx


def both(function, places):
    """What a function of whole numbers gives in TensorFlow, and once it is converted."""
    signature = [tf.TensorSpec([None], tf.int32, name="places")]
    model, _ = tf2onnx.convert.from_function(tf.function(function, signature), signature, opset=18)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    places = np.array(places, np.int32)
    (converted,) = session.run(None, {"places": places})
    return [np.ravel(row).astype(int).tolist() for row in (function(places), converted)]


def ones(places):
    return tf.ones(tf.shape(places))


ways = {
    "scatter_nd": lambda at: tf.scatter_nd(at[:, None], ones(at), [4]),
    "tensor_scatter_nd_add": lambda at: tf.tensor_scatter_nd_add(
        tf.zeros(4), at[:, None], ones(at)
    ),
    "unsorted_segment_sum": lambda at: tf.math.unsorted_segment_sum(ones(at), at, 4),
}


def show(title, rows):
    tensorflow, onnx = (" ".join(map(str, row)) for row in rows)
    print(f"{title} TensorFlow {tensorflow}, ONNX {onnx}")


print("a map of four cells, with keypoints in cells 1, 1, 1 and 3")
found = []
for name, way in ways.items():
    found.append(both(way, [1, 1, 1, 3]))
    show(f"  {name + ':':22}", found[-1])
padding = both(lambda at: tf.one_hot(at, 4), [-1])
show("one_hot(-1, 4):", padding)
counts, once = [0, 3, 0, 1], [0, 1, 0, 1]
same = found == [[counts, once], [counts, counts], [counts, counts]]
raise SystemExit(not (same and padding == [[0, 0, 0, 0], [0, 0, 0, 1]]))
PYTHON
