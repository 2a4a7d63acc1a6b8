"""Tests trained agents on unseen seeds (ICLR app. A.2.3): the protocol's part that plays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.configs.base import flatten
from permakey_tf.envs.games import open_task
from permakey_tf.envs.play import Task
from permakey_tf.errors import UserError
from permakey_tf.player import load_player
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.families import effective
from permakey_tf.runs.progress import AgentProgress
from permakey_tf.scores.evaluation import AgentSpec, Evaluation, PolicySpec, games_of
from permakey_tf.scores.evaluation_file import Planned, PlannedRun, check_place, write_evaluation
from permakey_tf.scores.random_play import random_scores
from permakey_tf.scores.repeats import GameRepeats, Games, first_screens
from permakey_tf.scores.unfinished import Unfinished, unfinished_path
from permakey_tf.system import files
from permakey_tf.system.interruption import Interrupted, Interruption, deferred
from permakey_tf.training.acting import Player, play_episodes
from permakey_tf.training.games import Episodes
from permakey_tf.training.playing import PlayProgress

# What may differ between the policies of one evaluation: the training seeds, nothing else.
_KEPT = tuple(name for name in Episodes._fields if name != "film")
_FREE = ("seed", "the keypoints' seed")


def evaluate_policies(
    runs: list[str], seeds: list[int], episodes: int, path: Path, progress: bool = True
) -> Evaluation:
    """Plays the best checkpoint of every run on every test seed, and writes evaluation.json.

    What is played is kept beside it, in evaluation.unfinished.json, until all is. Called again
    after an interruption, the test goes on, and its result is that of a test without one.

    Args:
      runs: run folders of agents that differ in their training seed alone.
      seeds: test seeds; they have nothing in common with training's and validation's.
      episodes: of every policy on every seed, played side by side.
      path: of evaluation.json.
      progress: show a progress bar on stderr.

    Raises:
      UserError: runs that do not belong together or have no best checkpoint yet; a policy that is
        named twice; a folder that cannot be written; an unfinished test of others. All before the
        first game.
      Interrupted: on Ctrl-C or SIGTERM, a KeyboardInterrupt; what was played is kept.
    """
    folders = [AgentFolder.open(run) for run in runs]
    for i, folder in enumerate(folders):
        for earlier in folders[:i]:
            _refuse_differences(earlier, folder)
            _refuse_the_same(earlier, folder)
    config = folders[0].config
    weights = [folder.best_sha256 or "" for folder in folders]  # "": told below
    planned = Planned(
        *games_of(config.environment),
        num_games=len(runs) * len(seeds) * episodes,
        runs=tuple(
            PlannedRun(str(folder.path), folder.config.learning.seed, hashed)
            for folder, hashed in zip(folders, weights, strict=True)
        ),
    )
    check_place(path, planned)
    for folder in folders:
        folder.require_best()
    unfinished = Unfinished(
        unfinished_path(path),
        runs=[str(folder.path) for folder in folders],
        weights=weights,
        seeds=list(seeds),
        episodes=episodes,
    )
    with open_task(config.environment, config.encoder.needs_objects) as task:
        tested = [load_policy(folder, task) for folder in folders]
        at_random, played, validated = _play(unfinished, tested, task, seeds, episodes, progress)
        opened = [
            first_screens(task, "train", policy.spec.train_seed, policy.num_games)
            for policy in tested
        ]
    games = [Games.of(of_seeds) for of_seeds in played]
    repeats = GameRepeats.count(games, opened, [Games.of([games]) for games in validated])
    evaluation = _describe(
        folders[0], [policy.spec for policy in tested], seeds, played, at_random, repeats
    )
    files.make_folder(path.parent)
    write_evaluation(path, evaluation)
    unfinished.remove()
    return evaluation


class TestedPolicy(NamedTuple):
    """A tested policy.

    player: with the weights of the best validation. spec: where they come from.
    num_games: games that its run has begun in training.
    num_validation: games of each of its validations.
    """

    player: Player
    spec: PolicySpec
    num_games: int
    num_validation: int


class _Parts:
    """Plays a test part by part: what is kept already is not played again.

    Args:
      unfinished: keeps the parts; `total`: of them.
      interruption: a signal breaks off the part that is being played.
      bar: counts parts.
    """

    def __init__(self, unfinished: Unfinished, total: int, interruption: Interruption, bar: tqdm):
        self._unfinished, self._total = unfinished, total
        self._interruption, self._bar = interruption, bar

    def random_play(self, task: Task, seed: int, number: int) -> np.ndarray:
        """float [E], scores."""

        def play():
            scores = random_scores(task, "test", seed, number, self._stop)
            return None if scores is None else {"scores": scores}

        return self._part(f"random play, seed {seed}", play)["scores"]

    def games(self, place: int, player: Player, task: Task, *games: Any) -> Episodes:
        """Of the policy at a place; `games`: role, seed and number."""

        def play():
            played = play_episodes(player, task, *games, stop=self._stop)
            return played and {name: getattr(played, name) for name in _KEPT}

        role, seed, _ = games
        number = self._unfinished.places[place]
        return Episodes(**self._part(f"policy {number}, {role}, seed {seed}", play))

    def _stop(self) -> bool:
        return bool(self._interruption.signal)

    def _part(self, name: str, play: Callable[[], dict[str, np.ndarray] | None]):
        kept = self._unfinished.played
        if name not in kept:
            games = None if self._stop() else play()
            if games is None:
                done = f"{len(kept)} of {self._total} parts of the test are kept"
                raise Interrupted(self._interruption.signal, done)
            self._unfinished.add(name, games)
        self._bar.update()
        return kept[name]


def _play(
    unfinished: Unfinished,
    tested: list[TestedPolicy],
    task: Task,
    seeds: list[int],
    episodes: int,
    progress: bool,
) -> tuple[list[np.ndarray], list[list[Episodes]], list[Episodes]]:
    """Random play of each seed; of each policy the games of each seed; and its validation's.

    The games that a policy was chosen by are played again: what is tested should be others.
    """
    total = len(seeds) + len(tested) * (len(seeds) + 1)
    bar = tqdm(total=total, desc="test", unit="seed", disable=not progress)
    with deferred() as interruption, bar:
        parts = _Parts(unfinished, total, interruption, bar)
        at_random = [parts.random_play(task, seed, episodes) for seed in seeds]
        played = [
            [parts.games(place, one.player, task, "test", seed, episodes) for seed in seeds]
            for place, one in enumerate(tested)
        ]
        validated = []
        for place, one in enumerate(tested):
            games = "validation", one.spec.train_seed, one.num_validation
            validated.append(parts.games(place, one.player, task, *games))
    return at_random, played, validated


def load_policy(folder: AgentFolder, task: Task) -> TestedPolicy:
    """The policy of the best validation."""
    with task.lend() as (game,):
        num_actions = game.num_actions
    player = load_player(folder, num_actions)
    latest = folder.latest_checkpoint
    arrays = checkpoint.load(latest, prefix="progress/")
    progress, games = AgentProgress.pop_from(arrays, latest), PlayProgress.pop_from(arrays, latest)
    spec = PolicySpec(
        run=str(folder.path),
        train_seed=folder.config.learning.seed,
        num_steps=progress.step,
        checkpoint_step=progress.best_step,
        weights=folder.best_sha256,
    )
    num_validation = folder.config.validation.validation_episodes
    return TestedPolicy(player, spec, games.game + 1, num_validation)


def _settings(folder: AgentFolder) -> dict:
    """All settings of the agent and of its keypoints that do something."""
    keypoints = effective(flatten(folder.keypoints.config)).items()
    return effective(flatten(folder.config)) | {f"the keypoints' {n}": v for n, v in keypoints}


def _refuse_differences(first: AgentFolder, other: AgentFolder):
    then, now = _settings(first), _settings(other)
    for name in then | now:
        if (value := then.get(name)) != now.get(name) and name not in _FREE:
            raise UserError(
                f"runs: {name} is {value} in {first.path} and {now.get(name)} in {other.path}: "
                "only policies that differ in their seed are tested together",
                ["runs"],
            )


def _refuse_the_same(first: AgentFolder, other: AgentFolder):
    """Training is exactly repeatable: the same seed on the same keypoints is the same policy."""

    def identity(folder):
        return folder.config.learning.seed, folder.content["keypoints"]["weights"]

    if identity(first) == identity(other):
        raise UserError(
            f"runs: {first.path} and {other.path} are one policy (seed "
            f"{other.config.learning.seed} on the same keypoints): name each policy once",
            ["runs"],
        )


def _describe(folder: AgentFolder, policies, seeds, played, at_random, repeats) -> Evaluation:
    config: AgentConfig = folder.config
    keypoints, encoder = folder.keypoints.config, config.encoder
    return Evaluation(
        *games_of(config.environment),
        agent=AgentSpec(
            keypoints=keypoints.method,
            encoder=encoder.encoder,
            num_keypoints=keypoints.pointnet.num_keypoints,
            noise=config.environment.noise,
            num_steps=config.learning.num_steps,
            keypoint_steps=keypoints.training.max_steps,
            track_keypoints=encoder.tracks,
            cnn_filters=encoder.cnn_filters if encoder.encoder == "cnn" else None,
            nodes=encoder.nodes,
            extractor=keypoints.extractor if keypoints.method == "permakey" else None,
        ),
        policies=tuple(policies),
        seeds=tuple(seeds),
        scores=np.array([[games.scores for games in of_seeds] for of_seeds in played]),
        lengths=np.array([[games.lengths for games in of_seeds] for of_seeds in played]),
        random_scores=np.stack(at_random),
        repeats=repeats,
    )
