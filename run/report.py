"""Reports trained agents: our scores beside the papers', and learning curves; collects them.

  python -m run.report --table=1 --runs=runs
  python -m run.report --curves --runs=runs
  python -m run.report --collect=docs/experiments/agents --runs=runs

See docs/report.md for the test protocol, the statistics and the formats.
"""

from flags import common
from flags import report as report_flags


def main(command):
    from permakey_tf.scores import report
    from permakey_tf.system import disk

    if command.collect:
        cells, notes = report.collect(command.runs, command.collect)
        for note in notes:
            print(f"note: {note}")
        for cell in cells:
            print(f"collected: {cell}")
    reports = []
    if command.table:
        reports.append(report.report_table(command.table, command.runs))
    if command.curves:
        reports.append(report.report_curves(command.runs, command.metric, command.statistic))
    if not reports:
        return
    disk.check_place(command.out, *(name for one in reports for name in one.names))
    paths = report.write(reports, command.out)
    for one in reports:
        print(one.text, end="\n" * bool(one.text))
        for note in one.notes:
            print(f"note: {note}")
    for path in paths:
        print(f"written: {path}")


if __name__ == "__main__":
    common.start(report_flags, main)
