"""What a game is, and the loop that plays one: from its seeded start to its end or a limit."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np


class GameStep(NamedTuple):
    """What one action led to.

    frame: uint8 [H, W, 3], RGB; of Atari games the maximum of the last two emulator frames.
    reward: true reward, summed over the emulator frames.
    terminal: True where the game is over.
    life_lost: True where fewer lives are left than before the action.
    truncated: True where the game is cut short, without an end.
    """

    frame: np.ndarray
    reward: float
    terminal: bool
    life_lost: bool
    truncated: bool = False


class Playable(Protocol):
    """What `Episode` needs of a game: seeds and actions are of any type that the game takes."""

    def reset(self, seed: Any) -> np.ndarray:
        """Starts a game that depends on `seed` alone; uint8 [H, W, C], the first frame."""

    def step(self, action: Any) -> GameStep:
        """Plays one action."""


class Game(Playable, Protocol):
    """A game with discrete actions and RGB frames; its seeds are numpy's SeedSequence.

    One that holds more than memory, such as graphics, has a `close()`.

    Attributes:
      num_actions: an action is an index below it.
      action_names: name of each action.
    """

    num_actions: int
    action_names: tuple[str, ...]


class Task(NamedTuple):
    """What is played.

    make: makes a game. max_steps: actions after which it is cut.
    idle: games that wait to be lent again, see `reusing`; None where each is lent once.
    """

    make: Callable[[], Game]
    max_steps: int
    idle: list[Game] | None = None

    @contextlib.contextmanager
    def lend(self, number: int = 1) -> Iterator[list[Game]]:
        """Games to be played side by side, which are closed afterwards, or wait for the next."""
        games = self.idle[:number] if self.idle else []
        if self.idle:
            del self.idle[:number]
        try:
            while len(games) < number:
                games.append(self.make())
            yield games
        finally:
            if self.idle is None:
                close_games(games)
            else:
                self.idle.extend(games)

    @contextlib.contextmanager
    def reusing(self) -> Iterator["Task"]:
        """The same task, whose games are lent again; all are closed at the end."""
        kept = self._replace(idle=[])
        try:
            yield kept
        finally:
            close_games(kept.idle)
            kept.idle.clear()


def close_games(games: Iterable[Game]) -> None:
    """Closes those that have to be: one after the other, since this may take others' graphics."""
    for game in games:
        if hasattr(game, "close"):
            game.close()


class Episode:
    """A game from its seeded start to its end, or to a limit, which truncates it.

    Args:
      game: is reset here; belongs to one episode at a time.
      seed: of the start.
      max_steps: actions after which the game is cut.

    Attributes:
      game: as given. frame: uint8 [H, W, C], the newest one. length: actions so far. score: their
      true return. over: whether the game has ended or was cut.
    """

    def __init__(self, game: Playable, seed: Any, max_steps: int):
        self.game, self._max_steps = game, max_steps
        self.frame = game.reset(seed)
        self.length, self.score, self.over = 0, 0.0, False

    def step(self, action: Any) -> GameStep:
        """Plays one action; what comes back is never both terminal and truncated."""
        step = self.game.step(action)
        self.length += 1
        self.score += step.reward
        cut = not step.terminal and (step.truncated or self.length >= self._max_steps)
        self.frame, self.over = step.frame, step.terminal or cut
        return step._replace(truncated=cut)


def play(episode: Episode, choose: Callable[[np.ndarray], Any]) -> Iterator[tuple[Any, GameStep]]:
    """Plays an episode on until it is over.

    Args:
      episode: begun.
      choose: function of a frame to the action to take.

    Yields:
      Each action and what it led to.
    """
    while not episode.over:
        action = choose(episode.frame)
        yield action, episode.step(action)
