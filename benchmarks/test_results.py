"""The raw values behind docs/results.md."""

import json

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


def test_rows_have_the_name_of_their_method(tmp_path):
    def row(name, kind, variant="", method=None, noise="none"):
        settings = {"method": method, "training": {"seed": 3}} if method else None
        about = {"noise": noise} | ({"settings": settings} if settings else {})
        scores = {"characters": {"recall": {"4": 0.5}}, "Diver": {"recall": {"4": 0.25}}}
        return {"name": name, "kind": kind, "variant": variant, "about": about, "scores": scores}

    rows = [
        row("seed-3_a", "run", method="permakey"),
        row("seed-3_a", "control", "peaks"),
        row("seed-3_a", "control", "shuffled"),
        row("seed-3_b", "run", "tracked", method="transporter", noise="both"),
        row("ORB", "baseline"),
    ]
    content = {"sets": ["characters"], "data": {"game": "seaquest"}, "rows": rows}
    (tmp_path / "quality.json").write_text(json.dumps(content))
    found = results.collect([str(tmp_path)])
    assert [(one["row"], str(one["seed"])) for one in found if one["measure"] == "recall"] == [
        ("PermaKey", "3"),
        ("PermaKey, peaks", "3"),
        ("PermaKey, shuffled", "3"),
        ("Transporter, tracked", "3"),
        ("ORB", ""),
    ]
    assert {one["row"] for one in found if one["noise"] == "both"} == {"Transporter, tracked"}
    assert {one["value"] for one in found if one["measure"] == "recall_Diver"} == {"0.2500"}


def test_kinds_of_conditions_have_means_of_their_own():
    values = raw("seaquest", "ORB", 0.25) + raw("enduro", "ORB", 0.5)
    values += [one | {"noise": "both", "value": "1.0"} for one in raw("seaquest", "ORB", 0)]
    means = {
        name: results.mean_over_conditions(part, "recall", ["ORB"])["ORB"]
        for name, part in results.conditions_of(values).items()
    }
    bars, moving = 1.0, 0.5
    everything = (0.25 + bars + moving) / 3
    assert list(means.values()) == [0.25, bars, moving, everything]
