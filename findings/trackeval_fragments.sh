#!/usr/bin/env bash
# TrackEval counts no fragmentation where the tracker finds nothing at all.
#
# Packages:  trackeval==1.3.0 trackers==2.6.1 supervision==0.31.2 motmetrics==1.4.0
#            numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
# Guess:     a track that is interrupted twice has two fragmentations (Frag), in TrackEval as
#            in py-motmetrics, and whatever else the tracker reports in between.
# Behaviour: TrackEval skips frames without any box of the tracker before it forgets what was
#            tracked last, and so does trackers.eval, which follows it: a gap of such frames
#            is no fragmentation. One false box anywhere in the gap makes it one. Films of
#            one object, or of few, come out as unbroken.
# Seen:      tracked in frames 1, 3 and 5 of 5, and in frames 2 and 4
#              no box:              py-motmetrics 2, TrackEval 0, trackers 0
#              a box far elsewhere: py-motmetrics 2, TrackEval 2, trackers 2
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet trackeval==1.3.0 trackers==2.6.1 supervision==0.31.2 \
    motmetrics==1.4.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
env/bin/python - <<'PYTHON'
import warnings

import motmetrics
import numpy as np
from trackers.eval import compute_clear_metrics
from trackeval.metrics import CLEAR

warnings.filterwarnings("ignore")
TRACKED = [True, False, True, False, True]


def fragmentations(elsewhere):
    """Of one object, as three packages count them."""
    boxes = [[0] if tracked else elsewhere for tracked in TRACKED]  # the tracker's identities
    overlaps = [np.full((1, len(found)), float(t)) for found, t in zip(boxes, TRACKED)]
    objects = [np.array([0]) for _ in TRACKED]
    found = [np.array(some, int) for some in boxes]

    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for true, some, overlap in zip(objects, found, overlaps):
        accumulator.update(true, some, np.where(overlap < 0.5, np.nan, 1 - overlap))
    counted = motmetrics.metrics.create().compute(accumulator, metrics=["num_fragmentations"])
    yield int(counted.num_fragmentations.iloc[0])

    sequence = {
        "gt_ids": objects, "tracker_ids": found, "similarity_scores": overlaps,
        "num_timesteps": len(TRACKED), "num_gt_ids": 1, "num_tracker_ids": 1 + len(elsewhere),
        "num_gt_dets": len(TRACKED), "num_tracker_dets": sum(map(len, boxes)),
    }
    yield int(CLEAR({"PRINT_CONFIG": False}).eval_sequence(sequence)["Frag"])
    yield int(compute_clear_metrics(objects, found, overlaps)["Frag"])


print("tracked in frames 1, 3 and 5 of 5, and in frames 2 and 4")
nothing, something = list(fragmentations([])), list(fragmentations([1]))
for name, (mot, track_eval, trackers) in {
    "no box:": nothing, "a box far elsewhere:": something
}.items():
    print(f"  {name:20} py-motmetrics {mot}, TrackEval {track_eval}, trackers {trackers}")
raise SystemExit(not (nothing == [2, 0, 0] and something == [2, 2, 2]))
PYTHON
