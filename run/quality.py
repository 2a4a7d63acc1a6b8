"""Scores keypoints against the true boxes of a game's objects, beside baselines and controls.

  python -m run.data --game=mspacman --objects --num_frames=6000 --split=1,1,1 --seed=1000 \
    --out=data/truth
  python -m run.quality --runs=RUN,RUN,... --data=data/truth --out=runs/quality
  python -m run.quality --keypoints_npz=FILE --data=MsPacman.npz --out=runs/quality
  python -m run.quality --export_frames=FILE --data=MsPacman.npz  # the frames of --keypoints_npz
  python -m run.quality --mean=runs/quality/mspacman,runs/quality/seaquest --out=runs/quality/mean

See docs/quality.md for every measure.
"""

from pathlib import Path

import numpy as np

from flags import common
from flags import quality as quality_flags
from permakey_tf.errors import UserError
from permakey_tf.quality.averages import as_table, average
from permakey_tf.quality.benchmark import run_benchmark
from permakey_tf.quality.candidates import SeenFrames
from permakey_tf.quality.file_candidates import frames_for_anyone
from permakey_tf.quality.footage import open_footage
from permakey_tf.quality.report import AVERAGE_FILES, FILES, write_average, write_report
from permakey_tf.quality.tables import as_text, summary
from permakey_tf.system import disk, files, npz


def main(command):
    if command.reports:
        show_mean(command)
    elif command.export_frames:
        export(command)
    else:
        score(command)


def show_mean(command):
    disk.check_place(command.out, *AVERAGE_FILES)
    found = average(command.reports)
    written = write_average(found, command.out)
    for one in found:
        print(as_text(as_table(one)))
    for what, path in written.items():
        print(f"{what}: {path}")


def export(command):
    path = Path(command.export_frames)
    if path.suffix != ".npz":
        raise UserError(f"--export_frames={path} must end in .npz")
    data = Path(command.data).resolve()
    if data == path.resolve() or data in path.resolve().parents:
        raise UserError(f"--export_frames={path} would replace what --data is: choose another name")
    disk.check_place(path.parent, path.name)
    npz.refuse_others(path, "file of frames", lambda names: names == {"frames"})
    footage = open_footage(command.data, command.game, command.visible_only)
    frames = frames_for_anyone(SeenFrames(footage, command.quality), command.keypoints_noise)
    files.make_folder(path.parent)
    with files.replaced(path) as file:
        np.savez_compressed(file, frames=frames)
    rows = footage.scored_rows
    print(f"scored rows: {rows.start} to {rows.stop - 1}")
    print(f"frames: {path} {list(frames.shape)}")


def score(command):
    disk.check_place(command.out, *FILES)
    footage = open_footage(command.data, command.game, command.visible_only)
    asked = command.runs, command.keypoint_files, command.quality
    how = {"baselines": command.baselines, "keypoints_noise": command.keypoints_noise}
    result = run_benchmark(footage, *asked, progress=True, **how)
    written = write_report(result, command.out)
    for table in summary(result):
        print(as_text(table))
    for note in result.notes:
        print(f"note: {note}")
    for what, path in written.items():
        print(f"{what}: {path}")


if __name__ == "__main__":
    common.start(quality_flags, main)
