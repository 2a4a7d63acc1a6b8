"""Tests anyone's policy by the protocol of our agents. Needs no TensorFlow."""

import inspect
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from permakey_tf.configs.agent import AS_TRAINED, EnvironmentConfig
from permakey_tf.envs.games import open_task
from permakey_tf.envs.play import Game, Task, play
from permakey_tf.errors import UserError, different_wholes, whole
from permakey_tf.scores.evaluation import Evaluation, OtherAgent, games_of
from permakey_tf.scores.evaluation_file import Planned, check_place, write_evaluation
from permakey_tf.scores.random_play import random_scores
from permakey_tf.scores.repeats import GameRepeats, Games
from permakey_tf.scores.tables import names_of_ours
from permakey_tf.system.files import make_folder, user_path
from permakey_tf.training.games import Episodes, begin, join_episodes


class PlayingPolicy(Protocol):
    """What remembers something of a game."""

    def reset(self) -> None:
        """A new game begins."""

    def act(self, frame: np.ndarray) -> int:
        """The action after a frame, see `evaluate_agent`."""


_NAMELESS = ("<lambda>", "partial")

Policy = PlayingPolicy | Callable[[np.ndarray], int]


def evaluate_agent(
    policy: Policy | Sequence[Policy],
    game: str,
    seeds: Sequence[int] = tuple(range(10)),
    episodes: int = 10,
    *,
    name: str = "",
    num_steps: int | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Evaluation:
    """Scores anyone's policy as `python -m run.rl --mode=evaluate` scores ours.

    Full games of true scores, with the no-ops, FIRE, frame skip and limit of 4,000 actions of our
    tests, on seeds that training games of this project have nothing in common with; random play in
    the same games beside them. Games are played one after the other.

    Example:
      result = evaluate_agent(lambda frame: model.predict(frame)[0], "MsPacman", name="DQN")
      print(result.aggregates.median_seed, result.advantage)

    Args:
      policy: an object with `reset()`, called as a game begins, and `act(frame)`; or a function of
        a frame. `frame` is uint8 [210, 160, 3] (some games: 250 rows), the emulator's RGB screen,
        the maximum of the last two of the action's four emulator frames. What is given back is an
        index into the emulator's minimal action set, Gymnasium's default. A sequence of P policies,
        such as those of P training seeds, is one agent, tested P times.
      game: any spelling of a game's name.
      seeds: test seeds, S of them. episodes: E, of every policy on every seed.
      name: what tables call the agent, on one line; "" takes the name of the policy's class or
        function.
      num_steps: agent steps (four emulator frames each) of its training, for the tables.
      out: folder for evaluation.json, which `python -m run.report` reads; None writes nothing.
      progress: show a progress bar on stderr.
      settings: of how games are played, as of `run.rl`, such as `sticky_actions=0.25` or `env_id`.

    Returns:
      All scores float [P, S, E], with their aggregates.

    Raises:
      UserError: an unknown game or setting; a class, or the same policy twice; a name of several
        lines, or that begins with one of ours, or none where the policy has none either; actions
        that the game does not have; a folder that cannot be written, is a run's, or has another
        test.
    """
    policies: list[Any] = list(policy) if isinstance(policy, list | tuple) else [policy]
    config = EnvironmentConfig.make(game=game, **settings)
    seeds = different_wholes(seeds, "seeds")
    episodes = whole(episodes, 1, "episodes")
    num_steps = None if num_steps is None else whole(num_steps, 0, "num_steps")
    _check(policies, config)
    name = name or _name_of(policies[0], needed=out is not None)
    agent = OtherAgent(_checked_name(name), num_steps)
    games = games_of(config)
    path = user_path(out) / "evaluation.json" if out is not None else None
    if path:
        num_games = len(policies) * len(seeds) * episodes
        check_place(path, Planned(*games, num_games, name=agent.name))
    bar = tqdm(total=len(policies) * len(seeds), unit="seed", disable=not progress)
    with open_task(config) as task, bar:
        _check_actions(policies, task)
        at_random = [random_scores(task, "test", seed, episodes) for seed in seeds]
        played = [[_play(one, task, seed, episodes, bar) for seed in seeds] for one in policies]
    evaluation = Evaluation(
        *games,
        agent=agent,
        policies=(),
        seeds=tuple(seeds),
        scores=np.array([[games.scores for games in of_seeds] for of_seeds in played]),
        lengths=np.array([[games.lengths for games in of_seeds] for of_seeds in played]),
        random_scores=np.array(at_random),
        repeats=GameRepeats.of_test([Games.of(of_seeds) for of_seeds in played]),
    )
    if path:
        make_folder(path.parent)
        write_evaluation(path, evaluation)
    return evaluation


def _name_of(policy: Any, needed: bool) -> str:
    """Of its function or class; needed: whether it is to tell this agent from others."""
    if inspect.ismethod(policy):  # of any model it would be "predict"
        policy = policy.__self__
    name = getattr(policy, "__name__", type(policy).__name__)
    if needed and name in _NAMELESS:
        raise UserError(
            f"name is missing: the next {name} would be taken for the same agent, and its test "
            'replace this one; give one, such as name="DQN"',
            ["name"],
        )
    return name


def _checked_name(name: Any) -> str:
    """A name as it can stand in a row of its own."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise UserError(f"name={name!r}: a text on one line is needed, for the tables", ["name"])
    words = " ".join(name.split()).casefold()
    for ours in names_of_ours():
        # With a remark behind it, ours would be one of its variants: "PKey+GNN, tracked".
        if words.startswith(ours.casefold()) and not words[len(ours) :][:1].isalnum():
            raise UserError(
                f"name={name!r} is an agent of this package to the tables ({ours}): choose another",
                ["name"],
            )
    return name


def _check(policies: list, config: EnvironmentConfig) -> None:
    for place, policy in enumerate(policies):
        if isinstance(policy, type):
            name = policy.__name__
            made = f"{name}.load(...)" if hasattr(policy, "load") else f"{name}(...)"
            raise UserError(f"policy: {name} is a class: give an object of it, {made}")
        if any(policy is earlier for earlier in policies[:place]):
            raise UserError(
                f"policy: number {place} is the same object as an earlier one: name each policy "
                "once; how often each one plays is set by seeds and episodes"
            )
        if not callable(getattr(policy, "act", policy)):
            raise UserError(f"policy: {policy!r} has no act(frame), and is no function of a frame")
    if not policies:
        raise UserError("policy: name at least one")
    if config.noise not in (AS_TRAINED, "none"):
        raise UserError(
            f"noise={config.noise}: other agents see the game's own frames; leave it out", ["noise"]
        )


def _check_actions(policies: list, task: Task) -> None:
    """Asks those that know, as an `AgentPlayer` does, whether the game's actions are theirs."""
    checks = [policy.check_actions for policy in policies if hasattr(policy, "check_actions")]
    if checks:
        with task.lend() as [game]:
            for check in checks:
                check(game.action_names)


def _play(policy: Any, task: Task, seed: int, episodes: int, bar: tqdm) -> Episodes:
    """The games of a seed, one after the other."""
    played = []
    reset, act = getattr(policy, "reset", None), getattr(policy, "act", policy)
    with task.lend() as (game,):
        for number in range(episodes):
            episode = begin(game, task, "test", seed, number)
            if reset is not None:
                reset()
            for _ in play(episode, lambda frame: _action_of(act(frame), game)):
                pass
            played.append(episode)
    bar.update()
    return join_episodes(played)


def _action_of(given: Any, game: Game) -> int:
    try:
        action = operator.index(given)
    except TypeError:
        action = -1
    if 0 <= action < game.num_actions:
        return action
    raise UserError(
        f"policy: {given!r} is no action: a whole number from 0 to {game.num_actions - 1} is "
        f"needed, an index into {', '.join(game.action_names)}"
    )
