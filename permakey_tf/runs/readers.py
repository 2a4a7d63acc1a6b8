"""metrics.csv of a run, read without TensorFlow."""

import itertools
import math
from pathlib import Path

from permakey_tf.errors import UserError
from permakey_tf.system.files import read_rows

Metrics = dict[str, dict[int, float]]


def read_metrics(folder: Path) -> Metrics:
    """{column: {step: value}} of a run folder's metrics.csv; a column without a value yet is empty.

    Raises:
      UserError: the file is missing or damaged.
    """
    path = Path(folder) / "metrics.csv"
    try:
        names, rows = read_rows(path)
        table: Metrics = {name: {} for name in names if name != "step"}
        steps = [int(row.pop("step")) for row in rows]
        for step, row in zip(steps, rows, strict=True):
            for name, value in row.items():
                if value:
                    table[name][step] = float(value)  # training and validation have rows of a step
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: the run has not begun") from error
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error!r}") from error
    if any(later < earlier for earlier, later in itertools.pairwise(steps)):
        raise UserError(f"{path} is damaged: steps do not ascend")
    return table


def machine_hours(table: Metrics, until: float = math.inf) -> float | None:
    """Hours that an agent's run has taken, by the speeds that it reported; None without a report.

    Only reports up to the step `until` count, for a run that was trained on since.

    A speed is of the steps since the report before it, with the validation among them. What comes
    after the last report, such as the last validation, is not counted. Of an interval in which the
    run was resumed, the speed is that since then.
    """
    reported = table.get("agent_steps_per_second", {})
    speeds = {step: speed for step, speed in reported.items() if step <= until}
    if not speeds:
        return None
    steps = itertools.pairwise([0, *speeds])
    return sum((step - before) / speeds[step] for before, step in steps) / 3600
