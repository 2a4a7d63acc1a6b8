"""The published numbers: marks, spellings of games, human-normalised scores."""

import pytest

from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS
from permakey_tf.scores import published


def test_what_is_odd_is_explained():
    everything = [score for table in (1, 2, 3, None) for score in published.scores(table)]
    assert {score.source for score in everything} == set(published.sources())
    for score in everything:
        assert bool(score.note) == (score.value is None or bool(score.garbled)), score
    garbled = [(score.game, str(score)) for score in everything if score.garbled]
    assert garbled == [
        ("MsPacman", "999.4* (145.4)"),
        ("Frostbite", "310.0* (150.1)"),
        ("MsPacman", "470.0 (212*)"),
    ]
    (note,) = {score.note for score in everything if score.value is None}
    assert "no better than a random policy" in note


def test_scores_are_found_in_any_spelling():
    assert published.find("ms_pacman", "human").value == 6951.6
    assert published.find("Enduro", "human") is None
    games = {score.game.lower() for score in published.scores(1)}
    assert games <= set(PAPER_NUM_KEYPOINTS)


def test_human_normalised_scores():
    assert published.human_normalised("MsPacman", 307.3) == 0
    assert published.human_normalised("mspacman", 6951.6) == 1
    assert published.human_normalised("Seaquest", 68.4 + 419.863) == pytest.approx(0.01)
    assert published.human_normalised("Enduro", 10.0) is None
    assert published.human_normalised("Seaquest", None) is None
