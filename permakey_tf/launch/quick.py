"""Keypoints for an agent that was given none."""

import dataclasses
import shlex
import sys
from pathlib import Path

from permakey_tf.configs.agent import AgentConfig, EnvironmentConfig
from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS, canonical_game
from permakey_tf.envs.games import make_game
from permakey_tf.errors import UserError
from permakey_tf.launch.local import run_in_foreground
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.runs.progress import is_trained

_QUICK = "flags/presets/quick.cfg"


def quick_keypoints(agent: AgentConfig, logdir: str | Path) -> str:
    """Trains keypoints with the quick preset, or finds them trained.

    Args:
      agent: the settings that were asked for.
      logdir: the agent's run folder. Of a run that has begun keypoints are only found: others than
        it began with would not do.

    Returns:
      Their run folder.

    Raises:
      UserError: a game for which the number of keypoints is not known; the folder is of something
        else, or of a run with other settings or of other keypoints; or the training failed.
    """
    environment = agent.environment.resolved("none")
    folder = _folder(environment, agent.encoder.needs_objects)
    AgentFolder.check_place(logdir)
    if AgentFolder.has_begun(logdir):
        _refuse_others(dataclasses.replace(agent, environment=environment), logdir, folder)
        return folder
    command = [sys.executable, "-m", "run.keypoints", f"--flagfile={_QUICK}"]
    command += [f"--game={canonical_game(environment.game)}", f"--noise={environment.noise}"]
    print(
        f"no keypoints are given: the quick preset's are trained first, or reused: {folder}",
        flush=True,
    )
    if code := run_in_foreground([*command, f"--logdir={folder}"]):
        raise UserError(
            f"training them failed with exit code {code}; see above"
            + (
                f". A run is there already: whatever its settings, keypoints={folder} takes it"
                if KeypointFolder.has_begun(folder)
                else ""
            ),
            ["keypoints"],
        )
    return folder


def _refuse_others(agent: AgentConfig, logdir: str | Path, folder: str) -> None:
    """Refuses a run that has begun, where it has other settings or the keypoints are not there."""
    own = AgentFolder.open(logdir).keypoints
    AgentFolder(logdir, agent, own).compare()
    missing = not Path(folder).exists()
    if missing or not is_trained(KeypointFolder.open(folder)):
        fault = "missing" if missing else "not trained to its end"
        raise UserError(
            f"{logdir} holds a run, and what it would see with, the quick preset's {folder}, is "
            f"{fault}: resume with the run's own copy, "
            f"keypoints={shlex.quote(str(own.path))}, or choose another logdir",
            ["keypoints", "logdir"],
        )


def _folder(environment: EnvironmentConfig, objects: bool) -> str:
    """Run folder of a game's quick keypoints. Raises UserError where there can be none."""
    if environment.env_id:
        raise UserError(
            f"keypoints must be given with env_id; train some with `python -m run.keypoints "
            f"--flagfile={_QUICK} --source=gymnasium --env_id={environment.env_id} --game=NAME "
            "--num_keypoints=K`",
            ["keypoints", "env_id"],
        )
    # Refuses a name that no game has, and objects that cannot be read.
    make_game(environment, objects=objects)
    game, noise = canonical_game(environment.game), environment.noise
    if game not in PAPER_NUM_KEYPOINTS:
        raise UserError(
            f"keypoints must be given with game={game}, for which the paper gives no number of "
            f"keypoints; train some with `python -m run.keypoints --flagfile={_QUICK} "
            f"--game={game} --num_keypoints=K`",
            ["keypoints", "game"],
        )
    return f"runs/{game}_permakey_quick" + (f"_{noise}" if noise != "none" else "") + "_seed0"
