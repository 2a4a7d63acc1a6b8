"""evaluation.json, which holds every episode of a test; docs/report.md describes the format."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np

from permakey_tf.configs.frames import canonical_game
from permakey_tf.errors import UserError
from permakey_tf.runs.folder import is_run_folder
from permakey_tf.scores.aggregates import Aggregates
from permakey_tf.scores.evaluation import AgentSpec, Evaluation, OtherAgent, PolicySpec, Rules
from permakey_tf.scores.repeats import GameRepeats
from permakey_tf.system import disk, files, schema

_FORMAT_VERSION = 1
# Keypoint runs have an evaluation.json too, of no such kind.
_KIND = "agent"
_OTHER_KIND = "policy"  # earlier versions pass over it, as they do over keypoint runs'
_REMEDY = "delete it, and test again"


class PlannedRun(NamedTuple):
    """A run of ours before its test.

    weights: SHA-256 (hex) of its best checkpoint; None where it has none yet.
    """

    folder: str
    train_seed: int
    weights: str | None = None

    def is_of(self, policy: PolicySpec) -> bool:
        """Whether this run was tested; by name where its folder has been moved."""
        if policy.weights and policy.weights == self.weights:
            return True
        then, now = Path(policy.run), Path(self.folder)
        if then.exists():
            return then.resolve() == now.resolve()
        return (then.name, policy.train_seed) == (now.absolute().name, self.train_seed)


class Planned(NamedTuple):
    """A test before its first game.

    game, env_id, rules: as of an Evaluation. num_games: P * S * E.
    runs: ours. name: of somebody else's agent, which has no runs.
    """

    game: str
    env_id: str
    rules: Rules
    num_games: int
    runs: tuple[PlannedRun, ...] = ()
    name: str | None = None


def check_place(path: Path, test: Planned) -> None:
    """Checks before the first game that evaluation.json can be written.

    An earlier test of the same agents, perhaps without some, in the same games and of no more of
    them, is replaced, nothing else.

    Args:
      path: of the file.
      test: that is to stand there.

    Raises:
      UserError: it cannot.
    """
    out = path.parent
    if out.suffix.lower() == ".json":  # a folder of that name would stand where reports look
        raise UserError(f"out={out} names a file: give its folder, {out.parent}", ["out"])
    disk.check_place(out, path.name)
    if test.name is not None and is_run_folder(out):  # its own test is to stand there
        raise UserError(f"out={out} is the folder of a run: choose another out", ["out"])
    content = schema.read_object(path, _REMEDY) if path.exists() else {}
    held = ""
    if "losses" in content:
        held = "the test losses of a keypoint run"
    elif content.get("kind") == (_OTHER_KIND if test.name is None else _KIND):
        held = "the test of another kind of agent"
    elif (found := read_evaluation(path) if content else None) is not None:
        refuse_loss(path, found, test.runs, test.num_games)
        held = _of_others(found, test)
    if held:
        raise UserError(f"{path} has {held}: choose another out, or delete it", ["out"])


def _of_others(found: Evaluation, test: Planned) -> str:
    """What a test has that the one in its place would not; "" where that has it all."""
    if isinstance(found.agent, OtherAgent) and found.agent.name != test.name:
        return f"the test of another agent, {found.agent.name}"
    then, now = (
        {"game": one.game, "env_id": one.env_id} | dataclasses.asdict(one.rules)
        for one in (found, test)
    )
    for name, value in then.items():
        if value != now[name]:
            return f"a test in other games, with {name}={value!r} and not {now[name]!r}"
    return ""


def refuse_copies(found: Iterable[tuple[Path, Evaluation]]) -> None:
    """Raises UserError where two files are one test: its policies cannot be tested together."""
    for (path, one), (other_path, other) in itertools.combinations(found, 2):
        if one.is_same(other):
            raise UserError(f"{path} and {other_path} are the same test (a copy?): leave one out")


def refuse_loss(path: Path, found: Evaluation, runs: Sequence[PlannedRun], num_games: int) -> None:
    """Raises UserError where the test at `path` has what the one in its place would not.

    That is a run, or more games; `runs`, `num_games`: of the test that is to stand there.
    """
    for policy in found.policies:
        if not any(run.is_of(policy) for run in runs):
            raise UserError(
                f"{path} is also of {policy.run}, which would not be tested anew: name it too, "
                "choose another out, or delete it",
                ["out"],
            )
    if found.scores.size > num_games:
        policies, seeds, episodes = found.scores.shape
        raise UserError(
            f"{path} has a larger test ({policies} policies x {seeds} seeds x {episodes} "
            f"episodes): choose another out, or delete it",
            ["out"],
        )


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Writes evaluation.json, one line per top-level name."""
    ours = isinstance(evaluation.agent, AgentSpec)
    content = {
        "format_version": _FORMAT_VERSION,
        "kind": _KIND if ours else _OTHER_KIND,
        "game": evaluation.game,
        "env_id": evaluation.env_id,
        "rules": dataclasses.asdict(evaluation.rules),
        "agent": dataclasses.asdict(evaluation.agent),
        "policies": [dataclasses.asdict(policy) for policy in evaluation.policies],
        "seeds": list(evaluation.seeds),
        "scores": evaluation.scores.tolist(),
        "lengths": evaluation.lengths.tolist(),
        "random_scores": evaluation.random_scores.tolist(),
        "repeats": evaluation.repeats and dataclasses.asdict(evaluation.repeats),
        "aggregates": _plain(evaluation.aggregates),
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
    files.write_text(Path(path), "{\n" + ",\n".join(lines) + "\n}\n")


def _plain(aggregates: Aggregates) -> dict:
    return {
        "median_seed": aggregates.median_seed._asdict(),
        "run_scores": list(aggregates.run_scores),
        "mean": aggregates.mean._asdict(),
        "iqm": aggregates.iqm._asdict(),
    }


def read_evaluation(path: Path) -> Evaluation | None:
    """Reads and checks evaluation.json; None where it is that of another kind of run.

    Raises:
      UserError: a damaged file, another format version, or aggregates that do not follow from the
        scores.
    """
    content = schema.read_object(path, _REMEDY)
    kind = content.get("kind")
    if kind not in (_KIND, _OTHER_KIND):
        return None
    schema.check_version(path, content, _FORMAT_VERSION)
    try:
        evaluation = _from_content(
            schema.parse(_EvaluationContent if kind == _KIND else _OtherContent, content)
        )
        stored = content["aggregates"]
        if not np.allclose(
            _numbers(stored), _numbers(_plain(evaluation.aggregates)), equal_nan=True
        ):
            raise ValueError("aggregates do not follow from scores")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is damaged or of another program: {error}; {_REMEDY}") from error
    return evaluation


class _AnyContent(TypedDict):
    """What the file holds beside its kind, its version, the aggregates and the agent."""

    game: str
    env_id: str
    rules: Rules
    policies: tuple[PolicySpec, ...]
    seeds: tuple[int, ...]
    scores: list[list[list[float]]]
    lengths: list[list[list[int]]]
    random_scores: list[list[float]]
    repeats: NotRequired[GameRepeats | None]
    aggregates: dict[str, Any]


class _EvaluationContent(_AnyContent):
    agent: AgentSpec


class _OtherContent(_AnyContent):
    agent: OtherAgent


def _from_content(content: _EvaluationContent | _OtherContent) -> Evaluation:
    return Evaluation(
        game=canonical_game(content["game"]),
        env_id=content["env_id"],
        rules=content["rules"],
        agent=content["agent"],
        policies=content["policies"],
        seeds=content["seeds"],
        scores=np.array(content["scores"], float),
        lengths=np.array(content["lengths"]),
        random_scores=np.array(content["random_scores"], float),
        repeats=content.get("repeats"),
    )


def _numbers(aggregates: dict) -> np.ndarray:
    """The aggregates that involve no random draws, float [5 + P]."""
    middle = aggregates["median_seed"]
    points = [middle["seed"], middle["mean"], middle["std"]]
    points += [aggregates["mean"]["value"], aggregates["iqm"]["value"], *aggregates["run_scores"]]
    return np.array(points, float)
