#!/usr/bin/env bash
# XLA's persistent cache misses a function that was traced later than in the process before.
#
# Packages:  tensorflow==2.21.0
# Guess:     with --tf_xla_persistent_cache_directory a process finds what an earlier one
#            compiled, as long as the function computes the same.
# Behaviour: the number that TensorFlow adds to a function's name is part of the key. One
#            more function traced before it, perhaps by another thread that happened to be
#            first, and the same function is compiled and stored again.
# Seen:      first process: 1 entry
#            the same again: 1 entry
#            with another function traced before: 2 entries
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tensorflow==2.21.0
cat >work.py <<'PYTHON'
import sys

import tensorflow as tf


@tf.function
def another(x):
    return x + 1


@tf.function(jit_compile=True)
def wanted(x):
    return tf.reduce_sum(tf.nn.relu(x @ x) * 2)


if sys.argv[1:]:
    another(tf.constant(1.0))
wanted(tf.ones([8, 8]))
PYTHON
mkdir cache
export TF_CPP_MIN_LOG_LEVEL=3 TF_XLA_FLAGS="--tf_xla_persistent_cache_directory=$folder/cache"
entries() {
  env/bin/python work.py "$@" 2>/dev/null
  find cache -type f | wc -l
}
first=$(entries) again=$(entries) later=$(entries another)
echo "first process: $first entry"
echo "the same again: $again entry"
echo "with another function traced before: $later entries"
[[ "$first $again $later" == "1 1 2" ]]
