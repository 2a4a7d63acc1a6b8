"""The agent in training: it acts, game after game, and what it did is remembered."""

import contextlib
import dataclasses
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from permakey_tf.configs.agent import LearningConfig
from permakey_tf.data.replay import SequenceReplay
from permakey_tf.envs.play import Episode, Game
from permakey_tf.errors import UserError
from permakey_tf.models.frame_memory import FrameMemory
from permakey_tf.models.q_network import LSTMState
from permakey_tf.runs import checkpoint
from permakey_tf.system.graphs import traced_once
from permakey_tf.system.seeds import Stream, episode_seed, stream
from permakey_tf.tracking import TrackerState
from permakey_tf.training.acting import GREEDY, Acted, Player, PlayState
from permakey_tf.training.learner import Learner
from permakey_tf.types import SequenceBatch

# In front of the names of their state in a checkpoint.
_TRACKER, _VISION = "tracker/", "vision/"


class Agent:
    """Acts epsilon-greedily on one game, with the memory of its LSTM, and learns.

    An update needs nothing that is played during it, and playing nothing that it yields. Where the
    player has a network of its own, both go on at the same time: `learn` hands over what the last
    update has made, and begins the next one. So the weights that act are those of the update
    before, always, and a run is as repeatable as one that waits.

    Args:
      player: acts with the learner's online network, or with one of its own.
      learner: trains its networks.

    Attributes:
      state: PlayState of one game.
      trackers: of the game's keypoints; none where they are not tracked.
    """

    def __init__(self, player: Player, learner: Learner):
        self.player, self.learner = player, learner
        self._config = learner.config
        self._overlaps = player.actor.network is not learner.online
        self._worker = ThreadPoolExecutor(max_workers=1) if self._overlaps else None
        self._running: Future | None = None
        self._warming_up: Future | None = None
        self._catch_up = traced_once(self._copy_online)
        self.state = player.actor.initial_state(1)
        self.begin_game()
        if self._overlaps:
            self._catch_up()

    def begin_episode(self) -> None:
        """The LSTM forgets all that was seen."""
        self.state = self.state._replace(lstm=self.player.actor.network.initial_state(1))

    def begin_game(self) -> None:
        """Keypoints are tracked anew. Not at a lost life: the screen goes on, and in validation and
        test games, which are whole, the LSTM sees it go on too."""
        self.trackers = self.player.trackers(1)

    def act(self, episode: Episode, step: int) -> Acted:
        """Chooses the action of agent step `step`: a random one with probability epsilon.

        Args:
          episode: that is played; its newest frame is seen.
          step: what is drawn depends on the seed and this number alone.
        """
        rng = stream(self._config.seed, Stream.EXPLORATION, step)
        explores = rng.random() < self._config.epsilon(step)
        forced = int(rng.integers(self.player.num_actions)) if explores else GREEDY
        return self._see(episode, forced, stream(self._config.seed, Stream.GAME_BARS, step))

    def look(self, episode: Episode, step: int) -> Acted:
        """Sees the frame after agent step `step`, at which no action is taken."""
        return self._see(episode, GREEDY, stream(self._config.seed, Stream.FINAL_FRAME_BARS, step))

    def _see(self, episode, forced, rng) -> Acted:
        frames, beside = self.player.see([episode.frame], [episode.game], [rng])
        forced = np.array([forced], np.int32)
        acted, self.state = self.player.step(frames, forced, self.state, self.trackers, beside)
        return acted

    def warm_up(self, batch: SequenceBatch) -> None:
        """Begins to compile the update, while the first steps are played, from which nothing is
        learned yet. Nothing else changes.

        Args:
          batch: of the shapes of all that follow, whatever is in it.
        """
        if self._overlaps and self.learner.compiled:
            self._warming_up = self._worker.submit(self.learner.warm_up, batch)

    def _warmed_up(self):
        """Waits until the learner's variables are what they were."""
        if self._warming_up:
            self._warming_up.result()
            self._warming_up = None

    def learn(self, batch: SequenceBatch) -> list[dict[str, tf.Tensor]]:
        """Makes an update, or begins it; scalar metrics of each that is finished since."""
        if not self._overlaps:
            return [self.learner.update(batch)]
        # Here, not in the thread: Python that runs there would wait for Python here.
        tensors = tf.nest.map_structure(tf.convert_to_tensor, batch)
        finished = self.finish()
        self.catch_up()
        self._running = self._worker.submit(self.learner.update, tensors)
        return finished

    def finish(self) -> list[dict[str, tf.Tensor]]:
        """Waits for an update that is under way; its metrics."""
        running, self._running = self._running, None
        return [running.result()] if running else []

    def catch_up(self) -> None:
        """From here on the newest weights act. No update may be under way."""
        self._warmed_up()
        if self._overlaps:
            self._catch_up()

    @contextlib.contextmanager
    def caught_up(self) -> Iterator[None]:
        """Within the block the newest weights act. No update may be under way."""
        acting = self.player.actor.network.named_weights.values() if self._overlaps else ()
        before = [variable.numpy() for variable in acting]
        self.catch_up()
        try:
            yield
        finally:
            for variable, value in zip(acting, before, strict=True):
                variable.assign(value)

    def _copy_online(self):
        acting, online = self.player.actor.network, self.learner.online
        pairs = zip(acting.named_weights.values(), online.named_weights.values(), strict=True)
        for copy, original in pairs:
            copy.assign(original)

    @property
    def weights(self) -> dict:
        """{name: variable}, what playing needs."""
        return self.player.weights

    @property
    def _variables(self) -> dict:
        """{name: variable} of all networks and the optimizer."""
        acting = {"acting": self.player.actor.network.named_weights} if self._overlaps else {}
        return self.learner.variables | checkpoint.named_variables(acting)

    def get_state(self) -> dict[str, np.ndarray]:
        """The entries of a checkpoint: all that acting and learning depend on."""
        self._warmed_up()
        memory = {f"state/{i}": part.numpy() for i, part in enumerate(self.state.lstm)}
        seen = self.state.vision
        memory |= {f"{_VISION}known": seen.known, f"{_VISION}frames": seen.frames}
        memory |= {f"{_VISION}map_{i}": one.numpy() for i, one in enumerate(seen.maps)}
        for tracker in self.trackers:
            if tracker.state:
                memory |= {_TRACKER + name: a for name, a in tracker.state._asdict().items()}
        return checkpoint.to_arrays(self._variables) | memory

    def set_state(self, arrays: dict[str, np.ndarray], path) -> None:
        """Takes up `get_state`'s entries of the checkpoint of `path`, and refuses others.

        Raises:
          UserError: what it holds does not fit; nothing is assigned then.
        """
        memory = [arrays.get(f"state/{i}") for i in range(2)]
        if any(part is None for part in memory):
            raise UserError(
                f"{path} does not hold the LSTM's state; start a new logdir", ["logdir"]
            )
        others = ("state/", _VISION, _TRACKER)
        variables = {name: a for name, a in arrays.items() if not name.startswith(others)}
        checkpoint.assign(self._variables, variables, path)
        self.state = PlayState(LSTMState(*map(tf.constant, memory)), self._seen(arrays))
        names = [_TRACKER + name for name in TrackerState._fields]
        for tracker in self.trackers:
            # Before a game's first step there is nothing to be held.
            known = all(name in arrays for name in names)
            tracker.state = TrackerState(*(arrays[name] for name in names)) if known else None

    def _seen(self, arrays) -> FrameMemory:
        """The vision's memory in a checkpoint; earlier versions kept none, and nothing is known."""
        initial = self.player.actor.vision.initial_memory(1)
        maps = [f"{_VISION}map_{i}" for i in range(len(initial.maps))]
        names = [f"{_VISION}known", f"{_VISION}frames", *maps]
        if not all(name in arrays for name in names):
            return initial
        known, frames, *maps = (arrays[name] for name in names)
        return FrameMemory(known, frames, tuple(map(tf.constant, maps)))


@dataclasses.dataclass
class PlayProgress(checkpoint.ProgressRecord):
    """Where the games stand; saved with every checkpoint.

    rows: of the replay. episode: number of the current training episode, which ends with a life.
    game, game_step: number of the current game, and actions since its start. game_return: true
    return of the current game so far.
    """

    rows: int = 0
    episode: int = 0
    game: int = 0
    game_step: int = 0
    game_return: float = 0.0


class Playing:
    """The training games, one after the other, and the replay of what happened in them.

    Call `start` or `set_state` before `step`.

    Args:
      game: what is played; a game's start depends on the seed and its number alone.
      max_steps: actions after which a game is cut.
      open_replay: function of the number of rows that are there, and of their checksums (None where
        they are not known), to the replay.
      config: settings.
    """

    replay: SequenceReplay
    current: Episode

    def __init__(
        self,
        game: Game,
        max_steps: int,
        open_replay: Callable[[int, dict[str, np.ndarray] | None], SequenceReplay],
        config: LearningConfig,
    ):
        self._game, self._max_steps, self._config = game, max_steps, config
        self._open_replay = open_replay
        self._number_of_game = self._number_of_episode = 0

    def start(self) -> None:
        """Begins the first game, with an empty replay."""
        self.replay = self._open_replay(0, None)
        self._begin_game()

    def _begin_game(self):
        seed = episode_seed("train", self._config.seed, self._number_of_game)
        self.current = Episode(self._game, seed, self._max_steps)

    @property
    def progress(self) -> PlayProgress:
        """Where the games stand."""
        return PlayProgress(
            rows=self.replay.num_rows,
            episode=self._number_of_episode,
            game=self._number_of_game,
            game_step=self.current.length,
            game_return=self.current.score,
        )

    def step(self, agent: Agent, number: int) -> tuple[float, int] | None:
        """One agent step into the replay.

        Args:
          agent: who plays.
          number: of the agent step.

        Returns:
          (true return, length) of the game where the step ended it, else None.
        """
        acted = agent.act(self.current, number)
        action = int(acted.actions.numpy()[0])
        step = self.current.step(action)
        ended = step.terminal or (self._config.life_is_episode and step.life_lost)
        reward = float(np.sign(step.reward)) if self._config.clip_rewards else step.reward
        self._remember(acted, action, reward, ended)
        if step.truncated and not ended:
            # The value of the last frame belongs to the targets before it.
            self._remember(agent.look(self.current, number), -1, 0.0, False)
        if ended or step.truncated:
            self._number_of_episode += 1
            agent.begin_episode()
        if not (step.terminal or step.truncated):
            return None
        finished = (self.current.score, self.current.length)
        self._next_game()
        agent.begin_game()
        return finished

    def _next_game(self):
        self._number_of_game += 1
        self._begin_game()

    def _remember(self, acted: Acted, action, reward, terminal):
        stored = {name: values.numpy()[0] for name, values in acted.stored.items()}
        self.replay.append(stored, action, reward, terminal, self._number_of_episode)

    def sample(self, update: int) -> SequenceBatch:
        """What update number `update` learns from."""
        config = self._config
        rng = stream(config.seed, Stream.REPLAY, update)
        return self.replay.sample(
            rng, config.batch_size, config.window, config.n_step, config.gamma
        )

    def blank_batch(self) -> SequenceBatch:
        """Of the shapes of all that `sample` gives; zeros."""
        config = self._config
        return self.replay.blank(config.batch_size, config.window, config.n_step)

    def get_state(self) -> dict[str, np.ndarray]:
        """The entries of a checkpoint; the rows of the replay are on the disk then."""
        self.replay.flush()
        sums = {f"replay/{name}": sums for name, sums in self.replay.checksums().items()}
        return sums | {"frame": _checksum(self.current.frame)} | self.progress.to_arrays()

    def set_state(self, arrays: dict[str, np.ndarray], path) -> bool:
        """Goes back to where the checkpoint of `path` stood, and takes its entries out.

        The current game's actions are played again from its start. Checkpoints of earlier versions
        have no checksums of the replay and of the frame, and are trusted.

        Returns:
          Whether that game is at its end, which it was not before, so that the next one begins.

        Raises:
          UserError: the entries are missing, or the replay is not what they say.
        """
        progress = PlayProgress.pop_from(arrays, path)
        summed = [name for name in arrays if name.startswith("replay/")]
        sums = {name.removeprefix("replay/"): arrays.pop(name) for name in summed}
        self.replay = self._open_replay(progress.rows, sums)
        self._number_of_game, self._number_of_episode = progress.game, progress.episode
        self._begin_game()
        rows = np.arange(progress.rows - progress.game_step, progress.rows)
        for action in self.replay.column("action", rows):
            if self.current.over:
                break
            self.current.step(int(action))
        self.current.score = progress.game_return
        frame, over = arrays.pop("frame", None), self.current.over
        if over or (frame is not None and _checksum(self.current.frame) != frame):
            print(
                "note: the game's actions, played again, lead to another frame than before: this "
                f"environment does not repeat by its seed. The run goes on "
                f"{'with the next game' if over else 'from that frame'}, and ends otherwise than "
                "without the interruption"
            )
        if over:
            self._number_of_episode += 1
            self._next_game()
        return over


def _checksum(frame: np.ndarray) -> np.ndarray:
    return np.array(zlib.crc32(frame.tobytes()), np.uint32)
