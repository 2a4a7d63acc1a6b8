"""Trains keypoints on a folder of images, whose sub-folders are episodes, and draws them.

python -m examples.your_own_images FOLDER NUM_KEYPOINTS
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import permakey_tf as pk


def read_images(folder: Path):
    """uint8 [N, H, W, 3] in RGB, and int [N], the number of each image's sub-folder."""
    paths = [path for path in folder.glob("*/*") if path.suffix in (".png", ".jpg")]
    paths.sort(key=lambda path: (path.parent, len(path.name), path.name))  # 2.png before 10.png
    if not paths:
        sys.exit(f"{folder} has no images: they are looked for as EPISODE/*.png and EPISODE/*.jpg")
    frames = [cv2.imread(str(path)) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if frame is None or frame.shape != frames[0].shape:
            sys.exit(f"{path} cannot be read, or is of another size than {paths[0]}")
    names = [path.parent for path in paths]
    return np.stack(frames)[..., ::-1], np.unique(names, return_inverse=True)[1]  # OpenCV reads BGR


def draw(frame: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The frame in BGR, as OpenCV writes it, with a ring around every keypoint."""
    picture = np.ascontiguousarray(frame[..., ::-1])
    height, width = frame.shape[:2]
    for y, x in (centers + 1) / 2 * (height - 1, width - 1):
        cv2.circle(picture, (round(float(x)), round(float(y))), max(2, width // 40), (0, 255, 0))
    return picture


def main(folder, num_keypoints, out="runs/my_images", image_size=84, **settings):
    frames, episodes = read_images(Path(folder))
    # Images that are not square are padded: squeezed ones would look otherwise.
    store = pk.FrameStore.from_arrays(frames, episodes, image_size=image_size, keep_aspect=True)
    # The preset's batch of 16, or fewer where there are not so many images.
    settings = {"batch_size": max(2, min(16, len(store.split_range("train"))))} | settings
    config = pk.KeypointConfig.make("quick", num_keypoints=num_keypoints, **settings)
    detector = pk.train(store, config, out)
    for number in (0, len(frames) // 2):
        path = Path(out) / f"keypoints_{number}.png"
        cv2.imwrite(str(path), draw(frames[number], detector.detect(frames[number])))
        print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.exit(__doc__)
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except pk.UserError as error:  # one line: what is wrong, and what to do
        sys.exit(f"error: {error}")
