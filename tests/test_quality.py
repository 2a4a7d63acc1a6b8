"""Every measure of keypoint quality on tracks made by hand, with answers known beforehand."""

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import refuses

from permakey_tf.configs.quality import QualityConfig
from permakey_tf.data.noise import Bars, bar_positions
from permakey_tf.objects.boxes import Objects
from permakey_tf.objects.tracks import link_boxes
from permakey_tf.quality import baselines, measures, seeds
from permakey_tf.quality.scoring import GroundTruth, Probing, evaluate_keypoints

BOX = np.array([[40, 100, 8, 12]], np.int16)  # columns 40..48, rows 100..112
WINDOWS = {"windows": (1, 25, 50)}


def centers_at(*points):
    """(row, column) in pixels of the 210x160 frame -> centres in [-1, 1]."""
    points = np.asarray(points, float)
    return points / [209, 159] * 2 - 1


def objects_of(rows, visible=None):
    """Objects from (frame, category, x, y, w, h)."""
    rows = sorted(rows, key=lambda row: row[0])
    names = tuple(sorted({row[1] for row in rows}))
    return Objects(
        np.array([row[0] for row in rows], np.int32),
        np.array([names.index(row[1]) for row in rows], np.uint8),
        np.array([row[2:] for row in rows], np.int16).reshape(-1, 4),
        names,
        visible,
    )


def middle(box):
    x, y, w, h = box
    return y + h / 2, x + w / 2


def score(centers, objects, episodes=None, **settings):
    episodes = np.zeros(len(centers), int) if episodes is None else episodes
    config = QualityConfig(**WINDOWS | settings)
    return evaluate_keypoints(centers, objects, episodes, config=config)


def test_a_known_games_name_misspelled_is_refused_and_another_game_is_not():
    objects, centers = two_walkers(5)
    with refuses("game='mspackman'", "did you mean mspacman?", settings=["game"]):
        evaluate_keypoints(centers, objects, np.zeros(5, int), game="mspackman")
    assert "all" in evaluate_keypoints(centers, objects, np.zeros(5, int), game="my_robot")


def test_boxes_of_negative_size_are_refused_where_they_count():
    objects, centers = two_walkers(4)
    turned = objects.xywh.copy()
    turned[3, 2] = -8
    with refuses("objects", "negative"):
        score(centers, objects.replace(xywh=turned))
    hidden = np.arange(8) != 3
    assert score(centers, objects.replace(xywh=turned, visible=hidden))["all"]["boxes"] == 7


def test_frames_of_an_episode_must_follow_one_another():
    objects, centers = two_walkers(4)
    with refuses("episode 0", "follow"):
        score(centers, objects, np.arange(4) % 2)


def two_walkers(num_frames=50):
    """Two objects that walk to the right, 60 pixels below each other: boxes and their middles."""
    boxes = [[(20 + t, 60 + 60 * n, 8, 10) for n in range(2)] for t in range(num_frames)]
    rows = [(t, "Walker", *box) for t, frame in enumerate(boxes) for box in frame]
    return objects_of(rows), centers_at(*[[middle(box) for box in frame] for frame in boxes])


# --------------------------------------------------------------------------------- made-up tracks


def test_perfect_keypoints():
    objects, centers = two_walkers()
    scores = score(centers, objects)["all"]
    for epsilon in range(17):
        assert scores["recall"][epsilon] == scores["precision"][epsilon] == 1
        assert scores["f1"][epsilon] == 1
    assert scores["tracking_recall"] == {1: 1, 25: 1, 50: 1}
    assert scores["tracking_precision"] == {1: 1, 25: 1, 50: 1}
    assert scores["consistency"] == scores["consistency_of_found"] == 1
    assert scores["unassigned"] == scores["redundancy"] == 0
    assert scores["boxes"] == 100


def test_keypoints_that_swap_halfway():
    objects, centers = two_walkers()
    centers[25:] = centers[25:, ::-1]
    scores = score(centers, objects)["all"]
    assert scores["recall"][4] == scores["precision"][4] == 1
    # The swap falls between two windows of 25; over 50 frames nothing is tracked.
    assert scores["tracking_recall"] == {1: 1, 25: 1, 50: 0}
    assert scores["consistency"] == pytest.approx(1 - 2 / 98)  # 2 of 2 x 49 links


def test_constant_keypoints():
    objects, _ = two_walkers()
    # Columns 20+t..28+t: column 40 is within 4 pixels for 8 <= t <= 24.
    centers = np.broadcast_to(centers_at([65, 40], [205, 150]), (50, 2, 2))
    scores = score(centers, objects)["all"]
    assert scores["recall"][4] == 17 / 100
    assert scores["precision"][4] == 17 / 100
    assert scores["recall"][0] == 9 / 100  # 12 <= t <= 20
    assert scores["consistency"] == 16 / 98
    assert scores["consistency_of_found"] == 1
    assert scores["unassigned"] == 2 - 17 / 50
    # In frames 0 to 24 the distances are 12, 11, ..., 1, then 0, then 1, ..., 4: 3.52 on average.
    assert scores["tracking_recall"][25] == 1 / 4
    assert scores["tracking_precision"][25] == 1 / 4
    assert scores["tracking_recall"][50] == 0


def test_an_idle_keypoint_can_take_an_object_from_another():
    """Every keypoint is assigned where there are enough objects, and the sum of all distances
    counts: the idle one, far from both, is nearer to the object that the other is on."""
    objects, centers = two_walkers(25)
    idle = np.broadcast_to(centers_at([5, 5]), (25, 1, 2))
    scores = score(np.concatenate([centers[:, :1], idle], axis=1), objects)["all"]
    assert scores["recall"][4] == 1 / 2
    one, other = (measures.box_distances(c, objects.frame, objects.xywh)[0].reshape(25, 2).mean(0)
                  for c in (centers[:, :1], idle))  # fmt: skip
    assert one[0] + other[1] > one[1] + other[0]
    assert scores["tracking_recall"][25] == 0
    alone = score(centers[:, :1], objects)["all"]
    assert alone["tracking_recall"][25] == 1 / 2


def test_random_keypoints_reach_what_areas_say():
    box = (60, 90, 20, 30)
    num_frames, num_points, epsilon = 20_000, 3, 4
    objects = objects_of([(t, "A", *box) for t in range(num_frames)])
    centers = baselines.random_points(num_frames, num_points, np.random.default_rng(0))
    scores = score(centers, objects, windows=(1,))["all"]
    area = 20 * 30 + 2 * epsilon * (20 + 30) + np.pi * epsilon**2
    on = area / (159 * 209)
    assert scores["precision"][4] == pytest.approx(on, abs=0.003)
    assert scores["recall"][4] == pytest.approx(1 - (1 - on) ** num_points, abs=0.006)
    assert scores["consistency_of_found"] == pytest.approx(1 / num_points, abs=0.06)


def test_without_any_object_shares_are_undefined_but_precision_is_zero():
    scores = score(np.zeros((5, 2, 2)), objects_of([]))["all"]
    assert np.isnan(scores["recall"][4]) and np.isnan(scores["f1"][4])
    assert scores["precision"][4] == 0 and scores["unassigned"] == 2
    assert np.isnan(scores["tracking_recall"][1]) and scores["tracking_precision"][1] == 0
    assert np.isnan(scores["consistency"]) and np.isnan(scores["redundancy"])


def test_a_track_takes_part_where_it_is_drawn_in_half_of_a_window():
    track, episodes = np.zeros(2, int), np.zeros(4, int)
    assert measures.WindowedTracks(np.array([0, 2]), track, episodes, 4).window.tolist() == [0]
    assert measures.WindowedTracks(np.array([0]), track[:1], episodes, 4).window.size == 0


# ---------------------------------------------------------------------------------------- distance


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (105, 44, True),  # inside
        (116, 44, True),  # 4 rows below
        (117, 44, False),
        (105, 36, True),  # 4 columns left
        (105, 35, False),
        (115, 50, True),  # 3 below, 2 right: 3.6
        (115, 51, False),  # 3 below, 3 right: 4.2
    ],
)
def test_near_is_four_pixels_from_the_box(row, column, expected):
    distances, _ = measures.box_distances(centers_at([[row, column]]), np.array([0]), BOX)
    assert (distances <= 4).tolist() == [[expected]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_whole_distance_is_not_more_by_rounding(dtype):
    # As constants are that are chosen among pixels: 4 pixels to the left of boxes anywhere.
    columns, rows = np.meshgrid(np.arange(0, 150, 3), np.arange(0, 200, 7))
    boxes = np.stack([columns, rows, 0 * rows + 8, 0 * rows + 5], -1).reshape(-1, 4)
    boxes = boxes[boxes[:, 0] >= 4]
    centers = centers_at(*(boxes[:, None, [1, 0]] - [0, 4])).astype(dtype)
    distances, _ = measures.box_distances(centers.astype(float), np.arange(len(boxes)), boxes)
    assert (distances == 4).all() and distances.shape == (1, len(boxes))


def test_distances_agree_with_a_naive_oracle():
    rng = np.random.default_rng(0)
    centers = rng.uniform(-1, 1, (6, 3, 2))
    frame = np.sort(rng.integers(0, 6, 20))
    xywh = rng.integers(0, 120, (20, 4))
    distances, to_middle = measures.box_distances(centers, frame, xywh)
    for m, k in itertools.product(range(20), range(3)):
        y, x = (centers[frame[m], k] + 1) / 2 * [209, 159]
        left, top, w, h = xywh[m]
        nearest = np.clip(x, left, left + w), np.clip(y, top, top + h)
        # Rounded to four digits.
        expected = np.hypot(x - nearest[0], y - nearest[1])
        assert distances[k, m] == pytest.approx(expected, rel=0, abs=5.0001e-5)
        squared = (x - left - w / 2) ** 2 + (y - top - h / 2) ** 2
        assert to_middle[k, m] == pytest.approx(squared)


def test_recall_precision_and_f1_by_hand():
    # Frame 0: two objects, one keypoint on the first. Frame 1: none. Frame 2: one, both on it.
    rows = [(0, "A", 10, 10, 8, 8), (0, "B", 100, 100, 8, 8), (2, "A", 50, 50, 8, 8)]
    centers = centers_at([[14, 14], [200, 5]], [[14, 14], [200, 5]], [[54, 54], [52, 52]])
    scores = score(centers, objects_of(rows))
    assert scores["all"]["recall"][4] == 2 / 3
    assert scores["all"]["precision"][4] == 3 / 6
    assert scores["all"]["f1"][4] == pytest.approx(4 / 7)
    assert (scores["A"]["recall"][4], scores["B"]["recall"][4]) == (1, 0)
    assert (scores["A"]["precision"][4], scores["B"]["precision"][4]) == (3 / 6, 0)
    assert scores["all"]["unassigned"] == 1  # 1, 2 and 0
    assert scores["all"]["redundancy"] == (0 + 1 / 2) / 2


def test_keypoints_that_are_just_near_enough_are_on_their_object():
    nearest = np.array([[4.0], [4.0]])
    assert measures.unassigned(nearest, 4) == 0
    assert measures.redundancy(np.array([4.0]), nearest, np.array([0]), 4) == 1 / 2


def test_a_keypoint_on_two_objects_is_not_less_than_redundant():
    rows = [(0, "A", 10, 10, 8, 8), (0, "A", 12, 10, 8, 8)]
    assert score(centers_at([[14, 15]]), objects_of(rows))["all"]["redundancy"] == 0


def test_the_curve_rises_where_the_distance_is_reached():
    centers = centers_at([[100 - 7, 44]])  # 7 pixels above the box
    scores = score(centers, objects_of([(0, "A", *BOX[0])]))["all"]
    assert [scores["recall"][e] for e in range(17)] == [0] * 7 + [1] * 10


# -------------------------------------------------------------------------------------- invariances


def random_world(seed, num_frames=40):
    """Random walkers of two categories that come and go, with keypoints near some of them."""
    rng = np.random.default_rng(seed)
    rows, centers = [], np.empty((num_frames, 4, 2))
    places = rng.integers(10, 120, (5, 2))
    for t in range(num_frames):
        places = np.clip(places + rng.integers(-3, 4, places.shape), 0, 140)
        shown = rng.random(5) < 0.9
        for n in np.flatnonzero(shown):
            rows.append((t, "AB"[n % 2], *places[n], 9, 10))
        points = places[rng.permutation(5)[:4], ::-1] + rng.normal(0, 4, (4, 2))
        centers[t] = centers_at(*points)
    visible = rng.random(len(rows)) < 0.8
    episodes = np.repeat([0, 1], [num_frames // 4, num_frames - num_frames // 4])
    return centers, objects_of(rows, visible), episodes


def assert_equal_scores(one, two):
    assert one.keys() == two.keys()
    for group in one:
        for measure, value in one[group].items():
            np.testing.assert_allclose(
                np.array(list(value.values()) if isinstance(value, dict) else value, float),
                np.array(
                    list(two[group][measure].values())
                    if isinstance(value, dict)
                    else two[group][measure],
                    float,
                ),
                err_msg=f"{group} {measure}",
            )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_keypoints_and_of_objects_does_not_matter(seed):
    centers, objects, episodes = random_world(seed)
    scores = score(centers, objects, episodes, windows=(1, 5, 10))
    rng = np.random.default_rng(seed)
    other = centers[:, rng.permutation(centers.shape[1])]
    assert_equal_scores(score(other, objects, episodes, windows=(1, 5, 10)), scores)
    shuffled = np.lexsort((rng.random(len(objects.frame)), objects.frame))
    boxes = objects.replace(
        **{name: getattr(objects, name)[shuffled] for name in ("frame", "category", "xywh")},
        visible=objects.visible[shuffled],
    )
    assert_equal_scores(score(centers, boxes, episodes, windows=(1, 5, 10)), scores)
    renamed = objects.replace(category=1 - objects.category, categories=("B", "A"))
    again = score(centers, renamed, episodes, windows=(1, 5, 10))
    assert_equal_scores({name: again[name] for name in scores}, scores)


def test_frames_moved_to_other_numbers_score_the_same():
    centers, objects, episodes = random_world(3)
    twice = score(
        np.concatenate([centers, centers]),
        objects.replace(
            frame=np.concatenate([objects.frame, objects.frame + 40]),
            category=np.tile(objects.category, 2),
            xywh=np.tile(objects.xywh, (2, 1)),
            visible=np.tile(objects.visible, 2),
        ),
        np.concatenate([episodes, episodes + 2]),
    )
    once = score(centers, objects, episodes)
    for group in once:
        once[group]["boxes"] *= 2
    assert_equal_scores(twice, once)
    assert_equal_scores(
        score(centers[10:], objects.of_frames(range(10, 40)), episodes[10:]),
        score(
            np.concatenate([centers[10:]] * 2)[:30],
            objects.of_frames(range(5, 40)).of_frames(range(5, 35)),
            episodes[10:],
        ),
    )


# ----------------------------------------------------------------------------------------- tracks


def brute_force_cost(old, new, longest):
    """Smallest sum of displacements over all partial matchings; what is left costs `longest`."""
    few, many = sorted((old, new), key=len)
    distance = np.linalg.norm(few[:, None] - many[None], axis=-1)
    best = np.inf
    for chosen in itertools.permutations(range(len(many)), len(few)):
        best = min(best, np.minimum(distance[range(len(few)), list(chosen)], longest).sum())
    return best


@pytest.mark.parametrize("seed", range(6))
def test_links_have_the_smallest_sum_of_displacements(seed):
    rng = np.random.default_rng(seed)
    rows = []
    for t in range(12):
        for _ in range(rng.integers(1, 6)):
            rows.append((t, "A", *rng.integers(0, 8, 2) * 5, 4, 6))  # many in the same place
    objects = objects_of(rows)
    tracks = link_boxes(objects, np.zeros(12, int), 16)
    middles = objects.xywh[:, :2] + objects.xywh[:, 2:] / 2
    for t in range(1, 12):
        new, old = (np.flatnonzero(objects.frame == f) for f in (t, t - 1))
        linked = new[tracks.previous[new] >= 0]
        before = tracks.previous[linked]
        assert len(set(before.tolist())) == len(before) and set(before) <= set(old)
        lengths = np.linalg.norm(middles[linked] - middles[before], axis=1)
        assert (lengths <= 16).all()
        total = lengths.sum() + 16 * (min(len(new), len(old)) - len(linked))
        assert total == pytest.approx(brute_force_cost(middles[old], middles[new], 16))
    same = tracks.track[tracks.previous >= 0] == tracks.track[tracks.previous[tracks.previous >= 0]]
    assert same.all()


def test_tracks_are_cut_above_16_pixels_at_episodes_gaps_and_categories():
    def tracks(rows, episodes):
        return link_boxes(objects_of(rows), np.array(episodes), 16).track.tolist()

    box = (50, 50, 8, 8)
    assert tracks([(0, "A", *box), (1, "A", 66, 50, 8, 8)], [0, 0]) == [0, 0]
    assert tracks([(0, "A", *box), (1, "A", 67, 50, 8, 8)], [0, 0]) == [0, 1]
    assert tracks([(0, "A", *box), (1, "A", *box)], [0, 1]) == [0, 1]
    assert tracks([(0, "A", *box), (2, "A", *box)], [0, 0, 0]) == [0, 1]
    assert tracks([(0, "A", *box), (1, "B", *box)], [0, 0]) == [0, 1]
    # In line, the one behind comes to where the other was: nobody leaps.
    for line in itertools.permutations((10, 14, 18)):
        rows = [(t, "A", x + 4 * t, 50, 8, 8) for t in range(3) for x in line]
        assert tracks(rows, [0, 0, 0]) == [0, 1, 2] * 3
    # One leaves at the right while another comes in at the left: the first keeps its number.
    rows = [(0, "A", 100, 50, 8, 8), (0, "A", 150, 50, 8, 8), (1, "A", 0, 50, 8, 8),
            (1, "A", 102, 50, 8, 8)]  # fmt: skip
    assert tracks(rows, [0, 0]) == [0, 1, 2, 0]


def test_objects_that_are_not_drawn_are_neither_missed_nor_found():
    objects, centers = two_walkers(50)
    second = np.arange(100) % 2 == 1
    flicker = ~(second & (objects.frame % 3 != 0))  # the second is drawn in every third frame
    one = centers[:, :1]
    scores = score(one, objects.replace(visible=flicker))["all"]
    assert scores["boxes"] == 50 + 17
    assert scores["recall"][4] == 50 / 67
    assert scores["precision"][4] == 1
    assert scores["consistency"] == 1  # links where both boxes are drawn
    on_second = score(centers[:, 1:], objects.replace(visible=flicker))["all"]
    assert on_second["recall"][4] == 17 / 67
    assert on_second["precision"][4] == 17 / 50
    # Drawn in a third of a window only, it takes part in none but those of one frame.
    assert on_second["tracking_recall"] == {1: 17 / 67, 25: 0, 50: 0}


def test_a_track_goes_on_while_its_object_is_not_drawn():
    objects, centers = two_walkers(50)
    hidden = (objects.frame >= 10) & (objects.frame < 20)
    scores = score(centers, objects.replace(visible=~hidden))["all"]
    assert scores["tracking_recall"] == {1: 1, 25: 1, 50: 1}
    assert scores["tracking_precision"][50] == 1
    assert scores["boxes"] == 80


def test_windows_follow_one_another_within_episodes():
    windows = measures.window_of_frames(np.array([0] * 5 + [1] * 2 + [2] * 4), 2)
    assert windows.tolist() == [0, 0, 1, 1, -1, 2, 2, 3, 3, 4, 4]
    assert measures.window_of_frames(np.array([0] * 5), 6).tolist() == [-1] * 5


def test_windows_longer_than_any_episode_give_no_score():
    objects, centers = two_walkers(20)
    scores = score(centers, objects)["all"]
    assert scores["tracking_recall"][1] == 1
    assert np.isnan(scores["tracking_recall"][25]) and np.isnan(scores["tracking_precision"][25])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length", [1, 5, 10])
def test_tracking_agrees_with_brute_force(seed, length):
    centers, objects, episodes = random_world(seed)
    scores = score(centers, objects, episodes, windows=(length,))["all"]
    tracks = link_boxes(objects, episodes, 16).track
    windows = measures.window_of_frames(episodes, length)
    number, num_tracks, matched = windows.max() + 1, 0, 0
    for window in range(number):
        parts = []
        for track in np.unique(tracks):
            inside = (windows[objects.frame] == window) & (tracks == track) & objects.visible
            if inside.sum() >= length / 2:
                distances, _ = measures.box_distances(
                    centers, objects.frame[inside], objects.xywh[inside]
                )
                parts.append(distances.mean(1))
        num_tracks += len(parts)
        if parts:
            matched += brute_force_matches(np.array(parts))
    assert scores["tracking_recall"][length] == matched / num_tracks
    assert scores["tracking_precision"][length] == matched / (number * 4)


def brute_force_matches(cost):
    """Pairs below 4 in the cheapest one-to-one assignment of all rows or all columns."""
    if len(cost) > cost.shape[1]:
        cost = cost.T
    rows = range(len(cost))
    best = min(
        itertools.permutations(range(cost.shape[1]), len(cost)),
        key=lambda columns: cost[rows, list(columns)].sum(),
    )
    return (cost[rows, list(best)] < 4).sum()


def test_the_keypoint_of_an_object_is_the_one_nearest_to_its_middle():
    on = measures.box_distances(centers_at([[101, 41], [106, 44]]), np.array([0]), BOX)
    assert measures.keypoint_of_box(*on, 4).tolist() == [1]
    off = measures.box_distances(centers_at([[0, 0], [9, 9]]), np.array([0]), BOX)
    assert measures.keypoint_of_box(*off, 4).tolist() == [-1]


# -------------------------------------------------------------------------------------- confidence


def naive_hits(centers, objects, confidence, epsilon=4):
    """Keypoint by keypoint, the most confident first; of equal ones the nearest to a middle."""
    hit = np.zeros(confidence.shape, bool)
    distances, to_middle = measures.box_distances(centers, objects.frame, objects.xywh)
    for t in range(len(centers)):
        free = np.flatnonzero(objects.frame == t).tolist()

        def rank(k, boxes=tuple(free), t=t):
            near = [to_middle[k, m] for m in boxes if distances[k, m] <= epsilon]
            return -confidence[t, k], min(near, default=np.inf)

        for k in sorted(range(centers.shape[1]), key=rank):
            near = [m for m in free if distances[k, m] <= epsilon]
            if near:
                free.remove(min(near, key=lambda m: to_middle[k, m]))
                hit[t, k] = True
    return hit


def naive_curve(confidence, hit, num_objects):
    """[(threshold, precision, recall)] of every threshold, descending."""
    return [
        (t, hit[confidence >= t].mean(), hit[confidence >= t].sum() / num_objects)
        for t in sorted(set(confidence.ravel()), reverse=True)
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_measures_of_confidence_agree_with_naive_oracles(seed, ties):
    centers, objects, episodes = random_world(seed)
    objects = objects.drawn()
    confidence = np.random.default_rng(seed).random(centers.shape[:2])
    confidence = confidence.round(1) if ties else confidence
    hit, number = naive_hits(centers, objects, confidence), len(objects.frame)
    curve = naive_curve(confidence, hit, number)
    config = QualityConfig(windows=(1,))
    scores = evaluate_keypoints(centers, objects, episodes, config=config, confidence=confidence)[
        "all"
    ]
    area, reached = 0, 0
    for _, _, recall in curve:
        best = max(p for _, p, r in curve if r >= recall)
        area, reached = area + best * (recall - reached), recall
    assert scores["average_precision"] == pytest.approx(area)
    for level, found in scores["precision_at_recall"].items():
        best = max((p for _, p, r in curve if r >= level), default=np.nan)
        assert found == pytest.approx(best, nan_ok=True)
    for level in np.linspace(0, 1, 21).round(2):
        above = confidence >= level
        expected = hit[above].mean() if above.any() else np.nan
        found = scores["precision_at_confidence"][level]
        assert found == pytest.approx(expected, nan_ok=True)
        assert scores["recall_at_confidence"][level] == (hit & above).sum() / number
    f1 = [(2 * p * r / (p + r) if p + r else 0, -t) for t, p, r in curve]
    assert measures.best_threshold(confidence, hit, number) == -max(f1)[1]


def test_one_keypoint_is_counted_an_object():
    # Two on one ghost: the second is wrong. A third between both ghosts takes the one that is left.
    rows = [(0, "A", 20, 100, 8, 8), (0, "A", 30, 100, 8, 8)]
    centers = centers_at([[104, 23], [104, 24], [104, 28]])
    objects = objects_of(rows)
    for confidence, expected in (
        ([0.9, 0.8, 0.1], [True, False, True]),
        ([0.8, 0.9, 0.1], [False, True, True]),
        ([0.5, 0.5, 0.1], [False, True, True]),  # the nearer of equal ones
        ([0.1, 0.2, 0.9], [False, False, True]),  # the third is nearer to the first ghost
    ):
        near = measures.box_distances(centers, objects.frame, objects.xywh)
        hit = measures.one_to_one(*near, objects.frame, np.array([confidence]), 4)
        assert hit.tolist() == [expected]


def test_average_precision_by_hand():
    # Right, wrong, right, wrong; one of three objects is never found.
    confidence, hit = np.array([[0.9, 0.8], [0.7, 0.6]]), np.array([[True, False], [True, False]])
    assert measures.average_precision(confidence, hit, 3) == pytest.approx((1 + 2 / 3) / 3)
    # All alike: one threshold, half of the keypoints right, two of three objects found.
    assert measures.average_precision(np.ones((2, 2)), hit, 3) == pytest.approx(1 / 2 * 2 / 3)
    assert np.isnan(measures.average_precision(confidence, hit, 0))
    # F1 of 1, 2, 3, 4 kept keypoints: 2/4, 2/5, 4/6, 4/7.
    assert measures.best_threshold(confidence, hit, 3) == 0.7
    assert np.isnan(measures.best_threshold(confidence, hit, 0))


def test_the_threshold_is_chosen_on_the_fitting_frames_and_applied_to_the_scored():
    objects, centers = two_walkers(20)
    centers = np.concatenate([centers, np.full((20, 1, 2), 0.9)], axis=1)  # a third, on nothing
    fitting_confidence = np.tile([0.9, 0.5, 0.4], (20, 1))
    confidence = np.tile([0.9, 0.45, 0.5], (20, 1))  # now the third is above the second
    held_out = np.zeros(20, bool)
    probing = Probing(centers, objects, held_out, fitting_confidence)
    config = QualityConfig(windows=(1,))
    frames = np.zeros(20, int)
    scores = evaluate_keypoints(
        centers, objects, frames, probing=probing, config=config, confidence=confidence
    )["all"]
    assert scores["best_threshold"] == 0.5
    assert scores["best_f1"] == pytest.approx(2 * 20 / (40 + 40))  # one right, one wrong a frame
    alike = evaluate_keypoints(centers, objects, frames, None, Probing(*probing[:3]), config)["all"]
    assert alike["best_threshold"] == 1 and alike["best_f1"] == pytest.approx(2 * 40 / (60 + 40))
    assert "best_f1" not in evaluate_keypoints(centers, objects, frames, config=config)["all"]
    with refuses("confidence", "probe"):
        evaluate_keypoints(centers, objects, frames, None, probing, config)


def test_above_the_threshold_of_the_fitting_frames_may_be_no_keypoint():
    objects, centers = two_walkers(5)
    probing = Probing(centers, objects, np.zeros(5, bool), np.full((5, 2), 0.9))
    scores = evaluate_keypoints(
        centers, objects, np.zeros(5, int), None, probing,
        QualityConfig(windows=(1,)), np.full((5, 2), 0.5),
    )["all"]  # fmt: skip
    assert (scores["best_threshold"], scores["best_f1"]) == (0.9, 0)


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (np.ones((50, 3)), ["floating-point [50, 2]", "float64 [50, 3]"]),
        (np.ones((50, 2), int), ["int64"]),
        (np.full((50, 2), np.nan), ["[0, 1]", "nan"]),
        (np.full((50, 2), 1.5), ["[0, 1]", "from 1.5 to 1.5"]),
    ],
)
def test_confidence_that_does_not_fit(confidence, words):
    objects, centers = two_walkers()
    with refuses("confidence", *words):
        evaluate_keypoints(centers, objects, np.zeros(50, int), confidence=confidence)


# ------------------------------------------------------------------------------------------- probe


def probe_of(centers, objects, game=None, held_out=None, **settings):
    """Fitted on the first half of the frames, scored on the second."""
    half = len(centers) // 2
    config = QualityConfig(**WINDOWS | settings)
    episodes = np.repeat([0, 1], half)
    truth = GroundTruth(objects.of_frames(range(half, 2 * half)), episodes[half:], game, config)
    held_out = np.ones(half, bool) if held_out is None else held_out
    probing = Probing(centers[:half], objects.of_frames(range(half)), held_out)
    return truth.measure(centers[half:], probing)


def wanderer(num_frames=200, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 140, (num_frames, 2))
    return places, objects_of([(t, "A", *place, 8, 10) for t, place in enumerate(places)])


def test_a_position_that_is_linear_in_the_centres_is_read_out():
    places, objects = wanderer()
    rows, columns = places[:, 1] + 5, places[:, 0] + 4
    centers = np.zeros((200, 2, 2))
    # Neither keypoint is on the object, but together they say where it is.
    centers[:, 0, 0] = (rows + 2 * columns) / 600
    centers[:, 1, 1] = (columns - rows) / 300
    scores = probe_of(centers, objects, ridge=0)["A"]
    assert scores["probe_r2"] == pytest.approx(1)
    assert scores["probe_error"] == pytest.approx(0, abs=1e-6)
    assert probe_of(centers, objects, ridge=1e9)["A"]["probe_r2"] < 0.01


def test_constant_centres_tell_nothing():
    places, objects = wanderer()
    scores = probe_of(np.zeros((200, 3, 2)), objects)["A"]
    targets = places[:, ::-1] + [5, 4]
    errors = np.linalg.norm(targets[100:] - targets[:100].mean(0), axis=1)
    assert scores["probe_error"] == pytest.approx(errors.mean())
    assert -0.1 < scores["probe_r2"] <= 0


def test_the_probe_is_ridge_regression():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)), rng.normal(size=(50, 2))
    new_x, new_y = rng.normal(size=(30, 6)), rng.normal(size=(30, 2))
    design = np.column_stack([x, np.ones(50)])
    penalty = 2.5 * np.diag([1.0] * 6 + [0])  # the offset is free
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ y)
    errors = np.column_stack([new_x, np.ones(30)]) @ weights - new_y
    r2, error = measures.probe(x.reshape(50, 3, 2), y, new_x.reshape(30, 3, 2), new_y, 2.5)
    assert error == pytest.approx(np.linalg.norm(errors, axis=1).mean())
    assert r2 == pytest.approx(1 - (errors**2).sum() / ((new_y - new_y.mean(0)) ** 2).sum())


def test_the_probe_is_for_objects_that_are_alone_in_their_category_and_for_held_out_frames():
    places, objects = wanderer()
    centers = np.zeros((200, 1, 2))
    pair = objects_of(
        [(t, "A", *place, 8, 10) for t, place in enumerate(places)] + [(150, "A", 1, 1, 8, 10)]
    )
    assert "probe_r2" not in probe_of(centers, pair)["A"]
    hidden = pair.replace(visible=pair.frame != 150)  # the pair is not drawn
    assert "probe_r2" in probe_of(centers, hidden)["A"]
    # A box that is not drawn is nothing to fit either.
    twins = objects_of(
        [(3, "A", 1, 1, 8, 10)] + [(t, "A", *p, 8, 10) for t, p in enumerate(places)]
    )
    drawn = np.ones(201, bool)
    drawn[3 if twins.xywh[3, 0] == 1 else 4] = False
    fitted = probe_of(centers, twins.replace(visible=drawn))["A"]
    assert fitted["probe_error"] == probe_of(centers, objects)["A"]["probe_error"]
    assert "probe_r2" not in probe_of(centers, objects, held_out=np.zeros(100, bool))["A"]
    assert "probe_r2" not in score(centers, objects)["A"]


def test_a_thing_that_stands_still_has_an_error_but_no_r2():
    objects = objects_of([(t, "A", 10, 10, 8, 8) for t in range(20)])
    scores = probe_of(np.random.default_rng(0).uniform(-1, 1, (20, 2, 2)), objects)["A"]
    assert np.isnan(scores["probe_r2"]) and scores["probe_error"] == pytest.approx(0, abs=1e-9)


# ----------------------------------------------------------------------------- bars, other models


def test_keypoints_on_bars_by_hand():
    size = 84
    bars = Bars(np.array([10, 10]), np.array([50, 50]))
    pixels = np.array([
        [[0, 10], [0, 14], [0, 15], [52, 80]],
        [[49, 9], [54, 0], [55, 0], [52, 12]],
    ])  # fmt: skip
    centers = pixels / (size - 1) * 2 - 1
    share, _ = measures.on_bars(centers, bars, size)
    assert share == 5 / 8
    assert measures.on_bars(centers, bars._replace(top=None), size)[0] == 3 / 8
    assert measures.on_bars(centers, bars._replace(left=None), size)[0] == 3 / 8


@pytest.mark.parametrize("noise", ["vertical", "horizontal", "both"])
def test_chance_of_the_bars_agrees_with_bars_drawn_anew(noise):
    rng = np.random.default_rng(0)
    places = rng.uniform(-1, 1, (1, 6, 2))
    places[0, 0] = -1  # corners are covered least
    centers = np.broadcast_to(places, (40_000, 6, 2))
    share, chance = measures.on_bars(centers, bar_positions(40_000, 84, 84, noise, rng), 84)
    assert share == pytest.approx(chance, abs=0.003)
    corner = np.full((1, 1, 2), -1.0)
    one = bar_positions(1, 84, 84, noise, rng)
    expected = {"vertical": 1 / 80, "horizontal": 1 / 80, "both": 1 - (79 / 80) ** 2}[noise]
    assert measures.on_bars(corner, one, 84)[1] == pytest.approx(expected)


@pytest.mark.parametrize("beyond", [-1.6, -1.2, -1.05, 1.05, 1.2, 1.6])
def test_no_bar_covers_what_is_beyond_the_border(beyond):
    rng = np.random.default_rng(0)
    centers = np.full((1, 1, 2), beyond)
    bars = bar_positions(1, 84, 84, "both", rng)
    assert measures.on_bars(centers, bars, 84) == (0, 0)


def test_distance_between_models():
    rng = np.random.default_rng(0)
    one = rng.uniform(-0.5, 0.5, (30, 4, 2))
    assert measures.matched_distance(one, one[:, [2, 0, 3, 1]]) == (0, 0)
    shifted = one + np.array([10 / 209 * 2, 0])
    far_apart = np.array([[-0.8, -0.8], [-0.8, 0.8], [0.8, -0.8], [0.8, 0.8]])
    still = np.broadcast_to(far_apart, (30, 4, 2))
    assert measures.matched_distance(still, still + shifted - one) == pytest.approx((10, 10))
    anew = np.stack([frame[rng.permutation(4)] for frame in one])
    by_frame, fixed = measures.matched_distance(one, anew)
    assert by_frame == 0 and fixed > 5
    y, x = measures.to_pixels(one)
    two = rng.uniform(-1, 1, (30, 4, 2))
    v, u = measures.to_pixels(two)
    best = [
        min(
            np.hypot(y[t] - v[t, list(p)], x[t] - u[t, list(p)]).mean()
            for p in itertools.permutations(range(4))
        )
        for t in range(30)
    ]
    assert measures.matched_distance(one, two)[0] == pytest.approx(np.mean(best))


# ---------------------------------------------------------------------------------------- baselines


def test_best_constants_cover_the_most_boxes_first():
    rows = [(t, "A", *BOX[0]) for t in range(5)] + [(5, "A", 120, 10, 8, 8)]
    (first, second), shares = baselines.best_constants(2, objects_of(rows), 4)
    first, second = (score(np.tile(p, (6, 1, 1)), objects_of(rows))["all"] for p in (first, second))
    assert (first["recall"][4], second["recall"][4]) == (5 / 6, 1 / 6)
    np.testing.assert_allclose(shares, [5 / 6, 1 / 6])


def test_best_constants_agree_with_a_naive_greedy_search():
    rng = np.random.default_rng(0)
    objects = objects_of([(t, "A", *rng.integers(0, 60, 2), 8, 10) for t in range(60)])
    grid = [(row, column) for row in range(2, 210, 4) for column in range(2, 160, 4)]
    points = centers_at(*grid)[None]
    on = measures.box_distances(points, np.zeros(60, int), objects.xywh)[0] <= 4  # [G, M]
    expected, left = [], np.ones(60, bool)
    for _ in range(5):
        expected.append(int(on[:, left].sum(1).argmax()))
        left &= ~on[expected[-1]]
    found, _ = baselines.best_constants(5, objects, 4)
    np.testing.assert_allclose(found, points[0, expected])


@pytest.mark.parametrize("number", [1, 2, 7, 10, 20, 25])
def test_the_grid_is_spread_evenly(number):
    points = baselines.grid_points(number)
    assert points.shape == (number, 2) and np.abs(points).max() < 1
    np.testing.assert_allclose(points.mean(0), 0, atol=0.1)
    y, x = measures.to_pixels(points)
    distance = np.hypot(y[:, None] - y, x[:, None] - x) + 1e9 * np.eye(number)
    assert number == 1 or distance.min() > 0.6 * (160 * 210 / number) ** 0.5


def test_peaks_are_found_strongest_first_and_keep_apart():
    maps = np.zeros((2, 30, 30), np.float32)
    for row, column, height in ((5, 6, 9.0), (5, 8, 8.0), (20, 3, 5.0), (29, 29, 3.0)):
        maps[0, row, column] = height
    maps[1, 12, 13] = 1
    points, heights = baselines.strongest_peaks(maps, 3, 4)
    points = (points + 1) / 2 * 29
    np.testing.assert_allclose(heights, [[17 / 9, 5 / 9, 3 / 9], [1 / 9, 0, 0]], rtol=1e-6)
    # The second is too near to the first; the blur's plateau begins one pixel up and left of each.
    assert np.abs(points[0] - [[5, 6], [20, 3], [29, 29]]).max() <= 1.01
    assert np.abs(points[1, 0] - [12, 13]).max() <= 1.01
    apart = np.abs(points[0][:, None] - points[0]).max(-1) + 9 * np.eye(3)
    assert apart.min() > 4


def test_where_no_peak_is_left_the_last_one_is_repeated():
    maps = np.zeros((2, 30, 30), np.float32)
    maps[0, 5, 6], maps[0, 20, 3] = 9, 5
    points, heights = baselines.strongest_peaks(maps, 5, 4)
    assert (heights > 0).sum(1).tolist() == [2, 0]
    assert np.array_equal(points[0, 2:], points[0, [1, 1, 1]])
    assert not np.array_equal(points[0, 0], points[0, 1])
    assert np.all(points[1] == 0)


def test_best_constants_repeat_the_last_point_where_all_boxes_are_reached():
    rows = [(0, "Player", 5, 14, 9, 10), (0, "Ghost", 75, 81, 9, 10)]
    points, shares = baselines.best_constants(4, objects_of(rows), 4)
    assert shares.tolist() == [0.5, 0.5, 0, 0]
    assert len(np.unique(points, axis=0)) == 2
    assert np.array_equal(points[1:], points[[1, 1, 1]])


def test_the_only_frame_of_an_episode_has_no_difference():
    frames = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 6, 6, 3), np.uint8)
    differences = baselines.frame_differences(frames, np.array([0, 1, 1, 2, 3]))
    assert differences[:, 0, 0].tolist() == [0, 3, 3, 0, 0]


def test_frame_differences_restart_with_the_episode():
    frames = np.zeros((4, 6, 6, 3), np.uint8)
    frames[1, 2, 3] = (10, 20, 30)
    frames[2] = 200  # another episode begins
    frames[3] = 199
    differences = baselines.frame_differences(frames, np.array([0, 0, 1, 1]))
    assert differences[0, 2, 3] == differences[1, 2, 3] == 60
    assert differences[:2].sum() == 120
    assert np.all(differences[2:] == 3)
    grey = baselines.frame_differences(frames[..., :1], np.array([0, 0, 1, 1]))
    assert grey[0, 2, 3] == 10 and np.all(grey[2:] == 1)


def squares(num_frames, size=84):
    """uint8 [N, S, S, 3]: a square that moves, its middle [N, 2], and another that stands."""
    frames = np.full((num_frames, size, size, 3), 30, np.uint8)
    frames[:, 60:65, 60:65] = 200
    places = 8 + np.stack([np.arange(num_frames) * 5 % 40, np.arange(num_frames) * 3 % 61], -1)
    for frame, (y, x) in zip(frames, places, strict=True):
        frame[y - 2 : y + 3, x - 2 : x + 3] = (180, 90, 200)
    return frames, places


def test_what_never_moves_is_background_and_what_moves_is_not():
    frames, places = squares(60)
    fitting, scored, at = frames[:40], frames[40:], places[40:]
    median = baselines.median_frame(fitting)
    expected = np.full((84, 84, 3), 30)
    expected[60:65, 60:65] = 200
    assert np.array_equal(median, expected) and median.dtype == np.uint8
    even = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 2), np.uint8)
    assert np.array_equal(baselines.median_frame(even), np.sort(even, 0)[2])
    differences = baselines.differences(scored, itertools.repeat(median))
    assert differences[0, at[0, 0], at[0, 1]] == 150 + 60 + 170
    masks = baselines.foreground([fitting, scored])
    assert [mask.shape for mask in masks] == [(40, 84, 84), (20, 84, 84)]
    for maps in (differences, masks[1]):
        points, heights = baselines.strongest_peaks(maps, 2, 4)
        assert np.abs((points[:, 0] + 1) / 2 * 83 - at).max() <= 1.01
        assert (heights[:, 1] < heights[:, 0] / 2).all()
    # What is to come changes nothing, and the second part goes on from the first.
    assert np.array_equal(baselines.foreground([frames])[0], np.concatenate(masks))
    grey = baselines.foreground([fitting[..., :1]])
    assert grey[0].shape == (40, 84, 84)


@pytest.mark.parametrize("detector", list(baselines.DETECTORS))
@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_where_something_is_and_keep_apart(detector, channels):
    frames, places = squares(12)
    frames = frames[:, :, :, :channels]
    frames[-1] = 30
    points, confidence = baselines.features(frames, 6, 4, detector)
    pixels = (points + 1) / 2 * 83
    assert (np.diff(confidence, axis=1) <= 0).all() and (confidence[:-1, 0] > 0).all()
    for t, (place, on) in enumerate(zip(pixels, confidence > 0, strict=True)):
        middles = np.array([places[t], [62, 62]])
        near = np.abs(place[on][:, None] - middles).max(-1).min(1)
        assert (near < 6).all()
        apart = np.abs(place[on][:, None] - place[on]).max(-1) + 9 * np.eye(on.sum())
        assert (apart >= 5).all()
        assert t == 11 or (place[~on] == place[on][-1]).all()
    assert (points[-1] == 0).all() and (confidence[-1] == 0).all()


def test_a_feature_is_found_where_it_is_in_the_frame_that_is_not_enlarged():
    y, x = np.mgrid[:84, :84]
    blob = 30 + 200 * np.exp(-((y - 40.25) ** 2 + (x - 51.5) ** 2) / 18)
    points, _ = baselines.features(blob.astype(np.uint8)[None, :, :, None], 1, 4, "SIFT")
    np.testing.assert_allclose((points[0, 0] + 1) / 2 * 83, [40.25, 51.5], atol=0.3)


# ------------------------------------------------------------------------------------------- seeds


def test_mean_and_range():
    assert seeds.mean([1.0, float("nan"), 3.0]) == 2
    assert np.isnan(seeds.mean([float("nan")]))
    assert seeds.value_range([2.0, float("nan"), 1.0]) == (1, 2)
    assert np.isnan(seeds.value_range([1.0, float("nan")])).all()


def test_summaries_of_scores_keep_their_shape():
    one = {"A": {"recall": {4: 0.2, 5: 0.4}, "boxes": 3}, "only here": {"x": 1.0}}
    two = {"A": {"recall": {4: 0.4, 5: 0.4}, "boxes": 3}}
    means, ranges = seeds.summarise([one, two])
    assert means == {"A": {"recall": {4: pytest.approx(0.3), 5: 0.4}, "boxes": 3}}
    assert ranges == {"A": {"recall": {4: (0.2, 0.4), 5: (0.4, 0.4)}, "boxes": (3, 3)}}


def test_stability_of_equal_and_of_unlike_models():
    rng = np.random.default_rng(0)
    one = rng.uniform(-1, 1, (200, 3, 2))
    same = seeds.stability([one, one[:, ::-1], one], np.random.default_rng(1))
    assert same["distance"] == same["distance_fixed"] == 0
    other = rng.uniform(-1, 1, (200, 3, 2))
    unlike = seeds.stability([one, other], np.random.default_rng(1))
    assert unlike["distance"] == pytest.approx(unlike["distance_shuffled"], rel=0.1)
    assert unlike["distance"] == pytest.approx(same["distance_shuffled"], rel=0.1)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["mspacman_quick_seed0", "mspacman_quick_seed1"], "mspacman_quick (2 seeds)"),
        (["run_seed10", "run_seed11", "run_seed2"], "run (3 seeds)"),
        (["noise-both_seed-0", "noise-both_seed-1"], "noise-both (2 seeds)"),
        (["seed-0_noise-both", "seed-10_noise-both"], "noise-both (2 seeds)"),
        (["a", "b"], "runs (2 seeds)"),
        (["sigma-0.12", "sigma-0.12_seed-1"], "sigma-0.12 (2 seeds)"),
        (["game_k7", "game_k7_seed1"], "game_k7 (2 seeds)"),
        (["runs/seed0/quick", "runs/seed1/quick"], "runs_quick (2 seeds)"),
    ],
)
def test_names_of_several_seeds(names, expected):
    assert seeds.common_name(names) == expected


# ------------------------------------------------------------------------------- games and mistakes


def test_sets_and_regions_of_a_game():
    rows = [(0, "Player", 5, 14, 9, 10), (0, "Ghost", 75, 81, 9, 10), (0, "Ghost", 5, 40, 9, 10),
            (0, "Pill", 100, 100, 4, 2), (0, "Fruit", 120, 50, 9, 10)]  # fmt: skip
    centers = centers_at([[86, 79], [101, 102]])
    config = QualityConfig(windows=(1,))
    scores = evaluate_keypoints(
        centers, objects_of(rows), np.zeros(1, int), "MsPacman", config=config
    )
    assert list(scores) == [
        *("characters", "items", "scenery", "all"),
        *("Player", "Ghost", "Ghost outside the pen", "Fruit", "Pill"),
    ]
    assert scores["characters"]["recall"][4] == 1 / 3
    assert scores["Ghost"]["recall"][4] == 1 / 2
    assert scores["Ghost outside the pen"]["recall"][4] == 0
    assert scores["Ghost outside the pen"]["boxes"] == 1
    assert scores["scenery"]["precision"][4] == 1 / 2
    assert scores["all"]["recall"][4] == 2 / 5


def test_links_across_the_edge_of_a_region_are_not_in_it():
    # The ghost leaves the pen at the top: its middle is at row 63 in frame 0, at 60 in frame 1.
    places = [(75, 58), (75, 55), (75, 52)]
    objects = objects_of([(t, "Ghost", *place, 9, 10) for t, place in enumerate(places)])
    centers = centers_at(*[[middle((*place, 9, 10))] for place in places])
    config = QualityConfig(windows=(1,))
    scores = evaluate_keypoints(centers, objects, np.zeros(3, int), "mspacman", config=config)
    assert scores["Ghost"]["consistency"] == 1
    region = scores["Ghost outside the pen"]
    assert (region["boxes"], region["consistency"]) == (2, 1)
    two = objects.of_frames(range(2))
    scores = evaluate_keypoints(centers[:2], two, np.zeros(2, int), "mspacman", config=config)
    assert np.isnan(scores["Ghost outside the pen"]["consistency"])


def test_boxes_that_cannot_be_trusted_do_not_count():
    rows = [(0, "Player", 80, 150, 16, 11), (0, "Car", 20, 60, 16, 11)]
    config = QualityConfig(windows=(1,))
    centers = centers_at([[65, 28]])
    scores = evaluate_keypoints(
        centers, objects_of(rows), np.zeros(1, int), "enduro", config=config
    )
    assert list(scores) == ["characters", "all", "Player"]
    assert scores["all"]["recall"][4] == scores["all"]["precision"][4] == 0


@pytest.mark.parametrize(
    ("centers", "words"),
    [
        (np.zeros((4, 2, 2)), ["5 frames", "[4, 2, 2]"]),
        (np.zeros((5, 2)), ["floating-point", "[5, 2]"]),
        (np.zeros((5, 2, 2), int), ["floating-point", "int64"]),
        (np.zeros((5, 0, 2)), ["5 frames", "[5, 0, 2]"]),
        (np.full((5, 2, 2), np.nan), ["finite"]),
        (np.full((5, 2, 2), 65.0), ["[-1, 1]", "up to 65"]),
    ],
)
def test_centres_that_do_not_fit_are_refused(centers, words):
    with refuses("centres", *words):
        evaluate_keypoints(centers, objects_of([(0, "A", *BOX[0])]), np.zeros(5, int))


def test_boxes_that_do_not_fit_are_refused():
    objects = objects_of([(0, "A", *BOX[0]), (9, "A", *BOX[0])])
    with refuses("boxes", "frame", "from 0 to 4"):
        evaluate_keypoints(np.zeros((5, 1, 2)), objects, np.zeros(5, int))
    with refuses("episodes", "float64 [5, 1]"):
        evaluate_keypoints(np.zeros((5, 1, 2)), objects, np.zeros((5, 1)))
    with refuses("bool [5]", "np.cumsum"):
        evaluate_keypoints(np.zeros((5, 1, 2)), objects, np.zeros(5, bool))
    with refuses("epsilon=20", settings=["epsilon", "max_epsilon"]):
        QualityConfig(epsilon=20)


def test_names_of_categories_that_fit_nothing_are_refused():
    centers, episodes = np.zeros((5, 1, 2)), np.zeros(5, int)
    with refuses("player", "mspacman", "Player, Ghost"):
        evaluate_keypoints(centers, objects_of([(0, "player", *BOX[0])]), episodes, "mspacman")
    with refuses("'all'"):
        evaluate_keypoints(centers, objects_of([(0, "all", *BOX[0])]), episodes)


def test_lists_serve_as_arrays():
    objects = objects_of([(0, "A", *BOX[0]), (3, "A", *BOX[0])])
    columns = {field.name: getattr(objects, field.name) for field in dataclasses.fields(Objects)}
    lists = Objects(**{n: None if c is None else list(c) for n, c in columns.items()})
    centers = np.random.default_rng(0).uniform(-1, 1, (5, 2, 2))
    one, two = (evaluate_keypoints(centers, o, [0] * 5) for o in (objects, lists))
    assert_equal_scores(one, two)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"game": 5}, ["game", "str", "int"]),
        ({"config": 5}, ["config", "QualityConfig", "int"]),
        ({"confidence": [[1.0], [1.0, 0.5]]}, ["confidence", "one array"]),
        ({"probing": (np.zeros((2, 2, 2)), None, None)}, ["probing", "Probing", "tuple"]),
    ],
)
def test_arguments_of_other_kinds_are_refused(arguments, words):
    centers, objects, episodes = np.zeros((2, 2, 2)), objects_of([(0, "A", *BOX[0])]), [0, 0]
    with refuses(*words):
        evaluate_keypoints(centers, objects, episodes, **arguments)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"centers": np.zeros((50, 1, 2))}, ["frame", "from 0 to 49"]),
        ({"centers": np.zeros((100, 3, 2))}, ["probe", "[F, 1, 2]", "[100, 3, 2]"]),
        ({"centers": np.full((100, 1, 2), np.nan)}, ["probe's centres", "finite"]),
        ({"centers": np.full((100, 1, 2), 80.0)}, ["probe's centres", "pixels"]),
        ({"held_out": np.ones(99, bool)}, ["held_out", "bool [100]"]),
        ({"held_out": [[True], [True, False]]}, ["held_out", "one array"]),
    ],
)
def test_a_probe_that_does_not_fit_is_refused(changes, words):
    _, objects = wanderer()
    half = objects.of_frames(range(100))
    centers = np.zeros((100, 1, 2))
    probing = Probing(centers, half, np.ones(100, bool))._replace(**changes)
    with refuses(*words):
        evaluate_keypoints(centers, half, np.zeros(100, int), probing=probing)


def test_scoring_needs_no_tensorflow():
    code = (
        "import sys, permakey_tf.quality.scoring, permakey_tf.quality.benchmark\n"
        "assert not {'tensorflow', 'keras', 'ale_py'} & set(sys.modules)"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
