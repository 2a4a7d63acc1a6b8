#!/usr/bin/env bash
# Sonnet's moving variance of the same numbers depends on the array's rank.
#
# Packages:  dm-sonnet==2.0.2 tf_keras==2.21.0 keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
# Guess:     the moving variance after one batch is the batch's, divided by N or by
#            N - 1, and the same for [N, C] and [N, 1, 1, C].
# Behaviour: Sonnet 2 and tf_keras divide by N for [N, C] and by N - 1 for images;
#            Keras 3 divides by N for both. Weights that are moved between them for a
#            test of parity agree in training and differ in inference.
# Seen:      variance of 1, 2, 4, 9 as [4, 1] and as [4, 1, 1, 1]
#            sonnet 9.500 12.667
#            tf_keras 9.500 12.667
#            keras 9.500 9.500
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet dm-sonnet==2.0.2 tf_keras==2.21.0 keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
env/bin/python - <<'PYTHON'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import sonnet as snt
import tf_keras

values = np.array([1, 2, 4, 9], np.float32)


def sonnet(inputs):
    norm = snt.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.0)
    norm(inputs, is_training=True)
    return norm.moving_variance.value.numpy().item()


def of_keras(package):
    def variance(inputs):
        norm = package.layers.BatchNormalization(momentum=0.0)
        norm(inputs, training=True)
        return float(np.asarray(norm.moving_variance)[0])

    return variance


print("variance of 1, 2, 4, 9 as [4, 1] and as [4, 1, 1, 1]")
ratios = []
for name, variance in (
    ("sonnet", sonnet), ("tf_keras", of_keras(tf_keras)), ("keras", of_keras(keras))
):
    row, image = variance(values.reshape(4, 1)), variance(values.reshape(4, 1, 1, 1))
    print(f"{name} {row:.3f} {image:.3f}")
    ratios.append(round(image / row, 3))
raise SystemExit(ratios != [1.333, 1.333, 1.0])
PYTHON
