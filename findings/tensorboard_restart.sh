#!/usr/bin/env bash
# EventAccumulator keeps what TensorFlow 2 wrote before a restart beside what was written again.
#
# Packages:  tensorflow==2.21.0 tensorboard==2.21.0
# Guess:     the mark of a restart (SessionLog.START with a step) drops all later steps of before, as
#            its documentation says of it.
# Behaviour: scalars of TensorFlow 2 are stored as tensors, which are not among what is dropped:
#            the steps that a resumed run writes again stand twice.
# Seen:      steps 1 to 8, restarted at 6, then 6 to 10: 1 2 3 4 5 6 7 8 6 7 8 9 10
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tensorflow==2.21.0 tensorboard==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 env/bin/python - 2>/dev/null <<'PYTHON'
import time

import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write(steps):
    writer = tf.summary.create_file_writer("log")
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("loss", float(step), step=step)
    writer.close()


write(range(1, 9))
time.sleep(1.1)  # the name of an event file has the second
mark = EventFileWriter("log")
mark.add_event(Event(step=6, wall_time=time.time(), session_log=SessionLog(status=SessionLog.START)))
mark.close()
time.sleep(1.1)
write(range(6, 11))
found = EventAccumulator("log", size_guidance={"tensors": 0}).Reload().Tensors("loss")
steps = [event.step for event in found]
print(f"steps 1 to 8, restarted at 6, then 6 to 10: {' '.join(map(str, steps))}")
raise SystemExit(steps != [*range(1, 9), *range(6, 11)])
PYTHON
