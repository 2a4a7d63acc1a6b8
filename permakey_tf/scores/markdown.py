"""A table with our numbers beside the papers' as a Markdown page."""

from permakey_tf.scores import aggregates, published, tables
from permakey_tf.scores.tables import Cell
from permakey_tf.system.markdown import row


def page(table: int, filled: list[Cell]) -> str:
    """The table as a page: our numbers beside the paper's, and what else is published."""
    lines = [f"# Table {table}: {tables.TITLES[table]}", "", *_own_table(table, filled), ""]
    if table == 1:
        lines += [*_across_table(filled), ""]
    games = list(dict.fromkeys(cell.game for cell in filled))
    lines += [*_context_table(table, games), ""]
    lines += [f"\\* {s.game}, {s.method}: {s.note}." for s in published.scores(table) if s.garbled]
    return "\n".join(lines).rstrip() + "\n"


_COLUMNS = (
    *("game", "K", "agent", "paper", "ours", "IQM", "each start once", "random play", "runs"),
    *("their seeds", "test seeds", "episodes", "agent steps", "machine hours", "falls short"),
)


def _own_table(table: int, filled: list[Cell]) -> list[str]:
    lines = [
        f"Paper: {published.sources()['iclr2021']}. Paper and ours: mean (standard deviation) over "
        "policies at the median test seed. IQM, with 95 % interval (of three runs or "
        "fewer, their range): over runs, all seeds. Each start once: mean over runs where each "
        "start that the seeds drew (in brackets how many) counts once. N/A: no "
        "better than a random policy. Random play: mean in the same test games. Machine hours: of "
        "the runs' training with its validations, all but the last, by the speeds that they "
        "reported.",
        "",
        _about_encoders(table),
        "",
        row(_COLUMNS),
        "|---" * len(_COLUMNS) + "|",
    ]
    for cell in filled:
        record = tables.row(table, cell)
        paper = "none" if cell.score is None else str(cell.score)
        own = _own_cells(cell, record) if cell.found else ["not run", *[""] * (len(_COLUMNS) - 5)]
        cells = [record["game"], str(record["num_keypoints"] or ""), record["agent"], paper]
        lines.append(row(cells + own))
    return lines


def _about_encoders(table: int) -> str:
    """Which numbers may be compared."""
    if table == 1:
        return (
            "Agents with +GNN see through a graph encoder, the others through a convolutional one: "
            "these are different encoders, to be compared with the paper's row of the same name "
            "only."
        )
    return (
        "The paper's numbers here are all of the convolutional encoder. Rows with +GNN are ours "
        "alone, of a graph encoder: another encoder, and no comparison with the paper's numbers."
    )


def _own_cells(cell: Cell, record: dict) -> list[str]:
    hours, steps = record["machine_hours"], record["agent_steps"]
    return [
        _with_std(record["score"], record["std"]),
        _with_interval(cell.found.evaluation.aggregates.iqm, 1),
        _of_starts(record),
        f"{record['random']:.1f}",
        str(record["policies"]),
        ", ".join(map(str, record["train_seeds"])),
        *(str(record[name]) for name in ("seeds", "episodes")),
        "not told" if steps is None else f"{steps:,}",
        "not known" if hours is None else f"{hours:.1f}",
        record["falls_short"],
    ]


def _of_starts(record: dict) -> str:
    """Of a record with our numbers."""
    if record["starts"] is None:
        return "not known"
    return f"{record['each_start_once']:.1f} ({record['starts']})"


def _across_table(filled: list[Cell]) -> list[str]:
    lines = [
        "Human-normalised (0 random, 1 human), all games together:",
        "",
        "| agent | IQM over runs and games | |",
        "|---|---|---|",
    ]
    for agent, estimate in tables.across_games(filled).items():
        found = [cell.found for cell in filled if cell.place.label == agent and cell.found]
        short = any(tables.shortfalls(one.evaluation) for one in found)
        remark = "falls short of the paper's test, see above" if estimate and short else ""
        shown = _with_interval(estimate, 3) if estimate else "not run on all games alike"
        lines.append(row([agent, shown, remark]))
    return lines


def _context_table(table: int, games: list[str]) -> list[str]:
    """What is published without a counterpart of ours."""
    ours = {paper for *_, paper in tables.AGENTS.values()}
    others = [s for s in published.scores(table) if s.method not in ours] + [
        s for s in published.scores(None) if s.game in games
    ]
    methods = list(dict.fromkeys(score.method for score in others))
    cited = dict.fromkeys(score.source for score in others)
    clean = " They are all of clean games, without bars." if table == 2 else ""
    lines = [
        f"Published by others, for context (other networks, budgets and test protocols).{clean}",
        "",
        row(["game", *methods]),
        "|---" * (len(methods) + 1) + "|",
    ]
    for game in games:
        values = {score.method: str(score) for score in others if score.game == game}
        lines.append(row([game, *(values.get(method, "") for method in methods)]))
    sources = [published.sources()[key] for key in cited]
    return [*lines, "", *(f"- {source}" for source in sources)]


def _with_std(value: float, std: float | None) -> str:
    return f"{value:.1f} ({'one policy' if std is None else f'{std:.1f}'})"


def _with_interval(estimate: aggregates.Estimate, digits: int) -> str:
    if estimate.low is None:
        return f"{estimate.value:.{digits}f} [one run]"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
