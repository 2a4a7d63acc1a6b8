"""Scores keypoints of any origin against the true boxes of a game's objects. No TensorFlow needed.

  pip install --no-deps ocatari==2.2.1
  python -m run.data --game=mspacman --objects --num_frames=6000 --split=1,1,1 --seed=1000 \
    --out=data/truth
  python -m examples.score_your_keypoints data/truth
"""

import sys

import numpy as np

import permakey_tf as pk


def my_keypoints(frames: np.ndarray) -> np.ndarray:
    """float [N, K, 2], (y, x) from -1 to 1: here the brightest pixel of each quarter of a frame."""
    height, width = frames.shape[1:3]
    grey = frames.astype(float).sum(-1)
    points = []
    for top in (0, height // 2):
        for left in (0, width // 2):
            part = grey[:, top : top + height // 2, left : left + width // 2]
            y, x = np.divmod(part.reshape(len(part), -1).argmax(1), part.shape[2])
            points.append(np.stack([(top + y) / (height - 1), (left + x) / (width - 1)], -1))
    return np.stack(points, 1) * 2 - 1


def main(data: str):
    footage = pk.open_footage(data)  # a frame store with boxes, or a rollout file (.npz)
    rows = footage.scored_rows
    centers = my_keypoints(footage.frames[rows.start : rows.stop])
    scores = pk.evaluate_keypoints(
        centers, footage.boxes(rows), footage.episodes[rows.start : rows.stop], footage.game
    )
    for group in ("characters", "all"):
        if group in scores:
            recall, precision = (scores[group][name][4] for name in ("recall", "precision"))
            print(f"{group}: recall {recall:.2f}, precision {precision:.2f} at 4 pixels")
    return scores


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except pk.UserError as error:  # one line: what is wrong, and what to do
        sys.exit(f"error: {error}")
