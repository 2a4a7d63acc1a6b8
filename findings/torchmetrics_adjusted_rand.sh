#!/usr/bin/env bash
# TorchMetrics' adjusted Rand score is any number once there are some 80,000 labels.
#
# Packages:  torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1
# Guess:     the score by which segmentations into objects are judged is the same here as in
#            scikit-learn, to float32's precision, and never above 1, however many pixels.
# Behaviour: numbers of pairs are whole numbers of 64 bits, and products of two of them
#            overflow: no error, no warning, and a score of 7 or of -6. A picture of 300 x 300
#            pixels is enough. So are six of 128 x 128: the metric keeps the labels of all its
#            updates, and counts pairs among all of them at the end.
# Seen:      a tenth of the pixels drawn anew, of 5 objects
#              128 x 128, 1 picture:  TorchMetrics 0.8104, scikit-learn 0.8104
#              256 x 256, 1 picture:  TorchMetrics 0.8087, scikit-learn 0.8087
#              300 x 300, 1 picture:  TorchMetrics 6.6635, scikit-learn 0.8086
#              512 x 512, 1 picture:  TorchMetrics -5.8180, scikit-learn 0.8114
#              128 x 128, 6 pictures: TorchMetrics 1.8072, scikit-learn 0.8106
# Upstream:  TorchDR left it for scikit-learn's because of this (TorchDR#332); scikit-learn's
#            own had overflowed until it was mended (scikit-learn#20305).
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6 \
    scikit-learn==1.9.1 scipy==1.17.1
env/bin/python -W ignore - <<'PYTHON'
import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torchmetrics.clustering import AdjustedRandScore

random = np.random.default_rng(0)


def scores(side, pictures):
    """Of pictures whose pixels belong to one of five objects."""
    objects = random.integers(0, 5, (pictures, side * side))
    anew = random.uniform(size=objects.shape) < 0.1
    found = np.where(anew, random.integers(0, 5, objects.shape), objects)
    metric = AdjustedRandScore()
    for some, true in zip(torch.tensor(found), torch.tensor(objects)):
        metric.update(some, true)
    return float(metric.compute()), float(adjusted_rand_score(objects.ravel(), found.ravel()))


same = True
print("a tenth of the pixels drawn anew, of 5 objects")
for side, pictures in (128, 1), (256, 1), (300, 1), (512, 1), (128, 6):
    torchmetrics, sklearn = scores(side, pictures)
    size = f"{side} x {side}, {pictures} picture{'s' * (pictures > 1)}:"
    print(f"  {size:22} TorchMetrics {torchmetrics:.4f}, scikit-learn {sklearn:.4f}")
    wrong = side * side * pictures > 80000
    same &= (abs(torchmetrics - sklearn) > 0.1) == wrong and abs(sklearn - 0.81) < 0.01
raise SystemExit(not same)
PYTHON
