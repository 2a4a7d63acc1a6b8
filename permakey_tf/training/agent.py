"""Trains the agent: plays, remembers, updates, validates, and resumes exactly.

Everything random is a function of (seed, step): exploration, replay, noise, games. A checkpoint
holds the networks, the optimizer and the counters; the replay's rows are on disk already; and the
emulator is brought back by replaying the current game's actions from its seeded start.
"""

import contextlib
import functools
import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

import permakey_tf
from permakey_tf.configs.agent import AgentConfig, AgentLoggingConfig
from permakey_tf.configs.base import flatten
from permakey_tf.configs.keypoints import check_kernels
from permakey_tf.data.replay import SequenceReplay
from permakey_tf.envs.games import make_game, make_task
from permakey_tf.envs.play import Episode, Game, Task
from permakey_tf.errors import UserError
from permakey_tf.models.q_network import RecurrentQNetwork, build_q_network
from permakey_tf.models.vision import build_vision
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.metrics import MetricsLog
from permakey_tf.runs.progress import AgentProgress
from permakey_tf.system.interruption import Interruption, deferred
from permakey_tf.training import controls
from permakey_tf.training.acting import Actor, Player, play_episodes
from permakey_tf.training.games import Episodes
from permakey_tf.training.learner import Learner
from permakey_tf.training.playing import Agent, Playing
from permakey_tf.viz import overlay

_LEARNING_METRICS = ("loss", "td_error", "q_value", "gradient_norm")
_COLUMNS = (
    *(f"train/{name}" for name in _LEARNING_METRICS),
    "train/episode_return",
    "train/episode_length",
    "train/epsilon",
    "agent_steps_per_second",
    "updates_per_second",
    "validation/score",
    "validation/length",
)


def build_player(folder: AgentFolder, num_actions: int) -> Player:
    """Vision, an untrained network with its variables made, and how it sees frames."""
    config = folder.config
    model = folder.keypoints.load_model(config.learning.precision)
    frame_format = folder.keypoints.format._replace(noise=config.environment.noise)
    in_bank = controls.bank_size(config.encoder.nodes)
    bank = controls.bank_frames(config, frame_format) if in_bank else None
    vision = build_vision(model, config.encoder, bank)
    network = _build_network(folder, vision, num_actions)
    actor = Actor(network, vision, frame_format.shape, config.compiled)
    tell = controls.teller(config, model.config.pointnet.num_keypoints, frame_format)
    return Player(actor, frame_format, num_actions, config.encoder.tracks, tell)


def _build_network(folder: AgentFolder, vision, num_actions: int) -> RecurrentQNetwork:
    """An untrained network with its variables made, from the run's seed."""
    config, frames = folder.config, folder.keypoints.frames
    check_kernels(config.encoder, "cnn", frames.image_size)
    tf.keras.utils.set_random_seed(config.learning.seed)
    num_keypoints = folder.keypoints.config.pointnet.num_keypoints
    network = build_q_network(config, num_keypoints, num_actions)
    blank = {name: tf.zeros([1, *c.shape], c.dtype) for name, c in vision.columns.items()}
    network(vision.prepare(blank), network.initial_state(1))
    return network


def build_agent(folder: AgentFolder, num_actions: int) -> Agent:
    """An untrained agent with a run's settings."""
    player, config = build_player(folder, num_actions), folder.config
    vision, online = player.actor.vision, player.actor.network
    if config.learning.overlap:
        online = _build_network(folder, vision, num_actions)
    target = _build_network(folder, vision, num_actions)
    learner = Learner(online, target, vision.prepare, config.learning, config.compiled)
    return Agent(player, learner)


def build_playing(folder: AgentFolder, game: Game, agent: Agent) -> Playing:
    """The training games of a run, remembered in its folder."""
    learning, limit = folder.config.learning, folder.config.environment.max_episode_steps

    def open_replay(num_rows, checksums):
        return SequenceReplay(
            folder.replay,
            agent.player.actor.vision.columns,
            # A step is one row, and one more at the end of a game that a time limit cuts.
            learning.replay_capacity or 2 * learning.num_steps,
            # Every validation saves; and resuming needs all actions of the current game.
            slack=2 * folder.config.validation.validate_every + limit,
            num_rows=num_rows,
            checksums=checksums,
        )

    return Playing(game, limit, open_replay, learning)


class PlayValidation(Protocol):
    """Plays the validation games of the weights as they are."""

    def __call__(self, stop: Callable[[], bool]) -> Episodes | None:
        """With a film; None where `stop`, asked before every step, broke the games off."""


class AgentTrainer:
    """Trains an agent in its run folder; `open` makes one that goes on where the folder stands.

    Args:
      folder: run folder.
      logging: how often to report and save.
      agent: acts and learns.
      playing: the training games and what is remembered of them; neither started nor resumed.
      play_validation: plays the validation games.
      progress: show a progress bar on stderr.

    Attributes:
      progress: where the run stands.
    """

    def __init__(
        self,
        folder: AgentFolder,
        logging: AgentLoggingConfig,
        agent: Agent,
        playing: Playing,
        play_validation: PlayValidation,
        progress: bool = True,
    ):
        self.folder, self.logging = folder, logging
        self.config: AgentConfig = folder.config
        self.agent, self.playing, self._play_validation = agent, playing, play_validation
        self.progress, self.report, self._show_bar = AgentProgress(), MetricsRow(), progress
        self._games = contextlib.ExitStack()

    @classmethod
    def open(
        cls, folder: AgentFolder, logging: AgentLoggingConfig, progress: bool = True
    ) -> "AgentTrainer":
        """The trainer of a run with the game and the parts that its settings name; close it.

        Raises:
          UserError: there is no such game, or the folder's checkpoint or replay cannot be used.
        """
        environment = folder.config.environment
        objects = folder.config.encoder.needs_objects
        task = make_task(environment, objects)
        with task.lend() as (game,):
            num_actions = game.num_actions
        agent = build_agent(folder, num_actions)
        training = Task(functools.partial(make_game, environment, True, objects), task.max_steps)
        # All are closed together: closing one takes others' graphics away.
        with contextlib.ExitStack() as games:
            play_validation = functools.partial(
                play_episodes,
                agent.player,
                games.enter_context(task.reusing()),
                "validation",
                folder.config.learning.seed,
                folder.config.validation.validation_episodes,
                film=True,
                kind=Episode,
            )
            (game,) = games.enter_context(training.lend())
            playing = build_playing(folder, game, agent)
            trainer = cls(folder, logging, agent, playing, play_validation, progress)
            trainer.start_or_resume()
            trainer._games = games.pop_all()
        return trainer

    def close(self) -> None:
        """Frees the games."""
        self._games.close()

    def start_or_resume(self) -> None:
        """Takes up the folder's latest checkpoint; starts the first game where there is none."""
        path = self.folder.latest_checkpoint
        if not path.exists():
            self.playing.start()
            return
        arrays = checkpoint.load(path)
        self.progress, self.report = (
            AgentProgress.pop_from(arrays, path),
            MetricsRow.pop_from(arrays),
        )
        another_game = self.playing.set_state(arrays, path)
        self.agent.set_state(arrays, path)
        if another_game:
            self.agent.begin_episode()
            self.agent.begin_game()

    def train(self) -> Interruption:
        """Trains to the end, or until a signal; its `signal` is set where it was interrupted.

        Raises:
          UserError: a loss, a weight or a validation is not finite; the best weights stay.
        """
        if self.progress.is_finished(self.config):
            return Interruption()
        log = MetricsLog(self.folder.path, list(_COLUMNS), self.progress.step, group="agent/")
        with contextlib.closing(log):
            log.settings(self._about(), self.folder.keypoints.settings | flatten(self.config))
            self.agent.warm_up(self.playing.blank_batch())
            with deferred() as interruption:
                self._train_until(interruption, log)
        return interruption

    def _about(self) -> dict[str, str]:
        """What the run is, in words."""
        environment = self.config.environment
        return {
            "game": environment.env_id or environment.game,
            "encoder": self.config.encoder.encoder,
            "keypoints": self.folder.keypoints.config.method,
            "their weights' hash": self.folder.content["keypoints"]["weights"],
            "command": self.folder.command,
            "version": permakey_tf.__version__,
        }

    def _train_until(self, interruption, log):
        progress, total = self.progress, self.config.learning.num_steps
        self.report.start_clock(progress)
        with tqdm(
            total=total,
            initial=progress.step,
            desc="agent",
            unit="step",
            disable=not self._show_bar,
        ) as bar:
            while not self.progress.is_finished(self.config) and not interruption.signal:
                if progress.validation_is_due(self.config):
                    if self._validate(log, interruption):
                        self._save()
                    continue
                self._train_step(log, bar)
                planned = progress.step % self.logging.checkpoint_every == 0
                # Before a validation none: killed in it and resumed here, a run would log it twice.
                if planned and not progress.validation_is_due(self.config):
                    self._save()
            if interruption.signal:
                self._save()
            self._finish_update()

    def _train_step(self, log, bar):
        """One agent step, and the update and the report where they are due."""
        progress, learning, report = self.progress, self.config.learning, self.report
        finished_game = self.play_step()
        bar.update()
        if finished_game:
            report.games.append(finished_game)
        if progress.step >= learning.learn_start and progress.step % learning.update_every == 0:
            report.learning += self.learn_step()
        if progress.step % self.logging.summary_every == 0:
            self._finish_update()
            values = report.summarise(progress, learning.epsilon(progress.step))
            self._check_finite(values)
            log.scalars(progress.step, values)
            bar.set_postfix(report.short(values))

    def play_step(self) -> tuple[float, int] | None:
        """One agent step into the replay; (return, length) of the game where it ended one."""
        finished_game = self.playing.step(self.agent, self.progress.step)
        self.progress.step += 1
        return finished_game

    def learn_step(self) -> list[dict[str, tf.Tensor]]:
        """One update from the replay, made or begun; metrics of each that is finished since."""
        batch = self.playing.sample(self.progress.update)
        self.progress.update += 1
        return self.agent.learn(batch)

    def _finish_update(self):
        """Waits for the update that is under way, for what depends on all of them."""
        self.report.learning += self.agent.finish()

    def _check_finite(self, values):
        loss = values.get("train/loss", 0.0)
        if not math.isfinite(loss):
            raise checkpoint.diverged(f"the loss is {loss} at step {self.progress.step}")

    def _validate(self, log, interruption) -> bool:
        """Plays the validation games; keeps the weights where their mean score is the best.

        False where a signal broke the games off: the resumed run plays them again.
        """
        progress = self.progress
        self._finish_update()
        if progress.validation_is_planned(self.config):
            self.agent.catch_up()
        # Where it takes place only because the run ends, one of more steps goes on without it.
        with self.agent.caught_up():
            weights = checkpoint.finite_arrays(self.agent.weights, progress.step)
            episodes = self._play_validation(stop=lambda: bool(interruption.signal))
        if episodes is None:
            return False
        score = float(episodes.scores.mean())
        if not math.isfinite(score):
            raise UserError(
                f"validation/score is {score} at step {progress.step}: rewards of this game are "
                "not finite, and nothing can be learned from it"
            )
        values = {"validation/score": score, "validation/length": float(episodes.lengths.mean())}
        log.scalars(progress.step, values)
        log.image(progress.step, "validation_episode", overlay.film_strip(*episodes.film))
        if score > progress.best_score:
            progress.best_score, progress.best_step = score, progress.step
            checkpoint.save(self.folder.best_checkpoint, weights)
        progress.validated_step = progress.step
        return True

    def _save(self):
        self._finish_update()
        arrays = checkpoint.finite_arrays(self.agent.get_state(), self.progress.step)
        arrays |= self.playing.get_state() | self.report.to_arrays() | self.progress.to_arrays()
        checkpoint.save(self.folder.latest_checkpoint, arrays)


class MetricsRow:
    """Collects what happens between two rows of metrics; saved with every checkpoint, so that the
    row after it is the same in a resumed run.

    games: (return, length) of those that ended. learning: {metric: scalar} of the updates.
    """

    def __init__(self):
        self.games: list[tuple[float, int]] = []
        self.learning: list[dict] = []

    def start_clock(self, progress: AgentProgress) -> None:
        """Speeds are of what happens from here on."""
        self._clock, self._step, self._update = time.monotonic(), progress.step, progress.update

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The entries of a checkpoint."""
        games = np.array(self.games, np.float64).reshape(-1, 2)
        learning = {
            f"report/{name}": np.array([float(metrics[name]) for metrics in self.learning])
            for name in _LEARNING_METRICS
        }
        return {"report/games": games} | learning

    @classmethod
    def pop_from(cls, arrays: dict[str, np.ndarray]) -> "MetricsRow":
        """Takes the entries out of a checkpoint; an older one has none."""
        report, names = cls(), ("games", *_LEARNING_METRICS)
        games, *columns = (arrays.pop(f"report/{name}", np.zeros([0, 2])) for name in names)
        report.games = [(float(score), int(length)) for score, length in games]
        rows = zip(*columns, strict=True)
        report.learning = [dict(zip(_LEARNING_METRICS, row, strict=True)) for row in rows]
        return report

    def summarise(self, progress: AgentProgress, epsilon: float) -> dict[str, float]:
        """Means since the last call; what did not happen is left out."""
        seconds = time.monotonic() - self._clock
        values = {
            "train/epsilon": epsilon,
            "agent_steps_per_second": (progress.step - self._step) / seconds,
            "updates_per_second": (progress.update - self._update) / seconds,
        }
        if self.learning:
            for name in _LEARNING_METRICS:
                mean = np.mean([float(metrics[name]) for metrics in self.learning])
                values[f"train/{name}"] = float(mean)
        if self.games:
            score, length = np.mean(self.games, axis=0)
            values |= {"train/episode_return": float(score), "train/episode_length": float(length)}
        self.games, self.learning = [], []
        self.start_clock(progress)
        return values

    @staticmethod
    def short(values) -> dict[str, str]:
        """What the progress bar shows."""
        names = {"train/episode_return": "return", "train/loss": "loss", "train/epsilon": "eps"}
        return {short: f"{values[name]:.3g}" for name, short in names.items() if name in values}
