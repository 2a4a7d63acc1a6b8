#!/usr/bin/env bash
# To compile layers of different widths XLA takes three times the memory of layers of one width.
#
# Packages:  tensorflow==2.21.0, keras==3.15.1
# Guess:     what XLA needs to compile a training step grows with its operations. Whether its
#            processor kernels are made by "fusion emitters", its default, matters little.
# Behaviour: it does where kernels are unlike each other. 40 layers of one width share theirs,
#            40 of different widths do not, and then emitters take three times the memory.
#            Without them both need the same.
# Seen:      (2 cores of an AMD EPYC with AVX-512)
#            one width, emitters: 145 MB
#            one width, none: 135 MB
#            40 widths, emitters: 477 MB
#            40 widths, none: 140 MB
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tensorflow==2.21.0 keras==3.15.1
cat >work.py <<'PYTHON'
import sys

import keras
import tensorflow as tf


def peak_mb():
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


wider = int(sys.argv[1])
layers = [keras.layers.Dense(64 + wider * i, activation="relu") for i in range(40)]
model = keras.Sequential([keras.Input([64]), *layers])
optimizer = keras.optimizers.Adam()
optimizer.build(model.trainable_variables)


@tf.function(jit_compile=True)
def step(x):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x)))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)


images = tf.ones([32, 64])
traced = step.get_concrete_function(images)
before = peak_mb()
traced(images)
print(peak_mb() - before)
PYTHON
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow CUDA_VISIBLE_DEVICES=-1
unset TF_XLA_FLAGS
compiled() {
  XLA_FLAGS=--xla_cpu_use_fusion_emitters=$2 env/bin/python work.py "$1" 2>/dev/null
}
same=$(compiled 0 true)
same_without=$(compiled 0 false)
widths=$(compiled 1 true)
widths_without=$(compiled 1 false)
echo "one width, emitters: $same MB"
echo "one width, none: $same_without MB"
echo "40 widths, emitters: $widths MB"
echo "40 widths, none: $widths_without MB"
((widths > 2 * same && 10 * widths_without < 13 * same_without))
