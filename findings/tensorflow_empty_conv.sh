#!/usr/bin/env bash
# TensorFlow's convolutions of an empty batch have the shape of their input.
#
# Packages:  tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6 (Linux, x86-64, oneDNN on as by default)
# Guess:     a convolution of no images gives no results of the usual shape: [0, 8, 8, 3] by
#            four filters with stride 2 is [0, 4, 4, 4].
# Behaviour: conv1d, conv2d, conv3d and depthwise_conv2d give the input's own shape, without a
#            word. What adds a bias then fails, so that a Keras Conv2D refuses an empty batch
#            with its bias, and without one passes a wrong shape on. conv2d_transpose, pooling
#            and products are right, and all is with TF_ENABLE_ONEDNN_OPTS=0.
# Seen:      oneDNN 1
#            conv2d (0, 8, 8, 3)
#            depthwise_conv2d (0, 8, 8, 3)
#            conv1d (0, 8, 3)
#            conv2d_transpose (0, 16, 16, 4)
#            max_pool2d (0, 4, 4, 3)
#            Conv2D without bias (0, 8, 8, 3)
#            Conv2D with bias InvalidArgumentError
#            oneDNN 0
#            conv2d (0, 4, 4, 4)
#            depthwise_conv2d (0, 4, 4, 6)
#            conv1d (0, 4, 4)
#            conv2d_transpose (0, 16, 16, 4)
#            max_pool2d (0, 4, 4, 3)
#            Conv2D without bias (0, 4, 4, 4)
#            Conv2D with bias (0, 4, 4, 4)
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6
cat > empty.py <<'PYTHON'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import tensorflow as tf

images, rows = tf.zeros([0, 8, 8, 3]), tf.zeros([0, 8, 3])


def by_layer(bias):
    layer = keras.layers.Conv2D(4, 3, 2, padding="same", use_bias=bias)
    try:
        return layer(images)
    except tf.errors.InvalidArgumentError as error:
        return error


found = {
    "conv2d": tf.nn.conv2d(images, tf.zeros([3, 3, 3, 4]), 2, "SAME"),
    "depthwise_conv2d": tf.nn.depthwise_conv2d(images, tf.zeros([3, 3, 3, 2]), [1, 2, 2, 1], "SAME"),
    "conv1d": tf.nn.conv1d(rows, tf.zeros([3, 3, 4]), 2, "SAME"),
    "conv2d_transpose": tf.nn.conv2d_transpose(images, tf.zeros([3, 3, 4, 3]), [0, 16, 16, 4], 2),
    "max_pool2d": tf.nn.max_pool2d(images, 2, 2, "SAME"),
    "Conv2D without bias": by_layer(False),
    "Conv2D with bias": by_layer(True),
}
one_dnn = os.environ["TF_ENABLE_ONEDNN_OPTS"]
print("oneDNN", one_dnn)
shapes = [getattr(values, "shape", type(values).__name__) for values in found.values()]
for name, shape in zip(found, shapes):
    print(name, shape)
transposed, pooled, right = (0, 16, 16, 4), (0, 4, 4, 3), (0, 4, 4, 4)
expected = {
    "1": [images.shape, images.shape, rows.shape, transposed, pooled, images.shape, "InvalidArgumentError"],
    "0": [right, (0, 4, 4, 6), (0, 4, 4), transposed, pooled, right, right],
}
raise SystemExit(shapes != expected[one_dnn])
PYTHON
for on in 1 0; do
  TF_ENABLE_ONEDNN_OPTS=$on env/bin/python empty.py 2> /dev/null
done
