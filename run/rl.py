"""Trains an agent that plays from keypoints, or tests trained ones on unseen seeds.

  python -m run.rl --keypoints=runs/mspacman_permakey_seed0 --encoder=gnn
  python -m run.rl --mode=evaluate --runs=RUN,RUN,RUN

Without --keypoints, quick ones are trained first. The same command resumes.
"""

from absl import flags

from flags import common
from flags import rl as rl_flags


def train(command):
    from permakey_tf.runs.agent import AgentFolder
    from permakey_tf.training.agent import AgentTrainer

    with AgentFolder.held(command.logdir, command.agent, command.keypoints) as folder:
        trainer = AgentTrainer(folder, command.logging)
        done = f"step {trainer.progress.step} of {command.agent.learning.num_steps}"
        print(f"run folder: {folder.path} (at {done})", flush=True)
        interruption = trainer.train()
        common.leave_if_interrupted(interruption, trainer.progress.step)
        progress = trainer.progress
        print(f"best validation score: {progress.best_score:.1f} at step {progress.best_step}")
        print(f"test it: python -m run.rl --mode=evaluate --runs={folder.path}")
        print(f"TensorBoard: tensorboard --logdir={folder.path}")


def evaluate(command):
    from permakey_tf.scores.evaluate import evaluate_policies

    result = evaluate_policies(command.runs, command.seeds, command.episodes, command.path)
    print(result.aggregates.median_seed)
    print(f"mean over all seeds: {result.aggregates.mean.value:.1f}")
    print(f"random play in the same games: {result.random_scores.mean():.1f}; {result.advantage}")
    print(f"repeats: {result.repeats.describe(result.random_scores.size)}")
    print(f"evaluation: {command.path}")


def main():
    command = rl_flags.from_flags()
    from permakey_tf.system.device import prepare_device

    print(f"device: {prepare_device()}")
    {rl_flags.Training: train, rl_flags.Test: evaluate}[type(command)](command)


rl_flags.define()
flags.adopt_module_key_flags(rl_flags)
flags.adopt_module_key_flags(common)

if __name__ == "__main__":
    common.run(main)
