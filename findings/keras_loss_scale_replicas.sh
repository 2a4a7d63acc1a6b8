#!/usr/bin/env bash
# Keras's loss scaling lets an overflow on any replica but the first into the weights.
#
# Packages:  keras==3.15.1 tensorflow==2.21.0
# Guess:     LossScaleOptimizer skips a step where a gradient of any replica is infinite,
#            or at worst the replicas' weights go apart.
# Behaviour: under MirroredStrategy it looks at the first replica's gradients alone. An
#            infinite one there is skipped, and the scale halved. One of the second
#            replica is added to the others: the weights are -inf on both, for good.
# Seen:      weights of both replicas, scale
#            finite gradients: [-3.0, -3.0] 4.0
#            infinite on the first: [-3.0, -3.0] 2.0
#            infinite on the second: [-inf, -inf] 2.0
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet keras==3.15.1 tensorflow==2.21.0
env/bin/python - 2>/dev/null <<'PYTHON'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    weight = keras.Variable([0.0])
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(1.0), initial_scale=4.0, dynamic_growth_steps=100
    )
    optimizer.build([weight])


@tf.function
def step(gradients):
    strategy.run(lambda one: optimizer.apply([one], [weight]), args=(gradients,))


print("weights of both replicas, scale")
seen = []
for name, pair in {
    "finite gradients": (4.0, 8.0),
    "infinite on the first": (float("inf"), 8.0),
    "infinite on the second": (4.0, float("inf")),
}.items():
    step(
        strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant([pair[context.replica_id_in_sync_group]])
        )
    )
    weights = [float(one[0]) for one in weight.value.values]
    scale = float(optimizer.dynamic_scale.value.values[0])
    print(f"{name}: {weights} {scale}")
    seen.append((*weights, scale))
infinite = float("-inf")
raise SystemExit(seen != [(-3, -3, 4), (-3, -3, 2), (infinite, infinite, 2)])
PYTHON
