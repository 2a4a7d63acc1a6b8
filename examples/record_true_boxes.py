"""Records a world with the true boxes of what moves in it, for `python -m run.quality`.
python -m examples.record_true_boxes minigrid:MiniGrid-Dynamic-Obstacles-16x16-v0 \
  '{"agent_start_pos": null, "highlight": false}' obstacles_truth.npz 2000
"""

import json
import sys

import cv2
import gymnasium
import numpy as np

SIDE = 84  # pixels, of the frames that the runs to be scored see


def minigrid_boxes(env):
    """Kind and left, top, right, bottom, as shares of the frame, of balls and agent."""
    balls = [("Ball", ball.cur_pos) for ball in env.obstacles]
    for kind, cell in [*balls, ("Agent", env.agent_pos)]:
        yield kind, np.add((*cell, *cell), (0.15, 0.15, 0.85, 0.85)) / env.width


def crafter_boxes(env):
    """Of the creatures in view; `env` is that of docs/data.md, whose module is on the path."""
    unit, margin = env.size // 9, env.size % 9 // 2
    for thing in env.world._world.objects:  # Crafter has no public name for them
        x, y = thing.pos - env.world._player.pos + (4, 3)
        if 0 <= x < 9 and 0 <= y < 7:
            edges = np.array([x, y, x + 1, y + 1]) * unit + margin
            yield type(thing).__name__, edges / env.size


BOXES = {"minigrid": minigrid_boxes, "mygames": crafter_boxes}  # by the module of the id


def main(env_id: str, env_kwargs: str, path: str, num_frames: str = "2000") -> None:
    known, settings = f"boxes of {', '.join(BOXES)} are known", json.loads(env_kwargs)
    boxes = BOXES.get(env_id.partition(":")[0]) or sys.exit(f"{env_id}: {known}; add to BOXES")
    env = gymnasium.make(env_id, render_mode="rgb_array", disable_env_checker=True, **settings)
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
