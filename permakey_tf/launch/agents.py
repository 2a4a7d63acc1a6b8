"""A sweep of agents before it runs: each training, and each test of the agents of a cell.

A cell of a table is what differs in the seed alone: its agents are tested together. Nothing here
needs TensorFlow.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from permakey_tf.configs.agent import AgentConfig, AgentLoggingConfig
from permakey_tf.configs.base import flatten
from permakey_tf.configs.frames import canonical_game
from permakey_tf.errors import UserError
from permakey_tf.launch.local import Job
from permakey_tf.launch.plan import run_name, value_in_name
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.families import Settings
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.runs.progress import Status, is_trained, read_agent_progress, read_agent_status
from permakey_tf.scores.evaluation import Evaluation, PolicySpec
from permakey_tf.scores.evaluation_file import PlannedRun, read_evaluation, refuse_loss
from permakey_tf.scores.unfinished import check_unfinished, unfinished_path
from permakey_tf.system import disk
from permakey_tf.training.match import follow_folder, resolve_agent

SEED = "seed"  # the axis of the agents of one cell


def cell_name(point: dict[str, str]) -> str:
    """Of the cell that a point of the grid belongs to: the run's name without its seed."""
    return run_name({name: value for name, value in point.items() if name != SEED}) or "all"


def axes_in(template: str) -> list[str]:
    """["game", "seed"] of "runs/{game}_{seed}"."""
    return re.findall(r"\{(\w*)\}", template)


def fill_in_axes(template: str, point: dict[str, str]) -> str:
    """A folder's name with the values of axes in place of {AXIS}, as run folders have them.

    Raises:
      UserError: the grid has no such axis.
    """
    for name in axes_in(template):
        if name not in point:
            raise UserError(
                f"keypoints={template}: the grid has no axis {name}; it has {', '.join(point)}",
                ["keypoints"],
            )
    return re.sub(r"\{(\w*)\}", lambda word: value_in_name(word[1], point[word[1]]), template)


class PlannedAgent(NamedTuple):
    """One point of the grid: the training of an agent.

    agent, logging: the settings that were asked for. keypoints: run folder that it is to see with.
    given: names of the settings that were given. folder: its run folder.
    """

    job: Job
    agent: AgentConfig
    logging: AgentLoggingConfig
    keypoints: str
    given: frozenset[str]
    folder: str
    what = "run"
    comes_first = ""

    @property
    def name(self) -> str:
        """Of its folder and log."""
        return self.job.name

    @property
    def settings(self) -> Settings:
        """Its own, and which keypoints it sees with."""
        game = canonical_game(self.agent.environment.game)
        names = {"game": game, "keypoints": Path(self.keypoints).resolve()}
        return flatten(self.agent) | flatten(self.logging) | names

    def look(self) -> Status:
        """Looks into the folders of the keypoints and of the run.

        Raises:
          UserError: keypoints that are not there or not trained to their end; or what run.rl would
            refuse.
        """
        if not Path(self.keypoints).exists():
            raise UserError(
                f"keypoints={self.keypoints}: train them first, with run.keypoints or a sweep of "
                "keypoints such as flags/sweeps/quality.cfg",
                ["keypoints"],
            )
        keypoints = KeypointFolder.open(self.keypoints)
        if not is_trained(keypoints):
            raise UserError(
                f"keypoints={self.keypoints}: not trained to their end: resume them first",
                ["keypoints"],
            )
        agent = resolve_agent(self.agent, keypoints, self.given)
        agent = follow_folder(agent, self.folder, self.given)
        return read_agent_status(self.folder, agent, keypoints)


class PlannedTest(NamedTuple):
    """The test of a cell's agents.

    runs: their folders. train_seeds: of their trainings. folder: for evaluation.json.
    """

    job: Job
    runs: tuple[str, ...]
    train_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    episodes: int
    folder: str
    what = "test"
    comes_first = ""

    @property
    def name(self) -> str:
        """Of its log."""
        return self.job.name

    def look(self) -> Status:
        """Finished where all runs were tested as they stand now, perhaps beside others.

        Raises:
          UserError: the folder has a test of more runs than this one would make anew, or none of
            agents, or cannot be written.
        """
        path = Path(self.folder) / "evaluation.json"
        disk.check_place(path.parent, path.name)
        check_unfinished(unfinished_path(path), self.runs, self.seeds, self.episodes)
        if not path.exists():
            return Status(0, False, False)
        evaluation = read_evaluation(path)
        if evaluation is None:
            raise UserError(f"{path} is no test of agents: choose another out", ["out"])
        return Status(0, self._is_in(evaluation, path), False)

    def _is_in(self, evaluation: Evaluation, path: Path) -> bool:
        episodes, folders = evaluation.scores.shape[2], list(map(_begun, self.runs))
        alike = sorted(evaluation.seeds) == sorted(self.seeds) and episodes == self.episodes
        if alike and all(_is_tested(folder, evaluation.policies) for folder in folders):
            return True
        weights = [folder and folder.best_sha256 for folder in folders]
        runs = map(PlannedRun, self.runs, self.train_seeds, weights)
        num_games = len(self.runs) * len(self.seeds) * self.episodes
        refuse_loss(path, evaluation, list(runs), num_games)
        return False


def _begun(run: str) -> AgentFolder | None:
    return AgentFolder.open(run) if AgentFolder.has_begun(run) else None


def _is_tested(folder: AgentFolder | None, policies: Iterable[PolicySpec]) -> bool:
    """Whether a run was tested as it stands now; by name: a sweep may be moved, with all it has."""
    progress = folder and read_agent_progress(folder)
    if not progress:
        return False
    stands = folder.path.name, progress.step, progress.best_step
    return any(
        (Path(one.run).name, one.num_steps, one.checkpoint_step) == stands
        and one.weights in (None, folder.best_sha256)
        for one in policies
    )


def with_tests(
    agents: Sequence[PlannedAgent],
    cells: Sequence[str],
    out: Path,
    seeds: tuple[int, ...],
    episodes: int,
) -> Iterator[PlannedAgent | PlannedTest]:
    """The trainings, and behind the last one of each cell its test.

    Args:
      cells: of each agent, by `cell_name`.
      out: the sweep's folder.
      seeds, episodes: of the tests.
    """
    for place, (agent, cell) in enumerate(zip(agents, cells, strict=True)):
        yield agent
        if cell not in cells[place + 1 :]:
            runs = [one for one, its in zip(agents, cells, strict=True) if its == cell]
            yield _test(cell, runs, out, seeds, episodes)


def _test(cell: str, agents: list[PlannedAgent], out, seeds, episodes) -> PlannedTest:
    folders = tuple(agent.folder for agent in agents)
    folder = out / "tests" / cell
    command = [sys.executable, "-m", "run.rl", "--mode=evaluate", f"--runs={','.join(folders)}"]
    command += [f"--seeds={','.join(map(str, seeds))}", f"--test_episodes={episodes}"]
    name = f"test_{cell}"
    names = tuple(agent.name for agent in agents)
    job = Job(name, [*command, f"--out={folder}"], out / "logs" / f"{name}.log", names)
    train_seeds = tuple(agent.agent.learning.seed for agent in agents)
    return PlannedTest(job, folders, train_seeds, seeds, episodes, str(folder))
