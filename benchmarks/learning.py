"""Does the whole stack learn to play? Measured on a small game with a known best return.

  python -m benchmarks.learning [--encoder=gnn] [--seeds=0,1,2] [--out=runs/learning]

The game (sprites/) has two moving sprites: a ball that falls and a paddle that catches it.
Its frames are collected, keypoints are learned from them, and agents trained on these, through the
commands that a user types; then the best checkpoints play unseen games. Printed beside them: the
optimum, uniformly random play, and the best action if it is always the same. The commands resume.
An agent below nine tenths of the optimum is an error.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.agent import EnvironmentConfig
from permakey_tf.envs.games import make_game
from permakey_tf.errors import UserError
from permakey_tf.scores.evaluation_file import read_evaluation
from permakey_tf.system.seeds import episode_seed
from sprites import BALLS

_ENCODERS = absl_flags.DEFINE_multi_enum(
    "encoder", ["gnn", "cnn"], ["gnn", "cnn"], "Encoders to train; may be given twice."
)
_SEEDS = absl_flags.DEFINE_list("seeds", ["0", "1", "2"], "Training seeds.")
_OUT = common.define_path("out", "runs/learning", "Folder of all runs.")
_GAME = "sprites:Catch-v0"
_KEYPOINTS = {
    "source": "gymnasium", "env_id": _GAME, "game": "catch", "image_size": 48,
    "num_frames": 6000, "split": "10,1,1", "num_keypoints": 4, "vae_filters": "8,16,16,32",
    "pointnet_filters": "16,32,32,64", "lsp_hidden_sizes": "64,32", "soft_argmax": "joint",
    "logit_scale": 30, "pointnet_coordinates": True, "window_join": "union",
    "overlap_weight": 0.1, "gauss_std": 0.2,
    "batch_size": 16, "learning_rate": 1e-3, "pointnet_learning_rate": 2e-3,
    "schedule": "cosine", "max_steps": 1500, "validate_every": 500,
}  # fmt: skip
_AGENT = {
    "env_id": _GAME, "learn_start": 500, "epsilon_steps": 7500, "epsilon_end": 0.05,
    "gamma": 0.95, "polyak": 0.02, "num_steps": 20_000,
    "validate_every": 2500, "checkpoint_every": 2500,
}  # fmt: skip
_OF_ENCODER = {
    "gnn": {"learning_rate": 1e-3},
    "cnn": {"learning_rate": 5e-4, "cnn_filters": "16,16,32,32", "cnn_strides": "1,2,2,1"},
}  # fmt: skip


def call(module: str, **values) -> None:
    """Runs a command line of the project. Raises UserError where it fails."""
    arguments = [f"--{name}={value}" for name, value in values.items()]
    command = [sys.executable, "-m", module, *arguments]
    if code := subprocess.run(command).returncode:
        raise UserError(f"{' '.join(command)} failed with exit code {code}")


def fixed_play(choose, episodes: int = 100) -> float:
    """Mean return of a rule that sees nothing: `choose(rng)` gives the action."""
    game, scores = make_game(EnvironmentConfig(env_id=_GAME)), []
    for episode in range(episodes):
        game.reset(episode_seed("test", 0, episode))
        rng, over, score = np.random.default_rng(episode), False, 0.0
        while not over:
            step = game.step(choose(rng))
            over, score = step.terminal, score + step.reward
        scores.append(score)
    return float(np.mean(scores))


def main():
    out = Path(_OUT.value)
    call("run.keypoints", data_dir=out / "frames", logdir=out / "keypoints", **_KEYPOINTS)
    results = {}
    for encoder in _ENCODERS.value:
        runs = []
        for seed in _SEEDS.value:
            runs.append(str(out / f"{encoder}_seed{seed}"))
            call("run.rl", keypoints=out / "keypoints", encoder=encoder, seed=seed,
                 logdir=runs[-1], **_AGENT, **_OF_ENCODER[encoder])  # fmt: skip
        folder = out / f"test_{encoder}"
        call("run.rl", mode="evaluate", runs=",".join(runs), seeds="0,1,2", out=folder)
        results[encoder] = read_evaluation(folder / "evaluation.json").aggregates.run_scores
    constants = [fixed_play(lambda _, action=action: action) for action in range(3)]
    print(f"\nbest return {BALLS}")
    print(f"random play {fixed_play(lambda rng: int(rng.integers(3))):.1f}")
    print(f"best constant action {max(constants):.1f}")
    for encoder, scores in results.items():
        shown = ", ".join(f"{score:.1f} ({score / BALLS:.0%})" for score in scores)
        print(f"{encoder}: {shown}")
    if any(score < 0.9 * BALLS for scores in results.values() for score in scores):
        raise UserError(f"an agent scores below {0.9 * BALLS:g} of {BALLS}")


if __name__ == "__main__":
    common.run(main)
