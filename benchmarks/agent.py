"""Speed of the agent: agent steps/s, updates/s, and where the time goes.

  python -m benchmarks.agent --keypoints=RUN [--encoders=gnn,cnn] [--precision=float32]
    [--cnn_filters=32,32,32,32] [--rounds=5]

Plays real steps of the keypoint run's game into a replay in a temporary folder, then times each
part of a step and of an update in turn, over several rounds: best and median, and the operations of
the graph agent's networks and of the vision's whole frame (of which a step computes what has
changed). A square matrix product is timed in the same rounds, so that figures of a shared
machine can be compared. The hours of a run of 100,000 steps follow from the medians: every step, an
update every 4 steps, at the same time or one after the other, and 10 validations of 10 games of
--game_steps steps.
"""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags as absl_flags

from benchmarks.flops import (
    agent_features,
    agent_flops,
    convolutional_agent_flops,
    inference_flops,
    layer_costs,
)
from benchmarks.timing import MATRIX, Stopwatch, matrix_product
from flags import common
from permakey_tf.configs.agent import (
    AgentConfig,
    AgentLoggingConfig,
    EncoderConfig,
    EnvironmentConfig,
    LearningConfig,
)
from permakey_tf.envs.games import make_game, make_task
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.system.seeds import episode_seed

_KEYPOINTS = common.define_path("keypoints", None, "Keypoint run folder.", required=True)
_ENCODERS = absl_flags.DEFINE_list("encoders", ["gnn", "cnn"], "Encoders to measure.")
_PRECISION = absl_flags.DEFINE_string("precision", "float32", "float32 or bfloat16.")
_FILTERS = absl_flags.DEFINE_list(
    "cnn_filters", ["32"] * 4, "Filters of the convolutional encoder."
)
_ROUNDS = absl_flags.DEFINE_integer("rounds", 5, "Measurements of each part.", lower_bound=1)
_STEPS = absl_flags.DEFINE_integer("steps", 300, "Steps played before measuring.", lower_bound=50)
_GAME_STEPS = absl_flags.DEFINE_integer(
    "game_steps", 700, "Steps of a validation game.", lower_bound=1
)
_SHOTS = 50  # consecutive frames that are seen in turn
_REPEATS = 10  # calls in one measurement of a short part


_CUT = 100  # steps of the games of a measured validation


class Part(NamedTuple):
    """What is timed: `function`, called `calls` times in a measurement."""

    function: Callable[[], Any]
    calls: int = _REPEATS

    def __call__(self):
        for _ in range(self.calls):
            self.function()


def make_trainer(encoder: str, folder: Path):
    """A trainer with the paper's settings, its keypoints' game and a started replay."""
    from permakey_tf.training.agent import AgentTrainer

    keypoints = KeypointFolder.open(_KEYPOINTS.value)
    config = AgentConfig(
        environment=EnvironmentConfig(game=keypoints.frames.game),
        encoder=EncoderConfig(encoder=encoder, cnn_filters=tuple(map(int, _FILTERS.value))),
        learning=LearningConfig(precision=_PRECISION.value),
    )
    with AgentFolder.held(folder / encoder, config, keypoints) as run:
        trainer = AgentTrainer.open(run, AgentLoggingConfig())
    for _ in range(_STEPS.value):
        trainer.play_step()
    return trainer


def parts_of(trainer) -> dict[str, Part]:
    """The parts of a step and of an update, and validations."""
    player = trainer.agent.player
    game, start = make_game(trainer.config.environment), episode_seed("train", 0, 0)
    frame, prepare = game.reset(start), player.frame_format.with_bars
    shots = itertools.cycle([played(game, prepare) for _ in range(_SHOTS)])
    one = OneGame(player.actor, shots)

    def emulator():
        if game.step(0).terminal:
            game.reset(start)

    return {
        "emulator": Part(emulator),
        "frame": Part(lambda: prepare(frame, np.random.default_rng(0))),
        "vision and network": Part(one.step),
        "whole step": Part(trainer.play_step),
        "replay sample": Part(lambda: trainer.playing.sample(0)),
        "whole update": Part(lambda: (trainer.learn_step(), trainer.agent.finish())),
        "4 steps, an update": Part(steps_and_update(trainer)),
        "10 games, 1 step": Part(validation(trainer, 1), 1),
        f"10 games, {_CUT} steps": Part(validation(trainer, _CUT), 1),
    }


def steps_and_update(trainer) -> Callable[[], Any]:
    """Begins an update, and plays the four steps that go with it."""
    return lambda: (trainer.learn_step(), [trainer.play_step() for _ in range(4)])


def validation(trainer, steps: int) -> Callable[[], Any]:
    """Plays ten games of a validation, cut after some steps."""
    from permakey_tf.training.acting import play_episodes

    task = make_task(trainer.config.environment)._replace(max_steps=steps)
    return lambda: play_episodes(trainer.agent.player, task, "validation", 0, 10)


def played(game, prepare) -> np.ndarray:
    """The game's next frame under no action, as the agent sees it."""
    return prepare(game.step(0).frame, np.random.default_rng(0))


class OneGame:
    """Steps of one game on given frames."""

    def __init__(self, actor, shots):
        self._actor, self._shots = actor, shots
        self._forced = np.full(1, -1, np.int32)
        self._state = actor.initial_state(1)

    def step(self):
        acted, self._state = self._actor.step(next(self._shots)[None], self._forced, self._state)
        acted.actions.numpy()


def report(encoder: str, folder: Path) -> None:
    """Prints one encoder's times and the hours of a whole run."""
    trainer = make_trainer(encoder, folder)
    parts = {"matmul": Part(matrix_product("float32"), 1), **parts_of(trainer)}
    watch = Stopwatch(parts)
    watch.measure(_ROUNDS.value)
    method = trainer.folder.keypoints.config.method
    print(f"\n{method} + {encoder}, {_PRECISION.value}")
    operations = flops_of(trainer)
    for name, part in parts.items():
        best, median = (1e3 * time_of(name) / part.calls for time_of in (watch.best, watch.median))
        rate = ""
        if name in operations:
            gigas = operations[name] / 1e9
            rate = f"   {gigas:7.3f} GFLOP, {1e3 * gigas / median:.0f} GFLOP/s"
        print(f"  {name:<20} best {best:8.2f} ms   median {median:8.2f} ms{rate}")
    seconds_of = {name: watch.median(name) / part.calls for name, part in parts.items()}
    step, update, both, begun, cut = (
        seconds_of[name]
        for name in (
            *("whole step", "whole update", "4 steps, an update"),
            *("10 games, 1 step", f"10 games, {_CUT} steps"),
        )
    )
    games = begun + (cut - begun) * (_GAME_STEPS.value - 1) / (_CUT - 1)
    training = 1e5 / 4 * (both if trainer.config.learning.overlap else 4 * step + update)
    print(f"  {1 / step:.0f} agent steps/s, {1 / update:.1f} updates/s")
    for what, seconds in (
        ("steps and updates", training),
        ("validations", 10 * games),
    ):
        print(f"  {seconds / 3600:.2f} h of {what} in a run of 100,000 steps")


def flops_of(trainer) -> dict[str, int]:
    """{part: floating-point operations}."""
    keypoints, player = trainer.folder.keypoints, trainer.agent.player
    seen = keypoints.config, keypoints.frames.image_size, keypoints.frames.channels
    vision = inference_flops(layer_costs(*seen))
    if trainer.config.encoder.encoder == "gnn":
        number, features = player.actor.vision.columns["features"].shape
        step, update = agent_flops(trainer.config, number, features, player.num_actions)
    else:
        seeing, features = agent_features(*seen)
        step, update = convolutional_agent_flops(
            trainer.config, seeing, features, player.num_actions
        )
        vision += seeing  # a step computes the features for its encoder anew
    named = {"vision and network": vision + step, "whole update": update}
    return {"matmul": 2 * MATRIX**3} | named


def main():
    from permakey_tf.system.device import prepare_device

    print(f"device: {prepare_device(1 if 'cnn' in _ENCODERS.value else 2)}")
    with tempfile.TemporaryDirectory() as folder:
        for encoder in _ENCODERS.value:
            report(encoder, Path(folder))


if __name__ == "__main__":
    common.run(main)
