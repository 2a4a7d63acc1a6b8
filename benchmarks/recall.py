"""Share of a game's characters with a keypoint on them, beside controls.

  python -m benchmarks.recall --runs=RUN,RUN,... --rollout=MsPacman.npz
  python -m benchmarks.recall --runs=RUN --rollout=Seaquest.npz --characters=Player,Shark,Submarine

The rollout file holds `frames` uint8 [N, 210, 160, 3] and ground-truth boxes (`box_frame`,
`box_cat`, `box_xywh`, `categories`). A keypoint is on a box when it is within 4 pixels of it. All
rows are scored on the second half of the file: the runs, the runs' centres assigned to
frames in shuffled order (what is left is not tracking), and the K constant points that cover most
boxes of the first half. With several runs, each figure is also given as their median.
"""

import statistics
from pathlib import Path

import numpy as np
from absl import flags

from flags import common
from permakey_tf.data.npz import NpzFile
from permakey_tf.errors import UserError

_RUNS = flags.DEFINE_list("runs", None, "Run folders, comma-separated.", required=True)
_ROLLOUT = flags.DEFINE_string("rollout", None, "Rollout file with boxes.", required=True)
_CHARACTERS = flags.DEFINE_list("characters", ["Player", "Ghost"], "Names of the boxes to find.")
_EPS = 4.0  # pixels of the 210x160 frame
_PEN = (68, 63, 91, 98)  # left, top, right, bottom of the pen of MsPacman's ghosts


def near(points_yx: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """bool [M, K]: points float [M, K, 2] within 4 pixels of boxes [M, 4] (x, y, w, h)."""
    y = (points_yx[..., 0] + 1) / 2 * 209
    x = (points_yx[..., 1] + 1) / 2 * 159
    left, top, width, height = (column[:, None] for column in boxes.T.astype(float))
    dx = np.maximum(np.maximum(left - x, x - left - width), 0)
    dy = np.maximum(np.maximum(top - y, y - top - height), 0)
    return np.hypot(dx, dy) <= _EPS


def outside_pen(boxes: np.ndarray) -> np.ndarray:
    """bool [M]: boxes whose middle is not in the pen."""
    x, y = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3] / 2
    left, top, right, bottom = _PEN
    return ~((left <= x) & (x <= right) & (top <= y) & (y <= bottom))


def best_constants(num_points: int, boxes: np.ndarray) -> np.ndarray:
    """float [K, 2]: points of a 4-pixel grid, chosen greedily to cover most boxes."""
    rows, columns = np.meshgrid(np.arange(2, 210, 4), np.arange(2, 160, 4), indexing="ij")
    grid = np.stack([rows / 209, columns / 159], -1).reshape(1, -1, 2) * 2 - 1
    hit = near(np.broadcast_to(grid, [len(boxes), *grid.shape[1:]]), boxes)  # [M, G]
    chosen, uncovered = [], np.ones(len(boxes), bool)
    for _ in range(num_points):
        best = hit[uncovered].sum(0).argmax()
        chosen.append(grid[0, best])
        uncovered &= ~hit[:, best]
    return np.array(chosen)


def scores(points_yx: np.ndarray, frame: np.ndarray, boxes: dict) -> dict[str, float]:
    """Recall of each group of boxes, and the share of keypoints on any of them.

    Args:
      points_yx: float [N, K, 2], centres of every frame of the file.
      frame: {group: int [M]}, frames of the boxes; boxes: {group: int [M, 4]}.
    """
    result, used = {}, np.zeros(points_yx.shape[:2], bool)
    for group in boxes:
        hit = near(points_yx[frame[group]], boxes[group])
        result[group] = float(hit.any(1).mean())
        np.logical_or.at(used, frame[group], hit)
    result["precision"] = float(used[len(used) // 2 :].mean())
    return result


def read_rollout(path, characters):
    """Frames, and {group: (frame indices, boxes)} for each half of the file.

    Raises UserError where the file has no boxes of a character.
    """
    with NpzFile(Path(path)) as file:
        data = {
            n: file.read(n) for n in ("frames", "box_frame", "box_cat", "box_xywh", "categories")
        }
    category = data["categories"][data["box_cat"]]
    xywh, frame, half = data["box_xywh"], data["box_frame"], len(data["frames"]) // 2
    groups = {name: category == name for name in characters}
    for name, mask in groups.items():
        if not mask.any():
            known = ", ".join(data["categories"])
            raise UserError(f"--characters={name}: {path} has boxes of {known}")
    if "Ghost" in groups:
        groups["Ghost outside pen"] = groups["Ghost"] & outside_pen(xywh)
    first, second = (
        {name: (frame[m & part], xywh[m & part]) for name, m in groups.items()}
        for part in (frame < half, frame >= half)
    )
    return data["frames"], first, second


def main():
    from permakey_tf import KeypointDetector

    frames, first, second = read_rollout(_ROLLOUT.value, _CHARACTERS.value)
    index, boxes = ({group: pair[i] for group, pair in second.items()} for i in (0, 1))
    half, rows = len(frames) // 2, {"run": [], "shuffled": [], "constant": []}
    constants = {}
    for folder in _RUNS.value:
        centers = KeypointDetector.load(folder).detect(frames)
        shuffled = centers.copy()
        shuffled[half:] = np.random.default_rng(0).permutation(centers[half:])
        number = centers.shape[1]
        if number not in constants:
            covered = np.concatenate([first[name][1] for name in _CHARACTERS.value])
            constants[number] = np.broadcast_to(best_constants(number, covered), centers.shape)
        for name, points in zip(rows, (centers, shuffled, constants[number]), strict=True):
            rows[name].append(scores(points, index, boxes))
            print_row(f"{folder} {name}", rows[name][-1])
    for name, results in rows.items():
        medians = {key: statistics.median(r[key] for r in results) for key in results[0]}
        print_row(f"median {name}", medians)


def print_row(name, values):
    print("  ".join([f"{name:<40}", *(f"{key} {value:.2f}" for key, value in values.items())]))


if __name__ == "__main__":
    common.run(main)
