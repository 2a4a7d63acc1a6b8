"""The papers' tables with our numbers beside theirs.

`cells(table)` lists the places of a table, `fill` puts evaluations into them, `row` makes a plain
record of each. A place without an evaluation stays empty ("not run"); nothing but an evaluation of
ours ever fills one. Some places are ours alone, without a published number.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from permakey_tf.configs.agent import ENCODERS, EncoderConfig
from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS, canonical_game
from permakey_tf.configs.keypoints import METHODS
from permakey_tf.errors import UserError
from permakey_tf.scores import aggregates, published, statistics
from permakey_tf.scores.evaluation import Evaluation, OtherAgent, Rules
from permakey_tf.scores.evaluation_file import refuse_copies

TITLES = {
    1: "Atari, 100,000 agent steps",
    2: "Noisy Atari (both bars), 100,000 agent steps",
    3: "MsPacman by number of keypoints, 100,000 agent steps",
}
# Our name of an agent -> (keypoints, encoder, the papers' name).
AGENTS = {
    "Transporter": ("transporter", "cnn", "Transporter re-imp."),
    "Transporter+GNN": ("transporter", "gnn", "Transporter+GNN"),
    "PKey+CNN": ("permakey", "cnn", "PKey+CNN"),
    "PKey+GNN": ("permakey", "gnn", "PKey+GNN"),
}
# The paper's test: agent steps, policies, seeds, episodes (app. A.2.3).
PROTOCOL = {"agent steps": 100_000, "policies": 3, "seeds": 10, "episodes": 10}


class Place(NamedTuple):
    """What an evaluation must be of to stand in a cell.

    game: canonical name. env_id: "" for the game of that name, else the id of what was played: even
      "ALE/MsPacman-v5" is not the papers' game, for it has sticky actions and no no-ops.
    opening: of its games, where it is not ours (`Rules.opening`).
    variant: what the agent has that the papers' has not (`AgentSpec.variant`).
    num_keypoints: K; 0 of an agent that is no run of ours, `agent` is the name that it was given.
    """

    game: str
    agent: str
    num_keypoints: int
    noise: str
    sticky_actions: float = 0.0
    env_id: str = ""
    opening: str = ""
    variant: str = ""

    @property
    def label(self) -> str:
        """The agent and its variant."""
        return f"{self.agent}, {self.variant}" if self.variant else self.agent

    def __str__(self):
        sticky = f", sticky actions {self.sticky_actions:g}" if self.sticky_actions else ""
        played = f", played on {self.env_id}" if self.env_id else ""
        opening = f", {self.opening}" if self.opening else ""
        number = f", K = {self.num_keypoints}" if self.num_keypoints else ""
        named = f"{self.game}, {self.label}{number}, noise {self.noise}"
        return named + sticky + played + opening


class Found(NamedTuple):
    """An evaluation and its file. `hours`: of training all its runs; None where not known."""

    path: Path
    evaluation: Evaluation
    hours: float | None = None


class Cell(NamedTuple):
    """A place of a table, the paper's number and what we ran.

    game: as the paper spells it. score: None where the place is ours alone.
    found: None where nothing was run.
    """

    place: Place
    game: str
    score: published.Score | None
    found: Found | None = None


def place_of(evaluation: Evaluation) -> Place:
    """The place of any table where an evaluation belongs."""
    agent = evaluation.agent
    if isinstance(agent, OtherAgent):
        rules = evaluation.rules
        game, played = evaluation.game, (evaluation.env_id, rules.opening)
        return Place(game, agent.name, 0, "none", rules.sticky_actions, *played)
    return Place(
        evaluation.game,
        _name_of(agent.keypoints, agent.encoder),
        agent.num_keypoints,
        agent.noise,
        evaluation.rules.sticky_actions,
        evaluation.env_id,
        evaluation.rules.opening,
        agent.variant,
    )


def names_of_ours() -> list[str]:
    """Of all agents that the package can train."""
    return [_name_of(method, encoder) for method in METHODS for encoder in ENCODERS]


def _name_of(keypoints: str, encoder: str) -> str:
    """The papers' name of an agent; of a method that the papers do not have, a like one."""
    for name, (*kind, _) in AGENTS.items():
        if kind == [keypoints, encoder]:
            return name
    return f"{METHODS[keypoints].title}+{encoder.upper()}"


def cells(table: int) -> list[Cell]:
    """The empty cells of table 1, 2 or 3, in the paper's order; the paper's K where it has one.

    The paper's tables 2 and 3 are of the convolutional encoder: behind its cells of one game and K
    come ours of the graph encoder.
    """
    names = {paper: ours for ours, (*_, paper) in AGENTS.items()}
    empty: dict[tuple, list[Cell]] = {}
    for score in published.scores(table):
        if score.method in names:
            game = canonical_game(score.game)
            number = score.num_keypoints or PAPER_NUM_KEYPOINTS[game]
            place = Place(game, names[score.method], number, "both" if table == 2 else "none")
            empty.setdefault((game, number), []).append(Cell(place, score.game, score))
    for of_game in empty.values():
        there = {cell.place.agent for cell in of_game}
        first = of_game[0]
        of_game += [
            Cell(first.place._replace(agent=agent), first.game, None)
            for agent in ("Transporter+GNN", "PKey+GNN")
            if agent not in there
        ]
    return [cell for of_game in empty.values() for cell in of_game]


def size(evaluation: Evaluation) -> tuple[int, int, int, int]:
    """(agent steps, policies, seeds, episodes); the steps are those of the shortest run, and 0
    where they are not told."""
    steps = [policy.num_steps for policy in evaluation.policies]
    if isinstance(evaluation.agent, OtherAgent):
        steps = [evaluation.agent.num_steps or 0]
    return (min(steps), *evaluation.scores.shape)


def fill(empty: list[Cell], found: list[Found]) -> tuple[list[Cell], list[str]]:
    """Puts every evaluation into its cell.

    Different evaluations are never mixed. Where several belong into one cell, the one with the
    most agent steps stands there, but more than the paper's count no more; among those the one
    with most policies, seeds, episodes. A variant of a cell's agent gets a cell of its own behind,
    and so does one that the papers do not have, behind those of its game.

    Returns:
      the cells, and a line for each evaluation that stands in none, with the reason.

    Raises:
      UserError: several of the same size belong into one cell.
    """
    by_place: dict[Place, list[Found]] = {}
    for one in found:
        by_place.setdefault(place_of(one.evaluation), []).append(one)
    filled, left_out = [], []
    for cell in _with_others(_with_variants(empty, list(by_place)), list(by_place)):
        rivals = sorted(by_place.pop(cell.place, []), key=_rank)
        if len(rivals) > 1 and _rank(rivals[-1]) == _rank(rivals[-2]):
            same = [one for one in rivals if _rank(one) == _rank(rivals[-1])]
            refuse_copies((one.path, one.evaluation) for one in same)
            raise UserError(
                f"{cell.place}: {len(same)} evaluations of one size, "
                f"{', '.join(str(one.path) for one in same)}: test their policies together "
                "(python -m run.rl --mode=evaluate --runs=...) or give one's folder alone"
            )
        filled.append(cell._replace(found=rivals[-1] if rivals else None))
        left_out += [f"{one.path}: smaller than {rivals[-1].path}" for one in rivals[:-1]]
    for place, others in by_place.items():
        left_out += [f"{one.path}: no place in this table ({place})" for one in others]
    return filled, left_out


def _with_variants(empty: list[Cell], places: list[Place]) -> list[Cell]:
    cells = []
    for cell in empty:
        own = [
            place for place in places if place.variant and place._replace(variant="") == cell.place
        ]
        cells += [cell, *(Cell(place, cell.game, None) for place in sorted(own))]
    return cells


def _with_others(cells: list[Cell], places: list[Place]) -> list[Cell]:
    """Cells of other agents, and of ours on a method that the papers do not have, behind all of
    the same games."""
    grouped: dict[str, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(cell.place.game, []).append(cell)
    for of_game in grouped.values():
        first, numbers = of_game[0], {0, *(cell.place.num_keypoints for cell in of_game)}
        agent, number = first.place.agent, first.place.num_keypoints
        own = [
            place
            for place in places
            if place.agent not in AGENTS
            and place.num_keypoints in numbers
            and place._replace(agent=agent, num_keypoints=number, variant="") == first.place
        ]
        of_game += [Cell(place, first.game, None) for place in sorted(own)]
    return [cell for of_game in grouped.values() for cell in of_game]


def _rank(one: Found) -> tuple[int, int, int, int]:
    """Its size; agent steps beyond the table's are no merit."""
    steps, *rest = size(one.evaluation)
    return (min(steps, PROTOCOL["agent steps"]), *rest)


def shortfalls(evaluation: Evaluation) -> list[str]:
    """In what an evaluation differs from the paper's test, such as "1 of 3 policies"."""
    pairs = zip(size(evaluation), PROTOCOL.items(), strict=True)
    untold = _steps_are_unknown(evaluation)
    differences = [
        f"{what} not told" if untold and what == "agent steps" else f"{has:,} of {full:,} {what}"
        for has, (what, full) in pairs
        if has < full or (what == "agent steps" and has > full)
    ]
    paper, rules = Rules(), evaluation.rules
    if rules.max_episode_steps < paper.max_episode_steps:
        differences.append(
            f"games cut after {rules.max_episode_steps:,} of {paper.max_episode_steps:,} steps"
        )
    if (rules.frame_skip, rules.noop_max) != (paper.frame_skip, paper.noop_max):
        differences.append(f"frame skip {rules.frame_skip}, up to {rules.noop_max} no-ops")
    agent = evaluation.agent
    if isinstance(agent, OtherAgent):
        return differences
    filters = agent.cnn_filters
    if filters not in (None, EncoderConfig.cnn_filters):
        shown = [",".join(map(str, some)) for some in (filters, EncoderConfig.cnn_filters)]
        differences.append(f"filters {shown[0]}, not {shown[1]}")
    if agent.keypoint_steps is not None:
        differences.append(f"keypoints trained for {agent.keypoint_steps:,} steps")
    return differences


# ---------------------------------------------------------------------------------------- records


_OURS = (
    *("score", "std", "median_seed", "human_normalised", "iqm", "iqm_low", "iqm_high"),
    *("mean", "mean_low", "mean_high", "run_scores", "starts", "each_start_once"),
    *("each_start_once_runs", "policies", "seeds", "episodes"),
    *("agent_steps", "train_seeds", "machine_hours", "random", "falls_short", "file"),
)


def row(table: int, cell: Cell) -> dict:
    """A cell as a flat record; what was not run is None there, and so is what is not known."""
    place, score = cell.place, cell.score
    record = {
        "table": table,
        "game": cell.game,
        "agent": place.label,
        "num_keypoints": place.num_keypoints or None,
        "noise": place.noise,
        "published": score and score.value,
        "published_std": score and score.std,
        "published_garbled": " ".join(score.garbled) if score else "",
        "published_note": score.note if score else "none published",
        "published_human_normalised": published.human_normalised(cell.game, score and score.value),
        "status": "run" if cell.found else "not run",
    }
    return record | _ours(cell.game, cell.found)


def _ours(game: str, found: Found | None) -> dict:
    if found is None:
        return dict.fromkeys(_OURS)
    aggregates = found.evaluation.aggregates
    middle, iqm, mean = aggregates.median_seed, aggregates.iqm, aggregates.mean
    steps, policies, seeds, episodes = size(found.evaluation)
    even = found.evaluation.each_start_once
    return {
        "score": middle.mean,
        "std": middle.std,
        "median_seed": middle.seed,
        "human_normalised": published.human_normalised(game, middle.mean),
        "iqm": iqm.value,
        "iqm_low": iqm.low,
        "iqm_high": iqm.high,
        "mean": mean.value,
        "mean_low": mean.low,
        "mean_high": mean.high,
        "run_scores": list(aggregates.run_scores),
        "starts": even and even.number,
        "each_start_once": even and even.mean,
        "each_start_once_runs": even and list(even.run_scores),
        "policies": policies,
        "seeds": seeds,
        "episodes": episodes,
        "agent_steps": None if _steps_are_unknown(found.evaluation) else steps,
        "train_seeds": [policy.train_seed for policy in found.evaluation.policies],
        "machine_hours": found.hours,
        "random": float(found.evaluation.random_scores.mean()),
        "falls_short": "; ".join(shortfalls(found.evaluation)),
        "file": str(found.path),
    }


def _steps_are_unknown(evaluation: Evaluation) -> bool:
    agent = evaluation.agent
    return isinstance(agent, OtherAgent) and agent.num_steps is None


def across_games(filled: list[Cell]) -> dict[str, aggregates.Estimate | None]:
    """IQM of the human-normalised run scores over all games, runs resampled game by game.

    Returns:
      {agent: estimate}; None for an agent that was not tested on every game, or with different
      numbers of policies.
    """
    estimates = {}
    number = len({cell.place.game for cell in filled})
    for agent in dict.fromkeys(cell.place.label for cell in filled):
        columns = []
        for cell in filled:
            if cell.place.label == agent:
                scores = cell.found.evaluation.aggregates.run_scores if cell.found else ()
                columns.append([published.human_normalised(cell.place.game, s) for s in scores])
        alike = len({len(column) for column in columns}) == 1 and columns[0]
        complete = alike and len(columns) == number
        runs_by_games = np.transpose(columns) if complete else None  # [R, T]
        estimates[agent] = (
            aggregates.estimate(runs_by_games, statistics.interquartile_mean) if complete else None
        )
    return estimates
