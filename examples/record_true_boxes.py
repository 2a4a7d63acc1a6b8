"""Records a world with the true boxes of what moves in it, for `python -m run.quality`.

python -m examples.record_true_boxes minigrid:MiniGrid-Dynamic-Obstacles-16x16-v0 \
  '{"agent_start_pos": null, "highlight": false}' obstacles_truth.npz 2000
"""

import json
import sys
from pathlib import Path

import cv2
import gymnasium
import numpy as np

from examples.true_boxes import BOXES

SIDE = 84  # pixels, of the frames that the runs to be scored see


def make_env(env_id: str, env_kwargs: str) -> gymnasium.Env:
    """With its arguments as JSON; leaves in one line where there is no such environment."""
    usual = {"render_mode": "rgb_array", "disable_env_checker": True}
    try:
        return gymnasium.make(env_id, **usual, **json.loads(env_kwargs))
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        sys.exit(f"error: {env_id} cannot be made with {env_kwargs}: {error}")


def main(env_id: str, env_kwargs: str, path: str, num_frames: str = "2000") -> None:
    known = f"boxes of {', '.join(BOXES)} are known; add to examples/true_boxes.py"
    boxes = BOXES.get(env_id.partition(":")[0]) or sys.exit(f"{env_id}: {known}")
    if not num_frames.isdecimal() or not int(num_frames):
        sys.exit(f"error: {num_frames} frames: a whole number from 1 on is needed")
    if not Path(path).parent.is_dir():
        sys.exit(f"error: {path}: there is no folder {Path(path).parent}")
    env = make_env(env_id, env_kwargs)
    rng, frames, starts, rows, over = np.random.default_rng(1), [], [], [], True
    while len(frames) < int(num_frames):
        starts.append(over)
        if over:
            env.reset(seed=int(rng.integers(2**31)))  # other seeds than in training
        for kind, edges in boxes(env.unwrapped):  # whatever SIDE is, in pixels of 210x160
            left, top, right, bottom = np.rint(edges * (160, 210, 160, 210)).astype(int)
            rows.append((len(frames), kind, left, top, right - left, bottom - top))
        frames.append(cv2.resize(env.render(), (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        if over or rng.random() < 0.2:  # an action is held for a while
            action = int(rng.integers(env.action_space.n))
        over = any(env.step(action)[2:4])
    frame, kinds, *xywh = zip(*rows, strict=True)
    names, kind = np.unique(kinds, return_inverse=True)
    found = {"box_frame": frame, "box_cat": kind, "box_xywh": np.stack(xywh, 1)}
    np.savez_compressed(path, frames=frames, episode_start=starts, categories=names, **found)


if __name__ == "__main__":
    main(*sys.argv[1:]) if 4 <= len(sys.argv) <= 5 else sys.exit(__doc__)
