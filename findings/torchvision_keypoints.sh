#!/usr/bin/env bash
# torchvision's keypoints are pixels to flips, and corners of pixels to all that turns or scales.
#
# Packages:  torchvision==0.29.1 torch==2.14.1 numpy==2.4.6
# Guess:     v2 transforms move keypoints as they move what is under them, by one convention:
#            to flip twice is to turn by 180 degrees, for the picture and for its keypoints.
# Behaviour: flips take x to width - 1 - x: the middle of a pixel is a whole number. Turns,
#            affine transforms and resizing take it for a half: in turned pictures keypoints
#            are up to a pixel beside, in enlarged ones half of (factor - 1) before. And
#            CenterCrop to more than the picture pads the picture in one way, keypoints and
#            boxes in another: where 3, 7, 11, ... pixels are missing these are one pixel off.
# Seen:      a bright pixel at (2, 1) of 7 x 5, its keypoint and its box's middle
#                                   pixel   keypoint  box
#              flipped both ways      (4, 3)  (4, 3)    (4, 3)
#              turned by 180 degrees  (4, 3)  (5, 4)    (4, 3)
#              turned by 90 degrees   (1, 4)  (1, 5)    (1, 4)
#              three times as large   (7, 4)  (6, 3)    (7, 4)
#              CenterCrop to 10 x 8   (3, 2)  (4, 3)    (4, 3)
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torchvision==0.29.1 torch==2.14.1 numpy==2.4.6
env/bin/python -W ignore - <<'PYTHON'
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import BoundingBoxes, Image, KeyPoints

WIDTH, HEIGHT, X, Y = 7, 5, 2, 1
CANVAS = {"canvas_size": (HEIGHT, WIDTH)}


def moved(transform):
    """The bright pixel, of several the middle one, the keypoint, and the box's middle pixel."""
    picture = torch.zeros(1, HEIGHT, WIDTH)
    picture[0, Y, X] = 1
    picture = transform(Image(picture))[0]
    pixel = (picture == 1).nonzero().double().mean(0).flip(0)
    keypoint = transform(KeyPoints(torch.tensor([[float(X), Y]]), **CANVAS))
    corners = torch.tensor([[float(X), Y, X + 1, Y + 1]])
    box = transform(BoundingBoxes(corners, format="XYXY", **CANVAS))
    middle = box.reshape(2, 2).mean(0) - 0.5
    places = pixel, keypoint[0], middle
    return [tuple(round(value) for value in place.tolist()) for place in places]


seen = {
    "flipped both ways": lambda it: functional.vertical_flip(functional.horizontal_flip(it)),
    "turned by 180 degrees": lambda it: functional.rotate(it, 180),
    "turned by 90 degrees": lambda it: functional.rotate(it, 90, expand=True),
    "three times as large": v2.Resize([3 * HEIGHT, 3 * WIDTH], v2.InterpolationMode.NEAREST),
    "CenterCrop to 10 x 8": v2.CenterCrop([8, 10]),
}
print(f"a bright pixel at ({X}, {Y}) of {WIDTH} x {HEIGHT}, its keypoint and its box's middle")
print(f"{'':25}{'pixel':8}{'keypoint':10}box")
for name, transform in seen.items():
    pixel, keypoint, box = seen[name] = moved(transform)
    print(f"  {name:23}{pixel!s:8}{keypoint!s:10}{box}")
expected = [
    [(4, 3), (4, 3), (4, 3)],
    [(4, 3), (5, 4), (4, 3)],
    [(1, 4), (1, 5), (1, 4)],
    [(7, 4), (6, 3), (7, 4)],
    [(3, 2), (4, 3), (4, 3)],
]
raise SystemExit(list(seen.values()) != expected)
PYTHON
