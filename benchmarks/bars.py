"""Where is the error of PermaKey in noisy frames, and which keypoints does it draw?

  python -m benchmarks.bars --run=RUN --data=STORE_OR_ROLLOUT [--num_frames=200]

A bar's inside should be dark in the error maps and its keypoints few. For frames with both bars,
this prints the mean of every error map by place: on characters, at the bars' ends, at their
crossing, along their edges, inside, elsewhere; and for every keypoint in what share of the frames
it lies at each of these places.
"""

import numpy as np
from absl import flags as absl_flags

from flags import common
from permakey_tf.data.noise import BAR_WIDTH, Bars, bar_positions, draw_bars_at
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.errors import UserError
from permakey_tf.quality.footage import open_footage
from permakey_tf.quality.scoring import groups_of

_RUN = common.define_path("run", None, "Run folder of PermaKey.", required=True)
_DATA = common.define_path("data", None, "Frame store or rollout file with boxes.", required=True)
_NUMBER = absl_flags.DEFINE_integer("num_frames", 200, "Frames, evenly spaced.", lower_bound=1)
_SEED = absl_flags.DEFINE_integer("seed", 0, "Seed of the bars' places.", lower_bound=0)
_NEAR = 4  # pixels around a bar that its edges light up: patches of layer 1 are 4 pixels wide


def places(bars: Bars, characters: np.ndarray) -> dict[str, np.ndarray]:
    """Every pixel's place, as masks that exclude each other.

    Args:
      bars: positions of both bars in N frames.
      characters: bool [N, S, S], pixels on a character; bars hide it.

    Returns:
      {place: bool [N, S, S]}, in the order of precedence.
    """
    size = characters.shape[1]
    x = np.arange(size)
    border = (x < _NEAR) | (x >= size - _NEAR)

    def around(first, margin):
        return (x >= first[:, None] - margin) & (x < first[:, None] + BAR_WIDTH + margin)

    vertical, horizontal = around(bars.left, 0)[:, None, :], around(bars.top, 0)[:, :, None]
    near_vertical = around(bars.left, _NEAR)[:, None, :]
    near_horizontal = around(bars.top, _NEAR)[:, :, None]
    masks = {
        "crossing": near_vertical & near_horizontal,
        "left end": near_horizontal & (border & (x < size / 2))[None, None, :],
        "right end": near_horizontal & (border & (x >= size / 2))[None, None, :],
        "top end": near_vertical & (border & (x < size / 2))[None, :, None],
        "bottom end": near_vertical & (border & (x >= size / 2))[None, :, None],
        "inside of a bar": vertical | horizontal,
        "edge of a bar": near_vertical | near_horizontal,
        "character": characters,
        "elsewhere": np.ones(characters.shape, bool),
    }
    taken = np.zeros(characters.shape, bool)
    for name, mask in masks.items():
        masks[name] = mask & ~taken
        taken |= mask
    return masks


def on_characters(objects, game: str, number: int, frame_shape, size: int) -> np.ndarray:
    """bool [number, size, size]: pixels in the visible boxes of the game's characters."""
    chosen = next(iter(groups_of(objects, game).values()))
    if objects.visible is not None:
        chosen = chosen & objects.visible
    scale = np.array([size / frame_shape[1], size / frame_shape[0]])  # of x, of y
    mask = np.zeros([number, size, size], bool)
    for frame, (x, y, w, h) in zip(objects.frame[chosen], objects.xywh[chosen], strict=True):
        left, top = np.floor([x, y] * scale).astype(int)
        right, bottom = np.ceil([x + w, y + h] * scale).astype(int)
        mask[frame, max(top, 0) : bottom, max(left, 0) : right] = True
    return mask


def main():
    from permakey_tf.detector import KeypointDetector

    detector, footage = KeypointDetector.load(_RUN.value), open_footage(_DATA.value)
    if detector.config.method != "permakey":
        raise UserError(f"--run={_RUN.value}: Transporter has no error maps")
    size, scored = detector.image_size, footage.scored_rows
    rows = np.unique(np.linspace(0, len(scored) - 1, _NUMBER.value).astype(int))
    shape = footage.frames.shape[1:3]
    objects = footage.boxes(scored)
    characters = on_characters(objects, footage.game, len(scored), shape, size)[rows]
    bars = bar_positions(len(rows), size, size, "both", np.random.default_rng(_SEED.value))
    clean = footage.prepared(scored, FrameFormat(size, detector.channels))[rows]
    frames = draw_bars_at(clean, bars)
    maps, centers = detector.error_maps(frames), detector.detect(frames)
    masks = places(bars, characters)
    layers = detector.config.lspn.lsp_layers
    print("".join([f"{'':18}", *(f"layer {layer:<4}" for layer in layers), "share of pixels"]))
    for name, mask in masks.items():
        means = "".join(f"{maps[..., i][mask].mean():<10.2f}" for i in range(len(layers)))
        print(f"{name:18}{means}{mask.mean():.3f}")
    pixels = np.clip(np.round((centers + 1) / 2 * (size - 1)).astype(int), 0, size - 1)
    print("\nkeypoint: share of the frames in which it lies there")
    n = np.arange(len(rows))
    for k in range(detector.num_keypoints):
        shares = {m: mask[n, pixels[:, k, 0], pixels[:, k, 1]].mean() for m, mask in masks.items()}
        shown = sorted(shares.items(), key=lambda item: -item[1])
        print(f"{k:>3}  " + ", ".join(f"{m} {s:.2f}" for m, s in shown if s >= 0.05))


if __name__ == "__main__":
    common.run(main)
