#!/usr/bin/env bash
# Recomputed dropout draws another mask, and recomputed batch normalisation moves twice.
#
# Packages:  keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
# Guess:     keras.remat and tf.recompute_grad save memory and change nothing else: what is
#            recomputed for the gradient is what was computed before. Dropped units have no
#            gradient, and one step moves the moving average once.
# Behaviour: the function simply runs again. Dropout then drops other units: half of those
#            that were dropped have a gradient, and half of those that were kept have none, so
#            that the gradient is of no function. The moving mean takes its step twice. A
#            seed changes nothing, and what is compiled by XLA does the same.
# Seen:      of 1000 units, with a gradient:
#                                  of the dropped  of the kept    moving mean
#              as it is                   0 of 523   477 of 477            0.10
#              keras.remat              264 of 523   229 of 477            0.19
#              tf.recompute_grad        264 of 523   229 of 477            0.19
#              keras.remat, XLA         263 of 497   252 of 503            0.19
# Upstream:  tf.contrib's function of TensorFlow 1 warned of it, and told the function that it
#            ran again. Those of today do neither. BigBird, in TensorFlow's model garden, has
#            a recompute_grad and a dropout of its own that know of each other.
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
export KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1
env/bin/python - <<'PYTHON' 2>log.txt || { code=$?; tail -n 5 log.txt >&2; exit "$code"; }
import keras
import numpy as np
import tensorflow as tf

UNITS = tf.ones([1, 1000])


def one_step(recomputed, compiled):
    """The output and the gradient of a dropout, and the moving mean of a normalisation."""
    dropout = keras.layers.Dropout(0.5, seed=1)
    normalise = keras.layers.BatchNormalization(momentum=0.9)
    normalise.build(UNITS.shape)
    drop = recomputed(lambda units: dropout(units, training=True))
    norm = recomputed(lambda units: normalise(units, training=True))

    def step():
        with tf.GradientTape() as tape:
            tape.watch(UNITS)
            dropped, normal = drop(UNITS), norm(UNITS)
            total = tf.reduce_sum(dropped) + tf.reduce_sum(normal)
        return dropped, tape.gradient(total, UNITS)  # the normalisation's share is 0

    dropped, gradient = tf.function(step, jit_compile=compiled)()
    return dropped.numpy() > 0, gradient.numpy() > 0.5, float(normalise.moving_mean[0])


same = True
print("of 1000 units, with a gradient:")
print(" " * 23 + "of the dropped  of the kept    moving mean")
for name, recomputed, compiled in (
    ("as it is", lambda function: function, False),
    ("keras.remat", keras.remat, False),
    ("tf.recompute_grad", tf.recompute_grad, False),
    ("keras.remat, XLA", keras.remat, True),
):
    kept, moved, mean = one_step(recomputed, compiled)
    counts = [f"{np.sum(moved & these)} of {np.sum(these)}" for these in (~kept, kept)]
    print(f"  {name:18} {counts[0]:>16} {counts[1]:>12} {mean:15.2f}")
    again = name != "as it is"
    same &= bool((kept != moved).mean() > 0.4) if again else bool((kept == moved).all())
    same &= abs(mean - (0.19 if again else 0.1)) < 0.001
raise SystemExit(not same)
PYTHON
