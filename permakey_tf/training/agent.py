"""Trains the agent: plays, remembers, updates, validates, and resumes exactly.

Everything random is a function of (seed, step): exploration, replay, noise, games. A checkpoint
holds the networks, the optimizer and the counters; the replay's rows are on disk already; and the
emulator is brought back by replaying the current game's actions from its seeded start.
"""

import dataclasses
import math
import time
import zlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

import permakey_tf
from permakey_tf.configs.agent import AgentLoggingConfig, LearningConfig
from permakey_tf.configs.base import flatten
from permakey_tf.configs.keypoints import check_kernels
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.data.replay import SequenceReplay
from permakey_tf.envs.games import make_game
from permakey_tf.errors import UserError
from permakey_tf.models.q_network import LSTMState, RecurrentQNetwork, build_q_network
from permakey_tf.models.vision import build_vision
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.metrics import MetricsLog
from permakey_tf.system.interruption import Interruption, deferred
from permakey_tf.system.seeds import Stream, episode_seed, stream
from permakey_tf.training.acting import GREEDY, Actor, play_episodes
from permakey_tf.training.learner import Learner
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


@dataclasses.dataclass
class Progress(checkpoint.ProgressRecord):
    """Where a run stands; saved with every checkpoint.

    step, update: agent steps and updates done. rows: of the replay. episode: number of the current
    training episode, which ends with a life. game, game_step: number of the current game, and
    actions since its start. game_return: true return of the current game so far. validated_step:
    the step of the last validation.
    """

    step: int = 0
    update: int = 0
    rows: int = 0
    episode: int = 0
    game: int = 0
    game_step: int = 0
    game_return: float = 0.0
    validated_step: int = 0
    best_score: float = -math.inf
    best_step: int = 0


class Player(NamedTuple):
    """What is needed to play with an agent's run: see `build_player`."""

    actor: Actor
    frame_format: FrameFormat
    num_actions: int


def build_player(folder: AgentFolder) -> Player:
    """Vision, an untrained network with its variables made, and how it sees frames."""
    config = folder.config
    model = folder.keypoints.load_model(config.learning.precision)
    vision = build_vision(model, config.encoder)
    num_actions = make_game(config.environment).num_actions
    network = build_network(folder, vision, num_actions)
    noise = config.environment.noise
    noise = folder.keypoints.format.noise if noise == "as-trained" else noise
    frame_format = folder.keypoints.format._replace(noise=noise)
    return Player(Actor(network, vision, frame_format.shape), frame_format, num_actions)


def build_network(folder: AgentFolder, vision, num_actions: int) -> RecurrentQNetwork:
    """An untrained network with its variables made, from the run's seed."""
    config, frames = folder.config, folder.keypoints.frames
    check_kernels(config.encoder, "cnn", frames.image_size)
    tf.keras.utils.set_random_seed(config.learning.seed)
    num_keypoints = folder.keypoints.config.pointnet.num_keypoints
    network = build_q_network(config, num_keypoints, num_actions)
    blank = tf.zeros([1, frames.image_size, frames.image_size, frames.channels], tf.uint8)
    network(vision.prepare(vision.observe(blank)), network.initial_state(1))
    return network


class AgentTrainer:
    """Trains an agent in its run folder; a checkpoint in it is resumed.

    Args:
      folder: run folder.
      logging: how often to report and save.
    """

    def __init__(self, folder: AgentFolder, logging: AgentLoggingConfig):
        self.folder, self.config, self.logging = folder, folder.config, logging
        self.learning: LearningConfig = folder.config.learning
        self.player = build_player(folder)
        self.actor, vision = self.player.actor, self.player.actor.vision
        target = build_network(folder, vision, self.player.num_actions)
        self.learner = Learner(self.actor.network, target, vision.prepare, self.learning)
        self.weights = checkpoint.named_variables({"online": self.actor.network.weights})
        self.variables = self.weights | checkpoint.named_variables(
            {"target": target.weights, "optimizer": self.learner.optimizer.variables}
        )
        self.progress = Progress()
        self.report = Report()
        self.state = self.actor.network.initial_state(1)
        resumed = folder.latest_checkpoint.exists()
        checksums, frame = self._restore() if resumed else (None, None)
        self.replay = SequenceReplay(
            folder.replay,
            vision.columns,
            # A step is one row, and one more at the end of a game that a time limit cuts.
            self.learning.replay_capacity or 2 * self.learning.num_steps,
            # Every validation saves; and resuming needs all actions of the current game.
            slack=2 * self.config.validation.validate_every
            + self.config.environment.max_episode_steps,
            num_rows=self.progress.rows,
            checksums=checksums,
        )
        self.game = make_game(self.config.environment)
        self.frame = self._return_to_the_game()
        if frame is not None and zlib.crc32(self.frame.tobytes()) != frame:
            print(
                "note: the game's actions, played again, lead to another frame than before: this "
                "environment does not repeat by its seed. The run goes on from that frame, and "
                "ends otherwise than without the interruption"
            )

    # --------------------------------------------------------------------------------- playing

    def _rng(self, purpose: Stream, number: int) -> np.random.Generator:
        return stream(self.learning.seed, purpose, number)

    def _start_game(self) -> np.ndarray:
        return self.game.reset(episode_seed("train", self.learning.seed, self.progress.game))

    def _return_to_the_game(self) -> np.ndarray:
        """The frame that the agent is to act on: replays the current game's actions."""
        frame, progress = self._start_game(), self.progress
        rows = np.arange(progress.rows - progress.game_step, progress.rows)
        for action in self.replay.column("action", rows):
            frame = self.game.step(int(action)).frame
        return frame

    def _choose(self) -> int:
        """A random action with probability epsilon, else GREEDY."""
        rng = self._rng(Stream.EXPLORATION, self.progress.step)
        if rng.random() < self.learning.epsilon(self.progress.step):
            return int(rng.integers(self.player.num_actions))
        return GREEDY

    def _act(self, frame, noise_stream, forced):
        prepared = self.player.frame_format.with_bars(
            frame, self._rng(noise_stream, self.progress.step)
        )
        return self.actor.step(prepared[None], np.array([forced], np.int32), self.state)

    def play_step(self) -> tuple[float, int] | None:
        """One agent step into the replay; (return, length) where it ended a game."""
        progress, learning = self.progress, self.learning
        acted = self._act(self.frame, Stream.GAME_BARS, self._choose())
        action = int(acted.actions[0])
        step = self.game.step(action)
        progress.game_step += 1
        progress.game_return += step.reward
        limit = self.config.environment.max_episode_steps
        cut = not step.terminal and (step.truncated or progress.game_step >= limit)
        ended = step.terminal or (learning.life_is_episode and step.life_lost)
        reward = float(np.sign(step.reward)) if learning.clip_rewards else step.reward
        self._remember(acted, action, reward, ended)
        self.frame, self.state = step.frame, acted.state
        if cut and not ended:  # the value of the last frame belongs to the targets before it
            self._remember(self._act(self.frame, Stream.FINAL_FRAME_BARS, GREEDY), -1, 0.0, False)
        progress.step += 1
        if ended or cut:
            progress.episode += 1
            self.state = self.actor.network.initial_state(1)
        if not (step.terminal or cut):
            return None
        finished = (progress.game_return, progress.game_step)
        progress.game, progress.game_step, progress.game_return = progress.game + 1, 0, 0.0
        self.frame = self._start_game()
        return finished

    def _remember(self, acted, action, reward, terminal):
        stored = {name: values[0].numpy() for name, values in acted.stored.items()}
        self.replay.append(stored, action, reward, terminal, self.progress.episode)
        self.progress.rows = self.replay.num_rows

    def learn_step(self) -> dict[str, tf.Tensor]:
        """One update from the replay."""
        learning = self.learning
        batch = self.replay.sample(
            self._rng(Stream.REPLAY, self.progress.update),
            learning.batch_size,
            learning.window,
            learning.n_step,
            learning.gamma,
        )
        self.progress.update += 1
        return self.learner.update(tf.nest.map_structure(tf.convert_to_tensor, batch))

    # --------------------------------------------------------------------------------- a run

    def train(self) -> Interruption:
        """Trains to the end, or until a signal; its `signal` is set where it was interrupted.

        Raises:
          UserError: a loss, a weight or a validation is not finite; the best weights stay.
        """
        if self._finished():
            return Interruption()
        log = MetricsLog(self.folder.path, list(_COLUMNS), self.progress.step, group="agent/")
        log.settings(self._about(), self.folder.keypoints.settings | flatten(self.config))
        with deferred() as interruption:
            self._train_until(interruption, log)
        log.close()
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

    def _finished(self) -> bool:
        """Whether nothing is left to play, not even the last validation."""
        return self.progress.step >= self.learning.num_steps and not self._validation_is_due()

    def _validation_is_due(self) -> bool:
        step, every = self.progress.step, self.config.validation.validate_every
        planned = step % every == 0 or step == self.learning.num_steps
        return planned and step > self.progress.validated_step

    def _train_until(self, interruption, log):
        progress, total = self.progress, self.learning.num_steps
        self.report.start_clock(progress)
        with tqdm(total=total, initial=progress.step, desc="agent", unit="step") as bar:
            while not self._finished() and not interruption.signal:
                if self._validation_is_due():
                    if self._validate(log, interruption):
                        self._save()
                    continue
                self._train_step(log, bar)
                planned = progress.step % self.logging.checkpoint_every == 0
                # Before a validation none: killed in it and resumed here, a run would log it twice.
                if planned and not self._validation_is_due():
                    self._save()
            if interruption.signal:
                self._save()

    def _train_step(self, log, bar):
        """One agent step, and the update and the report where they are due."""
        progress, learning, report = self.progress, self.learning, self.report
        finished_game = self.play_step()
        bar.update()
        if finished_game:
            report.games.append(finished_game)
        if progress.step >= learning.learn_start and progress.step % learning.update_every == 0:
            report.learning.append(self.learn_step())
        if progress.step % self.logging.summary_every == 0:
            values = report.summarise(progress, learning.epsilon(progress.step))
            self._check_finite(values)
            log.scalars(progress.step, values)
            bar.set_postfix(report.short(values))

    def _check_finite(self, values):
        loss = values.get("train/loss", 0.0)
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at step {self.progress.step}; {checkpoint.DIVERGED}"
            )

    def _validate(self, log, interruption) -> bool:
        """Plays the validation games; keeps the weights where their mean score is the best.

        False where a signal broke the games off: the resumed run plays them again.
        """
        progress = self.progress
        weights = checkpoint.finite_arrays(self.weights, progress.step)
        episodes = play_episodes(
            self.actor,
            self.config.environment,
            self.player.frame_format,
            "validation",
            self.learning.seed,
            self.config.validation.validation_episodes,
            film=True,
            stop=lambda: bool(interruption.signal),
        )
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

    # ------------------------------------------------------------------------------ checkpoints

    def _save(self):
        self.replay.flush()
        arrays = checkpoint.finite_arrays(self.variables, self.progress.step)
        arrays |= {f"state/{i}": part.numpy() for i, part in enumerate(self.state)}
        arrays |= {f"replay/{name}": sums for name, sums in self.replay.checksums().items()}
        arrays["frame"] = np.array(zlib.crc32(self.frame.tobytes()), np.uint32)
        arrays |= self.report.to_arrays() | self.progress.to_arrays()
        checkpoint.save(self.folder.latest_checkpoint, arrays)

    def _restore(self):
        """Takes up the latest checkpoint.

        Returns:
          What the files and the game must agree with: the replay's checksums, and the frame's at
          which the run was saved. Checkpoints of earlier versions have none: {} and None.
        """
        path = self.folder.latest_checkpoint
        arrays = checkpoint.load(path)
        summed = [name for name in arrays if name.startswith("replay/")]
        checksums = {name.removeprefix("replay/"): arrays.pop(name) for name in summed}
        frame = arrays.pop("frame", None)
        progress, report = Progress.pop_from(arrays, path), Report.pop_from(arrays)
        state = [arrays.pop(f"state/{i}", None) for i in range(2)]
        if any(part is None for part in state):
            raise UserError(f"{path} does not hold the LSTM's state; start a new --logdir")
        checkpoint.assign(self.variables, arrays, path)
        self.progress, self.report = progress, report
        self.state = LSTMState(*map(tf.constant, state))
        return checksums, frame


class Report:
    """Collects what happens between two rows of metrics; saved with every checkpoint, so that the
    row after it is the same in a resumed run.

    games: (return, length) of those that ended. learning: {metric: scalar} of the updates.
    """

    def __init__(self):
        self.games: list[tuple[float, int]] = []
        self.learning: list[dict] = []

    def start_clock(self, progress: Progress) -> None:
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
    def pop_from(cls, arrays: dict[str, np.ndarray]) -> "Report":
        """Takes the entries out of a checkpoint; an older one has none."""
        report, names = cls(), ("games", *_LEARNING_METRICS)
        games, *columns = (arrays.pop(f"report/{name}", np.zeros([0, 2])) for name in names)
        report.games = [(float(score), int(length)) for score, length in games]
        rows = zip(*columns, strict=True)
        report.learning = [dict(zip(_LEARNING_METRICS, row, strict=True)) for row in rows]
        return report

    def summarise(self, progress: Progress, epsilon: float) -> dict[str, float]:
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
        self.__init__()
        self.start_clock(progress)
        return values

    @staticmethod
    def short(values) -> dict[str, str]:
        """What the progress bar shows."""
        names = {"train/episode_return": "return", "train/loss": "loss", "train/epsilon": "eps"}
        return {short: f"{values[name]:.3g}" for name, short in names.items() if name in values}
