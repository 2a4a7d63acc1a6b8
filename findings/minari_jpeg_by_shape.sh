#!/usr/bin/env bash
# Whether Minari keeps frames exactly depends on the order of their axes.
#
# Packages:  minari[hdf5,create]==0.5.4 gymnasium==1.4.0 pillow==13.0.0
# Guess:     a data set gives back the uint8 observations that were recorded.
# Behaviour: frames of shape (84, 84, 3) are stored as JPEG and come back changed, by
#            up to 251 levels for noise; the same frames as (3, 84, 84) come back
#            exactly. DataCollector(jpeg_encoding=False) is exact for both.
# Seen:      (84, 84, 3) off by 251, (3, 84, 84) off by 0, (84, 84, 3) without JPEG off by 0
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet 'minari[hdf5,create]==0.5.4' gymnasium==1.4.0 pillow==13.0.0
env/bin/python - <<'PYTHON'
import os

os.environ["MINARI_DATASETS_PATH"] = os.path.abspath("datasets")
import gymnasium
import minari
import numpy as np


class Noise(gymnasium.Env):
    """Seven frames of noise."""

    def __init__(self, shape):
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gymnasium.spaces.Discrete(2)

    def frame(self):
        self.sent.append(np.random.default_rng(len(self.sent)).integers(
            0, 256, self.observation_space.shape, np.uint8
        ))
        return self.sent[-1]

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.sent = []
        return self.frame(), {}

    def step(self, action):
        return self.frame(), 0.0, len(self.sent) == 7, False, {}


def largest_error(name, shape, **settings):
    env = Noise(shape)
    collector = minari.DataCollector(env, data_format="hdf5", **settings)
    collector.reset(seed=0)
    while not collector.step(0)[2]:
        pass
    sent = np.stack(env.sent).astype(int)
    collector.create_dataset(
        dataset_id=f"noise/{name}-v0", algorithm_name="none", author="none",
        author_email="none", code_permalink="none",
    )
    back = np.asarray(minari.load_dataset(f"noise/{name}-v0")[0].observations)
    return int(np.abs(back - sent).max())


last, first = largest_error("last", (84, 84, 3)), largest_error("first", (3, 84, 84))
exact = largest_error("exact", (84, 84, 3), jpeg_encoding=False)
print(
    f"(84, 84, 3) off by {last}, (3, 84, 84) off by {first},"
    f" (84, 84, 3) without JPEG off by {exact}"
)
raise SystemExit(not (last > 50 and first == exact == 0))
PYTHON
