"""Flags of `python -m run.rl`: the game, the keypoints, the agent, its run folder, its test."""

import dataclasses
import json
import sys
from pathlib import Path

from absl import flags

from flags import common
from permakey_tf.configs.agent import AgentConfig, AgentLoggingConfig, EnvironmentConfig
from permakey_tf.configs.base import flatten
from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS, canonical_game
from permakey_tf.configs.keypoints import check_kernels
from permakey_tf.envs.games import Game, make_game
from permakey_tf.errors import UserError
from permakey_tf.launch.local import run_in_foreground
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import RunFolder
from permakey_tf.runs.progress import read_progress

_QUICK = "flags/presets/quick.cfg"
_KEYPOINTS = common.define_path(
    "keypoints",
    None,
    "Run folder of trained keypoints (see run.keypoints). Unset: the quick preset's, which are "
    "trained first where they are missing.",
)
_LOGDIR = common.define_path(
    "logdir",
    "runs/{game}_{method}_{encoder}_seed{seed}",
    "Run folder: checkpoints, replay, metrics. Holding a run with the same settings, it is "
    "resumed. {game}, {method} (of the keypoints), {encoder} and {seed} are filled in.",
)
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "evaluate"],
    "train an agent, or evaluate the best checkpoints of --runs on unseen seeds.",
)
_RUNS = common.define_paths("runs", [], "--mode=evaluate: run folders of agents, comma-separated.")
_SEEDS = flags.DEFINE_list(
    "seeds",
    [str(seed) for seed in range(10)],
    "--mode=evaluate: test seeds, comma-separated. They share nothing with --seed: training, "
    "validation and test draw from streams of their own.",
)
_EPISODES = flags.DEFINE_integer(
    "test_episodes", 10, "--mode=evaluate: episodes of each policy on each seed.", 1, 1000
)
_OUT = common.define_path(
    "out", None, "--mode=evaluate: folder for evaluation.json; unset: the first run's."
)


def define() -> None:
    """Defines all flags; call once, before they are parsed."""
    for config_class in (AgentConfig, AgentLoggingConfig):
        common.define(config_class)


@dataclasses.dataclass(frozen=True)
class Training:
    """What the flags ask for where --mode=train."""

    agent: AgentConfig
    logging: AgentLoggingConfig
    keypoints: RunFolder
    logdir: str


@dataclasses.dataclass(frozen=True)
class Test:
    """What the flags ask for where --mode=evaluate."""

    runs: list[str]
    seeds: list[int]
    episodes: int
    path: Path


def from_flags() -> Training | Test:
    """Checks all flags together; trains quick keypoints where none are named.

    Raises:
      UserError: naming the flag that is wrong.
    """
    if _MODE.value == "evaluate":
        return _test()
    _refuse_flags((_RUNS, _SEEDS, _EPISODES, _OUT), "train")
    agent, logging = common.build(AgentConfig), common.build(AgentLoggingConfig)
    if not _KEYPOINTS.value:  # what would refuse the agent, before keypoints are trained
        AgentFolder.check_place(_logdir(agent, "permakey"))
    folder = _KEYPOINTS.value or _quick_keypoints(agent.environment)
    keypoints = RunFolder.open(folder)
    progress = read_progress(keypoints)
    if progress and not progress.finished:
        print(
            f"note: {folder} is not trained to its end: these are keypoints of step "
            f"{progress.best_step}"
        )
    agent = _agree(agent, keypoints)
    game = make_game(agent.environment)  # refused here, before a folder is made
    refuse_another_environment(agent.environment, game, keypoints)
    return Training(agent, logging, keypoints, _logdir(agent, keypoints.config.method))


def _logdir(agent: AgentConfig, method: str) -> str:
    """--logdir with its placeholders filled in."""
    names = {
        "method": method,
        "encoder": agent.encoder.encoder,
        "seed": str(agent.learning.seed),
    }
    return common.fill_in("logdir", _LOGDIR.value, agent.environment.game, **names)


def _refuse_flags(others, mode: str):
    """Refuses flags that do nothing in a mode, rather than pass over them in silence."""
    for flag in others:
        if flag.present:
            raise UserError(f"--{flag.name} does nothing where --mode={mode}: leave it out")


def _refuse_contradictions(folder: AgentFolder):
    """A policy is tested as it was trained: a setting that is given must be the run's."""
    asked, trained = flatten(common.build(AgentConfig)), flatten(folder.config)
    asked["game"] = canonical_game(asked["game"])
    trained["game"] = canonical_game(trained["game"])
    for name, value in asked.items():
        if flags.FLAGS[name].present and value not in (trained[name], "as-trained"):
            raise UserError(
                f"--{name}={value}: {folder.path} was trained with {trained[name]}, and is tested "
                "as it was trained; leave the flag out, or train another run with it"
            )


def _test() -> Test:
    _refuse_flags((_KEYPOINTS, _LOGDIR), "evaluate")
    if not _RUNS.value:
        raise UserError("--runs is needed where --mode=evaluate: run folders of trained agents")
    try:
        seeds = [int(seed) for seed in _SEEDS.value]
    except ValueError as error:
        raise UserError(f"--seeds={','.join(_SEEDS.value)}: whole numbers are needed") from error
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UserError("--seeds must be different numbers, none below 0")
    for run in _RUNS.value:
        _refuse_contradictions(AgentFolder.open(run))
    out = Path(_OUT.value or _RUNS.value[0])
    return Test(_RUNS.value, seeds, _EPISODES.value, out / "evaluation.json")


def _agree(agent: AgentConfig, keypoints: RunFolder) -> AgentConfig:
    """The agent's settings with the keypoint run's game and noise; refuses what contradicts."""
    environment, game = agent.environment, keypoints.frames.game
    check_kernels(agent.encoder, "cnn", keypoints.frames.image_size)
    if flags.FLAGS["game"].present and canonical_game(environment.game) != canonical_game(game):
        raise UserError(
            f"--game={environment.game}: {keypoints.path} has keypoints of {game}; train others "
            f"with `python -m run.keypoints --game={environment.game}`"
        )
    noise = keypoints.config.training.noise
    if environment.noise not in ("as-trained", noise):
        raise UserError(
            f"--noise={environment.noise}: {keypoints.path} was trained with noise={noise}; train "
            f"others with `python -m run.keypoints --noise={environment.noise}`"
        )
    record = keypoints.frames.environment
    if record and record["id"] and not environment.env_id:
        raise UserError(
            f"{keypoints.path} has keypoints of a Gymnasium environment: play it with "
            f"--env_id={record['id']}"
        )
    changes = {"game": game, "noise": noise}
    if environment.env_id and record and record["kwargs"] and not flags.FLAGS["env_kwargs"].present:
        changes["env_kwargs"] = json.dumps(record["kwargs"])
    return dataclasses.replace(agent, environment=dataclasses.replace(environment, **changes))


def refuse_another_environment(environment: EnvironmentConfig, game: Game, keypoints: RunFolder):
    """Keypoints of one environment say nothing about another; `_agree` compares Atari games.

    Args:
      environment: what the agent is to play.
      game: the same, made.
      keypoints: what it is to see with.

    Raises:
      UserError: the keypoints come from another environment, or from one with other arguments.
    """
    then = keypoints.frames.environment
    if not environment.env_id:
        return
    if not then:
        print(
            f"note: {keypoints.path} does not say which environment its frames are from: take care "
            f"that it was {environment.env_id}"
        )
        return
    now = game.environment.record
    if not then["id"]:
        was = f"the Atari game {keypoints.frames.game}"
        name = now["id"].rpartition(":")[2]
        same = now["package"] == then["package"] and canonical_game(name) == keypoints.frames.game
    else:
        was = f"--env_id={then['id']}" + _shown_arguments(then)
        same = all(
            _without_module(then[name]) == _without_module(now[name])
            for name in ("id", "package", "kwargs")
        )
    if not same:
        raise UserError(
            f"--env_id={now['id']}{_shown_arguments(now)}: {keypoints.path} has keypoints of "
            f"{was}; train others with `python -m run.keypoints --source=gymnasium`"
        )
    if then["version"] != now["version"]:
        print(
            f"note: the keypoints' frames are from {then['package']} {then['version']}, and "
            f"{now['version']} is installed: it may draw differently"
        )


def _without_module(value):
    """An environment's id as it is registered: "module:ID" imports a module first."""
    return value.rpartition(":")[2] if isinstance(value, str) else value


def _shown_arguments(record: dict) -> str:
    return f" --env_kwargs='{json.dumps(record['kwargs'])}'" if record["kwargs"] else ""


def _quick_keypoints(environment) -> str:
    """Trains keypoints with the quick preset, or finds them trained."""
    if environment.env_id:
        raise UserError(
            f"--keypoints is needed with --env_id; train some with `python -m run.keypoints "
            f"--flagfile={_QUICK} --source=gymnasium --env_id={environment.env_id} --game=NAME "
            "--num_keypoints=K`"
        )
    noise = "none" if environment.noise == "as-trained" else environment.noise
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
