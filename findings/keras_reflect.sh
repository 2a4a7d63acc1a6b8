#!/usr/bin/env bash
# With TensorFlow, Keras's "reflect" leaves out the border pixel on the left and at the top.
#
# Packages:  keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6 scipy==1.17.1
# Guess:     map_coordinates with fill_mode="reflect" continues a picture as documented,
#            (d c b a | a b c d | d c b a), and as SciPy does: alike on all sides.
# Behaviour: to the right and below it does. To the left and above, the border pixel does not
#            come again: coordinates lose their sign first, and -1 is then 1, not 0. All
#            beyond that is one pixel off too. elastic_transform and RandomElasticTransform
#            take "reflect" unless told otherwise.
# Seen:      of 1 2 3 4, at -8 to 11
#              SciPy: 1 2 3 4 4 3 2 1 | 1 2 3 4 | 4 3 2 1 1 2 3 4
#              Keras: 1 1 2 3 4 4 3 2 | 1 2 3 4 | 4 3 2 1 1 2 3 4
#            half a pixel to the left: SciPy 1.0, Keras 1.5
#            half a pixel to the right: SciPy 4.0, Keras 4.0
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6 scipy==1.17.1
export KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1
env/bin/python - <<'PYTHON' 2>log.txt || { code=$?; tail -n 5 log.txt >&2; exit "$code"; }
import keras
import numpy as np
from scipy.ndimage import map_coordinates

ROW = np.arange(1, 5, dtype=np.float32)
places = np.array([[*range(-8, 12), -0.5, 3.5]], np.float32)
rows = {
    "SciPy": map_coordinates(ROW, places, order=1, mode="reflect"),
    "Keras": keras.ops.convert_to_numpy(
        keras.ops.image.map_coordinates(ROW, places, order=1, fill_mode="reflect")
    ),
}
print("of 1 2 3 4, at -8 to 11")
for name, row in rows.items():
    parts = (" ".join(f"{value:.0f}" for value in part) for part in np.split(row[:20], [8, 12]))
    print(f"  {name}:", " | ".join(parts))
for side, number in {"left": 20, "right": 21}.items():
    found = ", ".join(f"{name} {row[number]:.1f}" for name, row in rows.items())
    print(f"half a pixel to the {side}: {found}")
scipy, keras = rows.values()
right = np.allclose(scipy[8:20], keras[8:20]) and scipy[21] == keras[21] == 4
one_off = np.allclose(scipy[:7], keras[1:8]) and scipy[20] == 1 and keras[20] == 1.5
raise SystemExit(not (right and one_off))
PYTHON
