"""The public names of the package: what they are, and what they load."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import refuses

import permakey_tf
from permakey_tf.quality.footage import Footage
from permakey_tf.types import Keypoints

ROOT = Path(__file__).parents[1]
NAMES = sorted(permakey_tf.__all__)


def test_the_names_are_listed_before_they_are_loaded():
    assert set(permakey_tf.__all__) == set(dir(permakey_tf))  # no helper of the module
    assert "nonsense" not in dir(permakey_tf)
    with pytest.raises(AttributeError, match="nonsense"):
        permakey_tf.nonsense  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there_and_says_what_it_is(name):
    value = getattr(permakey_tf, name)
    assert name == "__version__" or value.__doc__


def test_type_checkers_see_the_same_names():
    """What they read, the block of TYPE_CHECKING, is never run."""
    source = (ROOT / "permakey_tf/__init__.py").read_text()
    found = re.findall(r"^    from (\S+) import (\w+) as (\w+)$", source, re.MULTILINE)
    assert {name: module for module, name, _ in found} == permakey_tf._HOMES
    assert all(name == alias for _, name, alias in found)
    assert (ROOT / "permakey_tf/py.typed").exists()


def test_a_users_mistake_is_a_value_error():
    with pytest.raises(ValueError, match="num_keypoints=0"):
        permakey_tf.KeypointConfig.make(num_keypoints=0)


FRAMES = np.arange(120 * 12 * 16 * 3, dtype=np.uint8).reshape(120, 12, 16, 3)
TAKES = {
    "logging": ["logging", "not dict", "permakey_tf.LoggingConfig"],
    "train": ["store", "not ndarray", "FrameStore.open and FrameStore.from_arrays"],
    "make": ["image_size", "FrameStore.from_arrays"],
    "from_arrays": ["frames", "one size"],
    "split": ["split", "not int", "(85, 5, 5)"],
    "join_stores": ["stores", "not str", "FrameStore.open(folder)"],
    "no stores": ["stores", "not None", "FrameStore.open(folder)"],
    "one store": ["at least two"],
    "sha256": ["sha256", "not int", "64 hex digits"],
    "preset": ["preset", "not list", "quick"],
    "part": ["num_keypoints", "'pointnet'", "KeypointConfig.make(num_keypoints=...)"],
    "of make": ["'game'", "KeypointConfig.make(game=...)"],
    "no preset": ["preset", "not int", "quick"],
    "part's neighbour": ["'num_keypoint'", "did you mean num_keypoints?"],
    "of frames": ["image_size", "FrameStore.from_arrays"],
    "field": ["LoggingConfig", "'summary'", "did you mean summary_every?"],
    "field of frames": ["CollectionConfig", "'num_frame'", "did you mean num_frames?"],
    "nothing": ["no frames", "[0]"],
    "no frames": ["no frames", "[0, 12, 16, 3]"],
    "lengths": ["centres", "N = 1", "episodes", "[2, 1, 2]"],
    "open_footage": ["path", "not FrameStore", "store.path"],
    "objects": ["objects", "not None", "`python -m run.data --objects`"],
    "keypoints": ["centres", "[N, K, 2]", "keypoints.centers_yx"],
    "split_range": ["split='tests'", "train, validation, test"],
    "game": ["game", "not int", "num_keypoints=5"],
    "no name": ["game=''", "letters"],
    "load": ["model", "not str", "KeypointDetector.load(run)"],
    "boxes": ["rows", "not ndarray", "range(first, last + 1)"],
    "beyond": ["rows=range(0, 10000000)", "0 to 599"],
    "env": ["env", "not str", "gymnasium.make(its id)"],
}


@pytest.fixture(scope="module")
def store():
    return permakey_tf.FrameStore.from_arrays(FRAMES, image_size=16)


def footage():
    objects = permakey_tf.Objects(frame=[], category=[], xywh=[], categories=("ball",))
    frames, episodes = np.zeros([600, 1, 1, 3], np.uint8), np.zeros(600, int)
    halves = range(300), range(300, 600)
    return Footage(Path("none"), "mine", frames, episodes, objects, *halves, "")


@pytest.mark.parametrize("call", TAKES)
def test_what_is_of_another_kind_is_refused_in_a_line_that_names_the_remedy(call, store, tmp_path):
    pk, config = permakey_tf, permakey_tf.KeypointConfig.make("quick")
    centers, episodes = np.zeros([2, 1, 2]), [0, 0]
    boxes = {"frame": [0], "category": [0], "categories": ["a"]}
    objects = pk.Objects(xywh=[[0, 0, 1, 1]], **boxes)
    calls = {
        "train": lambda: pk.train(FRAMES, config, tmp_path / "run"),
        "logging": lambda: pk.train(store, config, tmp_path / "run", logging={"summary_every": 3}),
        "make": lambda: pk.KeypointConfig.make("quick", image_size=84),
        "from_arrays": lambda: pk.FrameStore.from_arrays([FRAMES[0], FRAMES[0][:4]]),
        "split": lambda: pk.FrameStore.from_arrays(FRAMES, split=1),
        "join_stores": lambda: pk.join_stores(["a", "b"]),
        "no stores": lambda: pk.join_stores(None),
        "one store": lambda: pk.join_stores(store),
        "sha256": lambda: pk.KeypointDetector.load(tmp_path, sha256=3),
        "preset": lambda: pk.KeypointConfig.make(["quick"]),
        "part": lambda: pk.KeypointConfig(num_keypoints=5),
        "of make": lambda: pk.KeypointConfig(game="mspacman"),
        "no preset": lambda: pk.KeypointConfig.make(0),
        "part's neighbour": lambda: pk.KeypointConfig(num_keypoint=5),
        "of frames": lambda: pk.KeypointConfig(image_size=84),
        "field": lambda: pk.LoggingConfig(summary=3),
        "field of frames": lambda: pk.CollectionConfig(num_frame=3),
        "nothing": lambda: pk.FrameStore.from_arrays([]),
        "no frames": lambda: pk.FrameStore.from_arrays(FRAMES[:0]),
        "lengths": lambda: pk.evaluate_keypoints(centers, objects, [0]),
        "open_footage": lambda: pk.open_footage(store),
        "objects": lambda: pk.evaluate_keypoints(centers, store.objects(), episodes),
        "keypoints": lambda: pk.evaluate_keypoints(
            Keypoints(centers, centers[..., 0]), objects, episodes
        ),
        "split_range": lambda: store.split_range("tests"),
        "game": lambda: pk.KeypointConfig.make("quick", 5),
        "no name": lambda: pk.FrameStore.from_arrays(FRAMES, game="", image_size=16),
        "load": lambda: pk.KeypointDetector("runs/mine"),
        "boxes": lambda: footage().boxes(np.arange(5)),
        "beyond": lambda: footage().boxes(range(10**7)),
        "env": lambda: pk.KeypointObservation("ALE/MsPacman-v5", None),
    }
    with refuses(*TAKES[call], settings=["game"] if call == "no name" else []):
        calls[call]()


def test_a_tilde_is_the_home_folder_wherever_a_path_is_given(store, tmp_path, monkeypatch):
    """On command lines it is: what one of them makes is opened from Python."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pk, small = permakey_tf, {"image_size": 16, "game": "mine"}
    made = pk.FrameStore.from_arrays(FRAMES, path="~/mine", **small)
    assert made.path == tmp_path / "mine"
    assert pk.FrameStore.open("~/mine").path == tmp_path / "mine"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("not a run")
    config = pk.KeypointConfig.make("quick", num_keypoints=2, batch_size=4)
    with refuses(tmp_path / "run", settings=["logdir"]):
        pk.train(store, config, "~/run")
    for load in (pk.KeypointDetector.load, pk.AgentPlayer.load, pk.open_footage):
        with refuses(tmp_path / "run"):
            load("~/run")
    assert not (tmp_path / "~").exists()


def test_what_is_no_path_is_refused_in_a_line():
    pk = permakey_tf
    for call in (pk.KeypointDetector.load, pk.FrameStore.open, pk.AgentPlayer.load):
        with refuses("the path", "PathLike", "not int"):
            call(3)


def test_a_clip_without_boxes():
    objects = permakey_tf.Objects(frame=[], category=[], xywh=[], categories=("ball",))
    assert objects.frame.dtype == np.int32 and objects.xywh.shape == (0, 4)


def test_numbers_of_numpy_are_numbers():
    config = permakey_tf.KeypointConfig.make(num_keypoints=np.int64(5), latent_dim=np.uint8(7))
    filters = permakey_tf.KeypointConfig.make(vae_filters=np.array([8, 16, 16, 16])).vae.vae_filters
    assert filters == (8, 16, 16, 16)
    assert config.pointnet.num_keypoints == 5 and type(config.vae.latent_dim) is int


def test_too_few_frames_leave_no_run_behind(store, tmp_path):
    config = permakey_tf.KeypointConfig.make("quick", num_keypoints=2, batch_size=500)
    with refuses("108 training frames", "batch_size=500", settings=["batch_size"]):
        permakey_tf.train(store, config, tmp_path / "run")
    least = permakey_tf.FrameStore.from_arrays(FRAMES[:3], image_size=16)
    with refuses("1 training frames", "2 are the fewest", "more frames", settings=["batch_size"]):
        permakey_tf.train(least, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# In one process, since each would load the libraries anew. What is not allowed cannot be imported,
# as where it is not installed.
WHAT_IS_LOADED = """
import sys

class Only:
    allowed, forbidden = {"permakey_tf"}, set()

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in self.allowed | sys.stdlib_module_names or top.startswith("_")
        if top in self.forbidden or not (known or self.forbidden):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Only())

import permakey_tf as pk
assert pk.__version__ and "train" in dir(pk)

config = pk.KeypointConfig.make("quick", num_keypoints=5)
assert config.pointnet.num_keypoints == 5

Only.allowed |= {"numpy", "scipy"}
import numpy as np
boxes = np.array([[10, 20, 30, 40]] * 2, np.int16)
objects = pk.Objects(np.arange(2, dtype=np.int32), np.zeros(2, np.uint8), boxes, ("Player",))
centers = np.zeros([2, 1, 2])
centers[0] = 2 * 40 / 209 - 1, 2 * 25 / 159 - 1
scores = pk.evaluate_keypoints(centers, objects, np.zeros(2, int), game="mspacman")
assert scores["all"]["recall"][4] == 0.5, scores["all"]

Only.forbidden = {"tensorflow", "keras", "ale_py", "gymnasium"}
frames = np.random.default_rng(0).integers(0, 256, [6, 20, 20, 3], np.uint8)
store = pk.FrameStore.from_arrays(frames, game="CartPole-v1", image_size=20)

Only.forbidden = {"ale_py", "gymnasium"}
from permakey_tf.runs import checkpoint
from permakey_tf.models.build import build_model
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
with KeypointFolder.held(sys.argv[1], config, FrameSpec.of(store)) as folder:
    pass
variables = checkpoint.named_variables({"model": build_model(config, 20, 3).variables})
checkpoint.save(folder.best_checkpoint, checkpoint.finite_arrays(variables, 0))
assert pk.KeypointDetector.load(sys.argv[1]).detect(frames).shape == (6, 5, 2)
assert pk.train and pk.open_footage
"""


def test_scores_need_numpy_and_scipy_stores_no_tensorflow_and_a_detector_no_emulator(tmp_path):
    command = [sys.executable, "-c", WHAT_IS_LOADED, tmp_path / "run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
