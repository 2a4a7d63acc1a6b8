"""What is refused of a command line and its flag files before absl reads them."""

import pytest
from absl import flags as absl_flags
from support import refuses

from flags import common
from flags import keypoints as keypoint_flags
from flags import report as report_flags
from flags import rl as rl_flags
from flags import sweep as sweep_flags


def parse(module, *words):
    values = absl_flags.FlagValues()
    module.define(values)
    common.parse(values, ["run.program", *words])
    return values


@pytest.fixture
def file(tmp_path):
    """Writes a flag file, and gives the flag that names it."""

    def write(*lines, name="mine.cfg"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return f"--flagfile={path}"

    return write


@pytest.mark.parametrize("words", [["--runs=a", "--runs=b,c"], ["--runs", "a", "-runs", "b,c"]])
def test_a_list_that_is_typed_twice_is_refused(words):
    """The last would count alone."""
    with refuses("--runs is given twice", "--runs=a,b,c"):
        parse(report_flags, "--table=1", *words)


def test_a_list_of_a_flag_file_may_be_typed_anew_and_a_grid_has_several_axes(file):
    parse(report_flags)
    values = parse(
        report_flags, file("--runs=a,b", "--curves"), "--runs=c", "--table=1", "--table=2"
    )
    assert (values.runs, values.curves, values.table) == (["c"], True, 2)
    values = parse(sweep_flags, "--grid=seed=0 1", "--grid=noise=none both")
    assert values.grid == ["seed=0 1", "noise=none both"]


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["--out", "--runs", "--runs=b"], "--out has no value, --runs follows it"),
        (["--out", "--table=1"], "--out has no value, --table=1 follows it"),
        (["--out", "-table=1"], "--out has no value, -table=1 follows it"),
        (["--runs", "--curves"], "--runs has no value, --curves follows it"),
        (["--table", "--nocurves"], "--table has no value, --nocurves follows it"),
        (["--flagfile", "--table=1"], "--flagfile has no value, --table=1 follows it"),
    ],
)
def test_a_flag_does_not_take_the_next_one_for_its_value(words, culprit):
    """A folder of the name --table=1 would be made."""
    with refuses(culprit, f"{words[0]}=VALUE"):
        parse(report_flags, *words)


def test_a_value_may_follow_its_flag_or_begin_with_dashes():
    values = parse(report_flags, "--curves", "--runs", "a", "--out=--runs", "--table", "1")
    assert (values.curves, values.runs, values.out, values.table) == (True, ["a"], "--runs", 1)


class TestFlagsBeforeAFlagFile:
    """What stands last counts: the file's value, were it not refused."""

    @pytest.mark.parametrize(
        ("word", "line", "told", "values"),
        [
            ("--game=pong", "--game=mspacman", "--game=pong", ("pong", True)),
            ("--clip_rewards=False", "--clip_rewards", "=false", ("mspacman", False)),
            ("--noclip_rewards", "--clip_rewards=true", "=false", ("mspacman", False)),
        ],
    )
    def test_another_value_is_refused(self, file, word, line, told, values):
        with refuses(told, "mine.cfg", "behind the file"):
            parse(rl_flags, word, file("# a preset", "", line))
        behind = parse(rl_flags, file(line), word)
        assert (behind.game, behind.clip_rewards) == values

    @pytest.mark.parametrize(
        ("word", "line"),
        [
            ("--clip_rewards=1", "--clip_rewards"),
            ("--noclip_rewards", "--clip_rewards=f"),
            ("--game=MsPacman", "--game=ms_pacman"),
            ("--learning_rate=1e-3", "--learning_rate=0.001"),
            ("--logdir=runs/a/", "--logdir=runs/a"),
        ],
    )
    def test_one_value_in_two_spellings_is_one(self, file, word, line):
        parse(rl_flags, word, file(line))

    def test_what_is_given_again_behind_the_file_counts(self, file):
        words = "--game=pong", file("--game=mspacman"), "--game=pong"
        assert parse(keypoint_flags, *words).game == "pong"

    def test_of_a_file_that_another_names_too(self, file):
        outer = file(file("--game=mspacman", name="inner.cfg"), "--max_steps=3")
        with refuses("--game=pong stands before", "mine.cfg", "--game=mspacman"):
            parse(keypoint_flags, "--game=pong", outer)

    def test_equal_values_and_other_flags_may_stand_there(self, file):
        given = file("--game=mspacman", "--max_steps=3")
        values = parse(keypoint_flags, "--seed=5", "--game", "mspacman", given)
        assert (values.seed, values.game, values.max_steps) == (5, "mspacman", 3)

    def test_of_two_files_the_last_counts(self, file):
        first, second = file("--max_steps=3", name="a.cfg"), file("--max_steps=4", name="b.cfg")
        assert parse(keypoint_flags, first, second).max_steps == 4

    def test_a_grid_is_refused_by_its_axes(self, file):
        given = file("--grid=seed=0 1 2")
        with refuses("--grid=seed=7", "--grid=seed=0 1 2"):
            parse(sweep_flags, "--grid=seed=7", given)
        assert parse(sweep_flags, "--grid=noise=none", given).grid == ["noise=none", "seed=0 1 2"]


class TestFlagFiles:
    def test_one_that_leads_back_to_itself_is_refused(self, file, tmp_path):
        """absl would leave it out, and train with the settings of no file."""
        inner = file(f"--flagfile={tmp_path / 'outer.cfg'}", name="inner.cfg")
        with refuses("inner.cfg leads back to", "outer.cfg"):
            parse(keypoint_flags, file("--max_steps=3", inner, name="outer.cfg"))

    def test_one_without_a_name_is_refused(self):
        with refuses("--flagfile names no file"):
            parse(keypoint_flags, "--flagfile=")

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ('--logdir="my dir/q"', "write --logdir=my dir/q"),
            ("--logdir='q'", "write --logdir=q"),
            ("--game = mspacman", "write --game=mspacman"),
            ("\ufeff--max_steps=1", "byte order mark"),
            ("--logdir= runs/q", "write --logdir=runs/q"),
            ("--logdir=runs/q # mine", "--logdir's value, give it a line of its own"),
            ("--data_dir='a','b'", "needs no quotes"),
            ('--data_dir="a,b"', "write --data_dir=a,b"),
            ("--flagfile", "write --flagfile=NAME"),
            ("--flagfile quick.cfg", "write --flagfile=NAME"),
        ],
    )
    def test_a_line_that_a_shell_or_an_editor_would_have_made_another(self, file, line, told):
        with refuses("mine.cfg", told):
            parse(keypoint_flags, file(line))

    def test_what_is_no_text_or_cannot_be_opened(self, file, tmp_path):
        path = tmp_path / "mine.cfg"
        path.write_bytes("--game=pong".encode("utf-16"))
        with refuses(path, "UTF-8"):
            parse(keypoint_flags, f"--flagfile={path}")
        for name in (tmp_path, tmp_path / ("x" * 300), "nix.cfg"):
            with refuses("flag file", name):
                parse(keypoint_flags, f"--flagfile={name}")

    def test_quotes_that_are_taken_off_where_the_value_is_read(self, file):
        assert parse(report_flags, file('--runs="a","b c"')).runs == ["a", "b c"]


def test_a_value_for_a_flag_that_is_negated_is_refused_in_a_line():
    with refuses("nocurves"):
        parse(report_flags, "--nocurves=1")
