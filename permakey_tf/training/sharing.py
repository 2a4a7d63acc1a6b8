"""What the workers of one training must have alike, and how they share a batch.

Nothing here needs TensorFlow.
"""

import contextlib
import os
from pathlib import Path
from typing import cast

import permakey_tf
from permakey_tf.configs.base import flatten
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.errors import UserError
from permakey_tf.system.cluster import ALONE, Line, find_member, joined


def of_training(
    distribute: str, config: KeypointConfig, logdir: str | Path
) -> contextlib.AbstractContextManager[Line]:
    """`joined` with the other workers of a training, if there are any.

    Args:
      distribute: "multiworker", or another word for a single process.
      config: settings, resolved, which all workers must have alike.
      logdir: run folder, which must be the same one.

    Raises:
      UserError: as `find_member`; a batch that cannot be shared evenly.
    """
    if distribute != "multiworker":
        return joined(ALONE, {})
    member = find_member()
    batch_size = cast(int, config.training.batch_size)  # resolved
    check_share(batch_size, len(member.addresses), "workers")
    own = {"version": permakey_tf.__version__, "logdir": os.path.realpath(logdir)}
    return joined(member, own | flatten(config))


def check_share(batch_size: int, number: int, those: str) -> None:
    """Raises UserError where a global batch cannot be shared evenly by `number` of `those`."""
    if batch_size % number:
        raise UserError(
            f"batch_size={batch_size} is the global batch, which {number} {those} cannot share "
            f"evenly: choose a multiple of {number}",
            ["batch_size"],
        )
