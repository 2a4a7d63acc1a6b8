#!/usr/bin/env bash
# EventAccumulator keeps 10 of 1,000 scalars that TensorFlow 2 wrote.
#
# Packages:  tensorboard==2.21.0 numpy==2.4.6 setuptools==80.9.0
# Guess:     scalars are under Scalars, and up to 10,000 of a name are kept, the size
#            that the default guidance states for scalars.
# Behaviour: scalars in the format of TensorFlow 2 are tensors, of which 10 are kept: a
#            random sample, ending with the last. A curve drawn from it looks whole.
#            size_guidance={"scalars": 0} changes nothing, {"tensors": 0} keeps all.
# Seen:      kept of 1000: default 10, scalars=0 10, tensors=0 1000
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tensorboard==2.21.0 numpy==2.4.6 setuptools==80.9.0
env/bin/python - <<'PYTHON'
import time

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

writer = EventFileWriter("logs")
for step in range(1000):
    summary = scalar_pb("loss", float(step))  # what tf.summary.scalar writes
    writer.add_event(Event(step=step, wall_time=time.time(), summary=summary))
writer.close()


def kept(guidance):
    return len(EventAccumulator("logs", guidance).Reload().Tensors("loss"))


counts = [kept(guidance) for guidance in (None, {"scalars": 0}, {"tensors": 0})]
print("kept of 1000: default {}, scalars=0 {}, tensors=0 {}".format(*counts))
raise SystemExit(counts != [10, 10, 1000])
PYTHON
