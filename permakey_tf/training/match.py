"""Which keypoints an agent can see with, and how it may be tested."""

import dataclasses
import json
from collections.abc import Container
from typing import Any

from permakey_tf.configs.agent import AS_TRAINED, AgentConfig, EnvironmentConfig
from permakey_tf.configs.base import as_begun, flatten
from permakey_tf.configs.frames import canonical_game
from permakey_tf.configs.keypoints import check_kernels
from permakey_tf.envs.games import Game, make_task
from permakey_tf.errors import UserError
from permakey_tf.objects.categories import reliability_warning
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import KeypointFolder


def resolve_agent(
    agent: AgentConfig, keypoints: KeypointFolder, given: Container[str]
) -> AgentConfig:
    """The agent's settings with the keypoint run's game and noise.

    Args:
      agent: the settings as they were asked for.
      keypoints: the run that the agent is to see with.
      given: names of the settings that the user gave; others follow the keypoints.

    Raises:
      UserError: they contradict the keypoint run, or there is no such game.
    """
    agent = _agree(agent, keypoints, given)
    with make_task(agent.environment, agent.encoder.needs_objects).lend() as (game,):
        refuse_another_environment(agent.environment, game, keypoints)
    warning = reliability_warning(agent.environment.game) if agent.encoder.needs_objects else None
    if warning:
        print(f"note: {warning}")
    return agent


def follow_folder(agent: AgentConfig, path, given: Container[str]) -> AgentConfig:
    """The agent's settings for the run folder of `path`, which need not be there.

    A run of an earlier version goes on as it began, see `as_begun`.

    Raises:
      UserError: no run can be there.
    """
    AgentFolder.check_place(path)
    if not AgentFolder.has_begun(path):
        return agent
    return as_begun(agent, AgentFolder.open(path).config, given)


def _agree(agent: AgentConfig, keypoints: KeypointFolder, given: Container[str]) -> AgentConfig:
    environment, games = agent.environment, keypoints.frames.games
    check_kernels(agent.encoder, "cnn", keypoints.frames.image_size)
    game = canonical_game(environment.game) if "game" in given else games[0]
    if game not in games:
        raise UserError(
            f"game={environment.game}: {keypoints.path} has keypoints of {' and '.join(games)}; "
            f"train others with `python -m run.keypoints --game={environment.game}`",
            ["game"],
        )
    if len(games) > 1 and "game" not in given:
        raise UserError(
            f"{keypoints.path} has keypoints of several games: say which one is played, "
            f"{' or '.join(f'game={name}' for name in games)}",
            ["game"] * len(games),
        )
    noise = keypoints.config.training.noise
    if environment.resolved(noise).noise != noise:
        raise UserError(
            f"noise={environment.noise}: {keypoints.path} was trained with noise={noise}; train "
            f"others with `python -m run.keypoints --noise={environment.noise}`",
            ["noise"],
        )
    record = keypoints.frames.environment
    if record and record["id"] and not environment.env_id:
        raise UserError(
            f"{keypoints.path} has keypoints of a Gymnasium environment: play it with "
            f"env_id={record['id']}",
            ["env_id"],
        )
    changes = {"game": game, "noise": noise}
    if environment.env_id and record and record["kwargs"] and "env_kwargs" not in given:
        changes["env_kwargs"] = json.dumps(record["kwargs"])
    return dataclasses.replace(agent, environment=dataclasses.replace(environment, **changes))


def refuse_another_environment(
    environment: EnvironmentConfig, game: Game, keypoints: KeypointFolder
):
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
        played = canonical_game(name) in keypoints.frames.games
        same = now["package"] == then["package"] and played
    else:
        was = f"env_id={then['id']}" + _shown_arguments(then)
        same = all(
            _without_module(then[name]) == _without_module(now[name])
            for name in ("id", "package", "kwargs")
        )
    if not same:
        raise UserError(
            f"env_id={now['id']}{_shown_arguments(now)}: {keypoints.path} has keypoints of "
            f"{was}; train others with `python -m run.keypoints --source=gymnasium`",
            ["env_id", "env_kwargs"] * 2,
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
    return f" env_kwargs='{json.dumps(record['kwargs'])}'" if record["kwargs"] else ""


def refuse_contradictions(folder: AgentFolder, asked: dict[str, Any]) -> None:
    """A policy is tested as it was trained: a setting that is given must be the run's.

    Args:
      folder: the trained agent's.
      asked: {setting: value} of what the user gave.
    """
    trained = flatten(folder.config)
    for name, value in asked.items():
        same = value in (trained[name], AS_TRAINED) or (
            name == "game" and canonical_game(value) == canonical_game(trained[name])
        )
        if not same:
            raise UserError(
                f"{name}={value}: {folder.path} was trained with {trained[name]}, and is tested "
                "as it was trained; leave it out, or train another run with it",
                [name],
            )
