#!/usr/bin/env bash
# MiniGrid's grid observations and its pictures have their axes the other way round.
#
# Packages:  minigrid==3.2.0 gymnasium==1.4.0
# Guess:     both arrays are [row, column, channel]: a cell at [i, j] of the grid is the
#            tile at [i, j] of the picture.
# Behaviour: the grid is [x, y], the picture [y, x]. On a square grid nothing complains;
#            a position that is read from one array and looked up in the other is
#            mirrored at the diagonal.
# Seen:      agent after one step to the right: grid [2, 1], tile [1, 2]
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet minigrid==3.2.0 gymnasium==1.4.0
env/bin/python - <<'PYTHON'
import gymnasium
import minigrid  # registers the environments
import numpy as np
from minigrid.wrappers import FullyObsWrapper, RGBImgObsWrapper


def views():
    """The grid and the picture, before and after one step to the right."""
    for wrapper in (FullyObsWrapper, RGBImgObsWrapper):
        env = wrapper(gymnasium.make("MiniGrid-Empty-6x6-v0", highlight=False))
        before = env.reset(seed=0)[0]["image"].astype(int)
        yield before, env.step(2)[0]["image"].astype(int)


(_, grid), (before, picture) = views()
in_grid = np.argwhere(grid[..., 0] == minigrid.core.constants.OBJECT_TO_IDX["agent"])[0].tolist()
changed = np.argwhere((before != picture).any(axis=-1)) // 8  # tiles of 8 pixels
tile = changed.max(axis=0).tolist()  # it left [1, 1] for this one
print(f"agent after one step to the right: grid {in_grid}, tile {tile}")
raise SystemExit(not (in_grid == [2, 1] and tile == [1, 2]))
PYTHON
