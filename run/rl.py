"""Trains an agent that plays from keypoints, or tests trained ones on unseen seeds.

  python -m run.rl --keypoints=runs/mspacman_permakey_seed0 --encoder=gnn
  python -m run.rl --mode=evaluate --runs=RUN,RUN,RUN
  python -m run.rl --mode=film --runs=RUN --out=runs/game.mp4

Without --keypoints, quick ones are trained first. The same command resumes; of a finished run it
tells where the results are.
"""

import contextlib
from pathlib import Path

from flags import common
from flags import rl as rl_flags
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.errors import UserError
from permakey_tf.launch.quick import quick_keypoints
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.runs.progress import read_agent_progress, read_agent_status, read_progress
from permakey_tf.scores.evaluation_file import read_evaluation
from permakey_tf.system.interruption import Interrupted
from permakey_tf.training.match import follow_folder, refuse_contradictions, resolve_agent


def open_keypoints(command: rl_flags.Training) -> KeypointFolder:
    """The keypoint run that the agent is to see with; trained first where none is named."""
    path = command.keypoints
    if not path:
        method = KeypointConfig.method  # the default, which the quick preset leaves as it is
        path = quick_keypoints(command.agent, command.logdir(command.agent, method))
    if not Path(path).exists():
        raise UserError(
            f"keypoints={path}: no such folder; an agent's run has its own copy, RUN/keypoints",
            ["keypoints"],
        )
    keypoints = KeypointFolder.open(path)
    progress = read_progress(keypoints)
    if progress and not progress.finished and progress.best_step:
        print(
            f"note: {keypoints.path} is not trained to its end: these are keypoints of step "
            f"{progress.best_step}"
        )
    return keypoints


def train(command: rl_flags.Training):
    keypoints = open_keypoints(command)
    agent = resolve_agent(command.agent, keypoints, command.given)
    common.tell_without_effect(agent)
    logdir = command.logdir(agent, keypoints.config.method)
    agent = follow_folder(agent, logdir, command.given)
    status = read_agent_status(logdir, agent, keypoints)
    if status.finished:
        print(f"run folder: {logdir} (finished at step {status.step})")
        tell_results(AgentFolder.open(logdir))
        return
    if not agent.learning.learns:
        begin, end = agent.learning.learn_start, agent.learning.num_steps
        print(f"note: nothing is learned in --num_steps={end} with --learn_start={begin}")
    if status.in_use:
        raise UserError(f"{logdir} is in use by another process")
    # TensorFlow takes seconds to load; what does not fit together is refused before.
    from permakey_tf.system.device import prepare_device
    from permakey_tf.training.agent import AgentTrainer

    at_a_time = agent.graphs_at_a_time(keypoints.config)
    print(f"device: {prepare_device(at_a_time, agent.learning.precision)}")
    with AgentFolder.held(logdir, agent, keypoints, common.command_line("run.rl")) as folder:
        with contextlib.closing(AgentTrainer.open(folder, command.logging)) as trainer:
            done = f"step {trainer.progress.step} of {agent.learning.num_steps}"
            print(f"run folder: {folder.path} (at {done})", flush=True)
            interruption = trainer.train()
        common.leave_if_interrupted(interruption, f"saved at step {trainer.progress.step}")
        tell_results(folder)


def tell_results(folder: AgentFolder) -> None:
    """Prints what a finished run has, and what may be done with it."""
    progress = read_agent_progress(folder)
    print(f"best validation score: {progress.best_score:.1f} at step {progress.best_step}")
    evaluation = folder.path / "evaluation.json"
    if evaluation.exists():
        print(f"evaluation: {evaluation}{_of_fewer_steps(evaluation, folder, progress.step)}")
    print(f"test it: python -m run.rl --mode=evaluate {common.quoted_one('runs', folder.path)}")
    print(f"TensorBoard: tensorboard {common.quoted('logdir', folder.path)}")


def _of_fewer_steps(evaluation: Path, folder: AgentFolder, step: int) -> str:
    """That the run was trained on since it was tested; "" where it was not."""
    tested = read_evaluation(evaluation)
    policies = tested.policies if tested else ()
    seed = folder.config.learning.seed  # not by name: the folder may have been renamed
    steps = [one.num_steps for one in policies if one.train_seed == seed]
    return f" (of step {min(steps)}: test it again)" if steps and min(steps) < step else ""


def tell_unfinished(folder: AgentFolder) -> None:
    """Prints that a run has not reached its end: a test says nothing of the steps to come."""
    progress = read_agent_progress(folder)
    if progress and not progress.is_finished(folder.config):
        state = "is being trained now" if folder.in_use else "is not trained to its end"
        steps = f"step {progress.step} of {folder.config.learning.num_steps}"
        print(f"note: {folder.path} {state} (at {steps})")


def evaluate(command: rl_flags.Test):
    folders = [AgentFolder.open(run) for run in command.runs]
    for folder in folders:
        refuse_contradictions(folder, command.asked)
    for folder in folders:
        tell_unfinished(folder)
    from permakey_tf.scores.evaluate import evaluate_policies
    from permakey_tf.system.device import prepare_device
    from permakey_tf.training.games import GROUPS

    print(f"device: {prepare_device(at_a_time=GROUPS)}")
    try:
        result = evaluate_policies(command.runs, command.seeds, command.episodes, command.path)
    except Interrupted as stop:
        common.leave_if_interrupted(stop, stop.saved)
    print(result.aggregates.median_seed)
    print(f"mean over all seeds: {result.aggregates.mean.value:.1f}")
    if even := result.each_start_once:
        print(f"mean over {even.number} different starts, each counted once: {even.mean:.1f}")
    print(f"random play in the same games: {result.random_scores.mean():.1f}; {result.advantage}")
    print(f"repeats: {result.repeats.describe(result.random_scores.size)}")
    print(f"evaluation: {command.path}")


def film(command: rl_flags.Filming):
    refuse_contradictions(AgentFolder.open(command.run), command.asked)
    from permakey_tf.scores.film import check_place, play_film, write_film
    from permakey_tf.system.device import prepare_device

    check_place(command.path)
    print(f"device: {prepare_device()}")
    played = play_film(command.run, command.seed, command.episode)
    write_film(played, command.path, command.fps)
    print(f"score {played.final_score:g} after {len(played.frames)} steps")
    print(f"film: {command.path}")


def main(command):
    if isinstance(command, rl_flags.Test):
        evaluate(command)
    elif isinstance(command, rl_flags.Filming):
        film(command)
    else:
        train(command)


if __name__ == "__main__":
    common.start(rl_flags, main)
