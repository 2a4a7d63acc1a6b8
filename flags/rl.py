"""Flags of `python -m run.rl`: the game, the keypoints, the agent, its run folder, its test."""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.agent import AgentConfig, AgentLoggingConfig
from permakey_tf.configs.base import flatten
from permakey_tf.errors import UserError, different_wholes

_OF_TRAINING = ("keypoints", "logdir")
_OF_TESTS = ("runs", "seeds", "test_episodes", "out")
_OF_FILMS = ("episode", "fps")


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    for config_class in (AgentConfig, AgentLoggingConfig):
        common.define(config_class, flag_values=values)
    common.define_path(
        "keypoints",
        None,
        "Run folder of trained keypoints (see run.keypoints). Unset: the quick preset's, which "
        "are trained first where they are missing.",
        values,
    )
    common.define_path(
        "logdir",
        "runs/{game}_{method}_{encoder}_seed{seed}",
        "Run folder: checkpoints, replay, metrics. Holding a run with the same settings, it is "
        "resumed. {game}, {method} (of the keypoints), {encoder} and {seed} are filled in.",
        values,
    )
    absl_flags.DEFINE_enum(
        "mode",
        "train",
        ["train", "evaluate", "film"],
        "train an agent, evaluate the best checkpoints of --runs on unseen seeds, or film a test "
        "game of one run.",
        flag_values=values,
    )
    _define_test(values)


def _define_test(values: absl_flags.FlagValues) -> None:
    common.define_paths(
        "runs",
        [],
        "--mode=evaluate: run folders of agents, comma-separated. --mode=film: one.",
        values,
    )
    define_test_size("--mode=evaluate", values)
    common.define_path(
        "out",
        None,
        "--mode=evaluate: folder for evaluation.json; unset: the first run's. --mode=film: file, "
        ".mp4 for a video, .png for a strip of pictures.",
        values,
    )
    absl_flags.DEFINE_integer(
        "episode",
        0,
        "--mode=film: game of the test seed that --seeds names (unset: 0), counted from 0. "
        "Range: >= 0.",
        lower_bound=0,
        flag_values=values,
    )
    common.define_float(
        "fps",
        15.0,
        "--mode=film: steps a second of a video; 15 is the game's own speed. Range: 1 to 60.",
        1.0,
        60.0,
        flag_values=values,
    )


def define_test_size(where: str, values: absl_flags.FlagValues) -> None:
    """Flags of how much a test plays. `where`: they have a meaning, for the help texts."""
    absl_flags.DEFINE_list(
        "seeds",
        [str(seed) for seed in range(10)],
        f"{where}: test seeds, comma-separated. They share nothing with --seed: training, "
        "validation and test draw from streams of their own.",
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "test_episodes",
        10,
        f"{where}: episodes of each policy on each seed.",
        1,
        1000,
        flag_values=values,
    )


@dataclasses.dataclass(frozen=True)
class Training:
    """What the flags ask for where --mode=train.

    Attributes:
      keypoints: run folder of the keypoints; None: the quick preset's.
      given: names of the flags that were given.
    """

    agent: AgentConfig
    logging: AgentLoggingConfig
    keypoints: str | None
    given: frozenset[str]
    logdir_template: str

    def logdir(self, agent: AgentConfig, method: str) -> str:
        """--logdir with its placeholders filled in, `method` that of the keypoints."""
        names = {
            "method": method,
            "encoder": agent.encoder.encoder,
            "seed": str(agent.learning.seed),
        }
        game = agent.environment.game
        return common.fill_in_to_go_on("logdir", self.logdir_template, game, **names)


@dataclasses.dataclass(frozen=True)
class Test:
    """What the flags ask for where --mode=evaluate. `asked`: the agent's settings given."""

    runs: list[str]
    seeds: list[int]
    episodes: int
    path: Path
    asked: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Filming:
    """What the flags ask for where --mode=film. `asked`: the agent's settings given."""

    run: str
    seed: int
    episode: int
    path: Path
    fps: float
    asked: dict[str, Any]


def from_flags(values: absl_flags.FlagValues = absl_flags.FLAGS) -> Training | Test | Filming:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    if values.mode == "evaluate":
        return _test(values)
    if values.mode == "film":
        return _film(values)
    common.refuse_flags(values, (*_OF_TESTS, *_OF_FILMS), "where --mode=train")
    return Training(
        common.build(AgentConfig, values),
        common.build(AgentLoggingConfig, values),
        values["keypoints"].value,
        frozenset(name for name in values if values[name].present),
        values["logdir"].value,
    )


def _test(values: absl_flags.FlagValues) -> Test:
    common.refuse_flags(values, (*_OF_TRAINING, *_OF_FILMS), "where --mode=evaluate")
    runs, seeds = values["runs"].value, parse_seeds(values)
    if not runs:
        raise UserError("--runs is needed where --mode=evaluate: run folders of trained agents")
    path = Path(values["out"].value or runs[0]) / "evaluation.json"
    return Test(runs, seeds, values["test_episodes"].value, path, _asked(values))


def _film(values: absl_flags.FlagValues) -> Filming:
    common.refuse_flags(values, (*_OF_TRAINING, "test_episodes"), "where --mode=film")
    runs, out = values["runs"].value, values["out"].value
    seeds = parse_seeds(values) if values["seeds"].present else [0]
    if len(runs) != 1 or len(seeds) != 1:
        name = "runs" if len(runs) != 1 else "seeds"
        raise UserError(f"--{name}: --mode=film shows one game of one run; give one")
    if not out:
        raise UserError("--out is needed where --mode=film: a file, such as game.mp4 or game.png")
    path, fps = Path(out), values["fps"].value
    if path.suffix == ".png":
        common.refuse_flags(values, ("fps",), "where --out is a strip of pictures")
    return Filming(runs[0], seeds[0], values["episode"].value, path, fps, _asked(values))


def _asked(values: absl_flags.FlagValues) -> dict[str, Any]:
    """The agent's settings that were given."""
    settings = flatten(common.build(AgentConfig, values))
    return {name: value for name, value in settings.items() if values[name].present}


def parse_seeds(values: absl_flags.FlagValues) -> list[int]:
    """Of --seeds. Raises UserError."""
    seeds = common.parse_tuple("seeds", values["seeds"].value, int)
    with common.settings_as_flags():
        return different_wholes(list(seeds), "seeds")
