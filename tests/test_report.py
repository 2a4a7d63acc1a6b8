"""`python -m run.report` from end to end, and the parts that put scores into tables and curves."""

import csv
import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags as absl_flags
from support import call, refused, refuses

from flags import report as report_flags
from permakey_tf.runs.readers import machine_hours
from permakey_tf.scores import curves, markdown, report, tables
from permakey_tf.scores import evaluation as evaluation_module
from permakey_tf.scores.collection import folder_name
from permakey_tf.scores.evaluation import AgentSpec, Evaluation, OtherAgent, PolicySpec, Rules
from permakey_tf.scores.evaluation_file import read_evaluation, write_evaluation
from permakey_tf.scores.tested import find_runs
from permakey_tf.viz import charts

ROOT = Path(__file__).parents[1]


# Runs the entry point as `python -m run.report` does.
WITHOUT_TENSORFLOW = (
    "import sys, runpy\n"
    "try: runpy.run_module('run.report', run_name='__main__', alter_sys=True)\n"
    "finally: assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
)


def run(*arguments):
    return call("report", *arguments)


def run_without_tensorflow(*arguments):
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )


def evaluation(
    game="mspacman",
    keypoints="permakey",
    encoder="gnn",
    num_keypoints=7,
    noise="none",
    shape=(3, 10, 10),
    steps=100_000,
    score=900.0,
    env_id="",
    keypoint_steps=None,
    agent=None,
    **rules,
) -> Evaluation:
    """All episodes of policy p score `score` + 10 p."""
    scores = np.full(shape, float(score)) + 10 * np.arange(shape[0])[:, None, None]
    return Evaluation(
        game=game,
        env_id=env_id,
        rules=Rules(**rules),
        agent=AgentSpec(
            *(keypoints, encoder, num_keypoints, noise, steps, keypoint_steps), **(agent or {})
        ),
        policies=tuple(PolicySpec(f"runs/{p}", p, steps, steps // 2) for p in range(shape[0])),
        seeds=tuple(range(1000, 1000 + shape[1])),
        scores=scores,
        lengths=np.full(shape, 500),
        random_scores=np.zeros(shape[1:]),
    )


def write(folder, **values) -> Path:
    folder.mkdir(parents=True)
    write_evaluation(folder / "evaluation.json", evaluation(**values))
    return folder


def found(path, **values) -> tables.Found:
    return tables.Found(Path(path), evaluation(**values))


# ----------------------------------------------------------------------------------------- tables


@pytest.fixture
def runs(tmp_path) -> Path:
    """Five evaluations of agents, one of keypoints, none of the other cells."""
    root = tmp_path / "runs"
    write(root / "a" / "deep", score=900)
    write(root / "b", encoder="cnn", noise="both", score=500)
    write(root / "c", encoder="cnn", num_keypoints=5, score=700)
    write(root / "d", game="seaquest", keypoints="transporter", encoder="cnn", num_keypoints=10,
          shape=(1, 2, 3), steps=20_000, score=100)  # fmt: skip
    write(root / "e", game="pong", score=1)
    (root / "keypoints").mkdir()
    (root / "keypoints" / "evaluation.json").write_text('{"split": "test", "losses": {}}')
    return root


def records(out, table):
    rows = json.loads((out / f"table{table}.json").read_text())["rows"]
    with (out / f"table{table}.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["status"] for line in lines] == [row["status"] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        assert set(line) == set(row)
        assert line["score"] == ("" if row["score"] is None else str(row["score"]))
    return {(row["game"], row["agent"], row["num_keypoints"]): row for row in rows}


def test_table_1_beside_the_papers(runs, tmp_path):
    result = run("--table=1", f"--runs={runs}")
    assert (result.returncode, result.stderr) == (0, "")
    rows = records(runs / "report", 1)
    assert len(rows) == 16
    ours = {place for place, row in rows.items() if row["status"] == "run"}
    assert ours == {("MsPacman", "PKey+GNN", 7), ("Seaquest", "Transporter", 10)}
    full, short = rows["MsPacman", "PKey+GNN", 7], rows["Seaquest", "Transporter", 10]
    assert (full["published"], full["published_std"]) == (906.3, 382.2)
    assert (full["score"], full["std"], full["iqm"]) == (910, 10, 910)
    assert (full["iqm_low"], full["iqm_high"]) == (900, 920)
    assert (full["starts"], full["each_start_once"]) == (30, 910)
    assert full["each_start_once_runs"] == pytest.approx([900, 910, 920])
    assert (full["policies"], full["seeds"], full["episodes"]) == (3, 10, 10)
    assert (full["agent_steps"], full["falls_short"]) == (100_000, "")
    assert full["human_normalised"] == pytest.approx((910 - 307.3) / (6951.6 - 307.3))
    assert (short["score"], short["std"], short["iqm_low"]) == (100, None, None)
    assert short["falls_short"] == (
        "20,000 of 100,000 agent steps; 1 of 3 policies; 2 of 10 seeds; 3 of 10 episodes"
    )
    text = (runs / "report" / "table1.md").read_text()
    assert text in result.stdout and text.count("| not run |") == 14
    assert "| MsPacman | 7 | PKey+GNN | 906.3 (382.2) | 910.0 (10.0) | 910.0 [900.0, 920.0] | 910.0 (30) | 0.0 | 3 | 0, 1, 2 | 10 | 10 | 100,000 | not known |  |" in text  # noqa: E501  # fmt: skip
    assert "| Frostbite | 20 | PKey+CNN | 310.0* (150.1) | not run |" in text
    assert "| Battlezone | 8 | Transporter | N/A | not run |" in text
    assert (
        "| 100.0 (one policy) | 100.0 [one run] | 100.0 (5) | 0.0 | 1 | 0 | 2 | 3 | 20,000 "
        "| not known |"
    ) in text
    assert "999.4* (145.4)" in text and '\\* MsPacman, Transporter orig.: "-99914"' in text
    notes = [line for line in result.stdout.splitlines() if line.startswith("note: ")]
    assert [note.split(":")[1].strip() for note in notes] == [
        str(runs / name / "evaluation.json") for name in "bce"
    ]
    assert "mspacman, PKey+CNN, K = 7, noise both" in notes[0]
    assert (runs / "report" / "table1.png").read_bytes().startswith(b"\x89PNG")


def test_tables_2_and_3_and_out(runs, tmp_path):
    out = tmp_path / "elsewhere" / "report"
    # Folders that overlap do not count an evaluation twice.
    arguments = ["--table=2", f"--runs={runs},{runs / 'b'}", f"--out={out}"]
    result = run_without_tensorflow(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    rows = records(out, 2)
    assert [place for place, row in rows.items() if row["score"]] == [("MsPacman", "PKey+CNN", 7)]
    assert rows["MsPacman", "Transporter", 7]["published_garbled"] == "std"
    assert run("--table=3", f"--runs={runs}", f"--out={out}").returncode == 0
    rows = records(out, 3)
    ours = [place for place, row in rows.items() if row["score"]]
    # Table 1's MsPacman is also table 3's with K = 7.
    assert ours == [("MsPacman", "PKey+CNN", 5), ("MsPacman", "PKey+GNN", 7)]
    assert rows["MsPacman", "PKey+CNN", 5]["published"] == 1004.3
    assert {path.name for path in out.iterdir()} == {
        f"table{table}.{suffix}" for table in (2, 3) for suffix in ("md", "csv", "json", "png")
    }
    assert not (runs / "report").exists()


def test_links_are_followed_and_nothing_is_found_twice(tmp_path):
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    own = write(runs / "own") / "evaluation.json"
    write(elsewhere / "far" / "deep")
    (runs / "a_link_to_own").symlink_to(own.parent)
    (runs / "link").symlink_to(elsewhere / "far")
    (elsewhere / "far" / "back").symlink_to(runs)
    (runs / "own" / "loop").symlink_to(runs / "own")
    (runs / "broken").symlink_to(tmp_path / "nowhere")
    linked = runs / "link" / "deep" / "evaluation.json"
    files = report.find_files([str(runs), str(elsewhere)], "evaluation.json")
    assert list(files) == [linked, own]
    (tmp_path / "all").symlink_to(runs)
    (again, _) = report.find_files([str(tmp_path / "all")], "evaluation.json")
    assert again == tmp_path / "all" / "link" / "deep" / "evaluation.json"


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O")])
def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch, error):
    """Its runs would be missing unseen. (Permissions mean nothing to root.)"""
    shut = write(tmp_path / "runs" / "shut")
    write(tmp_path / "runs" / "open", encoder="cnn")
    scan = os.scandir

    def refusing(path):
        if Path(path) == shut:
            raise type(error)(*error.args, str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    for what in ("--table=1", "--curves", f"--collect={tmp_path / 'kept'}"):
        refused(run(what, f"--runs={tmp_path / 'runs'}"), f"{shut} cannot be read", error.strerror)
    error = FileNotFoundError(2, "removed meanwhile")
    assert run("--table=1", f"--runs={tmp_path / 'runs'}").returncode == 0


def test_a_folder_of_which_names_alone_may_be_read_is_named(tmp_path, monkeypatch):
    shut = write(tmp_path / "shut")
    is_file = Path.is_file

    def refusing(path):
        if path.parent == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refusing)
    refused(run("--table=1", f"--runs={tmp_path}"), f"{shut} cannot be read", "denied")


def test_published_scores_of_clean_games_are_called_so_beside_noisy_agents(tmp_path, monkeypatch):
    drawn = []
    for kind in ("bar_chart", "learning_curves"):
        draw = getattr(charts, kind)
        monkeypatch.setattr(charts, kind, lambda *a, draw=draw: drawn.append(draw(*a)) or drawn[-1])
    for table in (1, 2):
        made = report.report_table(table, [str(write(tmp_path / f"table{table}"))])
        assert ("all of clean games" in made.text) == (table == 2)
        made.write(tmp_path)
    for kinds in (["none"], ["none", "both"]):
        folder = tmp_path / "-".join(kinds)
        for noise in kinds:
            write_run(folder / noise, {10: 1}, environment={"noise": noise})
        report.report_curves([str(folder)], "validation/score", "iqm").write(tmp_path)
    titles = [figure.axes[0].get_title(loc="right") for figure in drawn]
    clean = [title.startswith("published, of clean games: random") for title in titles]
    assert clean == [False, True, False, True]
    assert titles[0].startswith("published: random")


def test_the_largest_evaluation_stands_in_a_cell():
    one = found("one", shape=(1, 10, 10), steps=100_000)
    three = found("three", shape=(3, 2, 2), steps=100_000)
    early = found("early", shape=(3, 10, 10), steps=50_000)
    cells, left_out = tables.fill(tables.cells(1), [three, early, one])
    (cell,) = [cell for cell in cells if cell.found]
    assert cell.found == three and cell.place.agent == "PKey+GNN"
    assert left_out == ["early: smaller than three", "one: smaller than three"]


def test_evaluations_of_one_size_are_not_chosen_between():
    rivals = [found("x", score=100), found("y", score=900), found("z", shape=(1, 1, 1))]
    with refuses("mspacman, PKey+GNN", "2 evaluations", "x, y:"):
        tables.fill(tables.cells(1), rivals)


def test_copies_of_one_test_are_called_so():
    copy = found("copy", score=100)
    with refuses("original and copy are the same test", "leave one out"):
        tables.fill(tables.cells(1), [found("original", score=100), found("y"), copy])
    renamed = tuple(PolicySpec(f"b/{p}", p, 100_000, 50_000) for p in range(3))
    assert evaluation().is_same(dataclasses.replace(evaluation(), policies=renamed))
    other_seeds = tuple(dataclasses.replace(p, train_seed=p.train_seed + 1) for p in renamed)
    for changes in (
        {"policies": other_seeds},
        {"game": "pong"},
        {"lengths": evaluation().lengths + 1},
    ):
        assert not evaluation().is_same(dataclasses.replace(evaluation(), **changes))


def test_steps_are_those_of_the_shortest_run():
    base = evaluation()
    cut = PolicySpec("cut", 9, 40_000, 30_000)
    mixed = Evaluation(**{**vars(base), "policies": (*base.policies[:2], cut)})
    assert tables.shortfalls(mixed) == ["40,000 of 100,000 agent steps"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"steps": 400_000}, ["400,000 of 100,000 agent steps"]),
        ({"max_episode_steps": 500}, ["games cut after 500 of 4,000 steps"]),
        ({"max_episode_steps": 5000}, []),
        ({"noop_max": 0}, ["frame skip 4, up to 0 no-ops"]),
        ({"keypoint_steps": 1600}, ["keypoints trained for 1,600 steps"]),
        ({"encoder": "cnn", "agent": {"cnn_filters": (128, 128, 128, 128)}}, []),
        (
            {"encoder": "cnn", "agent": {"cnn_filters": (32, 32)}},
            ["filters 32,32, not 128,128,128,128"],
        ),
    ],
)
def test_what_differs_from_the_papers_test_is_told(changes, expected):
    assert tables.shortfalls(evaluation(**changes)) == expected


def test_longer_training_than_the_tables_does_not_displace():
    long, full = found("long", shape=(1, 10, 10), steps=400_000), found("full")
    cells, left_out = tables.fill(tables.cells(1), [full, long])
    assert [cell.found for cell in cells if cell.found] == [full]
    assert left_out == ["long: smaller than full"]


def test_a_record_names_each_aggregate():
    base = evaluation(shape=(4, 2, 2), score=0)  # runs 0, 10, 20, 30
    scores = base.scores.copy()
    scores[3] = 90
    one = tables.Found(Path("x"), Evaluation(**{**vars(base), "scores": scores}))
    cell = next(cell for cell in tables.fill(tables.cells(1), [one])[0] if cell.found)
    row = tables.row(1, cell)
    assert (row["iqm"], row["mean"], row["run_scores"]) == (15, 30, [0, 10, 20, 90])
    # Of 4 draws from 4 runs. IQM: the middle two. 1/256 of the resamples are one run alone.
    assert (row["iqm_low"], row["iqm_high"]) == (0, 90)
    assert 0 < row["mean_low"] < 30 < row["mean_high"] < 90


@pytest.mark.parametrize(
    "change",
    [
        {"num_keypoints": 6},
        {"sticky_actions": 0.25},
        {"noop_min": 1},
        {"fire_at_start": "code"},
        {"fire_after_life": True},
        {"noise": "both"},
        {"env_id": "Toy-v0"},
        {"env_id": "ALE/MsPacman-v5"},  # sticky actions, no no-ops, no maximum of two frames
    ],
)
def test_other_conditions_have_no_place_in_table_1(change):
    cells, left_out = tables.fill(tables.cells(1), [found("x", **change)])
    assert not any(cell.found for cell in cells)
    (reason,) = left_out
    assert reason.startswith("x: no place in this table (mspacman, PKey+GNN")
    ((name, value),) = change.items()
    if name in ("noop_min", "fire_at_start", "fire_after_life"):
        assert reason.endswith(f", {name}={value})")


def test_all_games_together():
    """Human-normalised by hand; games are weighed alike, runs drawn game by game."""
    games = {"battlezone": 8, "mspacman": 7, "seaquest": 10, "frostbite": 20}
    values = {"battlezone": 2360, "mspacman": 6951.6, "seaquest": 42054.7, "frostbite": 4334.7}
    three = [
        found(game, game=game, num_keypoints=number, score=values[game] - 10)
        for game, number in games.items()
    ]
    estimates = tables.across_games(tables.fill(tables.cells(1), three)[0])
    # 12 scores, 3 cut at each end: the 3 of Battlezone, near 0, and the 3 highest.
    assert estimates["PKey+GNN"].value == pytest.approx(1, abs=0.002)
    # Runs of a game are nearly equal: only games drawn for one another would widen this.
    assert 0.99 < estimates["PKey+GNN"].low < 1 < estimates["PKey+GNN"].high < 1.01
    assert [agent for agent, estimate in estimates.items() if estimate] == ["PKey+GNN"]
    missing = tables.fill(tables.cells(1), three[1:])[0]
    assert tables.across_games(missing)["PKey+GNN"] is None
    uneven = [found("battlezone", game="battlezone", num_keypoints=8, shape=(2, 9, 9)), *three[1:]]
    assert tables.across_games(tables.fill(tables.cells(1), uneven)[0])["PKey+GNN"] is None


@pytest.mark.parametrize(
    ("table", "groups"),
    [(2, [("Seaquest", 10), ("MsPacman", 7)]), (3, [("MsPacman", k) for k in (5, 7, 10)])],
)
def test_tables_of_the_convolutional_encoder_have_graph_rows_of_ours(table, groups, tmp_path):
    noise = "both" if table == 2 else "none"
    write(tmp_path / "a", keypoints="transporter", noise=noise, score=40)
    assert run(f"--table={table}", f"--runs={tmp_path}").returncode == 0
    rows = records(tmp_path / "report", table)
    agents = ["Transporter", "PKey+CNN", "Transporter+GNN", "PKey+GNN"]
    assert list(rows) == [(game, agent, k) for game, k in groups for agent in agents]
    for (_, agent, _), row in rows.items():
        assert (row["published"] is None) == agent.endswith("+GNN")
    assert rows["MsPacman", "Transporter+GNN", 7]["score"] == 50
    assert rows["MsPacman", "Transporter+GNN", 7]["published_note"] == "none published"
    text = (tmp_path / "report" / f"table{table}.md").read_text()
    assert "| MsPacman | 7 | Transporter+GNN | none | 50.0 (10.0) |" in text
    assert "| MsPacman | 7 | PKey+GNN | none | not run |" in text
    assert "Rows with +GNN are ours alone, of a graph encoder: another encoder" in text


@pytest.mark.parametrize(
    ("nodes", "keypoints", "label"),
    [
        ("objects", "permakey", "PKey+GNN, true positions"),
        ("shuffled", "permakey", "PKey+GNN, shuffled keypoints"),
        ("constant", "transporter", "Transporter+GNN, constant keypoints"),
    ],
)
def test_a_control_is_none_of_the_papers_agents(nodes, keypoints, label):
    control = found("control", keypoints=keypoints, agent={"nodes": nodes})
    (cell,) = [cell for cell in tables.fill(tables.cells(1), [control])[0] if cell.found]
    assert (cell.place.label, cell.score) == (label, None)


def test_no_two_kinds_of_agents_have_one_name():
    names = tables.names_of_ours()
    assert len(set(names)) == len(names) and set(names) >= set(tables.AGENTS)


def test_agents_on_a_method_of_ones_own_stand_behind_those_of_their_game(monkeypatch):
    more = {**tables.METHODS, "brightness": tables.METHODS["permakey"]._replace(title="Brightness")}
    for module in (tables, evaluation_module):
        monkeypatch.setattr(module, "METHODS", more)
    graph = found("graph", keypoints="brightness")
    control = found("control", keypoints="brightness", agent={"nodes": "constant"})
    other = found("other", keypoints="brightness", num_keypoints=6)
    cells, left_out = tables.fill(tables.cells(1), [graph, control, other])
    labels = [cell.place.label for cell in cells if cell.game == "MsPacman"]
    assert labels[-2:] == ["Brightness+GNN", "Brightness+GNN, constant keypoints"]
    assert [cell.found for cell in cells if cell.found] == [graph, control]
    assert len(left_out) == 1 and "K = 6" in left_out[0]


def test_a_bar_of_somebody_elses_agent_has_no_number_of_keypoints():
    other = OtherAgent("My own agent of 20 letters", 100_000)
    played = dataclasses.replace(evaluation(), agent=other, policies=())
    cells, _ = tables.fill(tables.cells(3), [found("ours"), tables.Found(Path("other"), played)])
    ((bars, _),) = report._bar_panels(3, cells).values()
    assert {bar.label for bar in bars if bar.ours} == {"PKey+GNN\nK = 7", other.name}
    assert charts._wrapped("My own agent of 20 letters\nK = 7") == (
        "My own agent of 20\nletters\nK = 7"
    )


def test_pointnets_keypoints_and_pursuits_are_two_agents():
    tests = [found(name, agent={"extractor": name}) for name in ("pointnet", "pursuit")]
    cells, left_out = tables.fill(tables.cells(1), tests)
    taken = {cell.place.label: cell.found for cell in cells if cell.found}
    assert taken == {"PKey+GNN": tests[0], "PKey+GNN, pursuit": tests[1]}
    assert left_out == []
    assert len({folder_name(one.evaluation) for one in tests}) == 2


def test_a_variant_stands_behind_its_agent_and_takes_no_cell():
    plain, tracked = found("plain"), found("tracked", agent={"track_keypoints": True})
    alone = [cell for cell in tables.fill(tables.cells(1), [tracked])[0] if cell.found]
    assert [cell.place.label for cell in alone] == ["PKey+GNN, tracked"]
    cells, left_out = tables.fill(tables.cells(1), [tracked, plain])
    assert left_out == []
    at = [cell.place.label for cell in cells].index("PKey+GNN, tracked")
    assert [(cell.game, cell.found) for cell in cells[at - 1 : at + 1]] == [
        ("MsPacman", plain), ("MsPacman", tracked),
    ]  # fmt: skip
    row = tables.row(1, cells[at])
    assert (row["agent"], row["published"], row["score"]) == ("PKey+GNN, tracked", None, 910)
    # Of one game only: nothing over all games.
    assert tables.across_games(cells)["PKey+GNN, tracked"] is None


# ------------------------------------------------------------------------------------- collections


def test_machine_hours_by_hand():
    speeds = {500: 10.0, 1000: 5.0, 1500: 2.5}  # 50, 100 and 200 s
    assert machine_hours({"agent_steps_per_second": speeds}) == pytest.approx(350 / 3600)
    assert machine_hours({"agent_steps_per_second": {}}) is None
    assert machine_hours({}) is None


def test_machine_hours_are_rounded_where_they_are_shown():
    one = found("x")._replace(hours=2.6512)  # to two digits 2.65, and that to one 2.6
    cells, _ = tables.fill(tables.cells(1), [one])
    assert "| 100,000 | 2.7 |" in markdown.page(1, cells)


def write_tested(root, seeds=(0, 1, 2), name="cell", **settings) -> Path:
    """A test of agents in `root`/tests/NAME and its runs in `root`; (600 + 100 seed) s each."""
    for seed in seeds:
        if (root / f"seed-{seed}").exists():
            continue
        folder = write_run(root / f"seed-{seed}", {50_000: 2, 100_000: 1}, seed, **settings)
        content = json.loads((folder / "config.json").read_text())
        content["command"] = "python -m run.rl --keypoints=/home/me/runs/keypoints"
        (folder / "config.json").write_text(json.dumps(content))
        speed = 100_000 / (600 + 100 * seed)
        lines = (folder / "metrics.csv").read_text().splitlines()
        head, *rows = (f"{line}," for line in lines)
        rows = [f"{head}agent_steps_per_second", *rows, f"100000,,,{speed}"]
        (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    base = evaluation(shape=(len(seeds), 10, 10))
    runs = tuple(PolicySpec(str(root / f"seed-{seed}"), seed, 100_000, 50_000) for seed in seeds)
    place = root / "tests" / name
    place.mkdir(parents=True, exist_ok=True)
    write_evaluation(place / "evaluation.json", Evaluation(**{**vars(base), "policies": runs}))
    return root


def collected(*roots, into):
    return run(f"--collect={into}", f"--runs={','.join(map(str, roots))}")


CELL = "mspacman_permakey_gnn_k7_none"


def test_a_collection_is_reported_as_run_folders_are(tmp_path):
    target = tmp_path / "docs" / "agents"
    result = collected(write_tested(tmp_path / "runs"), into=target)
    assert (result.returncode, result.stdout) == (0, f"collected: {target / CELL}\n")
    files = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert files == {f"{CELL}/evaluation.json"} | {
        f"{CELL}/seed-{seed}/{name}" for seed in range(3) for name in ("config.json", "metrics.csv")
    }
    assert not any(str(tmp_path) in (target / file).read_text() for file in files)
    assert not any("/home/me" in (target / file).read_text() for file in files)
    (tmp_path / "runs").rename(tmp_path / "gone")
    out = f"--out={tmp_path / 'out'}"
    assert run("--table=1", "--curves", f"--runs={target}", out).returncode == 0
    row = records(tmp_path / "out", 1)["MsPacman", "PKey+GNN", 7]
    assert (row["score"], row["train_seeds"], row["policies"]) == (910, [0, 1, 2], 3)
    assert row["machine_hours"] == pytest.approx((600 + 700 + 800) / 3600)
    text = (tmp_path / "out" / "table1.md").read_text()
    assert "| 0.0 | 3 | 0, 1, 2 | 10 | 10 | 100,000 | 0.6 |  |" in text
    with (tmp_path / "out" / "curves.csv").open(newline="") as file:
        assert [line["runs"] for line in csv.DictReader(file)] == ["3", "3"]
    # Collected again, from itself: the same.
    before = {file: (target / file).read_bytes() for file in files}
    assert collected(target, into=target).returncode == 0
    assert {file: (target / file).read_bytes() for file in files} == before


def test_a_collection_lies_outside_of_what_it_is_made_of(tmp_path):
    """Else every later report would find two tests of one size."""
    root = write_tested(tmp_path / "runs")
    (tmp_path / "link").symlink_to(root)
    for into in (root, root / "kept", root / "tests", tmp_path / "link" / "kept"):
        before = sorted(root.rglob("*"))
        result = run(f"--collect={into}", "--table=1", f"--runs={root}")
        refused(result, f"--collect={into}", f"--runs={root}", "outside")
        assert sorted(root.rglob("*")) == before
    assert run(f"--collect={tmp_path / 'runs2'}", "--table=1", f"--runs={root}").returncode == 0


def test_a_collection_takes_more_agents_and_loses_none(tmp_path):
    target, path = tmp_path / "kept", tmp_path / "kept" / CELL / "evaluation.json"
    assert collected(write_tested(tmp_path / "one", [0]), into=target).returncode == 0
    assert collected(write_tested(tmp_path / "two", [0, 1]), into=target).returncode == 0
    assert [one.run for one in read_evaluation(path).policies] == ["seed-0", "seed-1"]
    result = collected(tmp_path / "one", into=target)
    assert result.stdout.startswith("note: ") and "also has seed-1" in result.stdout
    assert len(read_evaluation(path).policies) == 2
    moved = write_tested(tmp_path / "three", [0, 1, 2])
    (moved / "seed-2").rename(tmp_path / "elsewhere")
    result = collected(moved, into=target)
    assert f"the run {moved / 'seed-2'} is not at hand" in result.stdout
    assert len(read_evaluation(path).policies) == 2


def test_runs_are_found_from_any_folder_and_after_a_move(tmp_path, monkeypatch):
    """Tests name their runs as seen from the folder in which they were started."""
    monkeypatch.chdir(tmp_path)
    write_tested(Path("runs"))
    test = Path("runs/tests/cell/evaluation.json")
    in_a_run = Path("runs/seed-0/evaluation.json")
    in_a_run.write_bytes(test.read_bytes())
    evaluation = report.find_evaluations(["runs"])[0].evaluation
    assert [one.run for one in evaluation.policies] == [f"runs/seed-{seed}" for seed in range(3)]
    (tmp_path / "elsewhere").mkdir()
    Path("runs").rename("moved")
    for here in (tmp_path, tmp_path / "elsewhere", tmp_path / "moved" / "seed-1"):
        monkeypatch.chdir(here)
        moved = report.find_evaluations([str(tmp_path / "moved")])
        assert len(moved) == 2
        assert [one.hours for one in moved] == [pytest.approx(2100 / 3600)] * 2
    # Of another run that has the same path here, nothing is told.
    write_run(tmp_path / "elsewhere" / "runs" / "seed-0", {10: 1})
    monkeypatch.chdir(tmp_path / "elsewhere")
    (one,) = report.find_evaluations([str(tmp_path / "moved" / "seed-0")])
    folders = [run.folder for run in find_runs(one.path, one.evaluation, [])]
    assert folders == [tmp_path / "moved" / f"seed-{seed}" for seed in range(3)]


def hours_of(*folders):
    return [one.hours for one in report.find_evaluations([str(folder) for folder in folders])]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"learning": {"seed": 5}}, "training seed 5, not 1"),
        ({"learning": {"seed": 1, "num_steps": 400}}, "of 400 steps, not 100,000"),
        ({"game": "seaquest"}, "game seaquest, not mspacman"),
        ({"encoder": {"encoder": "cnn"}}, "encoder cnn, not gnn"),
        ({"keypoints": {"method": "transporter"}}, "keypoints transporter, not permakey"),
        ({}, "best validation at step 10, one of step 50,000"),
    ],
)
def test_another_run_in_a_tested_ones_place_is_not_taken(tmp_path, change, told):
    root, kept = write_tested(tmp_path / "runs", [0, 1]), tmp_path / "kept"
    assert hours_of(root) == [pytest.approx(1300 / 3600)]
    shutil.rmtree(root / "seed-1")
    reports = {10: 1, 50_000: 2} if change else {10: 1}
    write_run(root / "seed-1", reports, 1, **change)
    assert hours_of(root) == [None]
    told = f"{root / 'seed-1'} is another run ({told}"
    result = collected(root, into=kept)
    assert f"not collected, the run {root / 'seed-1'} is not at hand: {told}" in result.stdout
    assert not kept.exists()
    result = run("--table=1", f"--runs={root}")
    assert f"evaluation.json: machine hours are not known: {told}" in result.stdout


def test_a_run_that_was_trained_anew_since_its_test_is_another(tmp_path):
    """All settings and reports may be the same."""
    root = write_tested(tmp_path / "runs", [0, 1])
    test = root / "tests" / "cell" / "evaluation.json"
    for seed, weights in enumerate((b"hello", b"then")):
        best = root / f"seed-{seed}" / "checkpoints" / "best.npz"
        best.parent.mkdir()
        best.write_bytes(b"hello")
        content = json.loads(test.read_text())
        content["policies"][seed]["weights"] = hashlib.sha256(weights).hexdigest()
        test.write_text(json.dumps(content))
    result = run("--table=1", f"--runs={root}")
    told = f"{root / 'seed-1'} is another run (trained anew since the test"
    assert f"machine hours are not known: {told}" in result.stdout
    assert "seed-0" not in result.stdout
    with (root / "seed-1" / "metrics.csv").open("a") as file:
        file.write("200000,,3\n")  # it was trained on, which is told
    assert "trained anew" not in run("--table=1", f"--runs={root}").stdout


def test_a_run_of_an_earlier_version_that_left_its_noise_to_the_keypoints_is_taken(tmp_path):
    root = write_tested(tmp_path / "runs", [0])
    config = root / "seed-0" / "config.json"
    content = json.loads(config.read_text())
    content["settings"]["environment"] = {"noise": "as-trained"}
    config.write_text(json.dumps(content))
    assert hours_of(root) == [pytest.approx(600 / 3600)]


def test_runs_of_the_folders_at_hand_come_before_those_of_another_checkout(tmp_path, monkeypatch):
    for checkout in ("one", "two"):
        (tmp_path / checkout).mkdir()
        monkeypatch.chdir(tmp_path / checkout)
        write_tested(Path("runs"), [0])
        Path("runs/agents").mkdir()
        Path("runs/seed-0").rename("runs/agents/seed-0")
        test = Path("runs/tests/cell/evaluation.json")
        test.write_text(test.read_text().replace("runs/seed-0", "runs/agents/seed-0"))
    folders = [tmp_path / name / "runs" / "agents" / "seed-0" for name in ("one", "two")]
    one = tmp_path / "one" / "runs"
    result = collected(one, into=tmp_path / "kept")
    assert result.returncode == 0
    (found,) = report._find_tests([str(one)])
    assert [run.folder for run in found.runs] == folders[:1]
    # Without it there, the current folder's is the nearest that fits.
    (found,) = report._find_tests([str(one / "tests")])
    assert [run.folder for run in found.runs] == [Path("runs/agents/seed-0")]


def test_moved_runs_are_found_by_name_and_seed_among_the_folders(tmp_path):
    root = write_tested(tmp_path / "runs", [0, 1])
    elsewhere = tmp_path / "archive" / "agents"
    elsewhere.mkdir(parents=True)
    for seed in (0, 1):
        (root / f"seed-{seed}").rename(elsewhere / f"seed-{seed}")
    write_run(tmp_path / "archive" / "others" / "seed-1", {50_000: 1}, 7)
    assert hours_of(root) == [None]
    assert hours_of(root, tmp_path / "archive") == [pytest.approx(1300 / 3600)]
    shutil.copytree(elsewhere / "seed-1", tmp_path / "archive" / "copies" / "seed-1")
    (found,) = report._find_tests([str(root), str(tmp_path / "archive")])
    assert found.hours is None and found.runs[1].why == (
        f"it may be {elsewhere / 'seed-1'} or {tmp_path / 'archive' / 'copies' / 'seed-1'}"
    )


def test_training_since_a_test_is_none_of_the_tests(tmp_path):
    root, kept = write_tested(tmp_path / "runs", [0], learning={"num_steps": 100_000}), "kept"
    metrics, config = (root / "seed-0" / name for name in ("metrics.csv", "config.json"))
    before = metrics.read_text()
    metrics.write_text(before + "150000,,3,\n200000,,,1\n")
    assert hours_of(root) == [pytest.approx(600 / 3600)]
    result = collected(root, into=tmp_path / kept)
    told = "has reported to step 200,000 and was tested at 100,000: train it to its end"
    assert f"not collected, {root / 'seed-0'} {told}" in result.stdout
    metrics.write_text(before)
    config.write_text(config.read_text().replace("100000", "300000"))
    result = collected(root, into=tmp_path / kept)
    assert "now set to 300,000 steps, and not 100,000" in result.stdout
    assert not (tmp_path / kept).exists()


def test_a_copy_far_from_the_test_is_no_rival(tmp_path, monkeypatch):
    """As of a report that a backup is given to beside the folder at hand."""
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    write_tested(Path("runs"), [0])
    Path("runs/agents").mkdir()
    Path("runs/seed-0").rename("runs/agents/seed-0")
    test = Path("runs/tests/cell/evaluation.json")
    test.write_text(test.read_text().replace("runs/seed-0", "runs/agents/seed-0"))
    shutil.copytree(tmp_path / "one" / "runs" / "agents", tmp_path / "two" / "runs" / "agents")
    backup = str(tmp_path / "two" / "runs")
    for folders in (["runs", backup], [backup, "runs"]):
        (found,) = report._find_tests(folders)
        assert [run.folder for run in found.runs] == [Path("runs/agents/seed-0")]


@pytest.mark.parametrize("tracked", [False, True])
def test_a_run_that_tracks_is_not_taken_for_one_that_does_not(tmp_path, tracked):
    root = write_tested(tmp_path / "runs", [0], encoder="gnn", track_keypoints=tracked)
    assert hours_of(root) == [None if tracked else pytest.approx(600 / 3600)]


def test_a_collection_keeps_the_longer_training(tmp_path):
    target, path = tmp_path / "kept", tmp_path / "kept" / CELL / "evaluation.json"
    assert collected(write_tested(tmp_path / "long", [0]), into=target).returncode == 0
    shorter = write_tested(tmp_path / "half", [0, 1])
    file = shorter / "tests" / "cell" / "evaluation.json"
    content = json.loads(file.read_text())
    for policy in content["policies"]:
        policy["num_steps"] = 50_000
    file.write_text(json.dumps(content))
    result = collected(shorter, into=target)
    assert result.stdout.startswith("note: ") and "seed-0 of more steps (100,000)" in result.stdout
    assert [one.num_steps for one in read_evaluation(path).policies] == [100_000]


def test_a_collection_has_no_use_for_out(tmp_path):
    root = write_tested(tmp_path / "a", [0])
    words = f"--collect={tmp_path / 'kept'}", f"--runs={root}", f"--out={tmp_path / 'out'}"
    refused(run(*words), "--out does nothing without --table or --curves")
    assert not (tmp_path / "kept").exists()


def test_collections_refuse_what_is_not_one_cell(tmp_path):
    target = tmp_path / "kept"
    assert collected(write_tested(tmp_path / "a", [0]), into=target).returncode == 0
    other = write_tested(tmp_path / "b", [0, 1], gamma=0.9)
    result = collected(other, into=target)
    refused(result, "gamma (None, not 0.9)", "elsewhere")
    assert not (target / CELL / "seed-1").exists()
    both = write_tested(write_tested(tmp_path / "c", [0]), [0, 1], name="another")
    result = collected(both, into=tmp_path / "new")
    refused(result, "tests/another", "tests/cell", "both of", "--mode=evaluate")
    assert not (tmp_path / "new").exists()


def test_a_copy_or_a_collection_beside_its_original_is_called_so(tmp_path):
    root, target = write_tested(tmp_path / "runs"), tmp_path / "kept"
    assert collected(root, into=target).returncode == 0
    shutil.copytree(root / "tests" / "cell", tmp_path / "copy")
    for other in (target / CELL, tmp_path / "copy"):
        words = (root / "tests", f"{other}/evaluation.json are the same test", "leave one out")
        refused(run("--table=1", f"--runs={root},{other}", f"--out={tmp_path / 'out'}"), *words)
        refused(collected(root, other, into=tmp_path / "new"), *words)
    assert not (tmp_path / "new").exists()


def test_cells_are_named_by_what_tells_them_apart():
    assert folder_name(evaluation()) == CELL
    tracked = evaluation(agent={"track_keypoints": True}, steps=5000)
    assert folder_name(tracked) == f"{CELL}_tracked_5000-steps"
    small = evaluation(encoder="cnn", noise="both", agent={"cnn_filters": (32, 32)})
    assert folder_name(small) == "mspacman_permakey_cnn_k7_both_filters-32+32"
    assert folder_name(evaluation(noop_min=1)) == f"{CELL}_noop_min-1"
    assert folder_name(evaluation(env_id="ALE/Pong-v5")) == f"{CELL}_ALE-Pong-v5"


# ----------------------------------------------------------------------------------------- curves


def test_every_run_is_thin_behind_the_thick_curve(tmp_path):
    runs = [read(write_run(tmp_path / f"r{s}", {10: s, 20: 9}, s)) for s in range(3)]
    one = curves.curve(runs, "mean")
    assert [values.tolist() for _, values in one.runs] == [[0, 9], [1, 9], [2, 9]]
    line = charts.Line("agent", "3 runs", *one[3:])
    (axis,) = charts.learning_curves({"game": ([line], [])}, "", "score").axes
    *thin, thick = axis.get_lines()
    assert [line.get_ydata().tolist() for line in thin] == [[0, 9], [1, 9], [2, 9]]
    assert thick.get_ydata().tolist() == [1, 9]
    assert max(line.get_linewidth() for line in thin) < thick.get_linewidth()
    assert max(line.zorder for line in thin) < thick.zorder
    assert curves.curve(runs[:1]).runs == ()  # it is the curve


@pytest.mark.parametrize("panels", [1, 2, 4])
def test_legends_have_their_place(panels, recwarn):
    """Of many curves with long names: below their axis, in the picture, on nothing else."""
    x = np.arange(3.0)
    words = ", ".join(f"setting_number_{i}={i}" for i in range(9))
    lines = [charts.Line(f"{words}, k={k}", "3 runs", x, x, x, x) for k in range(9)]
    games = {f"game {i}": (lines[: 9 - 4 * (i % 2)], []) for i in range(panels)}
    figure = charts.learning_curves(games, "title", "score")
    figure.draw_without_rendering()
    assert not recwarn.list
    boxes = [axis.get_legend().get_window_extent() for axis in figure.axes]
    boxes += [axis.get_window_extent() for axis in figure.axes]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))
    heights = [axis.get_window_extent().height for axis in figure.axes]
    assert min(heights) > 0.5 * charts._CELL[1] * figure.dpi


def test_names_of_bars_do_not_meet():
    many = [charts.BarGroup(f"PKey+GNN, shuffled keypoints {i}\nK = 7", (5, 1), None)
            for i in range(12)]  # fmt: skip
    figure = charts.bar_chart({"one": (many, []), "two": (many[:3], [])}, "title")
    figure.draw_without_rendering()
    for axis, number in zip(figure.axes, (12, 3), strict=True):
        boxes = [label.get_window_extent() for label in axis.get_yticklabels()]
        assert len(boxes) == number
        assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))
        assert all(figure.bbox.x0 <= box.x0 for box in boxes)


def test_noise_is_told_once_unless_it_is_two(tmp_path):
    def settings(noise, keypoints_noise):
        return {
            "environment": {"noise": noise},
            "keypoints": {"method": "permakey", "training": {"noise": keypoints_noise}},
        }

    kinds = [("none", "none"), ("both", "both"), ("both", "none")]
    runs = [
        read(write_run(tmp_path / f"{i}", {10: 1}, **settings(*kind)))
        for i, kind in enumerate(kinds)
    ]
    drawn = [curves.curve(group) for group in curves.group(runs)]
    assert curves.labels(drawn) == ["noise=none", "noise=both", "noise=both, keypoints' noise=none"]


def test_runs_of_before_and_after_a_setting_was_added_make_one_curve(tmp_path):
    old = write_run(tmp_path / "old", {10: 1}, 0, encoder={"encoder": "gnn"})
    new = write_run(
        tmp_path / "new", {10: 2}, 1, encoder={"encoder": "gnn", "track_keypoints": False}
    )
    other = write_run(
        tmp_path / "other", {10: 3}, 1, encoder={"encoder": "gnn", "track_keypoints": True}
    )
    groups = curves.group([read(folder) for folder in (old, new, other)])
    assert [len(group) for group in groups] == [2, 1]


def write_run(folder, values, seed=0, game="MsPacman", keypoints=None, **settings):
    """A run folder of an agent; `values` is {step: validation score}."""
    folder.mkdir(parents=True)
    content = {
        "format_version": 1,
        "kind": "agent",
        "settings": {"game": game, "training": {"seed": seed, "lr": 1e-4}, **settings},
        "keypoints": {"settings": keypoints or {"method": "permakey", "training": {"seed": seed}}},
    }
    (folder / "config.json").write_text(json.dumps(content))
    lines = ["step,train/episode_return,validation/score", "5,1.5,"]
    lines += [f"{step},2.5,{value}" for step, value in values.items()]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


def read(folder):
    return curves.read_run(folder, "validation/score")


def test_runs_that_differ_in_the_seed_alone_make_one_curve(tmp_path):
    for seed, last in enumerate((60, 20, 100, 40, 80)):
        write_run(tmp_path / f"gnn{seed}", {10: 5, 20: last}, seed, encoder="gnn")
    write_run(tmp_path / "cnn", {10: 7, 20: 9}, encoder="cnn")
    write_run(tmp_path / "other", {10: 1}, game="seaquest", encoder="gnn")
    groups = curves.group([read(folder) for folder in sorted(tmp_path.iterdir())])
    drawn = [curves.curve(group) for group in groups]
    assert curves.labels(drawn) == ["encoder=cnn", "encoder=gnn", "encoder=gnn"]
    assert [(one.game, one.num_runs) for one in drawn] == [
        ("mspacman", 1),
        ("mspacman", 5),
        ("seaquest", 1),
    ]
    cnn, gnn, _ = drawn
    assert gnn.steps.tolist() == [10, 20]
    assert gnn.value.tolist() == [5, 60]  # 20 and 100 cut, the mean of 40, 60, 80
    assert (gnn.low[0], gnn.high[0]) == (5, 5) and 20 < gnn.low[1] < 60 < gnn.high[1] < 100
    assert cnn.value.tolist() == [7, 9] and np.isnan(cnn.low).all() and np.isnan(cnn.high).all()
    skewed = [read(write_run(tmp_path / f"s{s}", {9: v}, s)) for s, v in enumerate((0, 0, 0, 8))]
    iqm, mean = curves.curve(skewed), curves.curve(skewed, "mean")
    # The 8 is drawn three times or more in 5 % of the resamples, four times in 0.4 %.
    assert (iqm.value, iqm.low, iqm.high) == ([0], [0], [8])
    assert (mean.value, mean.low, mean.high) == ([2], [0], [6])


def test_keypoints_tell_agents_apart(tmp_path):
    kinds = {
        "a": {"method": "permakey", "pointnet": {"num_keypoints": 7}, "training": {"patience": 10}},
        "b": {"method": "permakey", "pointnet": {"num_keypoints": 5}, "training": {"patience": 10}},
        "c": {
            "method": "transporter",
            "pointnet": {"num_keypoints": 7},
            "training": {"patience": 5},
        },
    }
    runs = [read(write_run(tmp_path / name, {10: 1}, keypoints=kinds[name])) for name in kinds]
    drawn = [curves.curve(group) for group in curves.group(runs)]
    assert curves.labels(drawn[:2]) == ["num_keypoints=7", "num_keypoints=5"]
    assert curves.labels(drawn[::2]) == ["PermaKey", "Transporter"]
    again = read(write_run(tmp_path / "again", {10: 1}, keypoints=kinds["c"]))
    with refuses(tmp_path / "c", tmp_path / "again", "same settings and seed"):
        curves.group([*runs, again])


def test_runs_that_report_at_other_steps(tmp_path):
    first = write_run(tmp_path / "a", {10: 0, 20: 10, 40: 30, 50: 99}, 0)
    second = write_run(tmp_path / "b", {15: 2, 30: 8, 40: 10}, 1)
    both = curves.curve([read(first), read(second)])
    assert both.steps.tolist() == [15, 20, 30, 40]  # from 15, where b begins, to 40, where it ends
    assert both.value.tolist() == [(5 + 2) / 2, (10 + 4) / 2, (20 + 8) / 2, (30 + 10) / 2]
    late = write_run(tmp_path / "c", {60: 1}, 2)
    with refuses(first, late, "first report"):
        curves.curve([read(first), read(late)])


def test_the_same_run_twice_is_refused(tmp_path):
    twice = [read(write_run(tmp_path / name, {10: 1}, 3)) for name in "ab"]
    with refuses(tmp_path / "a", tmp_path / "b", "same settings and seed"):
        curves.group(twice)


def test_a_row_that_is_cut_off_does_not_count(tmp_path):
    folder = write_run(tmp_path / "run", {10: 1, 20: 2})
    metrics = folder / "metrics.csv"
    whole = metrics.read_text()
    for cut in ("3", "30", "30,2", "30,2.5,", "30,2.5,1"):  # of "30,2.5,12\n"
        metrics.write_text(whole + cut)
        assert read(folder).values.tolist() == [1, 2]
    metrics.write_text(whole + "30,2.5,12\n")
    assert read(folder).values.tolist() == [1, 2, 12]


def test_curves_end_to_end(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"run{seed}", {10: seed, 20: 10 * seed}, seed)
    write_run(tmp_path / "run3", {10: 3}, 3)
    write_run(tmp_path / "fresh", {}, 4)
    killed = tmp_path / "run0" / "metrics.csv"
    killed.write_text(killed.read_text() + "30,2.5,1")  # cut off: the score may have been 12
    (tmp_path / "keypoints").mkdir()
    (tmp_path / "keypoints" / "config.json").write_text('{"format_version": 1, "settings": {}}')
    out = tmp_path / "out"
    result = run("--curves", f"--runs={tmp_path}", "--statistic=mean", f"--out={out}")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:2] == [
        f"note: {tmp_path / 'fresh'}: no value of validation/score yet",
        f"note: {tmp_path / 'run3'}: ends at step 10, and so does its curve",
    ]
    with (out / "curves.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["game"], row["label"], row["runs"]) == ("mspacman", "agent", "4")
    assert (row["step"], float(row["value"])) == ("10", 1.5)
    assert 0 <= float(row["low"]) < 1.5 < float(row["high"]) <= 3
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "curves.pdf").read_bytes().startswith(b"%PDF")


# --------------------------------------------------------------------------------------- mistakes


def damaged(folder):
    (folder / "evaluation.json").write_text('{"kind": "agent"')
    return f"--runs={folder}"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (lambda p: ["--table=1"], 1, ["--runs=FOLDER,..."]),
        (lambda p: ["--table=1", "--runs=/nowhere"], 1, ["--runs=/nowhere", "no such"]),
        (lambda p: ["--table=4", f"--runs={p}"], 2, ["table"]),
        (lambda p: [f"--runs={p}"], 1, ["--table=1, 2 or 3", "--curves"]),
        (lambda p: ["--table=1", f"--runs={p}"], 1, ["no evaluation.json"]),
        (lambda p: ["--curves", f"--runs={p}"], 1, ["validation/score"]),
        (
            lambda p: ["--table=2", damaged(p)],
            1,
            ["evaluation.json is damaged"],
        ),
        (
            lambda p: ["--table=1", f"--runs={write(p / 'a')}", "--out=/dev/null/report"],
            1,
            ["/dev/null is no folder"],
        ),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path, arguments, code, words):
    result = run(*arguments(tmp_path))
    assert result.returncode == code
    refused(result, *words)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.json", "{", ["damaged"]),
        ("config.json", '{"kind": "agent"}', ["damaged", "format_version"]),
        ("config.json", '{"kind": "agent", "format_version": 2}', ["format version 2"]),
        (
            "config.json",
            '{"kind": "agent", "format_version": 1, "settings": {"seed": 1}}',
            ["damaged", "keypoints"],
        ),
        ("metrics.csv", "step,loss\n1,2\n", ["'validation/score'", "loss"]),
        ("metrics.csv", "step,validation/score\n1,2\x00\n", ["damaged"]),
        ("metrics.csv", "step,validation/score\n1,high\n", ["damaged", "'high'"]),
        ("metrics.csv", "step,validation/score\n2,1\n1,1\n", ["damaged", "ascend"]),
    ],
)
def test_damaged_run_folders_are_refused_by_name(tmp_path, name, text, words):
    folder = write_run(tmp_path / "run", {10: 1})
    (folder / name).write_text(text)
    with refuses(folder / name, *words):
        read(folder)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [(None, "is missing"), ("", "is empty"), ("step,train/epi", "is cut within its first line")],
)
def test_a_run_without_a_table_is_told_and_does_not_hinder_the_others(tmp_path, metrics, words):
    write_run(tmp_path / "one", {10: 1})
    file = write_run(tmp_path / "two", {10: 1}, seed=1) / "metrics.csv"
    file.unlink()
    if metrics is not None:
        file.write_text(metrics)
    result = run("--curves", f"--runs={tmp_path}", f"--out={tmp_path / 'out'}")
    assert result.returncode == 0, result.stderr
    told = f"no value of validation/score: {file} {words}"
    assert f"note: {tmp_path / 'two'}: {told}\n" in result.stdout
    assert (tmp_path / "out" / "curves.png").exists()
    refused(run("--curves", f"--runs={tmp_path / 'two'}"), f"{tmp_path / 'two'}: {file} {words}")


def test_a_run_without_metrics_is_refused(tmp_path):
    (write_run(tmp_path / "run", {10: 1}) / "metrics.csv").unlink()
    with refuses(tmp_path / "run" / "metrics.csv", "missing"):
        read(tmp_path / "run")


def test_the_flags_defaults_are_the_curves():
    """Flags load no NumPy, so they have these names a second time."""
    values = absl_flags.FlagValues()
    report_flags.define(values)
    assert values["metric"].default == curves.FULL_GAME_SCORE
    assert values["statistic"].parser.enum_values == list(curves.STATISTICS)
    assert values["statistic"].default == next(iter(curves.STATISTICS))
