"""A collection of what was tested: small files of every cell, to be kept beside the code.

  CELL/evaluation.json         the test
  CELL/seed-S/metrics.csv      what the run of training seed S reported
  CELL/seed-S/config.json      its settings

A collection is read as run folders are. Its evaluations name their runs by the folders beside them.
"""

import dataclasses
import json
import re
from pathlib import Path

from permakey_tf.configs.agent import EncoderConfig
from permakey_tf.errors import UserError
from permakey_tf.runs import families
from permakey_tf.scores import curves
from permakey_tf.scores.evaluation import Evaluation
from permakey_tf.scores.evaluation_file import read_evaluation, refuse_copies, write_evaluation
from permakey_tf.scores.tested import Tested, TestedRun
from permakey_tf.system import disk, files, schema

_STEPS = 100_000  # of the papers' tables; other numbers stand in a cell's name


def folder_name(evaluation: Evaluation) -> str:
    """Such as "mspacman_permakey_gnn_k7_none_pursuit"; what no table asks for is told behind."""
    agent, rules = evaluation.agent, evaluation.rules
    words = [evaluation.game, agent.keypoints, agent.encoder, f"k{agent.num_keypoints}"]
    words += [agent.noise, *filter(None, [agent.variant, evaluation.env_id])]
    if agent.cnn_filters not in (None, EncoderConfig.cnn_filters):
        words.append("filters-" + "+".join(map(str, agent.cnn_filters)))
    words += [f"sticky-{rules.sticky_actions:g}"] * bool(rules.sticky_actions)
    words += [rules.opening] * bool(rules.opening)
    words += [f"{agent.num_steps}-steps"] * (agent.num_steps != _STEPS)
    return re.sub(r"[^\w.+-]+", "-", "_".join(words))


def is_from(target: Path, path: Path, evaluation: Evaluation) -> bool:
    """Whether an evaluation's file is already that of its cell in a collection.

    One of somebody else's agent, which no collection takes, is called so too.
    """
    if not evaluation.policies:
        return True
    return (target / folder_name(evaluation)).resolve() == path.resolve().parent


def collect(found: list[Tested], target: Path) -> tuple[list[Path], list[str]]:
    """Copies tests and what their runs reported into a collection.

    A cell that is there is replaced by a test of the same agents, and perhaps more. Nothing is
    written before all was read.

    Args:
      found: tests with their files and runs.
      target: folder of the collection, made where it is missing.

    Returns:
      the cells' folders, and a line for each evaluation that was not taken, with the reason.

    Raises:
      UserError: two evaluations of one cell; agents with other settings than those that its cell
        has; a damaged file; a folder that cannot be written.
    """
    sources: dict[str, tuple[Path, Evaluation]] = {}
    cells, notes = [], []
    for path, evaluation, runs in found:
        folder = target / folder_name(evaluation) if evaluation.policies else target
        if reason := _not_to_take(folder, evaluation, runs):
            notes.append(f"{path}: not collected, {reason}")
        else:
            if folder.name in sources:
                earlier = sources[folder.name]
                refuse_copies([earlier, (path, evaluation)])
                raise UserError(
                    f"{earlier[0]} and {path} are both of {folder.name}: test their policies "
                    "together (python -m run.rl --mode=evaluate --runs=...)"
                )
            sources[folder.name] = path, evaluation
            folders = [run.folder for run in runs if run.folder]
            named = dict(zip(_names(evaluation), folders, strict=True))
            _refuse_other_settings(folder, named, path)
            cells.append((folder, evaluation, {n: _small_files(run) for n, run in named.items()}))
    disk.check_place(target)
    for folder, evaluation, texts in cells:
        _write(folder, evaluation, texts)
    return [folder for folder, *_ in cells], notes


def _not_to_take(folder: Path, evaluation: Evaluation, runs: list[TestedRun]) -> str:
    """Why a test is left out of a collection, where its cell is `folder`; "" where it is not."""
    if not evaluation.policies:
        return f"{evaluation.agent.name} is no run of ours"
    for run in runs:
        if run.folder is None:
            return f"the run {run.name} is not at hand" + (f": {run.why}" if run.why else "")
    if kept := _kept(folder, evaluation):
        return kept
    for run in runs:
        if run.since:  # its metrics and settings are of other agents than the test's
            return f"{run.folder} {run.since}: train it to its end and test it again"
    return ""


def _names(evaluation: Evaluation) -> list[str]:
    """Of the folders of an evaluation's runs."""
    seeds = [policy.train_seed for policy in evaluation.policies]
    if len(set(seeds)) == len(seeds):
        return [f"seed-{seed}" for seed in seeds]
    return [f"seed-{seed}_{place}" for place, seed in enumerate(seeds)]


def _kept(folder: Path, evaluation: Evaluation) -> str:
    """Why what a collection has stays, and is not replaced; "" where it is."""
    path = folder / "evaluation.json"
    there = read_evaluation(path) if path.exists() else None
    if not there:
        return ""
    lost = sorted(set(_names(there)) - set(_names(evaluation)))
    if lost:
        return f"{folder} also has {', '.join(lost)}"
    if there.scores[0].size > evaluation.scores[0].size:
        return f"{folder} has more test games"
    steps = dict(zip(_names(evaluation), (p.num_steps for p in evaluation.policies), strict=True))
    for name, policy in zip(_names(there), there.policies, strict=True):
        if policy.num_steps > steps[name]:
            return f"{folder} has {name} of more steps ({policy.num_steps:,})"
    return ""


def _refuse_other_settings(folder: Path, runs: dict[str, Path], path: Path) -> None:
    """One cell has agents that differ in their seeds alone, whenever they were collected."""
    there = sorted(folder.glob("*/config.json"))
    every = [file.parent for file in there] + list(runs.values())
    first, *others = [families.without_seeds(_read(run).settings) for run in every]
    for other in others:
        for name in first | other:
            if (then := first.get(name)) != (now := other.get(name)):
                raise UserError(
                    f"{path}: {folder} has agents with another {families.leaf(name)} ({then}, not "
                    f"{now}): collect these elsewhere"
                )


def _read(folder: Path) -> curves.ScoredRun:
    run = curves.read_run(folder, curves.FULL_GAME_SCORE)
    if run is None:
        raise UserError(f"{folder} holds no agent's run")
    return run


def _small_files(run: Path) -> dict[str, str]:
    """{file: content}. The command, which may name folders of one machine, is left out."""
    config = schema.read_object(run / "config.json")
    config.pop("command", None)
    return {
        "config.json": json.dumps(config, indent=2) + "\n",
        "metrics.csv": (run / "metrics.csv").read_text(),
    }


def _write(folder: Path, evaluation: Evaluation, texts: dict[str, dict[str, str]]) -> None:
    for name, contents in texts.items():
        files.make_folder(folder / name)
        for file, text in contents.items():
            files.write_text(folder / name / file, text)
    policies = zip(evaluation.policies, texts, strict=True)
    renamed = tuple(dataclasses.replace(policy, run=name) for policy, name in policies)
    write_evaluation(folder / "evaluation.json", dataclasses.replace(evaluation, policies=renamed))
