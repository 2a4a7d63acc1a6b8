"""Games that an agent plays: Atari on the emulator, or any Gymnasium environment that renders."""

from typing import Protocol

import gymnasium
import numpy as np

from permakey_tf.agent_configs import EnvironmentConfig
from permakey_tf.envs.atari import AtariGame, GameStep
from permakey_tf.errors import UserError

# What Gymnasium and the modules of environments answer to an id that is malformed, unknown, of a
# package that is not there, or of an environment that cannot render.
_UNMADE = (
    gymnasium.error.Error,
    ImportError,
    NotImplementedError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
)


class Game(Protocol):
    """A game with discrete actions and RGB frames.

    Attributes:
      num_actions: an action is an index below it.
      action_names: name of each action.
    """

    num_actions: int
    action_names: tuple[str, ...]

    def reset(self, seed: np.random.SeedSequence) -> np.ndarray:
        """Starts a game that depends on `seed` alone; uint8 [H, W, 3], the first frame."""

    def step(self, action: int) -> GameStep:
        """Plays one action."""


def open_gymnasium(env_id: str) -> gymnasium.Env:
    """A Gymnasium environment that renders RGB. Raises UserError where there is none."""
    try:
        env = gymnasium.make(env_id, render_mode="rgb_array", disable_env_checker=True)
        env.reset(seed=0)
        frame = env.render()
    except _UNMADE as error:
        raise UserError(f"--env_id={env_id}: {' '.join(str(error).split())}") from error
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.dtype != np.uint8:
        raise UserError(f"--env_id={env_id}: does not render RGB frames (uint8 [H, W, 3])")
    return env


class GymnasiumGame:
    """Any Gymnasium environment that renders RGB and has discrete actions.

    Raises:
      UserError: no such environment, or one that does not fit.
    """

    def __init__(self, env_id: str):
        self._env = open_gymnasium(env_id)
        space = self._env.action_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise UserError(f"--env_id={env_id} has actions {space}: discrete ones are needed")
        self._first_action = int(space.start)
        self.num_actions = int(space.n)
        self.action_names = tuple(str(self._first_action + i) for i in range(self.num_actions))

    def reset(self, seed: np.random.SeedSequence) -> np.ndarray:
        self._env.reset(seed=int(seed.generate_state(1)[0]) & 0x7FFFFFFF)
        return self._env.render()

    def step(self, action: int) -> GameStep:
        _, reward, terminal, truncated, _ = self._env.step(self._first_action + action)
        return GameStep(self._env.render(), float(reward), terminal, False, truncated)


def make_game(config: EnvironmentConfig) -> Game:
    """The game that the settings name. Raises UserError where there is none."""
    if config.env_id:
        return GymnasiumGame(config.env_id)
    return AtariGame(config.game, config.frame_skip, config.noop_max, config.sticky_actions)
