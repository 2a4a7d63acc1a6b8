"""Anyone's policy under the protocol of our tests, its file, and its row in the tables."""

import functools
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from support import refuses, write_agent, write_keypoints
from test_report import evaluation, found

from permakey_tf import AgentPlayer, evaluate_agent
from permakey_tf.envs.atari import AtariGame
from permakey_tf.scores import markdown, report, tables
from permakey_tf.scores.evaluate import evaluate_policies
from permakey_tf.scores.evaluation import OtherAgent, Rules
from permakey_tf.scores.evaluation_file import (
    Planned,
    PlannedRun,
    check_place,
    read_evaluation,
    write_evaluation,
)
from permakey_tf.scores.repeats import GameRepeats
from permakey_tf.system.markdown import row
from permakey_tf.system.seeds import Stream, episode_seed, stream

ROOT = Path(__file__).parents[1]
SHORT = {"seeds": [3, 1], "episodes": 2, "max_episode_steps": 120, "progress": False}


class Shooter:
    """Fires and walks in turn; remembers what it was asked."""

    def __init__(self, every=2):
        self.every, self.games, self.shapes = every, 0, set()

    def reset(self):
        self.games, self.step = self.games + 1, 0

    def act(self, frame):
        self.shapes.add((frame.shape, frame.dtype.name))
        self.step += 1
        return np.array(1 if self.step % self.every == 0 else 2)  # as SB3's predict

    def act_at_once(self, frame):
        return 1


def played(choose, seed, number, limit=120):
    """(score, length) of a test game in the emulator; `choose` gives the action of a step."""
    game, score = AtariGame("spaceinvaders"), 0.0
    game.reset(episode_seed("test", seed, number))
    for step in range(limit):
        one = game.step(choose(step + 1))
        score += one.reward
        if one.terminal:
            break
    return score, step + 1


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    out = tmp_path_factory.mktemp("shooters")
    shooters = [Shooter(2), Shooter(3)]
    return evaluate_agent(
        shooters, "SpaceInvaders", name="Shooter", num_steps=0, out=out, **SHORT
    ), out, shooters  # fmt: skip


def test_scores_are_those_of_the_emulator(tested):
    result, _, shooters = tested
    for p, every in enumerate((2, 3)):
        for s, seed in enumerate((3, 1)):
            for e in range(2):
                expected = played(lambda step, every=every: 1 if step % every == 0 else 2, seed, e)
                assert (result.scores[p, s, e], result.lengths[p, s, e]) == expected
    assert result.scores.max() > 0
    assert [shooter.games for shooter in shooters] == [4, 4]
    assert shooters[0].shapes == {((210, 160, 3), "uint8")}


def test_random_play_and_repeats_stand_beside(tested):
    result, *_ = tested
    for s, seed in enumerate((3, 1)):
        for e in range(2):
            rng = stream(seed, Stream.TEST_GAME, e)
            expected, _ = played(lambda _, rng=rng: int(rng.integers(6)), seed, e)
            assert result.random_scores[s, e] == expected
    starts = [AtariGame("spaceinvaders").reset(episode_seed("test", s, e)).tobytes()
              for s in (3, 1) for e in range(2)]  # fmt: skip
    assert result.repeats.first_screens == len(set(starts))
    assert result.repeats.in_training is None and len(result.repeats.different) == 2
    assert "training" not in result.repeats.describe(4)


def test_the_file_is_read_again_and_of_a_kind_that_earlier_versions_pass_over(tested):
    result, out, _ = tested
    path = out / "evaluation.json"
    content = json.loads(path.read_text())
    assert (content["format_version"], content["kind"]) == (1, "policy")
    assert content["agent"] == {"name": "Shooter", "num_steps": 0}
    read = read_evaluation(path)
    assert (read.agent, read.repeats, read.rules) == (result.agent, result.repeats, result.rules)
    np.testing.assert_array_equal(read.scores, result.scores)
    assert read.aggregates == result.aggregates
    content["agent"]["name"] = ""
    path.with_name("damaged.json").write_text(json.dumps(content))
    with refuses("damaged", "name"):
        read_evaluation(path.with_name("damaged.json"))


def test_an_agent_of_ours_scores_what_its_own_test_says(tmp_path):
    """Of seeds with one episode: games side by side differ in rounding."""
    run = write_agent(tmp_path / "run", write_keypoints(tmp_path), max_episode_steps=90).path
    ours = evaluate_policies([run], [5, 6], 1, tmp_path / "evaluation.json", progress=False)
    theirs = evaluate_agent(AgentPlayer.load(run), "mspacman", [5, 6], 1,
                            max_episode_steps=90, progress=False)  # fmt: skip
    np.testing.assert_array_equal(theirs.scores, ours.scores)
    np.testing.assert_array_equal(theirs.random_scores, ours.random_scores)
    assert theirs.repeats.different == ours.repeats.different
    assert theirs.rules == ours.rules and theirs.agent == OtherAgent("AgentPlayer")


def of_another(path, name="DQN", steps=100_000, **values):
    ours = evaluation(**values)
    changes = {"agent": OtherAgent(name, steps), "policies": ()}
    return found(path)._replace(evaluation=type(ours)(**{**vars(ours), **changes}))


def test_an_agent_of_ours_plays_no_game_of_other_actions(tmp_path):
    player = object.__new__(AgentPlayer)  # one that is not loaded
    player.action_names = AtariGame("mspacman").action_names
    with refuses("LEFT", "DOWNLEFTFIRE", "another one", settings=["game"]):
        evaluate_agent(player, "Seaquest", [5], 1, out=tmp_path / "test")
    assert not list(tmp_path.iterdir())
    # Of others such names mean nothing that is known here.
    other = types.SimpleNamespace(act=lambda _: 0, action_names=np.array(["0", "1"]))
    assert evaluate_agent(other, "Seaquest", [5], 1, max_episode_steps=2).scores.shape == (1, 1, 1)


def test_it_has_a_row_of_its_own_behind_those_of_its_game():
    ours, other = found("ours"), of_another("other", score=400)
    untold = of_another("untold", name="PPO", steps=None, shape=(1, 10, 10), score=300)
    cells, left_out = tables.fill(tables.cells(1), [untold, other, ours])
    assert left_out == []
    game = [cell.place.agent for cell in cells if cell.game == "MsPacman"]
    assert game == ["Transporter", "Transporter+GNN", "PKey+CNN", "PKey+GNN", "DQN", "PPO"]
    rows = {row["agent"]: row for row in (tables.row(1, cell) for cell in cells if cell.found)}
    assert (rows["DQN"]["score"], rows["DQN"]["falls_short"]) == (410, "")
    assert (rows["DQN"]["published"], rows["DQN"]["num_keypoints"]) == (None, None)
    assert (rows["DQN"]["agent_steps"], rows["PPO"]["agent_steps"]) == (100_000, None)
    assert rows["PPO"]["falls_short"] == "agent steps not told; 1 of 3 policies"
    text = markdown.page(1, cells)
    assert "| MsPacman |  | DQN | none | 410.0 (10.0) | 410.0 [400.0, 420.0] |" in text
    assert "| not told |" in text


def test_what_is_not_of_clean_games_has_no_row():
    sticky = of_another("sticky", sticky_actions=0.25)
    cells, (line,) = tables.fill(tables.cells(1), [sticky])
    assert not any(cell.found for cell in cells)
    assert line == "sticky: no place in this table (mspacman, DQN, noise none, sticky actions 0.25)"
    assert tables.fill(tables.cells(2), [of_another("clean")])[1] != []


def test_the_report_reads_it_and_a_collection_leaves_it_out(tmp_path):
    (tmp_path / "dqn").mkdir()
    other = of_another("x").evaluation
    write_evaluation(tmp_path / "dqn" / "evaluation.json", other)
    assert "| DQN |" in report.report_table(1, [str(tmp_path)]).text
    _, (note,) = report.collect([str(tmp_path)], tmp_path / "collection")
    assert "not collected, DQN is no run of ours" in note


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({"policy": lambda frame: 6}, [], ["6 is no action", "from 0 to 5"]),
        ({"policy": lambda frame: 0.5}, [], ["0.5 is no action"]),
        ({"policy": lambda frame: np.array([1, 2])}, [], ["no action", "RIGHTFIRE"]),
        ({"policy": "DQN"}, [], ["'DQN'", "act(frame)"]),
        ({"policy": []}, [], ["policy", "one"]),
        ({"game": "spaceinvader"}, [], ["'spaceinvader'", "spaceinvaders"]),
        ({"seeds": [1, 1]}, ["seeds"], ["seeds=[1, 1]", "different"]),
        ({"seeds": [-1]}, ["seeds"], ["seeds=[-1]", "below 0"]),
        ({"seeds": 0}, ["seeds"], ["seeds=0", "list"]),
        ({"episodes": 1.5}, ["episodes"], ["episodes=1.5"]),
        ({"episodes": 0}, ["episodes"], ["episodes=0"]),
        ({"num_steps": -1}, ["num_steps"], ["num_steps=-1"]),
        ({"noise": "both"}, ["noise"], ["noise=both"]),
        ({"policy": Shooter}, [], ["Shooter is a class", "Shooter(...)"]),
        ({"policy": AgentPlayer}, [], ["AgentPlayer is a class", "AgentPlayer.load(...)"]),
        ({"policy": [Shooter(), Shooter]}, [], ["Shooter is a class"]),
        ({"policy": [Shooter(), *[Shooter(3)] * 2]}, [], ["number 2", "same", "once"]),
        ({"policy": [print, print]}, [], ["number 1", "same", "once"]),
        ({"game": ""}, ["game"], ["game=''", "letters"]),
        ({"game": "pong+"}, ["game"], ["game='pong+'", "letters"]),
        ({"game": "-", "env_id": "sprites:Catch-v0"}, ["game"], ["game='-'", "letters"]),
        ({"name": "PKey+GNN"}, ["name"], ["name='PKey+GNN'"]),
        ({"name": "PKey+GNN, tracked"}, ["name"], ["'PKey+GNN, tracked'", "(PKey+GNN)"]),
        ({"name": " pkey+gnn (mine)"}, ["name"], ["(PKey+GNN)", "another"]),
        ({"name": "DQN\n(mine)"}, ["name"], [r"'DQN\n(mine)'", "one line"]),
        ({"name": "DQN\u2028mine"}, ["name"], ["one line"]),
        ({"name": " "}, ["name"], ["name=' '"]),
        ({"name": 3}, ["name"], ["name=3"]),
        ({"sticky": 0.25}, [], ["'sticky'", "did you mean sticky_actions?"]),
    ],
)
def test_mistakes_are_told_in_one_line(changes, settings, words):
    values = {"policy": Shooter(), "game": "spaceinvaders", **SHORT} | changes
    with refuses(*words, settings=settings):
        evaluate_agent(**values)


@pytest.mark.parametrize(
    ("policy", "called"),
    [(lambda frame: 1, "<lambda>"), (functools.partial(max, default=1), "partial")],
)
def test_a_test_in_a_folder_is_of_an_agent_with_a_name(policy, called, tmp_path):
    """The next policy without one would be taken for the same agent, and replace its test."""
    with refuses("name is missing", f"next {called} would", settings=["name"]):
        evaluate_agent(policy, "spaceinvaders", out=tmp_path / "test", **SHORT)
    assert not (tmp_path / "test").exists()


def test_a_method_is_of_an_agent_of_its_objects_class():
    """Of any model it would be named "predict"."""
    result = evaluate_agent(Shooter().act_at_once, "spaceinvaders", **SHORT)
    assert result.agent.name == "Shooter"


def test_in_a_table_a_name_begins_no_tag_and_shifts_no_column():
    assert row(["<lambda>", "a|b"]) == r"| \<lambda> | a\|b |"


def test_a_test_of_an_agent_of_ours_is_not_replaced(tmp_path):
    write_evaluation(tmp_path / "evaluation.json", evaluation())
    before = (tmp_path / "evaluation.json").read_bytes()
    with refuses("kind of agent", "another out", settings=["out"]):
        evaluate_agent(Shooter(), "spaceinvaders", out=tmp_path, **SHORT)
    assert (tmp_path / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["agent", "keypoints"])
def test_a_run_folder_has_its_own_test(kind, tmp_path):
    """run.rl would announce somebody else's as the run's."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"format_version": 1, "kind": kind}))
    with refuses(f"out={tmp_path} ", "a run", "another out", settings=["out"]):
        evaluate_agent(Shooter(), "spaceinvaders", out=tmp_path, **SHORT)
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize("text", ['{"kind": "agent"}', "[1]", "gamma: 0.9"])
def test_anothers_own_settings_may_lie_beside_its_test(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    path = tmp_path / "evaluation.json"
    check_place(path, planned()._replace(runs=(), name="DQN"))


def test_a_larger_test_and_anothers_are_not_replaced(tested, tmp_path):
    """A quick look must not wipe a hundred games."""
    _, out, shooters = tested
    before = (out / "evaluation.json").read_bytes()
    with refuses("2 policies x ", "another out", settings=["out"]):
        evaluate_agent(shooters[0], "spaceinvaders", name="Shooter", out=out, **SHORT)
    with refuses("Shooter", "another out", settings=["out"]):
        evaluate_agent(shooters, "spaceinvaders", name="Runner", out=out, **SHORT)
    with refuses("game='spaceinvaders'", "'seaquest'", "another out", settings=["out"]):
        evaluate_agent(shooters, "seaquest", name="Shooter", out=out, **SHORT)
    longer = SHORT | {"max_episode_steps": 121}
    with refuses("max_episode_steps=120", "not 121", settings=["out"]):
        evaluate_agent(shooters, "spaceinvaders", name="Shooter", out=out, **longer)
    assert (out / "evaluation.json").read_bytes() == before


def test_out_is_a_folder_and_a_folder_is_no_test(tmp_path):
    file = tmp_path / "one" / "evaluation.json"
    with refuses(f"out={file} ", f"folder, {file.parent}", settings=["out"]):
        evaluate_agent(Shooter(), "spaceinvaders", out=file, **SHORT)
    assert not file.parent.exists()
    (file / "evaluation.json").mkdir(parents=True)  # as earlier versions have left it, or others
    write_evaluation(tmp_path / "evaluation.json", evaluation())
    assert len(report.find_evaluations([str(tmp_path)])) == 1


def planned(num_games=300, runs=(0, 1, 2), **rules):
    of_seeds = tuple(PlannedRun(f"runs/{seed}", seed) for seed in runs)
    return Planned("mspacman", "", Rules(**rules), num_games, of_seeds)


def test_a_larger_test_of_ours_and_one_of_other_runs_are_not_replaced(tmp_path):
    ours = tmp_path / "evaluation.json"
    write_evaluation(ours, evaluation(shape=(3, 10, 10)))  # of runs/0, runs/1 and runs/2
    check_place(ours, planned())
    check_place(ours, planned(runs=(3, 2, 1, 0)))
    for test, *words in (
        (planned(299), "3 policies x 10 seeds x 10 episodes"),
        (planned(runs=(0, 1, 3)), "runs/2"),
        (planned()._replace(game="seaquest"), "game='mspacman'", "'seaquest'"),
        (planned()._replace(env_id="ALE/MsPacman-v5"), "env_id=''"),
        (planned(sticky_actions=0.25), "sticky_actions=0.0", "0.25"),
    ):
        with refuses(*words, "another out", "delete it", settings=["out"]):
            check_place(ours, test)


def test_a_run_that_was_moved_is_known_by_name_and_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_evaluation(tmp_path / "evaluation.json", evaluation(shape=(1, 1, 1)))
    moved = Planned("mspacman", "", Rules(), 1, (PlannedRun("elsewhere/0", 0),))
    check_place(tmp_path / "evaluation.json", moved)
    with refuses("runs/0", settings=["out"]):
        check_place(
            tmp_path / "evaluation.json", moved._replace(runs=(PlannedRun("elsewhere/0", 1),))
        )
    (tmp_path / "runs" / "0").mkdir(parents=True)
    with refuses("runs/0", settings=["out"]):  # it was not moved: another one is meant
        check_place(tmp_path / "evaluation.json", moved)
    (tmp_path / "elsewhere").symlink_to(tmp_path / "runs")
    check_place(tmp_path / "evaluation.json", moved)


def test_names_that_only_look_like_ours_are_taken():
    for name in ("Transporters", "My PKey+GNN", "DQN, tracked", "Çå | 2"):
        found = evaluate_agent(lambda frame: 0, "pong", [0], 1, name=name, max_episode_steps=1,
                               progress=False)  # fmt: skip
        assert found.agent.name == name


def test_numpys_numbers_are_numbers():
    found = evaluate_agent(
        lambda frame: 0, "pong", np.arange(2), np.int64(1), num_steps=np.int32(0),
        max_episode_steps=2, progress=False,
    )  # fmt: skip
    assert found.seeds == (0, 1) and found.scores.shape == (1, 2, 1)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="runs of an agent that is no run"):
        values = vars(evaluation()) | {"agent": OtherAgent("x", 5)}
        type(evaluation())(**values)
    with pytest.raises(ValueError, match="different numbers"):
        GameRepeats(1, None, (1, 2), (1,), None)


def test_tensorflow_is_not_needed():
    code = (
        "import sys; sys.modules['tensorflow'] = None; import permakey_tf as pk; "
        "print(pk.evaluate_agent(lambda frame: 0, 'pong', [0], 1, max_episode_steps=2, "
        "progress=False).lengths)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[[[2]]]", done.stderr
