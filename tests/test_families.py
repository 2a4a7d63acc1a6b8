"""Families of runs, and the words that tell them apart."""

from types import SimpleNamespace

import pytest

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.configs.base import flatten
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.runs import families


def keypoint_run(game="mspacman", **changes):
    return {"game": game, **flatten(KeypointConfig())} | changes


def agent_run(keypoints=None, **changes):
    seen_with = {f"keypoints.{name}": value for name, value in (keypoints or {}).items()}
    return flatten(AgentConfig()) | changes | seen_with


def test_a_family_is_all_but_the_seeds():
    settings = [keypoint_run(seed=seed, gauss_std=std) for std in (0.1, 0.2) for seed in (0, 1)]
    runs = [SimpleNamespace(settings=one) for one in settings]
    assert families.group([runs[i] for i in (2, 0, 1, 3)]) == [[runs[2], runs[3]], runs[:2]]
    one = agent_run({"seed": 3, "method": "permakey"}, seed=1)
    other = agent_run({"seed": 4, "method": "permakey"}, seed=1)
    assert families.family_key(one) == families.family_key(other)
    assert families.seeds_of(one) == {"seed": 1, "keypoints.seed": 3}


def test_the_game_and_the_method_come_first_and_settings_count_among_their_own():
    runs = [
        keypoint_run(num_keypoints=7),
        keypoint_run(num_keypoints=5),
        keypoint_run(method="transporter", num_keypoints=7, batch_size=64),
        keypoint_run("seaquest", num_keypoints=10),
    ]
    assert families.labels(runs) == [
        "MsPacman, PermaKey, num_keypoints=7",
        "MsPacman, PermaKey, num_keypoints=5",
        "MsPacman, Transporter",
        "Seaquest, PermaKey",
    ]


def test_settings_that_do_nothing_are_not_told():
    """An encoder's own settings, beside the other encoder."""
    runs = [agent_run(encoder="gnn"), agent_run(encoder="cnn", cnn_filters=(32, 32))]
    assert families.labels(runs) == ["encoder=gnn", "encoder=cnn"]
    runs.append(agent_run(encoder="cnn"))
    assert families.labels(runs) == [
        "encoder=gnn",
        "encoder=cnn, cnn_filters=32,32",
        "encoder=cnn, cnn_filters=128,128,128,128",
    ]


def test_a_family_is_of_what_does_something():
    """Transporter's settings beside PermaKey's; a figure would draw two curves of one name."""
    plain, other = keypoint_run(seed=0), keypoint_run(seed=1, pair_window=7)
    assert families.family_key(plain) == families.family_key(other)
    assert families.family_key(plain) != families.family_key(keypoint_run(seed=1, lsp_sample=0.5))
    pair = keypoint_run(method="transporter"), keypoint_run(method="transporter", pair_window=7)
    assert len({families.family_key(run) for run in pair}) == 2


@pytest.mark.parametrize("name", ["soft_argmax", "logit_scale", "pointnet_coordinates"])
def test_the_soft_argmax_is_pointnets_and_transporters(name):
    pointnet, pursuit = keypoint_run(extractor="pointnet"), keypoint_run(extractor="pursuit")
    transporters = [run | {"method": "transporter"} for run in (pointnet, pursuit)]
    applies = [families.applies(name, run) for run in (pointnet, *transporters, pursuit)]
    assert applies == [True, True, True, False]
    assert families.lacks(name, pursuit) == ("extractor", "pointnet")
    older = [
        {n: v for n, v in run.items() if n != "extractor"} for run in (pointnet, *transporters)
    ]
    assert all(families.applies(name, run) for run in older)


@pytest.mark.parametrize(
    ("name", "effects"),
    [
        ("window_threshold", [True, True, False, True]),
        ("batch_norm_momentum", [False, True, True, True]),
        ("jit_compile", [True, True, False, False]),
    ],
)
def test_what_has_an_effect_with_which_encoder(name, effects):
    runs = [agent_run(encoder="gnn"), agent_run(encoder="gnn", gnn_dense_norm="batch")]
    runs += [agent_run(encoder="cnn"), agent_run(encoder="cnn", cnn_mask="binary")]
    assert [families.applies(name, run) for run in runs] == effects


def test_a_cosine_has_no_stairs():
    runs = [keypoint_run(), keypoint_run(schedule="cosine")]
    for name in ("decay_rate", "decay_steps"):
        assert [families.applies(name, run) for run in runs] == [True, False]
    assert families.applies("batch_norm_momentum", keypoint_run())  # an agent's depends on more


def test_what_depends_on_a_setting_that_an_older_run_lacks():
    """track_keypoints is for nodes that are keypoints, and nodes are the graph's alone."""
    tracked = agent_run(encoder="gnn", track_keypoints=True)
    control = agent_run(encoder="gnn", nodes="objects")
    cnn = agent_run(encoder="cnn", cnn_filters=(32, 32))
    applies = [families.applies("track_keypoints", run) for run in (tracked, control, cnn)]
    assert applies == [True, False, False]
    older = [{n: v for n, v in run.items() if n != "nodes"} for run in (tracked, cnn)]
    assert [families.applies("track_keypoints", run) for run in older] == [True, False]


def test_a_name_is_the_same_in_all_panels():
    runs = [
        agent_run(encoder="gnn"),
        agent_run(encoder="cnn"),
        agent_run(encoder="gnn", game="seaquest"),
    ]
    told = families.labels(runs, but=("seed", "game"))
    assert told == ["encoder=gnn", "encoder=cnn", "encoder=gnn"]


def test_equal_runs_have_nothing_to_tell():
    assert families.labels([keypoint_run(seed=0), keypoint_run(seed=1)], but=("seed",)) == ["", ""]
