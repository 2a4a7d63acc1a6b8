"""The published numbers, typed a second time from the papers' tables."""

import re

import pytest

from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS
from permakey_tf.scores import published

TABLE_1 = """
game       | Rainbow        | PPO             | SimPLe          | Transporter orig. | Transporter re-imp. | Transporter+GNN | PKey+CNN         | PKey+GNN
Battlezone | 3363.5 (523.8) | 5300.0 (3655.1) | 5184.4 (1347.5) | N/A               | N/A                 | N/A             | 10266.7 (3272.1) | 12566.7 (3297.9)
MsPacman   | 364.3 (20.4)   | 496.0 (379.8)   | 762.8 (331.5)   | 999.4* (145.4)    | 983.0 (806.3)       | 838.3 (537.3)   | 1038.5 (417.1)   | 906.3 (382.2)
Seaquest   | 206.3 (17.1)   | 370.0 (103.3)   | 370.9 (128.2)   | 236.7 (22.2)      | 455.3 (160.6)       | 296.0 (82.5)    | 520.0 (159.9)    | 375.3 (75.4)
Frostbite  | 140.1 (2.7)    | 174.0 (40.7)    | 254.7 (4.9)     | 388.3 (142.1)     | 263.7 (14.9)        | 465.0 (442.1)   | 310.0* (150.1)   | 657.3 (556.8)
"""  # noqa: E501
TABLE_2 = """
game     | Transporter re-imp. | PKey+CNN
Seaquest | 357.3 (99.1)        | 562.0 (114.78)
MsPacman | 470.0 (212*)        | 574.7 (290.07)
"""
TABLE_3 = """
K  | Transporter re-imp. | PKey+CNN
5  | 923.0 (433.95)      | 1004.3 (319.15)
7  | 983.0 (806.3)       | 1038.5 (417.1)
10 | 907.0 (317.41)      | 1003.3 (313.57)
"""
OTHERS = """
game       | random | human   | SPR   | DreamerV3 | BBF
MsPacman   | 307.3  | 6951.6  | 1318  | 1327      | 2008
Seaquest   | 68.4   | 42054.7 | 558   | 618       | 1233
Frostbite  | 65.2   | 4334.7  | 1171  | 909       | 2385
Battlezone | 2360   | 37187.5 | 14834 | 12250     | 24460
"""


def rows(text):
    """{(first cell of the row, head of the column): (value, std, garbled)}."""
    (_, *heads), *lines = (
        [c.strip() for c in line.split("|")] for line in text.split("\n") if line
    )
    return {
        (name, head): parsed(cell)
        for name, *cells in lines
        for head, cell in zip(heads, cells, strict=True)
    }


def parsed(cell):
    if cell == "N/A":
        return None, None, ()
    value, value_mark, std, std_mark = re.fullmatch(
        r"([\d.]+)(\*?)(?: \(([\d.]+)(\*?)\))?", cell
    ).groups()
    marks = (("value", value_mark), ("std", std_mark))
    garbled = tuple(name for name, mark in marks if mark)
    return float(value), None if std is None else float(std), garbled


@pytest.mark.parametrize(
    ("table", "text", "row_of"),
    [
        (1, TABLE_1, lambda score: score.game),
        (2, TABLE_2, lambda score: score.game),
        (3, TABLE_3, lambda score: str(score.num_keypoints)),
        (None, OTHERS, lambda score: score.game),
    ],
)
def test_every_number_is_the_papers(table, text, row_of):
    scores = published.scores(table)
    stored = {(row_of(s), s.method): (s.value, s.std, s.garbled) for s in scores}
    assert len(stored) == len(scores)
    assert stored == rows(text)


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
    assert published.find(1, "ms_pacman", "PKey+CNN").value == 1038.5
    assert published.find(3, "mspacman", "PKey+CNN", 10).value == 1003.3
    assert published.find(2, "Frostbite", "PKey+CNN") is None
    games = {score.game.lower() for score in published.scores(1)}
    assert games <= set(PAPER_NUM_KEYPOINTS)


def test_human_normalised_scores():
    assert published.human_normalised("MsPacman", 307.3) == 0
    assert published.human_normalised("mspacman", 6951.6) == 1
    assert published.human_normalised("Seaquest", 68.4 + 419.863) == pytest.approx(0.01)
    assert published.human_normalised("Enduro", 10.0) is None
    assert published.human_normalised("Seaquest", None) is None
