"""Several processes start in one new run folder at the same moment: what each of them met.

  python starters.py FOLDER '[SETTINGS, ...]'

Prints, as JSON, one [settings, outcome] for each: "won", or the refusal. The winner keeps the
folder until all others have been refused. Without TensorFlow, so that forks are cheap and safe.
"""

import json
import multiprocessing
import sys
import traceback
from pathlib import Path

from support import tiny_config

from permakey_tf.errors import UserError
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder


def start(path, settings, barrier, outcomes):
    config, frames = tiny_config(**settings), FrameSpec("toy", 20, 3, "hash")
    barrier.wait()
    try:
        with KeypointFolder.held(path, config, frames) as folder:
            assert KeypointFolder.open(path).config == folder.config == config
            outcomes.put((settings, "won"))
            barrier.wait()
    except UserError as error:
        outcomes.put((settings, str(error)))
        barrier.wait()
    except BaseException:
        outcomes.put((settings, traceback.format_exc()))
        barrier.wait()


def race(path: Path, all_settings: list[dict]) -> list:
    context = multiprocessing.get_context("fork")
    barrier, outcomes = context.Barrier(len(all_settings), timeout=60), context.SimpleQueue()
    starters = [
        context.Process(target=start, args=(path, settings, barrier, outcomes))
        for settings in all_settings
    ]
    for starter in starters:
        starter.start()
    met = [outcomes.get() for _ in starters]
    for starter in starters:
        starter.join()
    return met


if __name__ == "__main__":
    print(json.dumps([race(Path(sys.argv[1]) / str(i), s) for i, s in
                      enumerate(json.loads(sys.argv[2]))]))  # fmt: skip
