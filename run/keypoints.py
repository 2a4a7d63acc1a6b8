"""Trains keypoints on the frames of a game, evaluates them and draws what they see.

  python -m run.keypoints --flagfile=flags/presets/quick.cfg

makes the frame store where it is missing, trains, evaluates on held-out frames, and writes
checkpoints, metrics, TensorBoard logs and figures to the run folder. The same command resumes; of
a finished run it tells where they are.
"""

from collections.abc import Iterable

from flags import common
from flags import keypoints as keypoint_flags
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.runs.progress import Status
from permakey_tf.system.interruption import Interrupted
from permakey_tf.training import request as requests
from permakey_tf.training.sharing import of_training


def main(command):
    command = command.as_begun()
    common.tell_without_effect(command.keypoints)
    try:
        with of_training(command.distribute, command.keypoints, command.logdir) as line:
            train(command, line)
    except Interrupted as stop:
        common.leave_if_interrupted(stop, stop.saved)


def train(command, line):
    status = Status(*line.from_chief(lambda: requests.refuse_early(command)))
    if status.finished:
        print(f"run folder: {command.logdir} (finished at step {status.step})")
        tell(KeypointFolder.open(command.logdir), requests.all_notes(command))
        return
    store = requests.store_for_all(command, line)
    notes = requests.notes_on(store, command)
    # TensorFlow takes seconds to load; wrong flags and missing frames are refused before.
    from permakey_tf.training.train import train_and_evaluate

    folder = train_and_evaluate(
        line,
        store,
        command.keypoints,
        command.logdir,
        command.logging,
        command.distribute,
        notes,
        command=common.command_line("run.keypoints"),
    )
    if line.is_chief:
        tell(folder, notes)


def tell(folder: KeypointFolder, notes: Iterable[str]) -> None:
    """Prints what a finished run has, and what looks into it."""
    folder.tell_results(notes)
    print(f"TensorBoard: tensorboard {common.quoted('logdir', folder.path)}")


if __name__ == "__main__":
    common.start(keypoint_flags, main)
