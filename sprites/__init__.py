"""A small game with two moving sprites, for tests and measurements of the whole stack.

A ball falls from a random column, one row a step; the paddle on the bottom row moves left, stays,
or moves right by one column. Reward 1 for every ball that lands on the paddle. Every ball can be
reached with at least two steps to spare, so the best return is the number of balls; what to do
depends on both sprites.

  gymnasium.make("sprites:Catch-v0", render_mode="rgb_array")   # from the root of the checkout
"""

import gymnasium
import numpy as np

ROWS, COLUMNS = 8, 6
CELL = 5  # pixels; sprites fill a cell
SIDE = 48  # pixels of the frame; around the cells there is room, so that sprites have surroundings
BALLS = 10  # in an episode
PALETTE = np.array([(255, 255, 255), (255, 160, 60), (120, 255, 120), (255, 120, 200)], np.uint8)
FALL = ROWS - 1  # steps of a ball from the top to the paddle's row
_TOP, _LEFT = (SIDE - ROWS * CELL) // 2, (SIDE - COLUMNS * CELL) // 2


class Catch(gymnasium.Env):
    """Observations are the positions; agents here look at the rendered frame, uint8 [48, 48, 3]."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012, Gymnasium's form
    action_space = gymnasium.spaces.Discrete(3)
    observation_space = gymnasium.spaces.MultiDiscrete([ROWS, COLUMNS, COLUMNS])

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        rows, columns = np.mgrid[:SIDE, :SIDE]
        # A still, textured background: what never changes is no object.
        self._background = np.zeros([SIDE, SIDE, 3], np.uint8)
        self._background[..., 2] = 40 + 30 * ((rows // 10 + columns // 10) % 2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.paddle = int(self.np_random.integers(COLUMNS))
        self._landed = 0
        self._new_ball()
        return self._positions(), {}

    def _new_ball(self):
        """With new colours for both sprites: nothing around them tells what is inside."""
        self.row, self.column = 0, int(self.np_random.integers(COLUMNS))
        self._colors = PALETTE[self.np_random.integers(len(PALETTE), size=2)]

    def _positions(self):
        return np.array([self.row, self.column, self.paddle])

    def step(self, action):
        self.paddle = int(np.clip(self.paddle + action - 1, 0, COLUMNS - 1))
        self.row += 1
        reward = 0.0
        if self.row == FALL:
            reward = float(self.column == self.paddle)
            self._landed += 1
            if self._landed < BALLS:
                self._new_ball()
        return self._positions(), reward, self._landed == BALLS, False, {}

    def render(self):
        frame = self._background.copy()
        sprites = (ROWS - 1, self.paddle), (self.row, self.column)
        for (row, column), color in zip(sprites, self._colors, strict=True):
            y, x = _TOP + row * CELL, _LEFT + column * CELL
            frame[y : y + CELL, x : x + CELL] = color
        return frame


class Steered(Catch):
    """The same with an action that is not discrete, which agents here refuse."""

    action_space = gymnasium.spaces.Box(-1, 1)


gymnasium.register("Catch-v0", entry_point=Catch)
gymnasium.register("Steered-v0", entry_point=Steered)
