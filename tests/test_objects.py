"""Tests of the boxes read from the emulator's memory."""

import collections
import importlib.metadata
import importlib.util
import itertools
import operator
import os
import pathlib
import sys
import types

import ale_py
import ale_py.roms
import numpy as np
import pytest
from support import refuses

from permakey_tf.configs.frames import canonical_game
from permakey_tf.objects import reader as objects
from permakey_tf.objects.reader import GAMES, ObjectReader

needs_ocatari = pytest.mark.skipif(
    importlib.util.find_spec("ocatari") is None,
    reason=f"the optional package ocatari is missing; install it with: {objects.INSTALL_COMMAND}",
)


def play(game, num_steps, seed=0):
    """Yields (first, ram, emulator) after every step of a player who holds random actions."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setFloat("repeat_action_probability", 0.0)
    rom_ids = {canonical_game(rom_id): rom_id for rom_id in ale_py.roms.get_all_rom_ids()}
    ale.loadROM(ale_py.roms.get_rom_path(rom_ids[game]))
    random = np.random.default_rng(seed)
    first, hold = True, 0
    for _ in range(num_steps):
        if not first:
            if not hold:
                action, hold = random.choice(ale.getMinimalActionSet()), random.integers(1, 9)
            hold -= 1
            for _ in range(4):
                ale.act(action)
        yield first, ale.getRAM(), ale
        first = ale.game_over()
        if first:
            ale.reset_game()


# ------------------------------------------------------------------------- recorded ground truth


@needs_ocatari
@pytest.mark.skipif(
    "PERMAKEY_ROLLOUTS" not in os.environ,
    reason="needs recorded rollouts: set PERMAKEY_ROLLOUTS to a folder that holds MsPacman.npz, "
    "Seaquest.npz, Frostbite.npz and SpaceInvaders.npz",
)
@pytest.mark.parametrize("game", ["MsPacman", "Seaquest", "Frostbite", "SpaceInvaders"])
def test_recorded_boxes_come_out_of_the_recorded_memory(game):
    folder = pathlib.Path(os.environ["PERMAKEY_ROLLOUTS"])
    with np.load(folder / f"{game}.npz", allow_pickle=False) as file:
        ram, episode_start = file["ram"], file["episode_start"]
        names, xywh = file["categories"][file["box_cat"]].tolist(), file["box_xywh"].tolist()
        expected = collections.defaultdict(list)
        for frame, name, box in zip(file["box_frame"].tolist(), names, xywh, strict=True):
            expected[frame].append((name, *box))
    assert len(ram) == 4000
    reader = ObjectReader(game)
    for index, (memory, first) in enumerate(zip(ram, episode_start, strict=True)):
        if first:
            reader.reset()
        assert reader.read(memory) == expected[index], f"frame {index}"


# ------------------------------------------------------------------------------- fresh rollouts


def pixels_in_box(mask, x, y, w, h):
    return int(mask[max(y, 0) : y + h, max(x, 0) : x + w].sum())


@needs_ocatari
@pytest.mark.parametrize(
    ("game", "colour", "share"),
    [
        ("mspacman", (210, 164, 74), 0.99),
        ("seaquest", (187, 187, 53), 0.99),
        ("frostbite", (162, 98, 33), 0.95),  # a drowned player's box outlives its picture
        ("spaceinvaders", (50, 132, 50), 0.85),  # the cannon blinks at the start of a life
        ("montezumarevenge", (200, 72, 72), 0.99),
        ("enduro", (192, 192, 192), 0.99),
    ],
)
def test_player_box_lies_on_pixels_of_the_players_colour(game, colour, share):
    reader = ObjectReader(game)
    on_player, beside = [], []
    for first, ram, ale in play(game, num_steps=600):
        if first:
            reader.reset()
        boxes = [box[1:] for box in reader.read(ram) if box[0] == "Player"]
        exploding = game == "seaquest" and ram[105]  # drawn in other colours
        if boxes and not exploding:
            [(x, y, w, h)] = boxes
            mask = (ale.getScreenRGB() == colour).all(axis=-1)
            on_player.append(pixels_in_box(mask, x, y, w, h) >= 10)
            beside.append(pixels_in_box(mask, x + 2 * w, y, w, h) >= 10)
    assert len(on_player) > 300
    assert np.mean(on_player) >= share
    assert np.mean(beside) < 0.25  # the colour tells where the player is


@needs_ocatari
@pytest.mark.parametrize("game", GAMES)
def test_boxes_are_plain_ints_under_listed_categories(game):
    reader = ObjectReader(game)
    for first, ram, _ in play(game, num_steps=150):
        if first:
            reader.reset()
        boxes = reader.read(ram)
        assert {box[0] for box in boxes} <= set(reader.categories)
        # A `_Byte` that got out would wrap in the caller's sums.
        assert {type(value) for box in boxes for value in box[1:]} == {int}


@needs_ocatari
@pytest.mark.parametrize("game", GAMES)
def test_listed_categories_hold_all_that_ocatari_announces(game):
    reader = ObjectReader(game)
    assert set(reader._reader.MAX_NB_OBJECTS) <= set(reader.categories)
    assert reader.categories[0] == "Player"


@needs_ocatari
def test_enduro_gives_one_car_for_each_that_the_memory_holds():
    reader = ObjectReader("Enduro")
    counts = set()
    for _, ram, _ in play("enduro", num_steps=400):
        boxes = reader.read(ram)
        cars = [box for box in boxes if box[0] == "Car"]
        assert len(cars) == np.count_nonzero(ram[27:34])
        counts.add(len(cars))
    assert len(counts) > 2  # cars came and went


@needs_ocatari
def test_reset_makes_reads_reproducible():
    memories = [ram for _, ram, _ in play("spaceinvaders", num_steps=200)]
    reader = ObjectReader("SpaceInvaders")
    once = [reader.read(ram) for ram in memories]
    assert reader.read(memories[0]) != once[0]  # the state of the last frame shows without a reset
    reader.reset()
    other = ObjectReader("space_invaders")  # shares nothing with the first
    for ram, boxes in zip(memories, once, strict=True):
        assert reader.read(ram) == boxes
        assert other.read(ram) == boxes


@needs_ocatari
def test_sums_above_255_do_not_wrap():
    ram = np.zeros(128, np.uint8)
    ram[18:24] = 0b111111  # all aliens alive
    ram[26], ram[16] = 23, 120  # where they stand: x, and y in units of two pixels
    boxes = ObjectReader("SpaceInvaders").read(ram)
    # numpy 2's uint8 scalars would give y = 15.
    assert next(box for box in boxes if box[0] == "Alien") == ("Alien", 22, 31 + 2 * 120, 8, 10)


@needs_ocatari
def test_inverse_of_a_byte_stays_a_byte():
    ram = np.zeros(128, np.uint8)
    ram[46], ram[52] = 200, 55  # how far the car is to the side, and its height
    boxes = ObjectReader("Enduro").read(ram)
    # ~200 is 55 in a uint8; Python's int would give -201, and the box x = -22.
    assert boxes == [("Player", 77 + 55 // 2 + 2, 89 + 55, 16, 11)]


@needs_ocatari
@pytest.mark.parametrize("ram", [np.zeros(127, np.uint8), np.zeros(128, np.int64)])
def test_memory_of_another_shape_or_type_is_refused(ram):
    with pytest.raises(ValueError, match=r"ram must be uint8 \[128\]"):
        ObjectReader("MsPacman").read(ram)


# ------------------------------------------------------------------------------ loading a reader


def test_unsupported_game_is_refused_with_the_list_of_games():
    with refuses("'Solitaire'", *GAMES):
        ObjectReader("Solitaire")


@pytest.mark.parametrize("spelling", ["MsPacman", "ms_pacman", "Ms-Pacman"])
def test_missing_package_is_named_with_the_install_command(monkeypatch, spelling):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with refuses("pip install --no-deps ocatari==2.2.1", "missing"):
        ObjectReader(spelling)


def test_another_version_is_refused_with_the_install_command(monkeypatch):
    folder = types.SimpleNamespace(submodule_search_locations=["ocatari"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: folder)
    found = [types.SimpleNamespace(version="2.3.0")]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda name: found)
    with refuses("2.3.0", "pip install --no-deps ocatari==2.2.1"):
        ObjectReader("MsPacman")


@needs_ocatari
def test_only_the_ram_readers_are_imported(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(objects._PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    for game in GAMES:
        ObjectReader(game)
    new = set(sys.modules) - before
    assert f"{objects._PACKAGE}.mspacman" in new
    packages = {name.partition(".")[0] for name in new}
    assert not packages & {"ocatari", "pygame", "cv2", "skimage", "matplotlib", "scipy"}


# ------------------------------------------------------------------------- numpy 1's arithmetic


def byte(value):
    return objects._BYTES[value]


HAND_COMPUTED = [
    # Two bytes: modulo 256, and a byte again.
    (operator.add, byte(200), byte(100), 44, True),
    (operator.sub, byte(3), byte(5), 254, True),
    (operator.mul, byte(20), byte(20), 144, True),
    (operator.floordiv, byte(200), byte(7), 28, True),
    (operator.mod, byte(200), byte(7), 4, True),
    (operator.pow, byte(3), byte(6), 217, True),
    (operator.lshift, byte(129), byte(1), 2, True),
    (operator.lshift, byte(1), byte(8), 0, True),
    (operator.rshift, byte(129), byte(1), 64, True),
    (operator.and_, byte(12), byte(10), 8, True),
    (operator.or_, byte(12), byte(10), 14, True),
    (operator.xor, byte(12), byte(10), 6, True),
    # A byte and an int: an int, as large or as negative as it comes.
    (operator.add, byte(200), 100, 300, False),
    (operator.add, 100, byte(200), 300, False),
    (operator.sub, byte(10), 13, -3, False),
    (operator.sub, 5, byte(200), -195, False),
    (operator.mul, 2, byte(200), 400, False),
    (operator.mul, byte(200), -1, -200, False),
    (operator.floordiv, byte(200), -3, -67, False),
    (operator.mod, byte(200), 8, 0, False),
    (operator.pow, 2, byte(9), 512, False),
    (operator.lshift, byte(129), 1, 258, False),
    (operator.rshift, byte(129), 7, 1, False),
    (operator.and_, byte(130), 128, 128, False),
    (operator.or_, byte(1), 256, 257, False),
    (operator.xor, 15, byte(5), 10, False),
]


@pytest.mark.parametrize(("operation", "left", "right", "result", "is_byte"), HAND_COMPUTED)
def test_bytes_calculate_as_in_numpy_1(operation, left, right, result, is_byte):
    got = operation(left, right)
    assert got == result
    assert type(got) is (objects._Byte if is_byte else int)


def test_two_bytes_agree_with_a_naive_oracle():
    binary = [case[0] for case in HAND_COMPUTED[:12]]
    for operation, a, b in itertools.product(set(binary), range(0, 256, 7), range(1, 256, 7)):
        got = operation(byte(a), byte(b))
        assert got == operation(a, b) % 256 and type(got) is objects._Byte


def test_bytes_on_their_own():
    assert (-byte(1), -byte(0), ~byte(200), +byte(7), abs(byte(7))) == (255, 0, 55, 7, 7)
    assert {type(v) for v in (-byte(1), ~byte(1), +byte(1), abs(byte(1)))} == {objects._Byte}
    assert byte(255) + (-byte(56)) == 199  # what one operation gives is a byte to the next
    assert (~byte(200)) >> 1 == 27


def test_divmod_of_bytes():
    assert divmod(byte(200), byte(7)) == (28, 4)
    assert [type(v) for v in divmod(byte(200), byte(7))] == [objects._Byte] * 2
    assert divmod(byte(200), -7) == (-29, -3)
    assert divmod(300, byte(7)) == (42, 6)
    assert [type(v) for v in divmod(300, byte(7))] == [int] * 2


def test_bytes_compare_index_and_mix_with_floats_as_numbers():
    assert byte(3) < byte(5) <= 5 == byte(5) != byte(6) and byte(200) > -1
    assert 0 < byte(1) < 160 and not byte(0)
    assert max(byte(3), byte(250)) == 250 and sum([byte(200), byte(200)]) == 400
    assert ["a", "b"][byte(1)] == "b" and format(byte(5), "06b") == "000101"
    assert byte(200) * 1.5 == 300.0 and byte(9) / 2 == 4.5 and byte(9) / byte(2) == 4.5
