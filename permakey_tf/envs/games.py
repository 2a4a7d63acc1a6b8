"""Games that an agent plays: Atari on the emulator, or any Gymnasium environment that renders."""

import contextlib
import functools
import importlib.metadata
import inspect
import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from permakey_tf.configs.agent import EnvironmentConfig
from permakey_tf.configs.frames import parse_env_kwargs
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.objects import GameWithObjects
from permakey_tf.envs.play import Game, GameStep, Task
from permakey_tf.errors import UserError
from permakey_tf.types import EnvironmentRecord

_HINTS = {
    "module": "an environment that is not Gymnasium's own is named module:ID, such as "
    "minigrid:MiniGrid-DoorKey-8x8-v0: that module is imported first, and registers the id",
    "own module": "the module registers no such id with Gymnasium; one of your own can "
    "(docs/data.md)",
    "install": "install the package that has the environment, and what it renders with",
    "display": "where it lacks a display or OpenGL, one of these usually helps: MUJOCO_GL=egl "
    "(MuJoCo, dm_control), PYOPENGL_PLATFORM=egl PYGLET_HEADLESS=1 (pyglet), "
    "SDL_VIDEODRIVER=dummy (pygame), xvfb-run",
}
_MAX_WORDS = 300  # characters of an environment's own message


class RenderedEnvironment:
    """A Gymnasium environment that renders frames, with its failures in one line each.

    Every call into an environment is made here: its code and its graphics may raise anything, at
    any time.

    Args:
      env_id: Gymnasium's id; "module:ID" imports the module first, which registers the id.
      kwargs: arguments for the environment.

    Raises:
      UserError: in every method; what failed, in the environment's own words.
    """

    def __init__(self, env_id: str, kwargs: dict[str, Any] | None = None):
        self._id, self._kwargs = env_id, kwargs or {}
        self._name, self._settings = f"env_id={env_id}", ["env_id"]
        if kwargs:
            self._name += f" env_kwargs={json.dumps(kwargs)}"
            self._settings.append("env_kwargs")
        with self._calling("cannot be made"):
            self._env = gymnasium.make(
                env_id, render_mode="rgb_array", disable_env_checker=True, **self._kwargs
            )
        self.reset(0)

    @property
    def action_space(self) -> gymnasium.Space:
        """As it is now: some environments replace theirs at every reset."""
        return self._env.action_space

    def reset(self, seed: int) -> np.ndarray:
        """Starts an episode; its first frame, uint8 [H, W, 3 or 1]."""
        with self._calling("cannot be reset"):
            self._env.reset(seed=seed)
        return self._render()

    def step(self, action) -> GameStep:
        """Plays one action of the action space; grey frames are uint8 [H, W, 1].

        Rewards that are not finite are refused: no agent can learn from them.
        """
        with self._calling("fails at an action"):
            _, reward, terminated, truncated, _ = self._env.step(action)
            reward, terminal, truncated = float(reward), bool(terminated), bool(truncated)
        if not math.isfinite(reward):
            raise UserError(
                f"{self._name}: gives the reward {reward}; wrap it in an environment of your own "
                "whose rewards are finite (docs/data.md)",
                self._settings,
            )
        return GameStep(self._render(), reward, terminal, False, truncated)

    def close(self) -> None:
        """Frees what the environment holds, where it can: frames that were had do not suffer."""
        with contextlib.suppress(Exception):
            self._env.close()

    @property
    def record(self) -> EnvironmentRecord:
        """Which environment this is: id, kwargs, package (or module of one's own) and version."""
        module = type(self._env.unwrapped).__module__.partition(".")[0]
        package = _distributions({module})
        name = next(iter(package), module)
        return {
            "id": self._id,
            "kwargs": self._kwargs,
            "package": name,
            "version": package.get(name),
        }

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that the environment's classes, and what these import, are in.

        What is imported late, for rendering alone, may be missing.
        """
        classes = type(self._env.unwrapped).__mro__
        names = {environment.__module__ for environment in classes}
        for module in [sys.modules[name] for name in names if name in sys.modules]:
            for value in vars(module).values():
                if inspect.ismodule(value):
                    names.add(value.__name__)
                elif inspect.isclass(value) or inspect.isfunction(value):
                    names.add(value.__module__)
        return _distributions({name.partition(".")[0] for name in names})

    def _render(self) -> np.ndarray:
        with self._calling("cannot render"):
            frame = self._env.render()
        is_image = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3
        if is_image and frame.size and frame.shape[2] in (1, 3):
            return frame.copy()  # an environment may draw the next one into the same array
        raise UserError(
            f"{self._name}: renders {_describe(frame)}, not RGB frames (uint8 [H, W, 3]); wrap it "
            "in an environment of your own that does (docs/data.md)",
            self._settings,
        )

    @contextlib.contextmanager
    def _calling(self, failure: str):
        try:
            yield
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            if len(words) > _MAX_WORDS:
                words = words[:_MAX_WORDS] + "..."
            hint = _hint(self._id, failure, error)
            message = f"{self._name}: {failure} ({words})" + hint
            raise UserError(message, self._settings) from error


def _hint(env_id: str, failure: str, error: Exception) -> str:
    """What usually helps; "" where the environment's own words have to do."""
    if isinstance(error, gymnasium.error.DependencyNotInstalled | ImportError):
        name = "install"
    elif isinstance(error, gymnasium.error.NameNotFound | gymnasium.error.NamespaceNotFound):
        name = "own module" if ":" in env_id else "module"
    elif isinstance(error, gymnasium.error.Error | TypeError | NotImplementedError):
        name = ""
    else:
        name = "" if failure == "fails at an action" else "display"
    return f"; {_HINTS[name]}" if name else ""


def _describe(frame) -> str:
    if not isinstance(frame, np.ndarray):
        return f"{type(frame).__name__}"
    found = f"{frame.dtype} {list(frame.shape)}"
    if frame.ndim != 3:
        return found
    if frame.shape[2] == 4:
        return f"{found} with an alpha channel (RGBA)"
    return f"{found} with the channels first" if frame.shape[0] in (1, 3, 4) else found


def _distributions(modules: set[str]) -> dict[str, str]:
    """{installed package: version} of top-level modules; modules of no package are left out."""
    owners = importlib.metadata.packages_distributions()
    packages = sorted({package for module in modules for package in owners.get(module, ())})
    return {package: importlib.metadata.version(package) for package in packages}


class GymnasiumGame(Game):
    """Any Gymnasium environment that renders RGB and has discrete actions.

    Args:
      env_id, kwargs: as of `RenderedEnvironment`.

    Raises:
      UserError: no such environment, or one that does not fit, or that fails later.
    """

    def __init__(self, env_id: str, kwargs: dict[str, Any] | None = None):
        self.environment = RenderedEnvironment(env_id, kwargs)
        space = self.environment.action_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise UserError(
                f"env_id={env_id} has actions {space}: discrete ones are needed", ["env_id"]
            )
        self._first_action = int(space.start)
        self.num_actions = int(space.n)
        self.action_names = tuple(str(self._first_action + i) for i in range(self.num_actions))

    def reset(self, seed: np.random.SeedSequence) -> np.ndarray:
        return self.environment.reset(int(seed.generate_state(1)[0]) & 0x7FFFFFFF)

    def step(self, action: int) -> GameStep:
        return self.environment.step(self._first_action + action)

    def close(self) -> None:
        """Frees what the environment holds."""
        self.environment.close()


def make_game(config: EnvironmentConfig, training: bool = False, objects: bool = False) -> Game:
    """The game that the settings name.

    Args:
      training: whether it is for training games, which may go on otherwise after a lost life.
      objects: whether it must tell its objects (`GameWithObjects`).

    Raises:
      UserError: there is no such game, or none that tells its objects.
    """
    if config.env_id:
        return GymnasiumGame(config.env_id, parse_env_kwargs(config.env_kwargs))
    game = AtariGame(
        config.game,
        config.frame_skip,
        config.noop_max,
        config.sticky_actions,
        noop_min=config.noop_min,
        fire_at_start=config.fire_at_start,
        fire_after_life=config.fires_after_life(training),
    )
    return GameWithObjects(game) if objects else game


def make_task(config: EnvironmentConfig, objects: bool = False) -> Task:
    """Games of validation and tests that the settings name, with their limit of actions.

    Args:
      objects: as of `make_game`.
    """
    return Task(functools.partial(make_game, config, objects=objects), config.max_episode_steps)


@contextlib.contextmanager
def open_task(config: EnvironmentConfig, objects: bool = False) -> Iterator[Task]:
    """As `make_task`; an Atari game's emulators are lent again, as each takes a tenth of a second.

    They forget at a reset all that was played. Of environments nobody knows: they are made anew.
    """
    task = make_task(config, objects)
    with contextlib.nullcontext(task) if config.env_id else task.reusing() as opened:
        yield opened
