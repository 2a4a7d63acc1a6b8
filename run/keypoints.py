"""Trains keypoints on the frames of a game, evaluates them and draws what they see.

  python -m run.keypoints --flagfile=flags/presets/quick.cfg

makes the frame store where it is missing, trains, evaluates on held-out frames, and writes
checkpoints, metrics, TensorBoard logs and figures to the run folder. The same command resumes; of
a finished run it tells where they are.
"""

from collections.abc import Iterable

from flags import common
from flags import keypoints as keypoint_flags
from permakey_tf.runs.keypoints import FrameSpec, RunFolder
from permakey_tf.runs.progress import Status
from permakey_tf.system.cluster import of_training
from permakey_tf.system.interruption import Interrupted
from permakey_tf.training import request as requests


def main(command):
    command = command.as_begun()
    common.tell_without_effect(command.keypoints)
    config = command.keypoints
    alike = config.to_dict(), command.logdir, config.training.batch_size
    try:
        with of_training(command.distribute, *alike) as line:
            train(command, line)
    except Interrupted as stop:
        common.leave_if_interrupted(stop, stop.saved)


def train(command, line):
    status = Status(*line.from_chief(lambda: requests.refuse_early(command)))
    if status.finished:
        print(f"run folder: {command.logdir} (finished at step {status.step})")
        tell_results(RunFolder.open(command.logdir), requests.all_notes(command))
        return
    store = requests.store_for_all(command, line)
    notes = requests.notes_on(store, command)
    # TensorFlow takes seconds to load; wrong flags and missing frames are refused before.
    from permakey_tf.system.device import prepare_device
    from permakey_tf.training.replicas import make_replicas
    from permakey_tf.training.results import evaluate_run
    from permakey_tf.training.train import held_by_chief, train_to_the_end

    frames, typed = FrameSpec.of(store), common.command_line("run.keypoints")
    with held_by_chief(line, command.logdir, command.keypoints, frames, typed) as folder:
        print(f"device: {prepare_device(precision=command.keypoints.training.precision)}")
        replicas = make_replicas(command.distribute, line)
        if replicas.number > 1:
            print(f"each batch is shared by {replicas.number} devices")
        elif command.distribute != "none":
            print(
                f"note: --distribute={command.distribute} finds one device, which has all batches"
            )
        trainer = train_to_the_end(folder, store, command.logging, True, replicas)
        line.release()
        if line.is_chief:
            evaluate_run(trainer, notes)
            tell_results(folder, notes)


def tell_results(folder: RunFolder, notes: Iterable[str]) -> None:
    """Prints what a finished run has, and what was said at its start and has scrolled away."""
    for note in notes:
        print(f"note: {note}")
    for what, path in folder.results.items():
        if path.exists():
            print(f"{what}: {path}")
    print(f"TensorBoard: tensorboard {common.quoted('logdir', folder.path)}")


if __name__ == "__main__":
    common.start(keypoint_flags, main)
