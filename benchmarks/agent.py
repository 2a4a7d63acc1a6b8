"""Speed of the agent: agent steps/s, updates/s, and where the time goes.

  python -m benchmarks.agent --keypoints=RUN [--encoders=gnn,cnn] [--precision=float32]
    [--cnn_filters=32,32,32,32] [--rounds=5]

Plays real steps of the keypoint run's game into a replay in a temporary folder, then times each
part of a step and of an update in turn, over several rounds: best and median. A square matrix
product is timed in the same rounds, so that figures of a shared machine can be compared. The hours
of a run of 100,000 steps follow from the medians: every step, an update every 4 steps, and 10
validations of 10 games of --game_steps steps side by side.
"""

import tempfile
from pathlib import Path

import numpy as np
from absl import flags as absl_flags

from benchmarks.timing import Stopwatch, matrix_product
from flags import common
from permakey_tf.configs.agent import (
    AgentConfig,
    AgentLoggingConfig,
    EncoderConfig,
    EnvironmentConfig,
    LearningConfig,
)
from permakey_tf.envs.games import make_game
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import RunFolder
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
_REPEATS = 10  # calls in one measurement of a short part


def repeated(function):
    """A function that calls another several times, for parts too short to be timed alone."""

    def calls():
        for _ in range(_REPEATS):
            function()

    return calls


def make_trainer(encoder: str, folder: Path):
    """A trainer with the paper's settings, its keypoints' game and a started replay."""
    from permakey_tf.training.agent import AgentTrainer

    keypoints = RunFolder.open(_KEYPOINTS.value)
    config = AgentConfig(
        environment=EnvironmentConfig(game=keypoints.frames.game),
        encoder=EncoderConfig(encoder=encoder, cnn_filters=tuple(map(int, _FILTERS.value))),
        learning=LearningConfig(precision=_PRECISION.value),
    )
    run = AgentFolder.create_or_resume(folder / encoder, config, keypoints)
    trainer = AgentTrainer.open(run, AgentLoggingConfig())
    for _ in range(_STEPS.value):
        trainer.play_step()
    return trainer


def parts_of(trainer) -> dict:
    """{part: function}: the parts of a step and of an update."""
    player = trainer.agent.player
    game, start = make_game(trainer.config.environment), episode_seed("train", 0, 0)
    frame, prepare = game.reset(start), player.frame_format.with_bars
    prepared = prepare(frame, np.random.default_rng(0))
    forced = np.array([-1], np.int32)
    ten = np.repeat(prepared[None], 10, axis=0)
    state = player.actor.initial_state(10)

    def emulator():
        if game.step(0).terminal:
            game.reset(start)

    return {
        "emulator": repeated(emulator),
        "frame": repeated(lambda: prepare(frame, np.random.default_rng(0))),
        "vision and network": repeated(
            lambda: player.actor.step(prepared[None], forced, trainer.agent.state).actions.numpy()
        ),
        "whole step": repeated(trainer.play_step),
        "replay sample": repeated(lambda: trainer.playing.sample(0)),
        "whole update": repeated(trainer.learn_step),
        "ten games' step": repeated(
            lambda: player.actor.step(ten, np.full(10, -1, np.int32), state).actions.numpy()
        ),
    }


def report(encoder: str, folder: Path) -> None:
    """Prints one encoder's times and the hours of a whole run."""
    trainer = make_trainer(encoder, folder)
    watch = Stopwatch({"matmul": matrix_product("float32"), **parts_of(trainer)})
    watch.measure(_ROUNDS.value)
    method = trainer.folder.keypoints.config.method
    print(f"\n{method} + {encoder}, {_PRECISION.value}")
    for name in watch.functions:
        calls = 1 if name == "matmul" else _REPEATS
        best, median = (1e3 * time_of(name) / calls for time_of in (watch.best, watch.median))
        print(f"  {name:<20} best {best:8.2f} ms   median {median:8.2f} ms")
    step, update, emulator, ten = (
        watch.median(name) / _REPEATS
        for name in ("whole step", "whole update", "emulator", "ten games' step")
    )
    validation = 100 * _GAME_STEPS.value * (emulator + ten / 10)
    print(f"  {1 / step:.0f} agent steps/s, {1 / update:.1f} updates/s")
    for what, seconds in (
        ("playing", 1e5 * step),
        ("updates", 97_500 / 4 * update),
        ("validations", validation),
    ):
        print(f"  {seconds / 3600:.2f} h of {what} in a run of 100,000 steps")


def main():
    from permakey_tf.system.device import prepare_device

    print(f"device: {prepare_device()}")
    with tempfile.TemporaryDirectory() as folder:
        for encoder in _ENCODERS.value:
            report(encoder, Path(folder))


if __name__ == "__main__":
    common.run(main)
