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
from permakey_tf.system.seeds import draw_noops


@functools.cache
def rom_ids() -> types.MappingProxyType:
    """{canonical game name: ale-py's ROM id}, such as {"mspacman": "ms_pacman"}."""
    return types.MappingProxyType({canonical_game(rom): rom for rom in roms.get_all_rom_ids()})


def find_rom(game: str) -> str:
    """ROM id of a game. Raises UserError with near matches where ale-py has no such game."""
    name = canonical_game(game)
    if name not in rom_ids():
        near = did_you_mean(game, rom_ids(), cutoff=0.5)
        hint = near or "ale-py lists its games on its site, and env_id plays others"
        raise UserError(f"game {game!r} is unknown: {hint}")
    rom = rom_ids()[name]
    # Loading such a ROM would end the whole process.
    if ALEInterface.isSupportedROM(roms.get_rom_path(rom)) is None:
        raise UserError(f"game {game!r} cannot be played: it needs two players; choose another")
    return rom


class AtariGame:
    """One emulator with one game: minimal action set, frame skip, openings.

    Attributes:
      rom: ale-py's id of the game.
      num_actions: number of actions; an action is an index below it.
      action_names: name of each action, such as "NOOP" or "UPFIRE".
    """

    def __init__(
        self,
        game: str,
        frame_skip: int = 4,
        noop_max: int = 30,
        sticky_actions: float = 0.0,
        *,
        noop_min: int = 0,
        fire_at_start: str = "frame",
        fire_after_life: bool = False,
    ):
        """Loads the game; call `reset` before anything else.

        Args:
          game: any spelling of a game's name, such as "MsPacman" or "ms_pacman".
          frame_skip: emulator frames per action.
          noop_max: an episode opens with `noop_min` to `noop_max` no-ops, in emulator frames.
          sticky_actions: probability, per emulator frame, that the last action is repeated.
          noop_min: see `noop_max`.
          fire_at_start: what follows the no-ops where the game has FIRE: "frame", "code" or "none",
            see `EnvironmentConfig`.
          fire_after_life: whether 4 frames of no-op and, where the game has FIRE, the opening
            "code" follow a lost life, as long as another is left.

        Raises:
          UserError: ale-py has no such game.
        """
        self.rom = find_rom(game)
        self._frame_skip = frame_skip
        self._noops = (noop_min, noop_max)
        self._sticky = sticky_actions
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", sticky_actions)
        self._load(0)
        self._actions = self._ale.getMinimalActionSet()
        self.action_names = tuple(action.name for action in self._actions)
        openings = self._openings()
        self._at_start = openings[fire_at_start]
        self._after_life = [(Action.NOOP, 4), *openings["code"]] if fire_after_life else []
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

        After the no-ops, FIRE is pressed where the game has it: some games wait for it.

        Returns:
          uint8 [H, 160, 3], the screen; H is 210 in most games.
        """
        rng = np.random.default_rng(seed)
        if self._sticky:  # the emulator's own random numbers matter then, and are seeded at loading
            self._load(int(rng.integers(2**31)))
        return self.start(draw_noops(rng, *self._noops))

    def start(self, num_noops: int) -> np.ndarray:
        """`reset` with a given number of no-ops, in emulator frames."""
        # The emulator's own reset keeps some of the past (in 8 games another start follows), and
        # restoring keeps its score keeper's (in 5 games): together they forget everything.
        self._ale.reset_game()
        self._ale.restoreState(self._boot)
        for _ in range(num_noops):
            self._ale.act(Action.NOOP)
        if not self._at_start:
            return self._ale.getScreenRGB() if num_noops else self._boot_screen.copy()
        for action, frames in self._at_start:
            self._hold(action, frames)
        return self._last_two.max(axis=0)

    def step(self, action: int) -> GameStep:
        """Plays `action` for `frame_skip` emulator frames, fewer where the game ends.

        What follows a lost life by itself is part of the step that lost it: its frame is the last
        one, its reward counts, and the game may end in it.
        """
        reward, life_lost = self._play(action)
        return GameStep(self._last_two.max(axis=0), reward, self._ale.game_over(), life_lost)

    def advance(self, action: int) -> tuple[float, bool, bool]:
        """`step` without the frame: (reward, terminal, life_lost)."""
        reward, life_lost = self._play(action, watched=False)
        return reward, self._ale.game_over(), life_lost

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

    def _openings(self) -> dict[str, list[tuple[Action, int]]]:
        """What each `fire_at_start` presses, as (action, emulator frames); nothing without FIRE."""
        if Action.FIRE not in self._actions:
            return {"frame": [], "code": [], "none": []}
        code = [(Action.FIRE, 4), (self._actions[2], 4)]  # every game with FIRE has three actions
        return {"frame": [(Action.FIRE, 1)], "code": code, "none": []}

    def _play(self, action: int, watched: bool = True) -> tuple[float, bool]:
        """Plays an agent's action, and what follows a lost life; (reward, life_lost)."""
        lives = self.lives
        reward = self._hold(self._actions[action], self._frame_skip, watched)
        life_lost = self.lives < lives
        # Without a life the game is over, or soon will be.
        if life_lost and self.lives:
            reward += sum(self._hold(*held, watched) for held in self._after_life)
        return reward, life_lost

    def _hold(self, action: Action, frames: int, watched: bool = True) -> float:
        """Presses an action for some emulator frames, until the game is over; the reward.

        Where `watched`, the last two screens are kept; where there is but one, or the game is over,
        the last one twice.
        """
        reward = 0.0
        for remaining in reversed(range(frames)):
            if self._ale.game_over():
                break
            reward += self._ale.act(action)
            if watched and remaining < 2:
                self._ale.getScreenRGB(self._last_two[remaining])
        if watched and (frames == 1 or self._ale.game_over()):
            self._last_two[:] = self._ale.getScreenRGB()
        return reward

    def _load(self, emulator_seed: int) -> None:
        self._ale.setInt("random_seed", emulator_seed)
        self._ale.loadROM(roms.get_rom_path(self.rom))
        self._ale.reset_game()
        self._boot = self.save()
        self._boot_screen = self._ale.getScreenRGB()  # a restored emulator shows it after acting
