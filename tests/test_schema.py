"""Files of runs and stores: whatever stands in a place, one line names the file and the place."""

import copy
import json

import numpy as np
import pytest
from support import refuses, run_folder, tiny_config, write_store

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.data.store import FrameStore
from permakey_tf.errors import UserError
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.scores import curves, evaluation, evaluation_file
from permakey_tf.system import files, schema

WRONG = [None, True, 3, -7, 2.5, 10**400, "x", "", [], [[]], ["x"], [1, [2]], {}, {"a": 1}]
NOT_NUMBERS = [float("nan"), float("inf")]


def places(value, path=()):
    """Paths of the branches and leaves of plain JSON; of a list, the first stands for all."""
    inside = enumerate(value[:1]) if isinstance(value, list) else value.items()
    for name, part in inside:
        yield (*path, name)
        if isinstance(part, (dict, list)):
            yield from places(part, (*path, name))


def replaced(content, path, value):
    content = copy.deepcopy(content)
    parent = content
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    return content


def may_stand_for(one, other):
    """Whether one has the type of the other, as JSON has types."""
    if one is None or other is None:
        return True  # unset
    if isinstance(other, float):
        return type(one) in (int, float) and abs(one) < 2**1000
    return type(one) is type(other)


def fuzz(file, read, free=()):
    """Puts every wrong value into every place of a JSON file that `read` reads.

    free: first names of places where anything may stand.
    """
    whole = json.loads(file.read_text())
    for path in places(whole):
        if path[0] in free and len(path) > 2:
            continue
        there = whole
        for name in path:
            there = there[name]
        for wrong in WRONG:
            file.write_text(json.dumps(replaced(whole, path, wrong)))
            try:
                read()
            except UserError as error:
                assert file.name in str(error), (path, wrong, error)
                assert "\n" not in str(error)
            else:
                assert path[0] in free or may_stand_for(wrong, there), (path, wrong)
    for text in ("", "3", "null", "[]", "{", "[" * 100_000, '{"a": ' * 100_000, "9" * 5000, "\0"):
        file.write_text(text)
        with refuses(file.name):
            read()
    file.write_text(json.dumps(whole))
    read()


def make_keypoint_run(path):
    return run_folder(KeypointFolder, path, tiny_config(), FrameSpec("toy", 20, 3, "ab12"))


def make_agent_run(path):
    folder = make_keypoint_run(path / "of_keypoints")
    folder.best_checkpoint.parent.mkdir()
    np.savez(folder.best_checkpoint, x=np.zeros(3))
    return run_folder(AgentFolder, path / "agent", AgentConfig(), folder)


def test_config_of_a_keypoint_run(tmp_path):
    folder = make_keypoint_run(tmp_path / "run")
    fuzz(folder.path / "config.json", lambda: KeypointFolder.open(folder.path), ["version"])


def test_config_of_an_agents_run(tmp_path):
    folder = make_agent_run(tmp_path)
    free = ["version", "seeds", "keypoints"]
    fuzz(folder.path / "config.json", lambda: AgentFolder.open(folder.path), free)


def test_config_of_an_agents_run_as_a_curve(tmp_path):
    folder = make_agent_run(tmp_path)
    (folder.path / "metrics.csv").write_text("step,validation/score\n1,2.0\n")
    free = ["version", "kind", "settings", "keypoints", "seeds"]
    fuzz(
        folder.path / "config.json",
        lambda: curves.read_run(folder.path, "validation/score"),
        free,
    )


def test_manifest_of_a_frame_store(tmp_path):
    store = write_store(tmp_path / "store")
    read = {"format", "format_version", "game", "splits", "sha256", "content_hash", "notes"}
    free = set(store.manifest) - read
    fuzz(store.path / "manifest.json", lambda: FrameStore.open(store.path), free)


def test_evaluation_of_agents(tmp_path):
    specs = evaluation.AgentSpec("permakey", "gnn", 7, "none", 100, 50)
    policies = tuple(evaluation.PolicySpec(f"run{i}", i, 100, 50) for i in range(2))
    scores, at_random = np.arange(4.0).reshape(2, 1, 2), np.zeros([1, 2])
    lengths = np.ones([2, 1, 2], int)
    rules, path = evaluation.Rules(), tmp_path / "evaluation.json"
    made = evaluation.Evaluation(
        "toy", "", rules, specs, policies, (3,), scores, lengths, at_random
    )
    evaluation_file.write_evaluation(path, made)
    fuzz(path, lambda: evaluation_file.read_evaluation(path), ["kind", "aggregates"])


@pytest.mark.parametrize(
    ("path", "wrong", "words"),
    [
        (
            ("settings", "training", "batch_size"),
            "4",
            ["training.batch_size", "whole"],
        ),
        (("settings", "training"), [1], ["(training must", "object"]),
        (("settings", "vae", "vae_filters", 1), True, ["vae.vae_filters[1]", "whole"]),
        (("settings", "pointnet", "num_keypoints"), -1, ["num_keypoints=-1"]),
        (
            ("settings", "training", "learning_rate"),
            float("nan"),
            ["learning_rate", "finite"],
        ),
        (("frames", "image_size"), -20, ["image_size=-20"]),
        (("frames", "image_size"), None, ["frames.image_size", "whole", "None"]),
        (("frames", "game"), {}, ["frames.game", "text"]),
        (("frames",), "x", ["frames must", "object"]),
    ],
)
def test_the_place_is_named(tmp_path, path, wrong, words):
    folder = make_keypoint_run(tmp_path / "run")
    file = folder.path / "config.json"
    file.write_text(json.dumps(replaced(json.loads(file.read_text()), path, wrong)))
    with refuses("config.json", *words):
        KeypointFolder.open(folder.path)


def test_plain_values_become_what_they_describe():
    assert schema.parse(tuple[int, ...], [1, 2]) == (1, 2)
    assert schema.parse(dict[str, list[float]], {"a": [1, 2.5]}) == {"a": [1, 2.5]}
    assert schema.parse(int | None, None) is None
    assert schema.parse(FrameSpec, {"game": "a", "image_size": 4, "channels": 1,
                                    "content_hash": ""}) == FrameSpec("a", 4, 1, "")  # fmt: skip


@pytest.mark.parametrize("cells", ["1," + "9" * 140_000, "1,2,3", "1"])
def test_tables_that_no_run_wrote(tmp_path, cells):
    (tmp_path / "metrics.csv").write_text(f"step,loss\n{cells}\n")
    with pytest.raises(ValueError, match="line"):
        files.read_rows(tmp_path / "metrics.csv")
