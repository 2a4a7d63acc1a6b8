#!/usr/bin/env bash
# Keras makes grey pictures of bytes one level darker.
#
# Packages:  keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
# Guess:     keras.ops.image.rgb_to_grayscale of bytes leaves what is grey already as it is,
#            as tf.image.rgb_to_grayscale does: white stays 255.
# Behaviour: it cuts fractions off, and its weights sum to 0.9999: all greys but black become
#            one level darker, each time that it is done. The layer RandomGrayscale does the
#            same to those pictures that it makes grey, and to grey ones.
# Seen:      tf.image:        256 of 256 greys kept, white is 255, after ten times 255
#            keras.ops.image: 1 of 256 greys kept, white is 254, after ten times 245
#            RandomGrayscale: 1 of 256 greys kept, white is 254, after ten times 245
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
env/bin/python - <<'PYTHON'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf

greys = np.arange(256, dtype=np.uint8)
picture = np.stack([greys] * 3, -1)[None]  # one row of all greys
layer = keras.layers.RandomGrayscale(factor=1.0, dtype="uint8")
kept = {}
for name, make_grey in {
    "tf.image": tf.image.rgb_to_grayscale,
    "keras.ops.image": keras.ops.image.rgb_to_grayscale,
    "RandomGrayscale": lambda image: layer(image[None], training=True)[0, ..., :1],
}.items():
    now, white = picture, []
    for _ in range(10):
        now = np.repeat(np.asarray(make_grey(now))[..., :1], 3, -1)
        kept.setdefault(name, int((now[0, :, 0] == greys).sum()))
        white.append(int(now[0, -1, 0]))
    print(f"{name + ':':16} {kept[name]} of 256 greys kept, white is {white[0]},", end=" ")
    print(f"after ten times {white[-1]}")
raise SystemExit(list(kept.values()) != [256, 1, 1])
PYTHON
