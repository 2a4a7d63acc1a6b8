"""Playing: what the emulator shows, seeds, and the policies that need no training."""

import dataclasses
import hashlib
import itertools
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ale_py import Action, ALEInterface, AtariVectorEnv, LoggerMode, roms
from support import refuses

from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.data.preparation import prepare_frame
from permakey_tf.envs import search
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.policies import (
    LookaheadPolicy,
    RandomPolicy,
    collect_episodes,
    game_settings,
    play_episode,
    random_sequence,
)
from permakey_tf.envs.search import DISCOUNT, LIFE_PENALTY, SearchPool, score_sequence
from permakey_tf.system.seeds import Stream, episode_seed, stream

ROOT = Path(__file__).parents[1]
SEED = episode_seed("collect", 0, 0)


def emulator(rom):
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setInt("random_seed", 0)
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(roms.get_rom_path(rom))
    ale.reset_game()
    return ale


def digest(steps):
    sha256 = hashlib.sha256()
    for step in steps:
        sha256.update(step.frame)
        sha256.update(repr((step.first, step.action, step.reward)).encode())
    return sha256.hexdigest()


# ---------------------------------------------------------------------------------------- emulator


def test_a_step_is_four_emulator_frames_and_the_maximum_of_the_last_two():
    game, ale = AtariGame("mspacman", noop_max=0), emulator("ms_pacman")
    np.testing.assert_array_equal(game.reset(SEED), ale.getScreenRGB())
    differing = 0
    for action in np.random.default_rng(0).integers(game.num_actions, size=150):
        step, reward, screens = game.step(action), 0, []
        for _ in range(4):
            reward += ale.act(ale.getMinimalActionSet()[action])
            screens.append(ale.getScreenRGB())
        np.testing.assert_array_equal(step.frame, np.maximum(screens[2], screens[3]))
        differing += (screens[2] != screens[3]).any()
        assert (step.reward, step.terminal, game.lives) == (reward, ale.game_over(), ale.lives())
    assert differing > 100


@pytest.mark.parametrize("rom", ["ms_pacman", "seaquest"])  # without and with FIRE
def test_frames_equal_those_of_ale_pys_own_preprocessing(rom):
    game = AtariGame(rom, noop_max=0)
    vector = AtariVectorEnv(
        rom, 1, grayscale=False, stack_num=1, noop_max=0, reward_clipping=False, num_threads=1
    )
    observation, _ = vector.reset(seed=0)
    np.testing.assert_array_equal(prepare_frame(game.reset(SEED), 84, 3), observation[0, 0])
    for action in np.random.default_rng(0).integers(game.num_actions, size=100):
        step = game.step(action)
        observation, reward, terminal, _, _ = vector.step(np.array([action]))
        np.testing.assert_array_equal(prepare_frame(step.frame, 84, 3), observation[0, 0])
        assert (step.reward, step.terminal) == (reward[0], terminal[0])
    vector.close()


def test_frames_are_those_that_stores_were_made_of_before():
    """A golden value: changes where the emulator, the seeds or the preprocessing change."""
    game = AtariGame("mspacman")
    steps = itertools.islice(play_episode(game, RandomPolicy(game.num_actions), SEED, 4000), 200)
    assert digest(steps)[:16] == "d2490a3605adc1de"


@pytest.mark.parametrize("frame_skip", [1, 2])
def test_short_frame_skips(frame_skip):
    game, ale = AtariGame("mspacman", frame_skip, noop_max=0), emulator("ms_pacman")
    game.reset(SEED)
    for _ in range(60):
        screens = []
        for _ in range(frame_skip):
            ale.act(Action.LEFT)
            screens.append(ale.getScreenRGB())
        frame = game.step(game.action_names.index("LEFT")).frame
        np.testing.assert_array_equal(frame, np.max(screens, axis=0))


def test_the_last_frame_of_a_game_is_the_last_screen():
    game = AtariGame("mspacman", frame_skip=60)
    game.reset(SEED)
    while not (step := game.step(0)).terminal:
        pass
    assert step.life_lost and game.lives == 0
    np.testing.assert_array_equal(step.frame, game._ale.getScreenRGB())


@pytest.mark.parametrize("name", ["frostbite", "qbert", "elevatoraction"])
def test_an_episode_does_not_depend_on_those_before_it(name):
    """These games show it: after the emulator's own reset alone they start differently."""
    seed, policy_steps = episode_seed("collect", 3, 7), 60

    def play(game):
        policy = RandomPolicy(game.num_actions)
        return digest(play_episode(game, policy, seed, policy_steps))

    used = AtariGame(name)
    for _ in play_episode(used, RandomPolicy(used.num_actions), SEED, 300):
        pass
    assert play(used) == play(AtariGame(name))


def test_purposes_of_one_seed_draw_other_numbers():
    """Purposes of different seeds may share a number: an agent's seed is no keypoint run's."""
    purposes = Stream.__members__.values()  # with those that only rename another
    draws = {(purpose.value[0], stream(3, purpose).bytes(8)) for purpose in purposes}
    assert len(draws) == len(purposes)


def test_the_stream_of_number_0_is_that_of_the_bare_seed():
    """Intervals and the stability of seeds, as the docs have them, were drawn from the latter."""
    for purpose in (Stream.RESAMPLED_RUNS, Stream.SHUFFLED_FRAMES):
        assert stream(3, purpose).bytes(8) == np.random.default_rng(3).bytes(8)


def test_seeds_differ_by_role_seed_and_episode():
    keys = list(itertools.product(("collect", "train", "validation", "test"), (0, 1, 2), (0, 1, 2)))
    seen = {tuple(episode_seed(*key).generate_state(4)) for key in keys}
    assert len(seen) == len(keys)


def test_episodes_open_with_0_to_30_no_ops():
    game = AtariGame("seaquest")
    screens, ale = [], emulator("seaquest")
    for _ in range(31):
        state = ale.cloneState()
        ale.act(Action.FIRE)
        screens.append(ale.getScreenRGB())
        ale.restoreState(state)
        ale.act(Action.NOOP)
    starts = [game.reset(episode_seed("collect", 0, episode)) for episode in range(200)]
    counts = [next(n for n, s in enumerate(screens) if (s == start).all()) for start in starts]
    assert set(counts) <= set(range(31)) and len(set(counts)) > 20


def test_sticky_actions_depend_on_the_seed_alone():
    game = AtariGame("seaquest", noop_max=0, sticky_actions=0.5)

    def play(episode):
        game.reset(episode_seed("collect", 0, episode))
        return hashlib.sha256(b"".join(game.step(i // 3 % 18).frame for i in range(60))).digest()

    assert play(0) == play(0) != play(1)


def test_a_saved_state_can_be_gone_back_to_in_another_emulator():
    games = AtariGame("montezumarevenge"), AtariGame("montezumarevenge")
    games[0].reset(SEED)
    for action in range(8):
        games[0].step(action)
    state = games[0].save()
    games[1].restore(state)
    traces = [[game.step(i % 18).frame for i in range(40)] for game in games]
    np.testing.assert_array_equal(*traces)


def test_with_sticky_actions_too_what_follows_a_state_depends_on_it_alone():
    game = AtariGame("breakout", sticky_actions=0.25)
    game.reset(SEED)
    left, right = map(game.action_names.index, ("LEFT", "RIGHT"))
    for step in range(8):  # after some of these states the first action is a repeated one
        for _ in range(5):
            game.step((left, right)[step % 2])
        state, futures = game.save(), set()
        for past in (left, right):
            game.advance(past)
            game.restore(state)
            futures.add(b"".join(game.step(0).frame.tobytes() for _ in range(5)))
        assert len(futures) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mspackman", ["'mspackman'", "did you mean mspacman"]),
        ("combat", ["'combat'", "two players"]),
        ("", ["''", "unknown"]),
    ],
)
def test_games_that_cannot_be_played_are_refused(name, words):
    with refuses(*words):
        AtariGame(name)


# ---------------------------------------------------------------------------------------- policies


def test_random_actions_are_uniform_and_held_for_1_to_8_steps():
    sequence = random_sequence(np.random.default_rng(0), 9, 9000, 8)
    actions, held = np.array(sequence).T
    assert set(held) == set(range(1, 9)) and abs(held.mean() - 4.5) < 0.1
    assert set(actions) == set(range(9)) and np.ptp(np.bincount(actions)) < 200


def test_the_random_policy_plays_its_sequence_step_by_step():
    policy = RandomPolicy(9)
    policy.reset(np.random.default_rng(5))
    played = [policy.action(None, None) for _ in range(100)]
    rng = np.random.default_rng(5)
    expected = [a for _ in range(100) for a, n in random_sequence(rng, 9, 1, 8) for _ in range(n)]
    assert played == expected[:100]


class ScriptedGame:
    """Answers `advance` from a list of (reward, terminal, life_lost)."""

    def __init__(self, *answers):
        self.answers, self.actions = iter(answers), []

    def advance(self, action):
        self.actions.append(action)
        return next(self.answers)


def test_scores_by_hand():
    game = ScriptedGame((0, False, False), (7, False, False), (-3, False, False))
    score = score_sequence(game, [(5, 2), (4, 1)])
    assert score == pytest.approx(DISCOUNT * math.log2(8) - DISCOUNT**2 * math.log2(4))
    assert game.actions == [5, 5, 4]


@pytest.mark.parametrize("end", [(1, False, True), (1, True, False)])
def test_a_lost_life_costs_and_ends_the_sequence(end):
    game = ScriptedGame((0, False, False), end, (999, False, False))
    assert score_sequence(game, [(0, 8)]) == pytest.approx(DISCOUNT * (1 - LIFE_PENALTY))
    assert len(game.actions) == 2


LOOKAHEAD = CollectionConfig(
    game="mspacman", policy="lookahead", lookahead_sequences=6, lookahead_horizon=8
)

# Ms. Pac-Man stands still while its tune plays, for some 65 steps; Seaquest begins at once.
SEAQUEST = dataclasses.replace(LOOKAHEAD, game="seaquest")


def first_steps(config, count, processes=1):
    game = AtariGame(**game_settings(config))
    episodes = collect_episodes(game, config, processes)
    steps = list(itertools.islice(next(episodes), count))
    episodes.close()
    return steps


def test_lookahead_beats_random_play():
    lookahead = first_steps(LOOKAHEAD, 200)
    random = first_steps(CollectionConfig(game="mspacman"), 200)
    assert sum(s.reward for s in lookahead) > 1.5 * sum(s.reward for s in random) > 0


def test_searching_leaves_no_trace_in_the_game():
    """Playing the chosen actions without any search gives the same frames and rewards."""
    steps = first_steps(SEAQUEST, 100)
    game = AtariGame("seaquest")
    chosen = iter([step.action for step in steps[1:]])

    class Replay(RandomPolicy):
        def action(self, game, frame):
            return next(chosen)

    replayed = play_episode(game, Replay(game.num_actions), SEED, len(steps) - 1)
    assert digest(replayed) == digest(steps)


def test_searching_on_more_cores_finds_the_same():
    assert digest(first_steps(SEAQUEST, 50, processes=3)) == digest(first_steps(SEAQUEST, 50))


class PoolOfOpinions:
    """Prefers sequences by a rule; keeps what it was asked."""

    def __init__(self, score):
        self.score, self.asked = score, []

    def scores(self, state, sequences):
        self.asked.append(sequences)
        return [self.score(sequence) for sequence in sequences]


def make_policy(pool, slips=0.0):
    config = CollectionConfig(
        lookahead_sequences=5, lookahead_horizon=6, lookahead_commit=2, lookahead_random=slips
    )
    policy = LookaheadPolicy(pool, 9, config)
    policy.reset(np.random.default_rng(0))
    return policy


def flat(sequence):
    return [action for action, held in sequence for _ in range(held)]


def test_the_start_of_the_best_is_played_and_its_tail_is_a_candidate():
    pool = PoolOfOpinions(lambda sequence: sum(action for action, _ in sequence))
    policy, game = make_policy(pool), AtariGame("mspacman")
    game.reset(SEED)
    actions = [policy.action(game, None) for _ in range(40)]
    best = [max(asked, key=pool.score) for asked in pool.asked]
    assert flat(itertools.chain(*(sequence[:2] for sequence in best)))[:40] == actions
    for previous, asked in zip(best, pool.asked[1:], strict=False):
        assert [len(sequence) for sequence in asked] == [6] * 5
        assert asked[0][:4] == previous[2:]


def test_where_nothing_is_to_be_gained_the_plan_is_kept():
    pool = PoolOfOpinions(lambda sequence: 0.0)
    policy, game = make_policy(pool), AtariGame("mspacman")
    game.reset(SEED)
    actions = [policy.action(game, None) for _ in range(40)]
    assert actions == flat(itertools.chain(*(asked[0][:2] for asked in pool.asked)))[:40]


def test_a_share_of_actions_is_random():
    pool = PoolOfOpinions(lambda sequence: -sum(action for action, _ in sequence))
    game = AtariGame("mspacman")
    game.reset(SEED)
    for slips, expected in ((0.0, 0.0), (0.25, 0.25), (1.0, 1.0)):
        pool.asked.clear()
        policy = make_policy(pool, slips)
        replaced = []
        for _ in range(300):
            policy._search(game)
            replaced.append(policy._queue != flat(max(pool.asked[-1], key=pool.score)[:2]))
            policy._queue.clear()
        # a decision plays two actions; a random one can equal the planned one
        assert np.mean(replaced) == pytest.approx(1 - (1 - expected) ** 2, abs=0.08)


ORPHANS = """
import sys, time
from permakey_tf.envs.search import SearchPool
pool = SearchPool(3, game="mspacman")
print(*(child.pid for child in pool._children), flush=True)
time.sleep(60)
"""


def test_searching_processes_end_with_a_killed_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(children) == 2
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in children):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.05)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().split()[2] == "Z")  # a zombie has ended


def test_a_pool_ends_its_processes():
    with SearchPool(2, game="mspacman") as pool:
        (child,) = pool._children
    assert child.returncode is not None


@pytest.mark.parametrize("asked", [False, True])
def test_a_searching_process_that_dies_is_told_with_its_exit_code(asked, monkeypatch):
    """Before it is asked, and before it answers."""
    game = AtariGame("mspacman")
    game.reset(SEED)
    with SearchPool(2, game="mspacman") as pool:
        (child,) = pool._children
        if asked:
            own = search.score_all  # this process's part, once the child's was asked for
            monkeypatch.setattr(search, "score_all", lambda *given: (end(child), own(*given))[1])
            child.send_signal(signal.SIGSTOP)
        else:
            end(child)
        with refuses("search", "exit code -9"):
            pool.scores(game.save(), [[(0, 1)], [(1, 1)]])


def end(process):
    process.kill()
    process.wait()
