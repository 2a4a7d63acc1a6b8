"""Where things are, as the simulator knows: kind and box of each thing that moves and is in view.

A box is left, top, right, bottom, as shares of the frame. examples/record_true_boxes.py records
them; for another world, write a function like these and add it to BOXES.
"""

import numpy as np


def minigrid_boxes(env):
    """Of the balls and the agent."""
    balls = [("Ball", ball.cur_pos) for ball in env.obstacles]
    for kind, cell in [*balls, ("Agent", env.agent_pos)]:
        yield kind, np.add((*cell, *cell), (0.15, 0.15, 0.85, 0.85)) / env.width


def crafter_boxes(env):
    """Of what can move and is in view; `env` is that of docs/data.md, its module on the path."""
    unit, margin = env.size // 9, env.size % 9 // 2
    for thing in env.world._world.objects:  # Crafter has no public name for them
        x, y = thing.pos - env.world._player.pos + (4, 3)
        kind, edges = type(thing).__name__, np.array([x, y, x + 1, y + 1]) * unit + margin
        if 0 <= x < 9 and 0 <= y < 7 and kind != "Plant":
            yield kind, edges / env.size


def highway_boxes(env):
    """Of the cars whose middle is in view; the camera follows the ego car."""
    meter = env.config["scaling"] / np.array(
        [env.config["screen_width"], env.config["screen_height"]]
    )
    for car in env.road.vehicles:
        middle = (car.position - env.vehicle.position) * meter + env.config["centering_position"]
        along, across = np.abs((np.cos(car.heading), np.sin(car.heading)))
        half = np.array([[along, across], [across, along]]) @ (car.LENGTH / 2, car.WIDTH / 2)
        edges = np.concatenate([middle - half * meter, middle + half * meter])
        if middle.min() >= 0 and middle.max() < 1:
            yield "Ego" if car is env.vehicle else "Car", edges.clip(0, 1)


# By the module of the environment's id.
BOXES = {"minigrid": minigrid_boxes, "mygames": crafter_boxes, "highway_env": highway_boxes}
