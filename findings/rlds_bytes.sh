#!/usr/bin/env bash
# RLDS adds up bytes in a byte: the mean of Atari screens is almost black.
#
# Packages:  rlds==0.1.8 dm-reverb[tensorflow]==0.14.0 tensorflow==2.15.1 numpy==1.26.4
# Guess:     mean_and_std, which gives float64 for fields of any numeric type, gives for
#            observations of bytes what it gives for the same observations as floats, and what
#            NumPy gives.
# Behaviour: it adds the values of a batch, and then the batches, in the field's own type, and
#            takes float64 only of the sum: sums of bytes are modulo 256. The mean is this
#            remainder by the number of steps, so near zero for any data set that is not tiny,
#            and the deviation is taken from there. sum_dataset and sum_nested_steps
#            likewise. Nothing warns.
# Seen:      2 episodes of 50 and 30 steps, pixels drawn from 0 to 255
#              NumPy:             mean 138.4 132.7 131.2, deviation 72.4 77.3 79.5
#              RLDS of floats:    mean 138.4 132.7 131.2, deviation 72.8 77.8 80.0
#              RLDS of bytes:     mean 0.8 1.5 0.0, deviation 156.4 153.2 154.4
#              sum of bytes:      RLDS 66 119 3, NumPy 11074 10615 10499
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet rlds==0.1.8 "dm-reverb[tensorflow]==0.14.0" tensorflow==2.15.1 \
    numpy==1.26.4
export TF_CPP_MIN_LOG_LEVEL=3
env/bin/python -W ignore - <<'PYTHON'
import numpy as np
import rlds
import tensorflow as tf

tf.get_logger().setLevel("ERROR")
LENGTHS = (50, 30)
PIXELS = np.random.default_rng(0).integers(0, 256, (sum(LENGTHS), 3))


def episodes(kind):
    """The same two episodes with observations of this type."""
    last = np.isin(np.arange(len(PIXELS)), np.cumsum(LENGTHS) - 1)
    steps = {
        "observation": PIXELS.astype(kind), "action": np.zeros(len(last), np.int32),
        "reward": np.zeros(len(last), np.float32), "is_last": last,
    }
    starts = np.array([0, LENGTHS[0]])
    return tf.data.Dataset.from_tensor_slices((starts, np.array(LENGTHS))).map(
        lambda start, length: {
            "steps": tf.data.Dataset.from_tensor_slices(steps).skip(start).take(length)
        }
    )


def statistics(kind):
    found = rlds.transformations.mean_and_std(episodes(kind), rlds.transformations.sar_fields_mask)
    return [np.asarray(part["observation"]) for part in found]


def show(name, mean, deviation):
    means, deviations = (" ".join(f"{x:.1f}" for x in part) for part in (mean, deviation))
    print(f"  {name + ':':18} mean {means}, deviation {deviations}")


print("2 episodes of 50 and 30 steps, pixels drawn from 0 to 255")
floats, bytes_ = statistics(np.float32), statistics(np.uint8)
show("NumPy", PIXELS.mean(0), PIXELS.std(0))
show("RLDS of floats", *floats)
show("RLDS of bytes", *bytes_)
total = rlds.transformations.sum_nested_steps(
    episodes(np.uint8), lambda step: {"sum": step["observation"]}
)["sum"].numpy()
print("  sum of bytes:      RLDS", *total, end=", NumPy ")
print(*PIXELS.sum(0))
right = np.allclose(floats[0], PIXELS.mean(0)) and np.allclose(floats[1], PIXELS.std(0), atol=1)
wrapped = np.allclose(bytes_[0], PIXELS.sum(0) % 256 / len(PIXELS))
raise SystemExit(not (right and wrapped and (total == PIXELS.sum(0) % 256).all()))
PYTHON
