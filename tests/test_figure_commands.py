"""docs/figures.md: the commands of every section train what its figures are drawn from."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support import parsed

from flags import figures as figure_flags
from flags import keypoints as keypoint_flags
from flags import sweep

ROOT = Path(__file__).parents[1]
# In the place of Python: says what it was called with.
STAND_IN = "python() { printf '%q ' \"$@\"; echo; }\n"


def sections():
    """({scale: bash}, {title: bash}) of the part on commands."""
    text = (ROOT / "docs" / "figures.md").read_text().partition("## From nothing")[2]
    first, *others = re.split(r"^### ", text, flags=re.MULTILINE)
    scales = {re.search("scale=(.*)", block)[1]: block for block in blocks(first)}
    return scales, {part.partition("\n")[0]: "\n".join(blocks(part)) for part in others}


def blocks(text):
    return re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)


def calls(script):
    """[(module, its arguments)] of a bash script."""
    done = subprocess.run(
        ["bash", "-e", "-c", STAND_IN + script], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    for line in done.stdout.splitlines():
        _, module, *arguments = shlex.split(line)
        yield module, arguments


SCALES, SECTIONS = sections()


@pytest.mark.parametrize("title", SECTIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_a_section_trains_what_it_draws(scale, title, monkeypatch):
    monkeypatch.chdir(ROOT)
    trained = {}  # run folder -> what run.keypoints was asked for
    drawn = 0
    for module, arguments in calls(f"{SCALES[scale]}\n{SECTIONS[title]}"):
        if module == "run.keypoints":
            wanted = parsed(keypoint_flags, *arguments)
            trained[wanted.logdir] = wanted
        elif module == "run.sweep":
            runs = [run.wanted for run in parsed(sweep, *arguments).runs]
            trained |= {wanted.logdir: wanted for wanted in runs}
        else:
            assert module == "run.figures"
            figure = parsed(figure_flags, *arguments)
            stores = {trained[run].data_dir for run in figure.runs}
            assert set(figure.data) == (set() if figure.figure == "curves" else stores)
            drawn += 1
    assert drawn
    for run, wanted in trained.items():
        assert (wanted.keypoints.method == "transporter") == ("transporter" in run)
    settings = {wanted.keypoints.training.max_steps for wanted in trained.values()}
    assert (settings == {None}) == (scale == "paper")


def test_every_figure_has_its_commands_at_both_scales():
    assert list(SCALES) == ["quick", "paper"]
    drawn = [
        parsed(figure_flags, *arguments).figure
        for script in SECTIONS.values()
        for module, arguments in calls(f"{SCALES['quick']}\n{script}")
        if module == "run.figures"
    ]
    assert set(drawn) == set(figure_flags.FIGURES)
