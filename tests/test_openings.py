"""How games open, and what follows a lost life: what the emulator receives, and what is shown."""

import functools

import numpy as np
import pytest
from ale_py import Action, ALEInterface, roms
from support import refuses

from benchmarks import openings as benchmark
from permakey_tf.configs.agent import AgentConfig, EnvironmentConfig
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.games import make_game
from permakey_tf.envs.play import GameStep
from permakey_tf.scores.evaluation import Rules

SEED = np.random.SeedSequence(0)
NOOP, FIRE, UP, RIGHT = Action.NOOP, Action.FIRE, Action.UP, Action.RIGHT
AFTER_LIFE = [NOOP] * 4 + [FIRE] * 4 + [UP] * 4  # where the second action is UP
OF_CODE = {"noop_min": 1, "fire_at_start": "code", "fire_after_life": "training"}


class Recorder:
    """The emulator; keeps what it receives, and the screens."""

    def __init__(self, ale):
        self._ale = ale
        self.forget()

    def __getattr__(self, name):
        return getattr(self._ale, name)

    def forget(self):
        self.actions, self.screens = [], []

    def act(self, action):
        reward = self._ale.act(action)
        self.actions.append(action)
        self.screens.append(self._ale.getScreenRGB())
        return reward


class Scripted:
    """An emulator that rewards every frame with 1 and shows its number; one life is lost."""

    def __init__(self, lost_at, over_at=999, lives=2):
        self._frame, self._lost_at, self._over_at, self._lives = 0, lost_at, over_at, lives
        self.actions = []

    def act(self, action):
        self._frame += 1
        self.actions.append(action)
        return 1

    def lives(self):
        return self._lives - (self._frame >= self._lost_at)

    def game_over(self):
        return self._frame >= self._over_at

    def getScreenRGB(self, out=None):
        out = np.empty([210, 160, 3], np.uint8) if out is None else out
        out[:] = self._frame
        return out


def on_emulator(make, **settings):
    game = AtariGame("seaquest", **settings)
    game._ale = make() if make is not Recorder else Recorder(game._ale)
    return game


@pytest.mark.parametrize(
    ("name", "fire_at_start", "expected"),
    [
        ("seaquest", "frame", [FIRE]),
        ("seaquest", "code", [FIRE] * 4 + [UP] * 4),
        ("enduro", "code", [FIRE] * 4 + [RIGHT] * 4),
        ("seaquest", "none", []),
        ("mspacman", "frame", []),
        ("mspacman", "code", []),
    ],
)
def test_what_the_emulator_receives_at_a_start(name, fire_at_start, expected):
    game = AtariGame(name, fire_at_start=fire_at_start)
    ale = game._ale = Recorder(game._ale)
    frame = game.start(3)
    assert ale.actions == [NOOP] * 3 + expected
    # The last two frames of an action are joined; a single one is shown as it is.
    joined = len(expected) > 1
    np.testing.assert_array_equal(frame, np.max(ale.screens[-1 - joined :], axis=0))


def test_without_no_ops_and_fire_a_game_starts_with_the_emulators_first_screen():
    ale = ALEInterface()
    ale.loadROM(roms.get_rom_path("seaquest"))
    ale.reset_game()
    game = AtariGame("seaquest", fire_at_start="none")
    np.testing.assert_array_equal(game.start(0), ale.getScreenRGB())


def test_no_ops_are_drawn_from_one_bound_to_the_other():
    game = on_emulator(Recorder, noop_min=2, noop_max=4, fire_at_start="none")
    numbers = set()
    for number in range(30):
        game.reset(np.random.SeedSequence(number))
        numbers.add(len(game._ale.actions))
        game._ale.forget()
    assert numbers == {2, 3, 4}


@pytest.mark.parametrize(
    ("emulator", "followed_by", "terminal"),
    [
        ({"lost_at": 2}, AFTER_LIFE, False),
        ({"lost_at": 2, "over_at": 7}, [NOOP] * 3, True),  # over in what follows
        ({"lost_at": 2, "over_at": 4}, [], True),
        ({"lost_at": 2, "lives": 1}, [], False),  # no life is left: the game ends by itself
        ({"lost_at": 9}, [], False),
    ],
)
def test_what_follows_a_lost_life(emulator, followed_by, terminal):
    make, lost = functools.partial(Scripted, **emulator), emulator["lost_at"] <= 4
    actions, shown = [Action.DOWN] * 4 + followed_by, 4 + len(followed_by)
    game = on_emulator(make, fire_after_life=True)
    step = game.step(game.action_names.index("DOWN"))
    assert game._ale.actions == actions
    assert step[1:] == (len(actions), terminal, lost, False)
    assert (step.frame == shown).all()
    game = on_emulator(make, fire_after_life=True)
    assert game.advance(game.action_names.index("DOWN")) == (len(actions), terminal, lost)
    assert game._ale.actions == actions
    game = on_emulator(make)
    assert game.step(game.action_names.index("DOWN")).life_lost == lost
    assert game._ale.actions == [Action.DOWN] * 4


def test_without_fire_four_no_ops_follow_a_lost_life():
    """Ms. Pac-Man, every frame of a whole game: 3 lives, two of which are followed by others."""
    game = AtariGame("mspacman", fire_after_life=True)
    game.reset(SEED)
    ale, received = game._ale, []
    game._ale = Recorder(ale)
    left = game.action_names.index("LEFT")
    while not (step := game.step(left)).terminal:
        if step.life_lost:
            received.append(game._ale.actions)
        game._ale.forget()
    assert received == [[Action.LEFT] * 4 + [NOOP] * 4] * 2
    assert set(game._ale.actions) == {Action.LEFT}


def moves(game):
    """Whether no-ops show more than one screen."""
    return len({game.step(0).frame.tobytes() for _ in range(20)}) > 1


def lose_a_life(game):
    """The game, after no-ops."""
    while not game.step(0).life_lost:
        pass
    return game


def test_breakout_waits_for_fire_at_the_start_and_after_a_lost_life():
    game = AtariGame("breakout", fire_at_start="none")
    game.start(5)
    assert not moves(game)
    game = AtariGame("breakout")
    game.start(5)
    assert moves(game) and not moves(lose_a_life(game))
    game = AtariGame("breakout", fire_after_life=True)
    game.start(5)
    assert moves(lose_a_life(game))


# ---------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("fire_after_life", "training", "others"),
    [("never", False, False), ("training", True, False), ("always", True, True)],
)
def test_in_which_games_fire_follows_a_lost_life(fire_after_life, training, others):
    config = EnvironmentConfig(game="breakout", fire_after_life=fire_after_life)
    for game, expected in ((make_game(config, training=True), training),
                           (make_game(config), others)):  # fmt: skip
        game.start(0)
        assert moves(lose_a_life(game)) == expected
    assert Rules.of_tests(config).fire_after_life == others


def test_the_bounds_of_the_no_ops_must_fit():
    with refuses("noop_min=31", "noop_max=30", settings=["noop_max", "noop_min"]):
        EnvironmentConfig(noop_min=31)
    assert EnvironmentConfig(noop_min=30).noop_min == 30


@pytest.mark.parametrize(("name", "value"), OF_CODE.items())
def test_an_environment_of_gymnasium_opens_by_its_own_rules(name, value):
    settings = [name, "env_id", "env_kwargs"]
    with refuses(f"{name}={value}", "nothing", "env_id=Some-v0", settings=settings):
        EnvironmentConfig(env_id="Some-v0", **{name: value})


def test_settings_of_earlier_versions_open_as_they_did():
    settings = AgentConfig().to_dict()
    for name in OF_CODE:
        del settings["environment"][name]
    assert AgentConfig.from_dict(settings) == AgentConfig()


def test_the_authors_preset_opens_as_their_code():
    environment = AgentConfig.make("authors_code").environment
    assert {name: getattr(environment, name) for name in OF_CODE} == OF_CODE
    assert environment.noop_max == 30


def test_rules_name_what_is_otherwise_than_ours():
    assert Rules().opening == Rules(sticky_actions=0.25, noop_max=20).opening == ""
    code = Rules.of_tests(EnvironmentConfig(**OF_CODE))
    assert code.opening == "noop_min=1, fire_at_start=code"
    assert Rules(fire_after_life=True).opening == "fire_after_life=True"


@pytest.mark.parametrize(
    "wrong",
    [
        {"noop_min": 31},
        {"noop_min": -1},
        {"noop_max": True},
        {"sticky_actions": "often"},
        {"fire_at_start": "b"},
        {"fire_after_life": "never"},
    ],
)
def test_rules_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rules(**wrong)


# --------------------------------------------------------------------------------------- benchmark


class Waiting:
    """Deaf for 3 steps; then any action but 0 changes the screen for good. A life lasts 4 steps.

    A state is (steps, changed).
    """

    num_actions, action_names = 3, ("NOOP", "FIRE", "UP")

    def start(self, num_noops):
        self._state = (num_noops, 0)
        return self._frame()

    def reset(self, seed):
        return self.start(0)

    def save(self):
        return self._state

    def restore(self, state):
        self._state = state

    def step(self, action):
        steps, changed = self._state
        self._state = (steps + 1, changed or action * (steps >= 3))
        return GameStep(self._frame(), 1.0, steps == 11, steps % 4 == 3)

    def _frame(self):
        return np.full([1, 1, 3], self._state[1], np.uint8)


class TestBenchmark:
    def test_actions_without_fire(self):
        assert benchmark.without_fire(("NOOP", "FIRE", "UP", "UPFIRE")) == [0, 2]

    def test_an_opening_shows_where_the_game_is_not_deaf(self):
        game = Waiting()
        assert not benchmark.shows(game, (1, 0), [1, 2])
        assert benchmark.shows(game, (2, 0), [1, 2])
        assert not benchmark.shows(game, (9, 2), [1, 2])  # nothing is changed any more

    def test_deaf_steps_are_the_fewest_of_all_scripts(self):
        game, scripts = Waiting(), [[1, 1, 1, 0, 0, 2], [1, 1, 1, 0, 1, 2], [0] * 6]
        assert benchmark.deaf_steps(game, (0, 0), scripts) == 4
        assert benchmark.deaf_steps(game, (3, 0), scripts) == 0
        assert benchmark.deaf_steps(game, (0, 0), scripts[2:]) == 6

    def test_a_random_game_is_counted(self):
        played = benchmark.play_at_random(Waiting(), [0], 0, 100)
        assert played == benchmark.Game(score=12.0, first_life=4, still=12, steps=12)
        played = benchmark.play_at_random(Waiting(), [1], 0, 3)
        assert played == benchmark.Game(score=3.0, first_life=None, still=3, steps=3)
        assert benchmark.play_at_random(Waiting(), [1], 0, 6).still == 5

    def test_states_after_lost_lives_are_not_of_games_that_are_over(self):
        assert [state[0] for state in benchmark.lost_lives(Waiting(), 2, 100)] == [4, 8] * 2

    def test_what_moves_by_itself(self):
        assert benchmark.moves_after(AtariGame("breakout", fire_at_start="none"), 30) is None
        assert benchmark.moves_after(AtariGame("mspacman"), 30) == 1
