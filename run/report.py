"""Reports trained agents: our scores beside the papers', and learning curves.

  python -m run.report --table=1 --runs=runs
  python -m run.report --curves --runs=runs

See docs/report.md for the test protocol, the statistics and the formats.
"""

from absl import flags

from flags import common
from flags import report as report_flags


def main():
    command = report_flags.from_flags()
    from permakey_tf.evaluation import report

    if command.table:
        text, notes, paths = report.report_table(command.table, command.runs, command.out)
        print(text)
        _tell(notes, paths)
    if command.curves:
        notes, paths = report.report_curves(
            command.runs, command.out, command.metric, command.statistic
        )
        _tell(notes, paths)


def _tell(notes, paths):
    for note in notes:
        print(f"note: {note}")
    for path in paths:
        print(f"written: {path}")


flags.adopt_module_key_flags(report_flags)
flags.adopt_module_key_flags(common)

if __name__ == "__main__":
    common.run(main)
