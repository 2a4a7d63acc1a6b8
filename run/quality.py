"""Scores keypoints against the true boxes of a game's objects, beside baselines and controls.

  python -m run.data --game=mspacman --objects --num_frames=6000 --split=1,1,1 --seed=1000 \
    --out=data/truth
  python -m run.quality --runs=RUN,RUN,... --data=data/truth --out=runs/quality
  python -m run.quality --keypoints_npz=FILE --data=MsPacman.npz --out=runs/quality
  python -m run.quality --mean=runs/quality/mspacman,runs/quality/seaquest --out=runs/quality/mean

See docs/quality.md for every measure.
"""

from flags import common
from flags import quality as quality_flags
from permakey_tf.quality.averages import as_table, average
from permakey_tf.quality.benchmark import run_benchmark
from permakey_tf.quality.footage import open_footage
from permakey_tf.quality.report import AVERAGE_FILES, FILES, write_average, write_report
from permakey_tf.quality.tables import as_text, summary
from permakey_tf.system import disk


def main(command):
    if command.reports:
        show_mean(command)
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


def score(command):
    disk.check_place(command.out, *FILES)
    footage = open_footage(command.data, command.game, command.visible_only)
    asked = command.runs, command.keypoint_files, command.quality
    result = run_benchmark(footage, *asked, progress=True, baselines=command.baselines)
    written = write_report(result, command.out)
    for table in summary(result):
        print(as_text(table))
    for note in result.notes:
        print(f"note: {note}")
    for what, path in written.items():
        print(f"{what}: {path}")


if __name__ == "__main__":
    common.start(quality_flags, main)
