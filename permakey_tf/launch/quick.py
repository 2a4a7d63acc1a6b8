"""Keypoints for an agent that was given none."""

import sys

from permakey_tf.configs.agent import EnvironmentConfig
from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS, canonical_game
from permakey_tf.envs.games import make_game
from permakey_tf.errors import UserError
from permakey_tf.launch.local import run_in_foreground

_QUICK = "flags/presets/quick.cfg"


def quick_keypoints(environment: EnvironmentConfig) -> str:
    """Trains keypoints with the quick preset, or finds them trained.

    Returns:
      Their run folder.

    Raises:
      UserError: a game for which the number of keypoints is not known, or the training failed.
    """
    if environment.env_id:
        raise UserError(
            f"--keypoints is needed with --env_id; train some with `python -m run.keypoints "
            f"--flagfile={_QUICK} --source=gymnasium --env_id={environment.env_id} --game=NAME "
            "--num_keypoints=K`"
        )
    noise = environment.resolved("none").noise
    make_game(environment)  # refuses a name that no game has
    game = canonical_game(environment.game)
    if game not in PAPER_NUM_KEYPOINTS:
        raise UserError(
            f"--keypoints is needed with --game={game}, for which the paper gives no number of "
            f"keypoints; train some with `python -m run.keypoints --flagfile={_QUICK} "
            f"--game={game} --num_keypoints=K`"
        )
    folder = f"runs/{game}_permakey_quick" + (f"_{noise}" if noise != "none" else "") + "_seed0"
    command = [sys.executable, "-m", "run.keypoints", f"--flagfile={_QUICK}", f"--game={game}"]
    command += [f"--noise={noise}", f"--logdir={folder}"]
    print(f"no --keypoints: the quick preset's are trained first, or reused: {folder}", flush=True)
    if code := run_in_foreground(command):
        raise UserError(f"training the keypoints failed with exit code {code}; see above")
    return folder
