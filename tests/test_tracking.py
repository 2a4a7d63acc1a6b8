"""The tracker on frames made by hand, against brute force, and what must hold for any frames."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import refuses, tiny_config

from permakey_tf.tracking import CAP, Tracker, track
from permakey_tf.types import Keypoints


def keypoints_of(centers, confidence=None):
    """float32 [..., K, 2] -> Keypoints, sure of all unless told otherwise."""
    centers = np.asarray(centers, np.float32)
    sure = np.ones(centers.shape[:-1]) if confidence is None else confidence
    return Keypoints(centers, np.asarray(sure, np.float32))


def orders(centers, confidence=None, episodes=None, **tracker):
    """The tracked order of every frame, as lists of the detector's numbers."""
    numbers = np.broadcast_to(np.arange(np.shape(centers)[1]), np.shape(centers)[:2])
    numbered = keypoints_of(centers, confidence)
    tracked = track(numbered, episodes, **tracker)[0]
    return [
        [int(n[(frame == c).all(-1)][0]) for c in tracked_frame]
        for n, frame, tracked_frame in zip(numbers, numbered[0], tracked, strict=True)
    ]


def random_walks(rng, num_frames, number, step=0.1):
    """float32 [N, K, 2]: each frame's points in an order of its own."""
    start = rng.uniform(-1, 1, (1, number, 2))
    walks = start + np.cumsum(rng.normal(0, step, (num_frames, number, 2)), axis=0)
    return np.stack([rng.permutation(frame) for frame in walks.astype(np.float32)])


A, B, C, D = (-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)


def test_every_index_follows_what_is_near():
    moved = [(y + 0.05, x - 0.05) for y, x in (C, A, B)]
    assert orders([[A, B, C], moved]) == [[0, 1, 2], [1, 2, 0]]


def test_the_sum_counts_not_the_nearest():
    """Two in a row move by one place: squares are less than if one leapt over the other."""
    first = [(0, -0.1), (0, 0.0)]
    second = [(0, 0.1), (0, 0.0)]
    assert orders([first, second]) == [[0, 1], [1, 0]]


def test_what_hides_does_not_drag_others_along():
    """Of a row the first hides, and something far away is found: uncapped, all move by one."""
    row = [(0, x / 10) for x in range(5)]
    far = [*row[1:], (0, 0.9)]
    assert orders([row, far])[1] == [4, 0, 1, 2, 3]
    assert orders([row, far], cap=100)[1] == [0, 1, 2, 3, 4]


def test_of_several_that_jump_the_nearer_are_linked():
    lost = [A, B]
    found = [(0.4, 0.9), (0.3, -0.9)]  # both farther from both than the cap
    assert orders([lost, found]) == [[0, 1], [1, 0]]


def test_of_objects_that_meet_the_brightness_tells_which_is_which():
    """Two pass each other: by distance alone they would bounce."""
    frames = [[(0, -0.05), (0, 0.05)], [(0, 0.02), (0, -0.02)]]
    assert orders(frames)[1] == [1, 0]
    assert orders(frames, [[0.9, 0.4], [0.9, 0.4]])[1] == [0, 1]
    # A hundredth of half a side is nearer than what 0.1 of confidence counts as.
    near = [frames[0], [(0, 0.04), (0, -0.04)]]
    assert orders(near, [[0.5, 0.4], [0.5, 0.4]])[1] == [1, 0]


def test_an_index_is_known_by_the_mean_of_its_frames_since_it_jumped():
    tracker = Tracker()
    for confidence, place, known in ((1, A, 1), (0.5, A, 0.9), (0.5, A, 0.82), (0.3, D, 0.3)):
        tracker.update(keypoints_of([place, B], [confidence, 0.25]))
        np.testing.assert_allclose(tracker.state.known, [known, 0.25], rtol=1e-6)


@pytest.mark.parametrize(("hidden", "comes_back"), [(1, True), (3, True), (4, False)])
def test_what_hides_for_some_frames_comes_back_to_its_index(hidden, comes_back):
    """Index 1 is at B; while that is not found, the detector takes up D instead of it."""
    frames = [[A, B], *[[A, D]] * hidden, [B, A]]
    assert orders(frames)[-1] == [1, 0]
    # With D still there it is index 1's, unless that goes back to B: index 2 took D's place.
    frames = [[A, B, C], *[[A, D, C]] * hidden, [A, D, B]]
    back = orders(frames)[-1].index(2)
    assert (back == 1) == comes_back


def test_what_comes_back_is_known_by_what_it_was():
    tracker = Tracker()
    for place, confidence in ((B, 0.9), (D, 0.2), (B, 0.9)):
        tracker.update(keypoints_of([A, place], [0.5, confidence]))
    np.testing.assert_allclose(tracker.state.known, [0.5, 0.9], rtol=1e-6)


def test_a_static_scene_keeps_its_order():
    frame = np.random.default_rng(0).uniform(-1, 1, (1, 9, 2))
    assert orders(np.repeat(frame, 5, 0)) == [list(range(9))] * 5


def test_keypoints_in_one_place_keep_their_numbers():
    """All in one place, of which confidence tells which is which; and after a change of order."""
    confidence = np.linspace(0.1, 0.9, 4, dtype=np.float32)
    still = keypoints_of(np.zeros((3, 4, 2)), np.tile(confidence, (3, 1)))
    assert (track(still)[1] == confidence).all()
    frames = [[A, B, B], [B, B, A], [B, B, A]]
    tracked = track(keypoints_of(frames, [[0.9, 0.8, 0.7], [0.8, 0.7, 0.9], [0.8, 0.7, 0.9]]))
    assert (tracked[0][1:] == np.array([A, B, B], np.float32)).all()
    assert (tracked[1][1] == tracked[1][2]).all()


def test_of_equal_orders_the_one_that_keeps_most_numbers_is_taken():
    """Three in one place, alike: only what is elsewhere must change its number, and one with it."""
    tracker = Tracker()
    for places, order in (((A, B, B, B), [0, 1, 2, 3]), *[((B, B, B, A), [3, 1, 2, 0])] * 3):
        found = keypoints_of(places, [0.9 if place == A else 0 for place in places])
        assert tracker.order(found).tolist() == order


def test_an_episode_starts_with_the_detectors_order():
    frames = [[A, B], [B, A], [B, A], [A, B]]
    assert orders(frames, episodes=[0, 0, 1, 1]) == [[0, 1], [1, 0], [0, 1], [1, 0]]
    with refuses("episode 0", "sort"):
        orders(frames, episodes=[0, 1, 0, 0])


def test_nothing_but_the_order_changes():
    rng = np.random.default_rng(1)
    centers = random_walks(rng, 30, 6)
    found = Keypoints(centers, rng.random((30, 6)).astype(np.float32))
    tracked = track(found)
    assert tracked[0].dtype == tracked[1].dtype == np.float32
    together = [np.concatenate([p[0], p[1][..., None]], -1) for p in (found, tracked)]
    for before, after in zip(*together, strict=True):
        assert sorted(before.tolist()) == sorted(after.tolist())
    assert (tracked[0] != found[0]).any()


def test_one_after_the_other_is_all_at_once():
    rng = np.random.default_rng(2)
    centers, confidence = random_walks(rng, 25, 5), rng.random((25, 5)).astype(np.float32)
    whole = track(Keypoints(centers, confidence), np.arange(25) // 10)
    tracker = Tracker()
    for t in range(25):
        if t in (10, 20):
            tracker.reset()
        frame = tracker.update(Keypoints(centers[t], confidence[t]))
        assert (frame[0] == whole[0][t]).all() and (frame[1] == whole[1][t]).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_later_frames_never_change_earlier_ones(seed, number):
    rng = np.random.default_rng(seed)
    one, other = random_walks(rng, 12, number, 0.3), random_walks(rng, 12, number, 0.3)
    other[:7] = one[:7]
    confidence = rng.random((12, number))
    tracked = [track(keypoints_of(c, confidence))[0] for c in (one, other)]
    assert (tracked[0][:7] == tracked[1][:7]).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_detectors_order_does_not_matter_after_the_first_frame(seed, number):
    rng = np.random.default_rng(seed)
    centers, confidence = random_walks(rng, 10, number, 0.3), rng.random((10, number))
    shuffle = np.stack([np.arange(number), *(rng.permutation(number) for _ in range(9))])
    rows = np.arange(10)[:, None]
    tracked = track(keypoints_of(centers, confidence))
    shuffled = track(keypoints_of(centers[rows, shuffle], confidence[rows, shuffle]))
    assert all((a == b).all() for a, b in zip(tracked, shuffled, strict=True))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_first_frame_names_the_indices(seed, number):
    rng = np.random.default_rng(seed)
    centers, names = random_walks(rng, 10, number, 0.3), rng.permutation(number)
    renamed = centers.copy()
    renamed[0] = centers[0, names]
    assert (track(keypoints_of(renamed))[0] == track(keypoints_of(centers))[0][:, names]).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_no_other_order_costs_less(seed, number):
    """Of two frames, against all orders: first what is capped, then the distance of the rest."""
    rng = np.random.default_rng(seed)
    centers, confidence = rng.uniform(-0.6, 0.6, (2, number, 2)), rng.random((2, number))
    tracked = orders(centers, confidence)[1]
    distance = ((centers[0][:, None] - centers[1]) ** 2).sum(-1)
    distance += 0.1 * (confidence[0][:, None] - confidence[1]) ** 2

    def costs(order):
        every = distance[np.arange(number), list(order)]
        return round(float(np.minimum(every, CAP).sum()), 9), float(every[every >= CAP].sum())

    assert costs(tracked) == min(map(costs, itertools.permutations(range(number))))


class PlainTracker:
    """The rules as `Tracker` tells them, by all orders; of an index: (place, confidence)."""

    def __init__(self, places, confidence):
        self.now = list(zip(places, confidence, strict=True))
        self.left = [None] * len(places)  # where it may come back to
        self.age = [0] * len(places)  # frames since it left

    def order(self, places, confidence):
        """The keypoint that each index takes; places: [K][2]; confidence: [K]."""
        found = list(zip(places, confidence, strict=True))
        numbers = range(len(found))
        away = [0.01 * (left is not None) for left in self.left]
        staying = [[away[i] + self._cost(self.now[i], one) for one in found] for i in numbers]
        returning = [[self._cost(left, one) for one in found] for left in self.left]
        cost = np.minimum(staying, returning)

        def total(order):
            every = cost[numbers, list(order)]
            return round(np.minimum(every, CAP).sum(), 9), every[every >= CAP].sum()

        best = min(itertools.permutations(numbers), key=total)
        for i, k in enumerate(best):
            self.age[i] += 1
            if cost[i, k] >= CAP:
                if self.left[i] is None:
                    self.left[i], self.age[i] = self.now[i], 0
                self.now[i] = found[k]
            else:
                _, known = self.now[i]
                if returning[i][k] < staying[i][k]:
                    (_, known), self.left[i] = self.left[i], None
                place, seen = found[k]
                self.now[i] = place, known + 0.2 * (seen - known)
            if self.age[i] == 3:
                self.left[i] = None
        return list(best)

    @staticmethod
    def _cost(index, found):
        if index is None:
            return math.inf
        (one, known), (other, seen) = index, found
        return math.dist(one, other) ** 2 + 0.1 * (known - seen) ** 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_any_film_is_tracked_as_the_rules_say(seed, number):
    """Places tremble and differ in brightness; there are twice as many as a frame shows."""
    rng = np.random.default_rng(seed)
    homes, bright = rng.uniform(-0.8, 0.8, (2 * number, 2)), rng.random(2 * number)
    tracker, plain, shown = Tracker(), None, np.arange(2 * number)
    for _ in range(25):
        if rng.random() < 0.6:  # one hides, and another is found
            one, other = rng.integers(number), rng.integers(number, 2 * number)
            shown[[one, other]] = shown[[other, one]]
        seen = rng.permutation(shown[:number])
        found = keypoints_of(
            homes[seen] + rng.normal(0, 0.05, (number, 2)),
            bright[seen] + rng.normal(0, 0.05, number),
        )
        order, lists = tracker.order(found).tolist(), [part.tolist() for part in found]
        if plain is None:
            plain = PlainTracker(*lists)
        else:
            assert order == plain.order(*lists)


def test_wrong_arrays_are_refused():
    tracker = Tracker()
    with refuses("[K, 2]", "[2, 3, 2]"):
        tracker.update(keypoints_of(np.zeros((2, 3, 2))))
    with refuses("finite"):
        tracker.update(keypoints_of([[np.nan, 0]]))
    tracker.update(keypoints_of([A, B]))
    with refuses("3 keypoints after 2", "reset"):
        tracker.update(keypoints_of([A, B, C]))
    with refuses("episodes", "[2]", "int64 [1]"):
        track(keypoints_of([[A], [B]]), [0])
    with refuses("cap=0"):
        Tracker(cap=0)
    with refuses("cap must be", "not str"):
        Tracker(cap="a")
    Tracker(cap=np.float32(0.1))


def test_keypoints_without_confidence():
    centers = random_walks(np.random.default_rng(3), 10, 4)
    tracked = track(Keypoints(centers, None))
    assert tracked[1] is None
    assert (tracked[0] == track(keypoints_of(centers))[0]).all()
    one = Tracker().update(Keypoints(centers[0], None))
    assert one[1] is None and (one[0] == centers[0]).all()


def test_no_frames_stay_none():
    assert track(keypoints_of(np.zeros((0, 3, 2))))[0].shape == (0, 3, 2)


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_a_detector_tracks_all_at_once_and_frame_by_frame(keep_aspect):
    # Here, because the other tests need no TensorFlow.
    from permakey_tf.detector import KeypointDetector
    from permakey_tf.models.build import build_model

    rng = np.random.default_rng(4)
    frames = rng.integers(0, 256, (12, 30, 20, 3), np.uint8)
    model = build_model(tiny_config(num_keypoints=4, extractor="pursuit"), 20, 3)
    detector = KeypointDetector(model, keep_aspect)
    found, episodes = detector.keypoints(frames), np.arange(12) // 7
    tracked = detector.track(frames, episodes)
    for part, expected in zip(tracked, track(found, episodes), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert (tracked.centers_yx != found.centers_yx).any()
    live = detector.tracker()
    for row, frame in enumerate(frames):
        if row == 7:
            live.reset()
        for part, expected in zip(live.update(frame), tracked, strict=True):
            np.testing.assert_allclose(part, expected[row], atol=1e-5)
    with refuses("[B, H, W, 3]", "stream(track=True)"):
        detector.track(frames[0])
    with refuses("one frame", "[H, W, 3]"):
        live.update(frames)


def test_centres_alone_are_no_keypoints():
    centers = np.array([[A, B], [B, A]], np.float32)
    for call in (track, Tracker().update):
        with refuses("ndarray", "Keypoints(centers, None)"):
            call(centers)
    found = track(Keypoints(centers.tolist(), None)).centers_yx
    np.testing.assert_array_equal(found, [[A, B], [A, B]])
