"""Trains keypoints on the frames of a game, evaluates them and draws what they see.

  python -m run.keypoints --flagfile=flags/presets/quick.cfg

makes the frame store where it is missing, trains, evaluates on held-out frames, and writes
checkpoints, metrics, TensorBoard logs and figures to the run folder. The same command resumes.
"""

from flags import common
from flags import keypoints as keypoint_flags


def main(command):
    keypoint_flags.refuse_early(command)
    store = keypoint_flags.open_or_collect(command)
    # TensorFlow takes seconds to load; wrong flags and missing frames are refused before.
    from permakey_tf.runs.keypoints import FrameSpec, RunFolder
    from permakey_tf.system.device import prepare_device
    from permakey_tf.training.keypoints import KeypointTrainer
    from permakey_tf.training.results import evaluate_run

    with RunFolder.held(command.logdir, command.keypoints, FrameSpec.of(store)) as folder:
        print(f"device: {prepare_device()}")
        trainer = KeypointTrainer(folder, store, command.logging)
        done = f"step {trainer.progress.step} of {trainer.num_steps}"
        print(f"run folder: {folder.path} (at {done})", flush=True)
        interruption = trainer.train()
        common.leave_if_interrupted(interruption, trainer.progress.step)
        for what, path in evaluate_run(trainer).items():
            print(f"{what}: {path}")
        print(f"TensorBoard: tensorboard --logdir={folder.path}")


if __name__ == "__main__":
    common.start(keypoint_flags, main)
