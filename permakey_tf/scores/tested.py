"""Tests of agents with the folders of the runs that they tested, found again by what is in them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from permakey_tf.configs.agent import AS_TRAINED
from permakey_tf.errors import UserError
from permakey_tf.runs import families
from permakey_tf.runs.folder import Folder
from permakey_tf.runs.readers import machine_hours, read_metrics
from permakey_tf.scores import curves
from permakey_tf.scores.evaluation import AgentSpec, Evaluation, PolicySpec


class TestedRun(NamedTuple):
    """What is at hand of a tested run.

    name: as the test names it. folder: None where it is not at hand.
    hours: of machine, up to the tested step; None where they are not known.
    why: what is in its place, where something is. since: what was done to it since the test.
    """

    name: str
    folder: Path | None
    hours: float | None = None
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
        hours = [run.hours for run in self.runs if run.hours is not None]
        return sum(hours) if self.runs and len(hours) == len(self.runs) else None


class _Wanted(NamedTuple):
    """A run as a test tells of it. path: of the test's file."""

    path: Path
    game: str
    agent: AgentSpec
    policy: PolicySpec

    @property
    def name(self) -> Path:
        """A collection names a run as seen from its file, a test as seen from where it started."""
        return Path(self.policy.run)


def find_runs(path: Path, evaluation: Evaluation, places: Iterable[Path]) -> list[TestedRun]:
    """The runs of a test.

    Args:
      path: its file.
      places: all run folders among which a report looks.
    """
    if not isinstance(evaluation.agent, AgentSpec):  # somebody else's, of no runs
        return []
    by_name: dict[str, list[Path]] = {}
    for place in places:
        by_name.setdefault(place.absolute().name, []).append(place)
    wanted = [_Wanted(path, evaluation.game, evaluation.agent, p) for p in evaluation.policies]
    return [_find(one, by_name.get(one.name.name, [])) for one in wanted]


def _find(wanted: _Wanted, listed: list[Path]) -> TestedRun:
    """The run's folder is where its name leads from the test's file.

    From elsewhere, or once all was moved, it is a folder of that name: the evaluation's own, one
    beside it, or beside that, as of a sweep's runs and tests, or any that the report was given.
    What has its path in the current folder comes last: that may be another checkout.
    """
    name, own = wanted.name, wanted.path.absolute().parent
    first = [*([wanted.path.parent] if own.name == name.name else []), wanted.path.parent / name]
    near = [above / name.name for above in own.parents[:2]]
    others = sorted([*near, *listed], key=lambda at: _nearness(at, wanted), reverse=True)
    why = ""
    for place in (*first, *others, name):
        if not all((place / file).is_file() for file in ("metrics.csv", "config.json")):
            continue
        run, reason = _read(place, wanted)
        if run is None:
            # Of a folder that only has the name, it goes without saying.
            is_meant = place in first or _parts_in_common(place, name) == len(name.parts)
            why = why or (reason if is_meant else "")
            continue
        rivals = [] if place in (*first, *near) else listed
        if rival := _rival(place, rivals, wanted):
            return TestedRun(wanted.policy.run, None, why=f"it may be {place} or {rival}")
        return _taken(run, wanted)
    return TestedRun(wanted.policy.run, None, why=why)


def _parts_in_common(place: Path, name: Path) -> int:
    """How many of the last parts of two paths are the same."""
    pairs = list(zip(place.absolute().parts[::-1], name.parts[::-1], strict=False))
    return next((i for i, (one, other) in enumerate(pairs) if one != other), len(pairs))


def _nearness(place: Path, wanted: _Wanted) -> tuple[int, int]:
    """How many parts a folder has in common with the name, and above it with the test's file."""
    shared = Path(os.path.commonpath([place.absolute(), wanted.path.absolute()]))
    return _parts_in_common(place, wanted.name), len(shared.parts)


def _rival(place: Path, listed: list[Path], wanted: _Wanted) -> Path | None:
    """Another folder that the name and all that was tested fit as well as this one."""
    for other in listed:
        alike = _nearness(other, wanted) == _nearness(place, wanted)
        if alike and other.resolve() != place.resolve() and _read(other, wanted)[0]:
            return other
    return None


def _read(folder: Path, wanted: _Wanted) -> tuple[curves.ScoredRun | None, str]:
    """A folder's run where it is the wanted one, for all that is told; else None, and why not."""
    try:
        run = curves.read_run(folder, curves.FULL_GAME_SCORE)
    except UserError as error:
        return None, str(error)
    if run is None:
        return None, f"{folder} holds no agent's run"
    unlike = _unlike(run, wanted)
    return (None, f"{folder} is another run ({unlike})") if unlike else (run, "")


def _unlike(run: curves.ScoredRun, wanted: _Wanted) -> str:
    """What tells a run from the wanted one; "" where nothing does.

    Runs of any version are compared, so that what is called otherwise, or missing, is passed over.
    """
    agent, policy = wanted.agent, wanted.policy
    settings = families.effective(run.settings)
    has = families.without_keypoints(settings)
    sees = {
        families.leaf(name): value
        for name, value in settings.items()
        if name.startswith(families.KEYPOINTS)
    }
    pairs = {
        "game": (run.game, wanted.game),
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
            return f"{name} {now}, not {then}"
    steps = has.get("num_steps")
    if isinstance(steps, int) and steps < agent.num_steps:
        return f"of {steps:,} steps, not {agent.num_steps:,}"
    # The tested checkpoint is of the first of the best validations.
    values = run.values[run.steps <= policy.num_steps]
    best = int(run.steps[values.argmax()]) if len(values) else 0
    if best != policy.checkpoint_step:
        return (
            f"best validation at step {best:,}, one of step {policy.checkpoint_step:,} was tested"
        )
    if len(values) == len(run.steps) and _has_other_weights(run.path, policy):
        return "trained anew since the test: its best checkpoint is another file"
    return ""


def _has_other_weights(folder: Path, policy: PolicySpec) -> bool:
    """Whether the best checkpoint is not the tested one; False where either is not known."""
    now = Folder(folder, {}).best_sha256
    return None not in (now, policy.weights) and now != policy.weights


def _taken(run: curves.ScoredRun, wanted: _Wanted) -> TestedRun:
    """The wanted run, with what its reports tell."""
    policy, table = wanted.policy, read_metrics(run.path)
    reported = max((step for column in table.values() for step in column), default=0)
    steps = families.without_keypoints(run.settings).get("num_steps")
    since = ""
    if reported > policy.num_steps:
        since = f"has reported to step {reported:,} and was tested at {policy.num_steps:,}"
    elif isinstance(steps, int) and steps > wanted.agent.num_steps:
        since = f"is now set to {steps:,} steps, and not {wanted.agent.num_steps:,}"
    hours = machine_hours(table, policy.num_steps)
    return TestedRun(policy.run, run.path, hours, since=since)
