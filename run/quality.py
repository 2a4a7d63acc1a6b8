"""Scores keypoints against the true boxes of a game's objects, beside baselines and controls.

  python -m run.data --game=mspacman --objects --num_frames=6000 --split=1,1,1 --seed=1000 \
    --out=data/truth
  python -m run.quality --runs=RUN,RUN,... --data=data/truth --out=runs/quality
  python -m run.quality --keypoints_npz=FILE --data=MsPacman.npz --out=runs/quality

See docs/quality.md for every measure.
"""

from flags import common
from flags import quality as quality_flags
from permakey_tf.quality.benchmark import run_benchmark
from permakey_tf.quality.footage import open_footage
from permakey_tf.quality.report import FILES, write_report
from permakey_tf.quality.tables import as_text, summary
from permakey_tf.system import disk


def main(command):
    disk.check_place(command.out, *FILES)
    footage = open_footage(command.data, command.game, command.visible_only)
    result = run_benchmark(
        footage, command.runs, command.keypoint_files, command.quality, progress=True
    )
    written = write_report(result, command.out)
    for table in summary(result):
        print(as_text(table))
    for note in result.notes:
        print(f"note: {note}")
    for what, path in written.items():
        print(f"{what}: {path}")


if __name__ == "__main__":
    common.start(quality_flags, main)
