"""Tests of agents with the folders of the runs that they tested, found again by what is in them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from permakey_tf.configs.agent import AS_TRAINED
from permakey_tf.errors import UserError
from permakey_tf.runs import families
from permakey_tf.runs.readers import machine_hours, read_metrics
from permakey_tf.scores import curves
from permakey_tf.scores.evaluation import AgentSpec, Evaluation, PolicySpec


class TestedRun(NamedTuple):
    """What is at hand of a tested run.

    name: as the test names it. folder: None where it is not at hand.
    why: what is in its place, where something is. since: what was done to it since the test.
    """

    name: str
    folder: Path | None
    why: str = ""
    since: str = ""


class Tested(NamedTuple):
    """A test, its file and its runs, as many as it has policies."""

    path: Path
    evaluation: Evaluation
    runs: list[TestedRun]

    @property
    def hours(self) -> float | None:
        """Machine hours of all its runs up to the tested steps; None where one's are not known."""
        total = 0.0
        for run, policy in zip(self.runs, self.evaluation.policies, strict=True):
            table = read_metrics(run.folder) if run.folder else {}
            if (hours := machine_hours(table, policy.num_steps)) is None:
                return None
            total += hours
        return total if self.runs else None


def find_runs(path: Path, evaluation: Evaluation, places: Iterable[Path]) -> list[TestedRun]:
    """The runs of a test.

    Args:
      path: its file.
      places: all run folders among which a report looks.
    """
    by_name: dict[str, list[Path]] = {}
    for place in places:
        by_name.setdefault(place.absolute().name, []).append(place)
    return [
        _find(path, evaluation, policy, by_name.get(Path(policy.run).name, []))
        for policy in evaluation.policies
    ]


def _find(path: Path, evaluation: Evaluation, policy: PolicySpec, listed: list[Path]) -> TestedRun:
    """A collection names a run as seen from the evaluation, a test as seen from where it started.

    From elsewhere, or once all was moved, it is a folder of that name: the evaluation's own, one
    beside it, or beside that, as of a sweep's runs and tests, or any that the report was given.
    What has its path in the current folder comes last: that may be another checkout.
    """
    named, own = Path(policy.run), path.absolute().parent
    first = [*([path.parent] if own.name == named.name else []), path.parent / named]
    near = [above / named.name for above in own.parents[:2]]
    others = sorted([*near, *listed], key=lambda at: _nearness(at, named, path), reverse=True)
    why = ""
    for place in (*first, *others, named):
        if not all((place / name).is_file() for name in ("metrics.csv", "config.json")):
            continue
        if reason := _unlike(place, evaluation, policy):
            # Of a folder that only has the name, it goes without saying.
            is_meant = place in first or _parts_in_common(place, named) == len(named.parts)
            why = why or (reason if is_meant else "")
            continue
        rivals = [] if place in (*first, *near) else listed
        if rival := _rival(place, rivals, path, evaluation, policy):
            return TestedRun(policy.run, None, f"it may be {place} or {rival}")
        return TestedRun(policy.run, place, since=_since(place, evaluation, policy))
    return TestedRun(policy.run, None, why)


def _parts_in_common(place: Path, named: Path) -> int:
    """How many of the last parts of two paths are the same."""
    pairs = list(zip(place.absolute().parts[::-1], named.parts[::-1], strict=False))
    return next((i for i, (one, other) in enumerate(pairs) if one != other), len(pairs))


def _nearness(place: Path, named: Path, path: Path) -> tuple[int, int]:
    """How many parts a folder has in common with the name, and above it with the test's file."""
    shared = Path(os.path.commonpath([place.absolute(), path.absolute()]))
    return _parts_in_common(place, named), len(shared.parts)


def _rival(
    place: Path, listed: list[Path], path: Path, evaluation: Evaluation, policy: PolicySpec
) -> Path | None:
    """Another folder that the name and all that was tested fit as well as this one."""
    nearness = _nearness(place, Path(policy.run), path)
    for other in listed:
        alike = _nearness(other, Path(policy.run), path) == nearness
        if alike and other.resolve() != place.resolve() and not _unlike(other, evaluation, policy):
            return other
    return None


def _unlike(folder: Path, evaluation: Evaluation, policy: PolicySpec) -> str:
    """Why a folder is not that of a tested policy's run; "" where it is, for all that is told.

    Runs of any version are compared, so that what is called otherwise, or missing, is passed over.
    """
    try:
        run = curves.read_run(folder, curves.FULL_GAME_SCORE)
    except UserError as error:
        return str(error)
    if run is None:
        return f"{folder} holds no agent's run"
    settings = families.effective(run.settings)
    has, agent = families.without_keypoints(settings), evaluation.agent
    assert isinstance(agent, AgentSpec)  # others have no policies
    sees = {
        families.leaf(name): value
        for name, value in settings.items()
        if name.startswith(families.KEYPOINTS)
    }
    pairs = {
        "game": (run.game, evaluation.game),
        "training seed": (has.get("seed"), policy.train_seed),
        "keypoints": (sees.get("method"), agent.keypoints),
        "num_keypoints": (sees.get("num_keypoints"), agent.num_keypoints),
    }
    if agent.extractor is not None:  # of Transporter, and in earlier files
        pairs["extractor"] = (sees.get("extractor"), agent.extractor)
    names = ("encoder", "noise", "nodes", "track_keypoints")
    pairs |= {name: (has.get(name), getattr(agent, name)) for name in names}
    for name, (now, then) in pairs.items():
        if now not in (None, AS_TRAINED, then):  # earlier versions left the noise to the keypoints
            return f"{folder} is another run ({name} {now}, not {then})"
    steps = has.get("num_steps")
    if isinstance(steps, int) and steps < agent.num_steps:
        return f"{folder} is another run (of {steps:,} steps, not {agent.num_steps:,})"
    # The tested checkpoint is of the first of the best validations.
    values = run.values[run.steps <= policy.num_steps]
    best = int(run.steps[values.argmax()]) if len(values) else 0
    if best != policy.checkpoint_step:
        tested = f"one of step {policy.checkpoint_step:,} was tested"
        return f"{folder} is another run (best validation at step {best:,}, {tested})"
    return ""


def _since(folder: Path, evaluation: Evaluation, policy: PolicySpec) -> str:
    """That a run was trained on since its test; "" where it was not."""
    agent = evaluation.agent
    assert isinstance(agent, AgentSpec)
    reported = max((step for column in read_metrics(folder).values() for step in column), default=0)
    if reported > policy.num_steps:
        return f"has reported to step {reported:,} and was tested at {policy.num_steps:,}"
    run = curves.read_run(folder, curves.FULL_GAME_SCORE)
    steps = families.without_keypoints(run.settings).get("num_steps") if run else None
    if isinstance(steps, int) and steps > agent.num_steps:
        return f"is now set to {steps:,} steps, and not {agent.num_steps:,}"
    return ""
