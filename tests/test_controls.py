"""Controls of an agent's keypoints: true positions, and keypoints that tell nothing of a frame."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf
from support import call, refused, refuses, run_folder, see, tiny_config, write_keypoints

from permakey_tf.configs.agent import (
    CONTROLS,
    AgentConfig,
    AgentLoggingConfig,
    EncoderConfig,
    EnvironmentConfig,
)
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.envs import objects as envs_objects
from permakey_tf.envs.games import make_game
from permakey_tf.envs.objects import GameWithObjects
from permakey_tf.envs.play import GameStep, Task
from permakey_tf.errors import UserError
from permakey_tf.models.permakey import PermaKey
from permakey_tf.models.vision import BankVision, NodeVision, ObjectVision
from permakey_tf.objects.boxes import Objects
from permakey_tf.objects.points import NOWHERE, object_points
from permakey_tf.quality import measures
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.scores.evaluate import evaluate_policies
from permakey_tf.scores.evaluation_file import read_evaluation
from permakey_tf.training import controls
from permakey_tf.training.acting import Player
from permakey_tf.training.agent import AgentTrainer

SIZE = 20
needs_ocatari = pytest.mark.skipif(
    importlib.util.find_spec("ocatari") is None, reason="needs the optional package ocatari"
)


# ------------------------------------------------------------------------------- true positions


def boxes(*rows, categories=("Ghost", "Player")) -> Objects:
    """Boxes of one frame from (category, x, y, w, h, visible)."""
    names, *columns, visible = zip(*rows, strict=True) if rows else ((), (), (), (), (), ())
    return Objects(
        np.zeros(len(rows), np.int32),
        np.array([categories.index(name) for name in names], np.uint8),
        np.array(columns, np.int16).T.reshape(-1, 4),
        categories,
        np.array(visible, bool),
    )


PLAYER, GHOST = ("Player", 63, 99, 9, 10), ("Ghost", 83, 51, 9, 10)


def test_points_are_the_boxes_middles_by_hand():
    points = object_points("mspacman", boxes((*GHOST, True), (*PLAYER, True)), 3)
    # The player is first; its middle is row 99 + 5, column 63 + 4.5.
    player = (2 * 104 / 209 - 1, 2 * 67.5 / 159 - 1)
    ghost = (2 * 56 / 209 - 1, 2 * 87.5 / 159 - 1)
    np.testing.assert_allclose(points.centers_yx, [player, ghost, NOWHERE], atol=1e-6)
    assert points.confidence.tolist() == [1, 1, 0]
    assert points.centers_yx.dtype == points.confidence.dtype == np.float32


def test_of_padded_frames_columns_move_inwards():
    """210 x 160 pixels become 210 x 210, with 25 columns at each side."""
    points = object_points("mspacman", boxes((*PLAYER, True)), 1, keep_aspect=True)
    expected = [(2 * 104 / 209 - 1, 2 * (67.5 + 25) / 209 - 1)]
    np.testing.assert_allclose(points.centers_yx, expected, atol=1e-6)


def test_every_point_is_the_middle_of_its_box_by_the_benchmarks_measure():
    objects = boxes((*PLAYER, True), (*GHOST, True), ("Ghost", -3, 200, 9, 10, True))
    centers = object_points("mspacman", objects, 3).centers_yx
    _, to_middle = measures.box_distances(centers[None], objects.frame, objects.xywh)
    np.testing.assert_allclose(np.diag(to_middle), 0, atol=1e-4)


def columns_of(points):
    """The columns of the points, rounded down, which tell them apart; None for an unused point."""
    columns = np.round((points.centers_yx[:, 1] + 1) / 2 * 159 - 0.5).astype(int).tolist()
    return [x if sure else None for x, sure in zip(columns, points.confidence, strict=True)]


def seaquest(*rows):
    """Boxes one pixel wide, from (category, x, visible)."""
    return boxes(
        *((name, x, 50, 1, 1, visible) for name, x, visible in rows),
        categories=("Diver", "OxygenBar", "Player", "Shark", "Submarine", "SurfaceSubmarine"),
    )


# In the order of GAMES: Player Shark Submarine Diver SurfaceSubmarine.
@pytest.mark.parametrize(
    ("rows", "number", "expected"),
    [
        # One place for each kind; scenery has none.
        ([("OxygenBar", 9, True), ("Diver", 4, True)], 6, [None, None, None, 4, None, None]),
        # Of one kind in the reader's order; what is not drawn keeps its place.
        (
            [("Shark", 7, True), ("Shark", 5, False), ("Shark", 6, True), ("Player", 1, True)],
            8,
            [1, 7, None, 6, None, None, None, None],
        ),
        # Too many places: unused ones go first, from the last on.
        (
            [("Player", 1, True), ("Shark", 5, False), ("Shark", 6, True), ("Diver", 4, True)],
            5,
            [1, None, 6, None, 4],
        ),
        (
            [("Player", 1, True), ("Shark", 5, False), ("Shark", 6, True), ("Diver", 4, True)],
            3,
            [1, 6, 4],
        ),
        # And then what is drawn.
        ([("Diver", 4, True), ("Shark", 5, True), ("Shark", 6, True)], 2, [5, 6]),
        ([], 2, [None, None]),
    ],
)
def test_places_are_given_kind_by_kind(rows, number, expected):
    assert columns_of(object_points("seaquest", seaquest(*rows), number)) == expected


class Remembered:
    """A MsPacman of a written memory; what is drawn is the player and the first ghost."""

    rom, num_actions, action_names = "ms_pacman", 2, ("NOOP", "UP")

    def __init__(self):
        self.ram = np.zeros(128, np.uint8)
        self.ram[[10, 16]] = 63 + 13, 99 - 1  # the player's x and y, as OCAtari reads them
        self.ram[[6, 12]] = 83 + 13, 51 - 1
        self.ram[[7, 13]] = 20 + 13, 20 - 1
        self.ram[[47, 19]] = 1, 1  # two ghosts

    def draw(self, ghost_x):
        frame = np.zeros([210, 160, 3], np.uint8)
        frame[99:109, 63:72] = 210, 164, 74
        frame[51:61, ghost_x : ghost_x + 9] = 180, 122, 48
        return frame

    def reset(self, seed):
        return self.draw(83)

    def step(self, action):
        self.ram[6] += 1
        return GameStep(self.draw(84), 0.0, False, False)


@needs_ocatari
def test_a_known_memory_and_its_frame_give_positions_by_hand():
    """The reader gives a new ghost a box at (0, 0) first: so the frame after the reset has none."""
    game = GameWithObjects(Remembered())
    game.reset(None)
    assert columns_of(object_points(game.name, game.characters(), 4)) == [67, None, None, None]
    game.step(0)
    points = object_points(game.name, game.characters(), 4)
    player = (2 * 104 / 209 - 1, 2 * 67.5 / 159 - 1)
    ghost = (2 * 56 / 209 - 1, 2 * 88.5 / 159 - 1)
    np.testing.assert_allclose(points.centers_yx, [player, ghost, NOWHERE, NOWHERE], atol=1e-6)
    assert points.confidence.tolist() == [1, 1, 0, 0]  # the second ghost is not drawn
    game.reset(None)  # forgets both ghosts
    assert columns_of(object_points(game.name, game.characters(), 4)) == [67, None, None, None]


@needs_ocatari
def test_two_games_side_by_side_do_not_share_a_reader():
    def play(games):
        for game in games:
            game.reset(np.random.SeedSequence(0))
        for _ in range(30):
            for game in games:
                game.step(1)
        return [object_points(game.name, game.characters(), 10).centers_yx for game in games]

    config = EnvironmentConfig(game="seaquest")
    (alone,) = play([make_game(config, objects=True)])
    for one in play([make_game(config, objects=True) for _ in range(2)]):
        np.testing.assert_array_equal(one, alone)
    assert (alone != NOWHERE).any()


# -------------------------------------------------------------------------------------- vision


@pytest.fixture(scope="module")
def model():
    return PermaKey(tiny_config(soft_argmax="joint", logit_scale=30), SIZE, 3)


def frames(number=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, [number, SIZE, SIZE, 3], np.uint8)


def test_objects_are_seen_as_keypoints_in_their_places_are(model):
    expected, keypoints = see(NodeVision(model, EncoderConfig()), frames())
    vision = ObjectVision(model, EncoderConfig(nodes="objects"))
    present = np.ones([5, 3], np.float32)
    present[:, 1] = 0
    told = {"positions": keypoints.centers_yx, "present": tf.constant(present)}
    stored, shown = see(vision, frames(), told)
    np.testing.assert_array_equal(stored["positions"], expected["positions"])
    np.testing.assert_allclose(stored["features"], expected["features"] * present[..., None])
    assert np.abs(expected["features"]).max() > 0
    np.testing.assert_array_equal(shown.confidence, present)
    assert {name: value.shape[1:] for name, value in told.items()} == {
        name: column.shape for name, column in vision.beside.items()
    }


def test_a_bank_shows_its_own_frames_whatever_is_seen(model):
    bank, rows = frames(70, seed=1), np.array([3, 69, 3, 0, 51], np.int32)
    expected, found = see(NodeVision(model, EncoderConfig()), bank[rows])
    vision = BankVision(model, EncoderConfig(nodes="shuffled"), bank)
    for seen in (frames(seed=2), frames(seed=3)):
        stored, keypoints = see(vision, seen, {"row": rows})
        np.testing.assert_allclose(keypoints.centers_yx, found.centers_yx, atol=1e-5)
        for name, values in expected.items():
            np.testing.assert_allclose(stored[name], values, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------------- what it is told


def config_of(nodes, **environment) -> AgentConfig:
    return AgentConfig(
        environment=EnvironmentConfig(noise="none", **environment),
        encoder=EncoderConfig(nodes=nodes),
    )


def player_of(nodes) -> Player:
    frame_format = FrameFormat(SIZE, 3, "vertical")
    return Player(None, frame_format, 3, False, controls.teller(config_of(nodes), 3, frame_format))


def rows_of(nodes, seen) -> np.ndarray:
    rngs = [np.random.default_rng([7, step]) for step in range(len(seen))]
    return player_of(nodes).see(seen, [None] * len(seen), rngs)[1]["row"]


def test_which_frame_is_shown_is_independent_of_the_one_that_is_seen():
    rows = rows_of("shuffled", frames(2000))
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows, rows_of("shuffled", frames(2000, seed=5)))
    # Drawn uniformly: 2,000 of 1,000 in ten equal parts, each 200 with a deviation of 13.
    parts = np.bincount(rows // (controls.BANK_FRAMES // 10), minlength=10)
    assert len(parts) == 10 and np.abs(parts - 200).max() < 4 * 13.4
    # And so is the step before: no correlation beyond chance (1 / sqrt(2000) = 0.022).
    assert abs(np.corrcoef(rows[1:], rows[:-1])[0, 1]) < 4 * 0.022
    assert set(rows_of("constant", frames(50)).tolist()) == {0}


def test_keypoints_are_told_nothing_and_draw_nothing():
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert player_of("keypoints").tell(None, rng) == {}
    assert rng.bit_generator.state == state


def test_the_bank_is_of_random_play_by_the_runs_seed():
    bank = [
        controls.bank_frames(config_of("constant", game=game), FrameFormat(SIZE, 3))
        for game in ("mspacman", "mspacman", "seaquest")
    ]
    assert bank[0].shape == (1, SIZE, SIZE, 3)
    np.testing.assert_array_equal(bank[0], bank[1])
    assert (bank[0] != bank[2]).any()


def test_a_bank_has_every_fourth_frame_of_games_in_turn(monkeypatch):
    class Numbered:
        num_actions = 2

        def __init__(self):
            self.game = -1

        def reset(self, seed):
            self.game, self.number = self.game + 1, 0
            return np.full([SIZE, SIZE, 3], 20 * self.game, np.uint8)

        def step(self, action):
            self.number += 1
            frame = np.full([SIZE, SIZE, 3], 20 * self.game + self.number, np.uint8)
            return GameStep(frame, 0.0, self.number == 9, False)  # ten frames a game

    monkeypatch.setattr(controls, "make_task", lambda _: Task(Numbered, 99))
    monkeypatch.setattr(controls, "BANK_FRAMES", 6)
    bank = controls.bank_frames(config_of("shuffled"), FrameFormat(SIZE, 3))
    assert bank[:, 0, 0, 0].tolist() == [0, 4, 8, 22, 26, 40]


# ------------------------------------------------------------------------------------ whole runs


TINY = {
    "num_steps": 30, "learn_start": 30, "window": 3, "batch_size": 3, "lstm_units": 8,
    "position_units": 8, "gnn_units": 8, "gnn_decode_units": 8, "gnn_output_units": 8,
    "validate_every": 30, "validation_episodes": 2, "max_episode_steps": 22, "noise": "vertical",
}  # fmt: skip


@pytest.fixture(scope="module")
def keypoints(tmp_path_factory):
    return write_keypoints(tmp_path_factory.mktemp("vision"), "montezumarevenge", noise="vertical")


def trainer_of(path, keypoints, nodes) -> AgentTrainer:
    config = AgentConfig.make(game="montezumarevenge", nodes=nodes, **TINY)
    folder = run_folder(AgentFolder, path, config, KeypointFolder.open(keypoints))
    return AgentTrainer.open(folder, AgentLoggingConfig(), progress=False)


def remembered(trainer) -> dict[str, np.ndarray]:
    replay = trainer.playing.replay
    rows = np.arange(replay.num_rows)
    return {name: replay.column(name, rows).copy() for name in ("positions", "features", "action")}


def play(trainer, steps):
    for _ in range(steps):
        trainer.play_step()


@pytest.mark.parametrize("nodes", [pytest.param("objects", marks=needs_ocatari), "shuffled"])
def test_a_control_resumes_exactly_and_is_named_in_what_it_writes(
    tmp_path, keypoints, nodes, monkeypatch
):
    monkeypatch.setattr(controls, "BANK_FRAMES", 20)
    killed = trainer_of(tmp_path / "run", keypoints, nodes)
    play(killed, 15)  # within a game
    killed._save()
    play(killed, 14)
    expected = remembered(killed)
    resumed = trainer_of(tmp_path / "run", keypoints, nodes)
    play(resumed, 14)
    for name, column in expected.items():
        np.testing.assert_array_equal(remembered(resumed)[name], column)
    assert len(np.unique(expected["positions"], axis=0)) > 5
    resumed.train()  # with a validation at its end
    assert AgentFolder.read(tmp_path / "run")["settings"]["encoder"]["nodes"] == nodes
    path = tmp_path / "test" / "evaluation.json"
    evaluate_policies([str(tmp_path / "run")], [1], 2, path, progress=False)
    assert read_evaluation(path).agent.nodes == nodes


def test_a_constant_control_stores_the_same_nodes_at_every_step(tmp_path, keypoints):
    trainer = trainer_of(tmp_path / "run", keypoints, "constant")
    play(trainer, 12)
    for name in ("positions", "features"):
        assert (np.ptp(remembered(trainer)[name], axis=0) == 0).all()


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("nodes", CONTROLS)
def test_a_control_is_of_the_graph_encoder(nodes):
    with refuses(f"nodes={nodes}", "encoder=gnn", settings=["encoder", "nodes"]):
        EncoderConfig(encoder="cnn", nodes=nodes)


def test_objects_of_a_gymnasium_environment_are_refused(tmp_path, keypoints):
    flags = {"nodes": "objects", "env_id": "sprites:Catch-v0"}
    result = call("rl", keypoints=keypoints, logdir=tmp_path / "run", **flags)
    refused(result, "--nodes=objects", "--env_id=sprites:Catch-v0", "Atari")
    assert list(tmp_path.iterdir()) == []


def test_objects_without_ocatari_are_refused_before_anything_is_made(
    tmp_path, keypoints, monkeypatch
):
    def missing(game):
        raise UserError("ground-truth boxes need the package ocatari, which is missing")

    monkeypatch.setattr(envs_objects, "ObjectReader", missing)
    result = call("rl", keypoints=keypoints, logdir=tmp_path / "run", nodes="objects")
    refused(result, "package ocatari")
    assert list(tmp_path.iterdir()) == []


def test_objects_of_frames_alone_are_refused():
    with refuses("objects", "alone", settings=["nodes"]):
        player_of("objects").see(frames(1), [None], [np.random.default_rng(0)])
