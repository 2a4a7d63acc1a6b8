"""The seed-separated test protocol on made-up scores, and its file."""

import dataclasses
import json

import numpy as np
import pytest
from support import refuses

from permakey_tf.scores.aggregates import advantage, aggregate, find_median_seed
from permakey_tf.scores.evaluation import AgentSpec, Evaluation, PolicySpec, Rules
from permakey_tf.scores.evaluation_file import read_evaluation, write_evaluation
from permakey_tf.scores.repeats import GameRepeats
from permakey_tf.scores.starts import EachStartOnce, starts_of_test

# Three policies on five seeds, two episodes each. Policies' means by seed:
#   seed      11   12   13   14   15
#   A         10   40   20   90    0
#   B         20   10   30   60   30
#   C         30   70   25   30    0
#   mean      20   40   25   60   10     -> sorted 10 20 25 40 60: seed 13
MEANS = np.array([[10, 40, 20, 90, 0], [20, 10, 30, 60, 30], [30, 70, 25, 30, 0]], float)
SEEDS = (11, 12, 13, 14, 15)
SPREAD = 100.0  # between the two episodes of a seed, the same everywhere
REPEATS = GameRepeats(4, (10, 9, 8), (1, 2, 3), (10, 10, 9), (0, 0, 1))
SCORES = np.stack([MEANS - SPREAD / 2, MEANS + SPREAD / 2], axis=-1)  # [3, 5, 2]


def test_the_median_seed_of_an_odd_number():
    median = find_median_seed(SCORES, SEEDS)
    assert (median.seed, median.mean) == (13, 25.0)
    assert median.std == 5.0  # of 20, 30, 25: sqrt((25 + 25 + 0) / (3 - 1))


def test_of_an_even_number_the_lower_middle_one():
    median = find_median_seed(SCORES[:, :4], SEEDS[:4])  # means 20 40 25 60: 25, not 32.5
    assert (median.seed, median.mean, median.std) == (13, 25.0, 5.0)
    assert find_median_seed(SCORES[:, :2], SEEDS[:2]).seed == 11


def test_the_deviation_is_the_policies_and_not_pooled():
    """Episodes 50 above and below their mean make any pooled deviation exceed 50."""
    at_median = SCORES[:, 2]
    assert at_median.std() > 50 and np.mean([scores.std() for scores in at_median]) == 50
    assert find_median_seed(SCORES, SEEDS).std == 5.0


def test_means_weigh_every_policy_and_episode_alike():
    """Not medians: one outlying episode moves the mean of its policy, and the seed's."""
    scores = SCORES.copy()
    scores[0, 2, 0] += 60  # A on seed 13: 20 -> 50; the seed's mean: 25 -> 35
    median = find_median_seed(scores, SEEDS)
    assert (median.seed, median.mean) == (13, 35.0)


def test_seeds_are_ranked_by_the_mean_over_policies():
    means = np.array([[0, 20, 40], [0, 20, 40], [90, 20, 40]], float)  # 30, 20, 40
    assert find_median_seed(means[..., None], (1, 2, 3))[:2] == (1, 30.0)


def test_one_policy_has_no_deviation_and_no_interval():
    result = aggregate(SCORES[:1], SEEDS)
    assert result.median_seed == (13, 20.0, None)
    assert "None" not in str(result.median_seed)
    assert result.mean == result.iqm == (32.0, None, None)  # mean of 10, 40, 20, 90, 0


def test_one_seed_is_the_median():
    assert find_median_seed(SCORES[:, 3:4], [14]) == (14, 60.0, 30.0)


def test_aggregates_over_runs():
    result = aggregate(SCORES, SEEDS)
    assert result.run_scores == pytest.approx((32, 30, 31))
    assert result.mean == pytest.approx((31, 30, 32))  # 1/27 of resamples draw one run thrice
    assert result.iqm.value == pytest.approx(31)
    shifts = np.array([0, 0, 300])[:, None, None]
    four = np.concatenate([SCORES + shifts, SCORES[:1] + 4])  # runs 32, 30, 331, 36
    assert aggregate(four, SEEDS).iqm.value == pytest.approx(34)


def test_the_advantage_over_random_play_by_hand():
    # Games 1, 3, 5, 7: mean 4, variance 20/3. At random 0, 2: mean 1, variance 2.
    better = advantage(np.array([[[1.0, 3], [5, 7]]]), np.array([[0.0], [2]]))
    assert (better.difference, better.distinct) == (3.0, 4)
    assert better.standard_error == pytest.approx(np.sqrt(20 / 3 / 4 + 2 / 2))
    of_one_game = advantage(np.ones([1, 1, 1]), np.ones([1, 1]))
    assert np.isnan(of_one_game.standard_error)
    assert "nan" not in str(of_one_game)


# --------------------------------------------------------------------------------------- the file


def evaluation(**changes) -> Evaluation:
    values = {
        "game": "mspacman",
        "env_id": "ALE/MsPacman-v5",
        "rules": Rules(max_episode_steps=500),
        "agent": AgentSpec("permakey", "gnn", 7, "none", 100_000, 1600),
        "policies": tuple(PolicySpec(f"runs/{s}", s, 100_000, 70_000) for s in range(3)),
        "seeds": SEEDS,
        "scores": SCORES,
        "lengths": np.arange(SCORES.size).reshape(SCORES.shape) + 1,
        "random_scores": SCORES[0] / 2,
        "repeats": REPEATS,
    }
    return Evaluation(**values | changes)


def test_the_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "evaluation.json"
    written = evaluation(scores=SCORES / 3)
    write_evaluation(path, written)
    read = read_evaluation(path)
    for field in dataclasses.fields(Evaluation):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(written, field.name))
    assert read.lengths.dtype.kind == "i" and read.aggregates == written.aggregates
    content = json.loads(path.read_text())
    assert content["format_version"] == 1 and content["agent"]["encoder"] == "gnn"
    assert content["policies"][2]["train_seed"] == 2
    assert content["aggregates"]["median_seed"] == {
        "seed": 13,
        "mean": pytest.approx(25 / 3),
        "std": pytest.approx(5 / 3),
    }
    assert content["aggregates"]["iqm"]["value"] == pytest.approx(31 / 3)


def test_each_start_counts_once_where_starts_are_known():
    atari = evaluation(env_id="")
    rules = atari.rules
    starts = starts_of_test(SEEDS, SCORES.shape[2], rules.noop_min, rules.noop_max)
    assert atari.each_start_once == EachStartOnce.of(SCORES, starts)
    assert evaluation(env_id="ALE/MsPacman-v5").each_start_once is None
    sticky = dataclasses.replace(rules, sticky_actions=0.25)
    assert evaluation(env_id="", rules=sticky).each_start_once is None


@pytest.mark.parametrize(
    "nodes, extractor, tracked, variant",
    [
        ("keypoints", "pointnet", False, ""),
        ("keypoints", None, False, ""),
        ("keypoints", "pursuit", False, "pursuit"),
        ("keypoints", "pursuit", True, "pursuit, tracked"),
        # Where keypoints are not seen, nothing hangs on how they are found.
        ("objects", "pursuit", False, "true positions"),
    ],
)
def test_what_an_agent_has_that_the_papers_has_not(nodes, extractor, tracked, variant):
    agent = AgentSpec(
        *("permakey", "gnn", 7, "none", 100_000, 1000),
        track_keypoints=tracked,
        nodes=nodes,
        extractor=extractor,
    )
    assert agent.variant == variant


def test_a_file_of_before_repeats_were_counted_is_read(tmp_path):
    path = tmp_path / "evaluation.json"
    write_evaluation(path, evaluation())
    assert read_evaluation(path).repeats == REPEATS
    content = json.loads(path.read_text())
    del content["repeats"]
    path.write_text(json.dumps(content))
    assert read_evaluation(path).repeats is None


def test_a_file_of_before_openings_were_settings_is_of_ours(tmp_path):
    path = tmp_path / "evaluation.json"
    write_evaluation(path, evaluation())
    content = json.loads(path.read_text())
    for name in ("noop_min", "fire_at_start", "fire_after_life"):
        del content["rules"][name]
    path.write_text(json.dumps(content))
    assert read_evaluation(path).rules == Rules(max_episode_steps=500)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scores": SCORES[:2]}, "scores"),
        ({"scores": SCORES[:, :, 0]}, r"scores\[policy\]"),
        ({"scores": SCORES[:, :, :0]}, r"scores\[policy\]"),
        ({"scores": np.where(SCORES > 60, np.nan, SCORES)}, "not finite"),
        ({"lengths": np.ones([3, 5, 1], int)}, "lengths"),
        ({"lengths": np.zeros(SCORES.shape, int)}, "no counts"),
        ({"lengths": np.full(SCORES.shape, 1.5)}, "no counts"),
        ({"random_scores": SCORES[0, :4]}, "random_scores"),
        ({"random_scores": np.full([5, 2], np.inf)}, "not finite"),
        ({"seeds": (11, 12, 13, 14, 14)}, "twice"),
        ({"seeds": (11, 12, 13, 14, "15")}, "whole numbers"),
        ({"policies": (PolicySpec("a", 0, 10, 10),) * 3}, "twice"),
        ({"game": "MsPacman"}, "game 'MsPacman'"),
        ({"repeats": GameRepeats(1, (1,), (1,), (1,), (1,))}, "repeats"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        evaluation(**changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format_version=2), ["format version 2"]),
        (lambda c: c.pop("seeds"), ["damaged", "seeds"]),
        (lambda c: c["agent"].update(encoder="mlp"), ["damaged", "encoder 'mlp'"]),
        (lambda c: c["agent"].update(num_keypoints="7"), ["damaged", "num_keypoints"]),
        (lambda c: c["agent"].update(size=3), ["damaged", ": size"]),
        (lambda c: c["policies"][0].update(checkpoint_step=200_000), ["checkpoint_step 200000"]),
        (lambda c: c["rules"].update(sticky_actions=1.0), ["damaged", "sticky_actions"]),
        (lambda c: c["rules"].update(noop_max="30"), ["damaged", "noop_max"]),
        (lambda c: c["scores"][1][2].pop(), ["damaged", "shape"]),
        (lambda c: c["scores"][0][0].__setitem__(0, None), ["scores[0][0][0]", "finite"]),
        (lambda c: c["scores"][0][0].__setitem__(0, 1e4), ["aggregates"]),
        (lambda c: c["aggregates"]["median_seed"].update(mean=99), ["aggregates"]),
        (lambda c: c["repeats"].update(different=[1, 2]), ["damaged", "repeats"]),
        (lambda c: c["repeats"].update(validated=[1, 2, -1]), ["damaged", "repeats"]),
        (lambda c: c["repeats"].update(first_screens="4"), ["damaged", "repeats.first_screens"]),
        (lambda c: c["repeats"].pop("validated"), ["damaged", "validated"]),
        (lambda c: c["aggregates"]["iqm"].update(value=99), ["aggregates"]),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, change, words):
    path = tmp_path / "evaluation.json"
    write_evaluation(path, evaluation())
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with refuses(path, *words):
        read_evaluation(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00"])
def test_what_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with refuses("evaluation.json", "program", "delete it, and test again"):
        read_evaluation(path)


def test_a_keypoint_runs_evaluation_is_none(tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text('{"split": "test", "losses": {"loss_vae": 1.0}}')
    assert read_evaluation(path) is None
