"""Keypoints as observations of Gymnasium environments."""

import subprocess
import sys
import warnings

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from support import refuses, tiny_config

from permakey_tf.envs.atari import AtariGame
from permakey_tf.types import Keypoints
from permakey_tf.wrappers import KeypointObservation, VectorKeypointObservation

gymnasium.register_envs(ale_py)


class Dot(gymnasium.Env):
    """A bright pixel that goes right, one column a step, over 9 rows and 17 columns."""

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 10}  # noqa: RUF012
    observation_space = spaces.Box(0, 20, [2], np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode=None, length=12):
        self.render_mode, self._length = render_mode, length

    def _state(self):
        return np.array([self.row, self.column], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.row, self.column = int(self.np_random.integers(9)), 0
        return self._state(), {}

    def step(self, action):
        self.column += 1
        return self._state(), 1.0, self.column == self._length, False, {}

    def render(self):
        frame = np.zeros([9, 17, 3], np.uint8)
        frame[self.row, self.column] = 255
        return frame


class DotImage(Dot):
    """The same with pictures for observations."""

    observation_space = spaces.Box(0, 255, [9, 17, 3], np.uint8)

    def _state(self):
        return self.render()


SURE = np.array([0.75, 0.125], np.float32)  # how sure the detector is of its keypoints


class Brightest:
    """A detector of two keypoints: the brightest pixel, and a place beyond the border."""

    num_keypoints, channels = 2, 3

    def __init__(self):
        self.seen = []

    def keypoints(self, frames):
        return Keypoints(self.detect(frames), np.tile(SURE, [len(frames), 1]))

    def detect(self, frames):
        self.seen.append(frames.copy())
        flat = frames.max(axis=-1).reshape(len(frames), -1).argmax(axis=1)
        places = np.stack(np.unravel_index(flat, frames.shape[1:3]), axis=-1)
        centers = places / (np.array(frames.shape[1:3]) - 1) * 2 - 1
        return np.stack([centers, np.full_like(centers, -1.5)], axis=1).astype(np.float32)


gymnasium.register("Dot-v0", Dot, kwargs={"length": 12})
gymnasium.register("DotImage-v0", DotImage)


def dot(**settings):
    return KeypointObservation(gymnasium.make("Dot-v0", render_mode="rgb_array"), **settings)


def expected_points(row, column):
    return [[row / 4 - 1, column / 8 - 1], [-1, -1]]


class TestObservations:
    @pytest.mark.parametrize("name", ["Dot-v0", "DotImage-v0"])
    def test_points_are_where_the_dot_is(self, name):
        env = gymnasium.make(name, render_mode="rgb_array")
        env = KeypointObservation(env, Brightest())
        assert env.observation_space == spaces.Box(-1, 1, (2, 2), np.float32)
        points, _ = env.reset(seed=3)
        row = env.unwrapped.row
        np.testing.assert_allclose(points, expected_points(row, 0))
        for column in (1, 2, 3):
            points, *_ = env.step(0)
            np.testing.assert_allclose(points, expected_points(row, column))
            assert points in env.observation_space

    def test_flat_and_beside_the_environments_own(self):
        flat, both = dot(detector=Brightest(), form="flat"), dot(detector=Brightest(), form="dict")
        points, _ = flat.reset(seed=3)
        row = flat.unwrapped.row
        np.testing.assert_allclose(points, np.ravel(expected_points(row, 0)))
        assert flat.observation_space == spaces.Box(-1, 1, (4,), np.float32)
        observation, _ = both.reset(seed=3)
        np.testing.assert_allclose(observation["keypoints"], expected_points(row, 0))
        np.testing.assert_array_equal(observation["observation"], [row, 0])
        assert observation in both.observation_space

    def test_a_dictionary_gets_one_entry_more(self):
        make = lambda: gymnasium.wrappers.AddRenderObservation(  # noqa: E731
            gymnasium.make("Dot-v0", render_mode="rgb_array"), render_only=False
        )
        env = KeypointObservation(make(), Brightest(), form="dict")
        observation, _ = env.reset(seed=0)
        assert set(observation) == {"keypoints", "pixels", "state"}
        assert observation in env.observation_space

    def test_of_a_stack_the_last_image_counts(self):
        env = gymnasium.make("DotImage-v0", render_mode="rgb_array")
        env = KeypointObservation(gymnasium.wrappers.FrameStackObservation(env, 3), Brightest())
        env.reset(seed=0)
        points, *_ = env.step(0)
        np.testing.assert_allclose(points, expected_points(env.unwrapped.row, 1))

    def test_pictures_may_be_rendered_where_observations_are_pictures_too(self):
        env = gymnasium.make("DotImage-v0", render_mode="rgb_array")
        detector = Brightest()
        KeypointObservation(env, detector, frames="render").reset()
        env = gymnasium.wrappers.TransformObservation(env, lambda o: o * 0, env.observation_space)
        points, _ = KeypointObservation(env, detector, frames="render").reset(seed=3)
        np.testing.assert_allclose(points, expected_points(env.unwrapped.row, 0))


class TestConfidence:
    def test_beside_the_places(self):
        points = dot(detector=Brightest(), confidence=True)
        flat = dot(detector=Brightest(), confidence=True, form="flat")
        assert points.observation_space == spaces.Box(-1, 1, (2, 3), np.float32)
        assert flat.observation_space == spaces.Box(-1, 1, (6,), np.float32)
        observed, _ = points.reset(seed=3)
        np.testing.assert_array_equal(flat.reset(seed=3)[0], observed.ravel())
        np.testing.assert_allclose(observed[:, :2], expected_points(points.unwrapped.row, 0))
        np.testing.assert_array_equal(observed[:, 2], SURE)

    def test_in_a_dictionary_by_itself(self):
        env = dot(detector=Brightest(), confidence=True, form="dict")
        assert env.observation_space["keypoints"] == spaces.Box(-1, 1, (2, 2), np.float32)
        assert env.observation_space["confidence"] == spaces.Box(0, 1, (2,), np.float32)
        observed, _ = env.reset(seed=3)
        assert set(observed) == {"keypoints", "confidence", "observation"}
        np.testing.assert_array_equal(observed["confidence"], SURE)

    def test_a_dictionary_that_has_it_already_is_refused(self):
        env = gymnasium.make("Dot-v0", render_mode="rgb_array")
        env = gymnasium.wrappers.AddRenderObservation(env, render_only=False, obs_key="confidence")
        with refuses("'confidence'", "already"):
            KeypointObservation(env, Brightest(), form="dict", confidence=True)
        assert "confidence" in KeypointObservation(env, Brightest(), form="dict").reset()[0]

    def test_it_goes_with_its_keypoint_when_that_keeps_its_index(self):
        env = dot(detector=Alternating(), track=True, confidence=True)
        observed, _ = env.reset(seed=0)
        for column in range(1, 4):
            observed, *_ = env.step(0)
            of_dot = expected_points(env.unwrapped.row, column)[0]
            np.testing.assert_allclose(observed[0], [*of_dot, SURE[0]])
            assert observed[1, 2] == SURE[1]

    def test_environments_side_by_side(self):
        make = lambda: gymnasium.make("Dot-v0", render_mode="rgb_array")  # noqa: E731
        envs = gymnasium.vector.SyncVectorEnv([make] * 3)
        envs = KeypointObservation(envs, Brightest(), confidence=True)
        observed, _ = envs.reset(seed=0)
        assert observed in envs.observation_space
        np.testing.assert_array_equal(observed[..., 2], np.tile(SURE, [3, 1]))


class TestMaximaOfTwoFrames:
    def test_the_detector_sees_what_it_was_trained_on(self):
        """Byte for byte the frames of the emulator that stores and agents play on."""
        game, detector = AtariGame("mspacman", noop_max=0), Brightest()
        frames = [game.reset(np.random.SeedSequence(0))]
        env = gymnasium.make("ALE/MsPacman-v5", frameskip=1, repeat_action_probability=0)
        env = KeypointObservation(env, detector, frame_skip=4)
        env.reset()
        rng = np.random.default_rng(0)
        for _ in range(90):
            action = int(rng.integers(game.num_actions))
            step, (_, reward, *_) = game.step(action), env.step(action)
            frames.append(step.frame)
            assert reward == step.reward
        np.testing.assert_array_equal(np.concatenate(detector.seen), frames)

    @pytest.mark.parametrize(
        ("skip", "rewards", "lit"),
        [(5, (5, 5, 2), [[0], [4, 5], [9, 10], [12]]), (4, (4, 4, 4), [[0], [3, 4], [7, 8], [12]])],
    )
    def test_an_episode_ends_with_its_last_frame_alone(self, skip, rewards, lit):
        detector = Brightest()
        env = dot(detector=detector, frame_skip=skip)
        env.reset()
        outcomes = [env.step(0)[1:3] for _ in range(3)]
        assert outcomes == list(zip(rewards, (False, False, True), strict=True))
        seen = [np.flatnonzero(frames.max(axis=(0, 1, 3))).tolist() for frames in detector.seen]
        assert seen == lit

    def test_frames_are_not_skipped_twice(self):
        env = gymnasium.make("ALE/Pong-v5")
        with refuses("frame_skip=4", "frameskip=1"):
            KeypointObservation(env, Brightest(), frame_skip=4)


class TestCheckEnv:
    @pytest.mark.parametrize("form", ["points", "flat", "dict"])
    @pytest.mark.parametrize("name", ["ALE/Pong-v5", "Dot-v0"])
    def test_gymnasiums_checks_pass(self, name, form):
        env = gymnasium.make(name, render_mode="rgb_array")
        self.check(KeypointObservation(env, Brightest(), form=form))

    @pytest.mark.parametrize("form", ["points", "flat", "dict"])
    def test_and_so_they_do_with_confidence(self, form):
        self.check(dot(detector=Brightest(), form=form, confidence=True, track=True))

    def test_with_a_real_detector_and_another_wrapper_around(self):
        from permakey_tf.detector import KeypointDetector
        from permakey_tf.models.build import build_model

        detector = KeypointDetector(build_model(tiny_config(), 20, 3))
        env = gymnasium.make("ALE/Pong-v5", frameskip=1)
        env = KeypointObservation(env, detector, frame_skip=4)
        self.check(gymnasium.wrappers.TimeLimit(env, 50))
        again = env.spec.make()
        assert isinstance(again, KeypointObservation)
        seed, action = 5, 0
        for copy in (env, again):
            copy.reset(seed=seed)
        np.testing.assert_array_equal(env.step(action)[0], again.step(action)[0])

    def check(self, env):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # Said of every wrapper.
            warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
            check_env(env)


class TestVectors:
    @pytest.mark.parametrize("name", ["Dot-v0", "DotImage-v0"])
    def test_all_environments_are_seen_in_one_call(self, name):
        detector = Brightest()
        make = lambda: gymnasium.make(name, render_mode="rgb_array")  # noqa: E731
        envs = gymnasium.vector.SyncVectorEnv([make] * 3)
        envs = KeypointObservation(envs, detector, form="dict")
        assert isinstance(envs, VectorKeypointObservation)
        first, _ = envs.reset(seed=0)
        second, *_ = envs.step(np.zeros(3, int))
        assert [len(frames) for frames in detector.seen] == [3, 3]
        rows = [env.unwrapped.row for env in envs.unwrapped.envs]
        for column, observed in enumerate((first, second)):
            assert observed in envs.observation_space
            places = [expected_points(row, column) for row in rows]
            np.testing.assert_allclose(observed["keypoints"], places)
        assert [frame.shape for frame in envs.render()] == [(9, 17, 3)] * 3

    def test_ale_pys_own_vectors(self):
        detector = Brightest()
        envs = gymnasium.make_vec("ALE/Pong-v5", 2, grayscale=False)
        envs = KeypointObservation(envs, detector, form="flat")
        points, _ = envs.reset(seed=0)
        assert points.shape == (2, 4)
        assert detector.seen[0].shape == (2, 84, 84, 3)

    def test_frames_cannot_be_skipped(self):
        envs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("DotImage-v0")])
        with refuses("frame_skip=4", "MaxAndSkipObservation"):
            KeypointObservation(envs, Brightest(), frame_skip=4)


class Alternating(Brightest):
    """The first keypoint is the brightest pixel in even columns, the second in odd ones."""

    def keypoints(self, frames):
        centers, confidence = super().keypoints(frames)
        odd = np.round((centers[:, 0, 1] + 1) * 8).astype(int) % 2 == 1
        centers[odd], confidence[odd] = centers[odd, ::-1], confidence[odd, ::-1]
        return Keypoints(centers, confidence)


class TestTracking:
    def test_a_keypoint_keeps_its_index_until_the_episode_ends(self):
        env = dot(detector=Alternating(), track=True)
        for seed in (0, 1):
            points, _ = env.reset(seed=seed)
            for column in range(1, 6):
                np.testing.assert_allclose(
                    points[0], expected_points(env.unwrapped.row, column - 1)[0]
                )
                points, *_ = env.step(0)

    def test_resetting_takes_the_detectors_order(self):
        """Reset in an odd column's place, the second keypoint is the dot."""

        class Odd(Dot):
            def reset(self, **kwargs):
                super().reset(**kwargs)
                self.column = self.np_random.integers(2)
                return self._state(), {}

        env = KeypointObservation(Odd("rgb_array"), Alternating(), track=True)
        for seed in range(4):
            points, _ = env.reset(seed=seed)
            of_dot = [expected_points(env.unwrapped.row, env.unwrapped.column)[0]]
            np.testing.assert_allclose(points[[env.unwrapped.column % 2]], of_dot)

    def test_each_environment_of_a_vector_by_itself(self):
        """The first ends after 3 steps and begins again in column 0, the other goes on."""
        lengths = (3, 100)
        make = [
            lambda length=length: gymnasium.make("Dot-v0", render_mode="rgb_array", length=length)
            for length in lengths
        ]
        envs = gymnasium.vector.SyncVectorEnv(make)
        envs = KeypointObservation(envs, Swapping(), track=True)
        points, _ = envs.reset(seed=0)
        first = []
        for _ in range(9):
            columns = [env.unwrapped.column for env in envs.unwrapped.envs]
            for env, index in enumerate(points_of_dots(envs, points)):
                first.append((env, columns[env], index))
            points, *_ = envs.step(np.zeros(2, int))
        indices = [[index for env, _, index in first if env == e] for e in (0, 1)]
        # Frames 0 to 3 are one episode, 4 to 7 the next: each begins with the detector's order.
        assert indices[0] == [0, 0, 0, 0, 1, 1, 1, 1, 0]
        assert indices[1] == [0] * 9

    def test_environments_that_are_reset_by_a_mask(self):
        envs = dots_without_autoreset()
        envs.reset(seed=0)
        points, _ = envs.reset(options={"reset_mask": np.array([False, True])})
        assert points_of_dots(envs, points) == [0, 1]

    def test_a_mask_is_left_to_the_caller_and_to_wrappers_around(self):
        """RecordEpisodeStatistics looks for it after the environments, which take it out."""
        envs, options = dots_without_autoreset(), {"reset_mask": np.array([False, True])}
        envs.reset(seed=0)
        envs.reset(options=options)
        assert list(options) == ["reset_mask"]

        counted = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
        counted.reset(seed=0)
        for _ in range(3):
            counted.step(np.zeros(2, int))
        counted.reset(options=options)
        assert counted.episode_lengths.tolist() == [3, 0]


def dots_without_autoreset():
    def make():
        return gymnasium.make("Dot-v0", render_mode="rgb_array")

    disabled = gymnasium.vector.AutoresetMode.DISABLED
    envs = gymnasium.vector.SyncVectorEnv([make] * 2, autoreset_mode=disabled)
    return KeypointObservation(envs, Swapping(), track=True)


class Swapping(Brightest):
    """Which keypoint is the dot changes from call to call."""

    def keypoints(self, frames):
        centers = self.detect(frames)
        if SWAPS[len(self.seen) - 1]:
            centers = centers[:, ::-1]
        return Keypoints(centers, np.ones(centers.shape[:2], np.float32))


SWAPS = [False, True, True, False, True, False, True, False, False, True]  # by call


def points_of_dots(envs, points):
    """Of each environment, which keypoint is on its dot."""
    return [
        int(
            np.abs(found - expected_points(env.unwrapped.row, env.unwrapped.column)[0])
            .sum(-1)
            .argmin()
        )
        for env, found in zip(envs.unwrapped.envs, points, strict=True)
    ]


class TestRendering:
    def test_a_ring_around_every_keypoint(self):
        env = gymnasium.make("ALE/Pong-v5", render_mode="rgb_array", repeat_action_probability=0)
        plain = env.reset(seed=0)[0]
        env = KeypointObservation(env, Brightest())
        points, _ = env.reset(seed=0)
        changed = np.argwhere((env.render() != plain).any(axis=-1))
        assert len(changed) > 50
        centers = (points + 1) / 2 * [209, 159]
        distances = np.linalg.norm(changed[:, None] - centers[None], axis=-1)
        assert set(distances.argmin(axis=1)) == {0, 1}
        assert distances.min(axis=1).max() < 25

    def test_the_ring_of_a_surer_keypoint_is_plainer(self, monkeypatch):
        drawn = []
        for sure in (0.0, 0.1, 1.0):
            monkeypatch.setitem(globals(), "SURE", np.full(2, sure, np.float32))
            env = dot(detector=Brightest())
            env.reset(seed=0)
            drawn.append(int(env.render().sum()))
        assert drawn == sorted(set(drawn))

    def test_nothing_drawn_is_seen(self):
        """Rendering between two steps changes neither frames nor observations."""
        points = []
        for looks in (False, True):
            env = dot(detector=Brightest())
            env.reset(seed=0)
            if looks:
                env.render()
            points.append(env.step(0)[0])
        np.testing.assert_array_equal(*points)


class TestRefusals:
    def refused(self, env, *words, **settings):
        with refuses(*words):
            KeypointObservation(env, **{"detector": Brightest()} | settings).reset()

    def test_no_images(self):
        self.refused(gymnasium.make("Dot-v0"), "Dot", "render_mode", "rgb_array")
        self.refused(gymnasium.make_vec("ALE/Pong-v5", 2), "AtariVectorEnv", "render_mode")
        env = gymnasium.make("Dot-v0", render_mode="rgb_array")
        self.refused(env, "render", frames="observation")

    def test_rendered_things_that_are_no_images(self):
        env = Dot("rgb_array")
        env.render = lambda: np.zeros([9, 17])
        self.refused(env, "float64 [9, 17]")
        env.render = lambda: None
        self.refused(env, "None")

    def test_unknown_words(self):
        env = gymnasium.make("DotImage-v0")
        self.refused(env, "form", "points", form="pionts")
        self.refused(env, "frames", "auto", frames="observations")
        self.refused(env, "frame_skip", frame_skip=0)
        self.refused(env, "track", "True or False", track="yes")
        self.refused(env, "confidence", "True or False", confidence="no")
        self.refused(env, "not Brightest", "load", detector=Brightest)  # the class


def test_importing_it_loads_no_tensorflow():
    code = "import sys, permakey_tf.wrappers; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("settings", "detector", "words"),
    [
        ({}, Brightest(), ["grayscale=False"]),  # it knows no render_mode
        ({"grayscale": False}, None, ["NoneType", "KeypointDetector.load"]),
    ],
)
def test_what_does_not_fit_a_vector_of_atari_games_names_a_way_that_there_is(
    settings, detector, words
):
    environments = gymnasium.make_vec("ALE/Pong-v5", 2, **settings)
    with refuses(*words):
        KeypointObservation(environments, detector)
    environments.close()


def test_a_vector_that_hides_last_frames_is_refused():
    environments = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("Dot-v0", render_mode="rgb_array")] * 2,
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,
    )
    with refuses("SAME_STEP", "AutoresetMode.NEXT_STEP"):
        KeypointObservation(environments, Brightest())


def test_an_environment_that_draws_into_one_array():
    """Of two frames the detector sees both, and what is shown later is what it saw."""

    class Redrawn(DotImage):
        screen = np.zeros([9, 17, 3], np.uint8)

        def render(self):
            self.screen[:] = super().render()
            return self.screen

    detector = Brightest()
    env = KeypointObservation(Redrawn("rgb_array"), detector, frame_skip=2)
    env.reset(seed=0)
    env.step(0)
    assert detector.seen[-1][0].any(axis=(0, 2)).nonzero()[0].tolist() == [1, 2]  # columns
    env.unwrapped.screen[:] = 0
    assert env._frame.any()
