"""The papers' tables with our numbers beside theirs.

`cells(table)` lists the places of a table, `fill` puts evaluations into them, `row` makes a plain
record of each. A place without an evaluation stays empty ("not run"); nothing but an evaluation of
ours ever fills one.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS, canonical_game
from permakey_tf.errors import UserError
from permakey_tf.scores import protocol, published, statistics
from permakey_tf.scores.protocol import Evaluation, Rules

TITLES = {
    1: "Atari, 100,000 agent steps",
    2: "Noisy Atari (both bars), CNN encoder, 100,000 agent steps",
    3: "MsPacman by number of keypoints, CNN encoder, 100,000 agent steps",
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
    """

    game: str
    agent: str
    num_keypoints: int
    noise: str
    sticky_actions: float = 0.0
    env_id: str = ""
    opening: str = ""

    def __str__(self):
        sticky = f", sticky actions {self.sticky_actions:g}" if self.sticky_actions else ""
        played = f", played on {self.env_id}" if self.env_id else ""
        opening = f", {self.opening}" if self.opening else ""
        named = f"{self.game}, {self.agent}, K = {self.num_keypoints}, noise {self.noise}"
        return named + sticky + played + opening


class Found(NamedTuple):
    """An evaluation and its file."""

    path: Path
    evaluation: Evaluation


class Cell(NamedTuple):
    """A place of a table, the paper's number and what we ran; `found` is None where nothing."""

    place: Place
    score: published.Score
    found: Found | None = None


def place_of(evaluation: Evaluation) -> Place:
    """The place of any table where an evaluation belongs."""
    agent = evaluation.agent
    kind = (agent.keypoints, agent.encoder)
    name = next(name for name, (*pair, _) in AGENTS.items() if tuple(pair) == kind)
    return Place(
        evaluation.game,
        name,
        agent.num_keypoints,
        agent.noise,
        evaluation.rules.sticky_actions,
        evaluation.env_id,
        evaluation.rules.opening,
    )


def cells(table: int) -> list[Cell]:
    """The empty cells of table 1, 2 or 3, in the paper's order; the paper's K where it has one."""
    names = {paper: ours for ours, (*_, paper) in AGENTS.items()}
    empty = []
    for score in published.scores(table):
        if score.method in names:
            game = canonical_game(score.game)
            number = score.num_keypoints or PAPER_NUM_KEYPOINTS[game]
            noise = "both" if table == 2 else "none"
            empty.append(Cell(Place(game, names[score.method], number, noise), score))
    return empty


def size(evaluation: Evaluation) -> tuple[int, int, int, int]:
    """(agent steps, policies, seeds, episodes); the steps are those of the shortest run."""
    return (min(policy.num_steps for policy in evaluation.policies), *evaluation.scores.shape)


def fill(empty: list[Cell], found: list[Found]) -> tuple[list[Cell], list[str]]:
    """Puts every evaluation into its cell.

    Different evaluations are never mixed. Where several belong into one cell, the one with the
    most agent steps stands there, but more than the paper's count no more; among those the one
    with most policies, seeds, episodes.

    Returns:
      the cells, and a line for each evaluation that stands in none, with the reason.

    Raises:
      UserError: several of the same size belong into one cell.
    """
    by_place: dict[Place, list[Found]] = {}
    for one in found:
        by_place.setdefault(place_of(one.evaluation), []).append(one)
    filled, left_out = [], []
    for cell in empty:
        rivals = sorted(by_place.pop(cell.place, []), key=_rank)
        if len(rivals) > 1 and _rank(rivals[-1]) == _rank(rivals[-2]):
            same = [one for one in rivals if _rank(one) == _rank(rivals[-1])]
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


def _rank(one: Found) -> tuple[int, int, int, int]:
    """Its size; agent steps beyond the table's are no merit."""
    steps, *rest = size(one.evaluation)
    return (min(steps, PROTOCOL["agent steps"]), *rest)


def shortfalls(evaluation: Evaluation) -> list[str]:
    """In what an evaluation differs from the paper's test, such as "1 of 3 policies"."""
    pairs = zip(size(evaluation), PROTOCOL.items(), strict=True)
    differences = [
        f"{has:,} of {full:,} {what}"
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
    if evaluation.agent.keypoint_steps is not None:
        differences.append(f"keypoints trained for {evaluation.agent.keypoint_steps:,} steps")
    return differences


# ---------------------------------------------------------------------------------------- records


_OURS = (
    *("score", "std", "median_seed", "human_normalised", "iqm", "iqm_low", "iqm_high"),
    *("mean", "mean_low", "mean_high", "run_scores", "policies", "seeds", "episodes"),
    *("agent_steps", "falls_short", "file"),
)


def row(table: int, cell: Cell) -> dict:
    """A cell as a flat record; what was not run is None there, and so is what is not known."""
    place, score = cell.place, cell.score
    record = {
        "table": table,
        "game": score.game,
        "agent": place.agent,
        "num_keypoints": place.num_keypoints,
        "noise": place.noise,
        "published": score.value,
        "published_std": score.std,
        "published_garbled": " ".join(score.garbled),
        "published_note": score.note,
        "published_human_normalised": published.human_normalised(score.game, score.value),
        "status": "run" if cell.found else "not run",
    }
    return record | _ours(score.game, cell.found)


def _ours(game: str, found: Found | None) -> dict:
    if found is None:
        return dict.fromkeys(_OURS)
    aggregates = found.evaluation.aggregates
    middle, iqm, mean = aggregates.median_seed, aggregates.iqm, aggregates.mean
    steps, policies, seeds, episodes = size(found.evaluation)
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
        "policies": policies,
        "seeds": seeds,
        "episodes": episodes,
        "agent_steps": steps,
        "falls_short": "; ".join(shortfalls(found.evaluation)),
        "file": str(found.path),
    }


def across_games(filled: list[Cell]) -> dict[str, protocol.Estimate | None]:
    """IQM of the human-normalised run scores over all games, runs resampled game by game.

    Returns:
      {agent: estimate}; None for an agent that was not tested on every game, or with different
      numbers of policies.
    """
    estimates = {}
    for agent in dict.fromkeys(cell.place.agent for cell in filled):
        columns = []
        for cell in filled:
            if cell.place.agent == agent:
                scores = cell.found.evaluation.aggregates.run_scores if cell.found else ()
                columns.append([published.human_normalised(cell.place.game, s) for s in scores])
        complete = len({len(column) for column in columns}) == 1 and columns[0]
        runs_by_games = np.transpose(columns) if complete else None  # [R, T]
        estimates[agent] = (
            protocol.estimate(runs_by_games, statistics.interquartile_mean) if complete else None
        )
    return estimates
