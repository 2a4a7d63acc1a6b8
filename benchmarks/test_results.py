"""The raw values behind docs/results.md."""

from benchmarks import results


def raw(game, row, *values):
    return [
        dict(zip(results.FIELDS, (game, "none", row, str(seed), "recall", str(value)), strict=True))
        for seed, value in enumerate(values)
    ]


def test_a_row_is_replaced_with_all_its_seeds_and_the_others_stay():
    old = raw("seaquest", "PermaKey", 0.5, 0.6, 0.7) + raw("seaquest", "ORB", 0.2)
    new = raw("seaquest", "PermaKey", 0.8, 0.9) + raw("frostbite", "PermaKey", 0.4)
    expected = (
        raw("seaquest", "PermaKey", 0.8, 0.9)
        + raw("seaquest", "ORB", 0.2)
        + raw("frostbite", "PermaKey", 0.4)
    )
    assert results.replace(old, new) == expected
    assert results.replace(expected, []) == expected


def test_a_cell_has_the_mean_of_the_seeds_and_their_range():
    shown = results.table(raw("seaquest", "PermaKey", 0.5, 0.7), "none", ["recall"], ["PermaKey"])
    assert shown.splitlines()[-1] == "| PermaKey | 0.60 (0.50-0.70) |"
