"""Atari games on the emulator: the preprocessing of the papers, save states and seeds.

One `AtariGame` is used for collecting frames, for training the agent and for its evaluation; it
gives full-size RGB frames and true rewards. What differs between these uses (resizing, clipped
rewards, a life as an episode, time limits) is done by who uses it.
"""

import functools
import types

import numpy as np
from ale_py import Action, ALEInterface, ALEState, LoggerMode, roms

from permakey_tf.configs.frames import canonical_game, did_you_mean
from permakey_tf.envs.play import GameStep
from permakey_tf.errors import UserError


@functools.cache
def rom_ids() -> types.MappingProxyType:
    """{canonical game name: ale-py's ROM id}, such as {"mspacman": "ms_pacman"}."""
    return types.MappingProxyType({canonical_game(rom): rom for rom in roms.get_all_rom_ids()})


def find_rom(game: str) -> str:
    """ROM id of a game. Raises UserError with near matches where ale-py has no such game."""
    name = canonical_game(game)
    if name not in rom_ids():
        near = did_you_mean(game, rom_ids(), cutoff=0.5)
        raise UserError(f"game {game!r} is unknown: {near or 'ale-py lists its games on its site'}")
    rom = rom_ids()[name]
    # Loading such a ROM would end the whole process.
    if ALEInterface.isSupportedROM(roms.get_rom_path(rom)) is None:
        raise UserError(f"game {game!r} cannot be played: it needs two players; choose another")
    return rom


class AtariGame:
    """One emulator with one game: minimal action set, frame skip, starts with no-ops.

    Attributes:
      rom: ale-py's id of the game.
      num_actions: number of actions; an action is an index below it.
      action_names: name of each action, such as "NOOP" or "UPFIRE".
    """

    def __init__(
        self, game: str, frame_skip: int = 4, noop_max: int = 30, sticky_actions: float = 0.0
    ):
        """Loads the game; call `reset` before anything else.

        Args:
          game: any spelling of a game's name, such as "MsPacman" or "ms_pacman".
          frame_skip: emulator frames per action.
          noop_max: an episode opens with 0 to `noop_max` no-ops, in emulator frames.
          sticky_actions: probability, per emulator frame, that the last action is repeated.

        Raises:
          UserError: ale-py has no such game.
        """
        self.rom = find_rom(game)
        self._frame_skip = frame_skip
        self._noop_max = noop_max
        self._sticky = sticky_actions
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", sticky_actions)
        self._load(0)
        self._actions = self._ale.getMinimalActionSet()
        self.action_names = tuple(action.name for action in self._actions)
        self._last_two = np.zeros((2, *self._ale.getScreenDims(), 3), np.uint8)

    @property
    def num_actions(self) -> int:
        """Size of the minimal action set."""
        return len(self._actions)

    @property
    def lives(self) -> int:
        """Lives left, as the emulator counts them."""
        return self._ale.lives()

    @property
    def ram(self) -> np.ndarray:
        """uint8 [128], a copy of the console's memory."""
        return self._ale.getRAM()

    def reset(self, seed: np.random.SeedSequence) -> np.ndarray:
        """Starts an episode that depends on `seed` only, not on what was played before.

        After the no-ops, FIRE is pressed for one emulator frame where the game has it: some games
        wait for it.

        Returns:
          uint8 [210, 160, 3], the screen.
        """
        rng = np.random.default_rng(seed)
        if self._sticky:  # the emulator's own random numbers matter then, and are seeded at loading
            self._load(int(rng.integers(2**31)))
        return self.start(int(rng.integers(self._noop_max + 1)))

    def start(self, num_noops: int) -> np.ndarray:
        """`reset` with a given number of no-ops, in emulator frames."""
        # The emulator's own reset keeps some of the past (in 8 games another start follows), and
        # restoring keeps its score keeper's (in 5 games): together they forget everything.
        self._ale.reset_game()
        self._ale.restoreState(self._boot)
        openings = [Action.NOOP] * num_noops
        openings += [Action.FIRE] if Action.FIRE in self._actions else []
        for action in openings:
            self._ale.act(action)
        return self._ale.getScreenRGB() if openings else self._boot_screen.copy()

    def step(self, action: int) -> GameStep:
        """Plays `action` for `frame_skip` emulator frames, fewer where the game ends."""
        lives, reward, last_two = self.lives, 0.0, self._last_two
        for remaining in reversed(range(self._frame_skip)):
            reward += self._ale.act(self._actions[action])
            over = self._ale.game_over()
            if remaining < 2 or over:
                self._ale.getScreenRGB(last_two[min(remaining, 1)])
            if over:
                break
        both = not over and self._frame_skip > 1
        frame = last_two.max(axis=0) if both else last_two[min(remaining, 1)].copy()
        return GameStep(frame, reward, over, self.lives < lives)

    def advance(self, action: int) -> tuple[float, bool, bool]:
        """`step` without the frame: (reward, terminal, life_lost)."""
        lives, reward = self.lives, 0.0
        for _ in range(self._frame_skip):
            reward += self._ale.act(self._actions[action])
            if self._ale.game_over():
                break
        return reward, self._ale.game_over(), self.lives < lives

    def save(self) -> ALEState:
        """The emulator's whole state, random numbers included; can be pickled."""
        return self._ale.cloneState(include_rng=True)

    def restore(self, state: ALEState) -> None:
        """Goes back to a state that `save` gave, in this or another `AtariGame` of the game.

        What follows depends on the state alone. The action that a sticky emulator may repeat is in
        no state, though: the first action after restoring is repeated as after a no-op.
        """
        if self._sticky:  # a reset forgets that action; it takes 15 ms, so only where it matters
            self._ale.reset_game()
        self._ale.restoreState(state)

    def _load(self, emulator_seed: int) -> None:
        self._ale.setInt("random_seed", emulator_seed)
        self._ale.loadROM(roms.get_rom_path(self.rom))
        self._ale.reset_game()
        self._boot = self.save()
        self._boot_screen = self._ale.getScreenRGB()  # a restored emulator shows it after acting
