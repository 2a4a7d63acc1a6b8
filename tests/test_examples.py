"""The examples, run at tiny size; that of Stable-Baselines3 is only read."""

import ast
from pathlib import Path
from types import SimpleNamespace

import cv2
import gymnasium
import numpy as np
import processes
import pytest
from support import refuses, write_agent, write_keypoints
from test_run_quality import make_store

import permakey_tf
from examples import (
    play_with_an_agent,
    record_true_boxes,
    score_your_keypoints,
    train_from_arrays,
    true_boxes,
    your_own_images,
)
from permakey_tf import FrameStore

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
TINY = {
    "vae_filters": (4, 8, 8, 8),
    "pointnet_filters": (4, 8, 8, 8),
    "lsp_hidden_sizes": (16, 8),
    "batch_size": 4,
    "max_steps": 2,
}


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    made = train_from_arrays.make_frames(num_episodes=6, length=8, size=20)
    return train_from_arrays.main(folder / "run", made, image_size=20, **TINY)


def test_train_from_arrays(detector):
    assert (detector.num_keypoints, detector.image_size) == (1, 20)
    assert detector.config.vae.vae_filters == TINY["vae_filters"]


def test_your_own_images(tmp_path, monkeypatch):
    frames, episodes = train_from_arrays.make_frames(num_episodes=3, length=4, size=20)
    for number, (frame, episode) in enumerate(zip(frames, episodes, strict=True)):
        path = tmp_path / "images" / f"game {episode}" / f"{number + 5}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame[..., 0] = 7  # red and blue are told apart
        cv2.imwrite(str(path), frame[:14, :, ::-1])
    asked = {}

    def train(store: FrameStore, config, out):
        asked.update(store=store, config=config)
        return real_train(store, config, out)

    real_train = permakey_tf.train
    monkeypatch.setattr(permakey_tf, "train", train)
    out = tmp_path / "out"
    your_own_images.main(tmp_path / "images", 3, out, image_size=20, **TINY)
    store = asked["store"]
    np.testing.assert_array_equal(store.frames[:, 3:17], frames[:, :14])  # padded
    np.testing.assert_array_equal(store.episodes, episodes)
    assert asked["config"].pointnet.num_keypoints == 3
    drawn = cv2.imread(str(out / "keypoints_6.png"))[..., ::-1]
    assert drawn.shape == (14, 20, 3) and (drawn == (0, 255, 0)).all(-1).any()


def test_too_few_images_are_told(tmp_path):
    for number in range(3):
        path = tmp_path / "images" / "a" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full([20, 20, 3], 9 * number, np.uint8))
    with refuses("1 training frames", "batch_size=2", settings=["batch_size"]):
        your_own_images.main(tmp_path / "images", 3, tmp_path / "out", image_size=20)


def test_images_that_are_none_are_told_before_anything_is_made(tmp_path):
    with pytest.raises(SystemExit, match="has no images: they are looked for as EPISODE"):
        your_own_images.main(tmp_path, 3)
    for name, size in (("a", 20), ("b", 24)):
        path = tmp_path / name / "0.png"
        path.parent.mkdir()
        cv2.imwrite(str(path), np.zeros([size, size, 3], np.uint8))
    with pytest.raises(
        SystemExit, match=r"b/0\.png cannot be read, or is of another size than .*a/0"
    ):
        your_own_images.main(tmp_path, 3)


def test_score_your_keypoints(tmp_path):
    """The square of every frame is its brightest part, and its box the player's."""
    make_store(tmp_path / "truth")
    scores = score_your_keypoints.main(tmp_path / "truth")
    assert scores["Player"]["recall"][4] == 1


def test_play_with_an_agent(tmp_path, capsys):
    """What the actions are is tested with the player."""
    run = write_agent(tmp_path / "agent", write_keypoints(tmp_path)).path
    score = play_with_an_agent.main(run, "ALE/MsPacman-v5", "30")
    first, last = capsys.readouterr().out.splitlines()[-2:]
    assert first.startswith("step 0: ") and "UPRIGHT" in first and "DOWNLEFT" in first
    assert last == f"score {score:.0f} after 30 steps"


@pytest.mark.parametrize("game", ["ALE/Nix-v5", "nix:Nix-v0", "CartPole-v1", "a b"])
def test_a_game_that_an_agent_cannot_play_is_told_in_one_line(game):
    with pytest.raises(SystemExit) as left:
        play_with_an_agent.make_env(game)
    assert str(left.value).startswith(f"error: {game} is no Atari game")
    assert len(str(left.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("play_with_an_agent", ["run", "ALE/MsPacman-v5", "x"], "x: MAX_STEPS is a whole number"),
        ("record_true_boxes", ["minigrid:Nix-v0", "{", "x.npz", "9"], "cannot be made with {: "),
        ("record_true_boxes", ["minigrid:Nix-v0", "[]", "x.npz", "9"], "cannot be made with []"),
        ("record_true_boxes", ["minigrid:Nix-v0", "{}", "x.npz", "0"], "0 frames: a whole number"),
        (
            "record_true_boxes",
            ["minigrid:Nix-v0", "{}", "nix/x.npz", "9"],
            "nix/x.npz: there is no folder nix",
        ),
    ],
)
def test_wrong_arguments_of_examples_are_told_in_one_line(name, arguments, words):
    done = processes.run(f"examples.{name}", arguments)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and words in line and "Traceback" not in done.stderr


class Square(gymnasium.Env):
    """A bright square that goes down, on frames of 42x84; an episode is 3 frames long."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode):
        self.metadata = {"render_modes": [render_mode]}
        self.row = 0

    def reset(self, seed=None, options=None):
        self.row = 0
        return 0, {}

    def step(self, action):
        self.row += 10
        return 0, 0.0, self.row == 20, self.row == 30, {}

    def render(self):
        frame = np.zeros([42, 84, 3], np.uint8)
        frame[self.row : self.row + 10, 21:42] = 200
        return frame


def test_record_true_boxes(tmp_path, monkeypatch):
    """Boxes are pixels of 210x160, frames 84x84 with the colours where the boxes say."""
    gymnasium.register("Square-v0", entry_point=Square)

    def boxes(env):
        yield "Square", np.array([21 / 84, env.row / 42, 42 / 84, (env.row + 10) / 42])

    monkeypatch.setitem(record_true_boxes.BOXES, "Square-v0", boxes)
    record_true_boxes.main("Square-v0", "{}", tmp_path / "square.npz", "5")
    footage = permakey_tf.open_footage(tmp_path / "square.npz", visible_only=False)
    assert footage.episodes.tolist() == [0, 0, 1, 1, 2]
    assert footage.objects.categories == ("Square",)
    assert footage.objects.xywh.tolist() == [[40, top, 40, 50] for top in (0, 50, 0, 50, 0)]
    bright = np.argwhere(footage.frames[1, :, :, 0] > 100)
    assert bright.min(0).tolist() == [20, 21] and bright.max(0).tolist() == [39, 41]


def test_true_boxes_of_cars():
    """The own car 30 % from the left, one across the road 10 m ahead, and one out of sight."""

    def car(x, y, heading):
        return SimpleNamespace(position=np.array([x, y]), heading=heading, LENGTH=5, WIDTH=2)

    cars = [car(100, 8, 0), car(110, 12, np.pi / 2), car(129, 8, 0)]
    config = {"screen_width": 400, "screen_height": 200, "scaling": 10}
    config["centering_position"] = [0.3, 0.5]
    road = SimpleNamespace(vehicles=cars)
    env = SimpleNamespace(config=config, road=road, vehicle=cars[0])
    kinds, edges = zip(*true_boxes.highway_boxes(env), strict=True)
    assert kinds == ("Ego", "Car")
    expected = [[95, 90, 145, 110], [210, 115, 230, 165]]  # pixels of 400x200
    np.testing.assert_allclose(np.array(edges) * (400, 200, 400, 200), expected, atol=1e-9)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short_and_use_public_names_only(path):
    source = path.read_text()
    assert len(source.splitlines()) < 60
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "permakey_tf":
            assert node.module == "permakey_tf"
            assert {alias.name for alias in node.names} <= set(permakey_tf.__all__)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert not any(name.startswith("permakey_tf.") for name in names)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "pk":
            assert node.attr in permakey_tf.__all__


CALLED = [p for p in EXAMPLES if "sys.argv" in p.read_text() and "sb3" not in p.stem]


@pytest.mark.parametrize("path", CALLED)
def test_without_its_arguments_an_example_says_how_it_is_called(path):
    done = processes.run(f"examples.{path.stem}", [])
    assert done.returncode == 1 and f"python -m examples.{path.stem}" in done.stderr
    assert "Traceback" not in done.stderr
