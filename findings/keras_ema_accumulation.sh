#!/usr/bin/env bash
# Where Keras accumulates gradients, its moving average of the weights forgets faster.
#
# Packages:  keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
# Guess:     four batches of 8 with gradient_accumulation_steps=4 do what one batch of 32 does
#            without. So with use_ema=True as well: the average moves where the weights move,
#            and after fit() the weights are the same.
# Behaviour: the weights move alike, their average does not. It moves in each call, also in the
#            three of four where the gradients are only added up. A momentum of 0.9 forgets
#            nearly as fast as 0.9 ** 4 would. fit() leaves the average in the model.
#            ema_overwrite_frequency=2 overwrites the weights in the midst of adding up, too:
#            the gradients of one step are then those of different weights.
# Seen:      fit, one batch of 32:     raw 0.586 1.201 2.085 2.855, kept 0.376 0.805 1.427 1.956
#            fit, four batches of 8:   raw 0.586 1.201 2.085 2.855, kept 0.523 1.092 1.916 2.625
#            weights that fall by 1 a step: -200.0 after 200 steps in each case, the average
#              without accumulation     9.0 steps behind
#              2 calls a step           4.7 steps behind
#              4 calls a step           2.6 steps behind
#              8 calls a step           1.6 steps behind
#            overwritten every 2nd step, 4 calls a step: weights move in calls 4 8 12 13 16
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


def optimizer(rate, calls, **options):
    return keras.optimizers.SGD(
        rate, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=calls, **options
    )


def fit(size, calls):
    """A linear layer after ten epochs: its last weights, and those that fit() leaves."""
    inputs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(optimizer(0.02, calls), "mse")
    weights = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: weights.append(model.get_weights()[0].ravel())
    )
    targets = inputs @ np.float32([[1], [2], [3], [4]])
    model.fit(inputs, targets, size, epochs=10, shuffle=False, verbose=0, callbacks=[note])
    return weights[-1], model.get_weights()[0].ravel()


def fall(steps, calls, **options):
    """One weight with gradients of 1: after each call, and its average at the end."""
    weight = keras.Variable([0.0])
    sgd = optimizer(1.0, calls, **options)
    sgd.build([weight])
    weights = []
    for _ in range(steps * (calls or 1)):
        sgd.apply([keras.ops.ones(1)], [weight])
        weights.append(float(weight.numpy()[0]))
    sgd.finalize_variable_values([weight])
    return weights, float(weight.numpy()[0])


fitted = {"one batch of 32:": fit(32, None), "four batches of 8:": fit(8, 4)}
for name, both in fitted.items():
    raw, kept = (" ".join(f"{value:.3f}" for value in values) for values in both)
    print(f"fit, {name:20} raw {raw}, kept {kept}")
(raw, kept), (raw_4, kept_4) = fitted.values()
print("weights that fall by 1 a step: -200.0 after 200 steps in each case, the average")
behind = []
for calls in [None, 2, 4, 8]:
    weights, average = fall(200, calls)
    assert weights[-1] == -200
    behind.append(average - weights[-1])
    name = f"{calls} calls a step" if calls else "without accumulation"
    print(f"  {name:24} {behind[-1]:.1f} steps behind")
weights, _ = fall(4, 4, ema_overwrite_frequency=2)
moves = (np.flatnonzero(np.diff([0.0, *weights])) + 1).tolist()
print("overwritten every 2nd step, 4 calls a step: weights move in calls", *moves)
alike = np.allclose(raw, raw_4, atol=1e-4) and not np.allclose(kept, kept_4, atol=0.1)
raise SystemExit(not (alike and behind[0] > 8.9 and behind[2] < 3 and 13 in moves))
PYTHON
