#!/usr/bin/env bash
# TensorFlow's Slurm resolver gives tasks the addresses of each other's hosts.
#
# Packages:  tensorflow==2.21.0
# Guess:     task 0 of a step on node[9-10] is worker 0, at node9: Slurm numbers
#            tasks in the order of the step's nodes, node9 first. On nodes without
#            GPUs one says gpus_per_node=0.
# Behaviour: hosts are sorted as text, node10 before node9, and the task keeps its
#            number: task 0, which runs on node9, is told that worker 0 is node10,
#            and the other way round. Each waits for a server that is itself.
#            node01, node02 and the like are not affected. With gpus_per_node=0 the
#            resolver fails in a range() whose step is 0.
# Seen:      task 0, on node9, is worker 0 at node10:8888
#            gpus_per_node=0: ValueError: range() arg 3 must not be zero
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tensorflow==2.21.0
env/bin/python - <<'PYTHON'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf

os.environ |= {
    "SLURM_PROCID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NODELIST": "node[9-10]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
}


def resolver(gpus):
    return tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=gpus, auto_set_gpu=False
    )


found = resolver(1)
worker = found.cluster_spec().task_address("worker", 0)
print(f"task 0, on node9, is worker {found.task_id} at {worker}")
try:
    resolver(0).cluster_spec()
    failed = ""
except ValueError as error:
    failed = f"ValueError: {error}"
print(f"gpus_per_node=0: {failed}")
raise SystemExit(worker != "node10:8888" or not failed)
PYTHON
