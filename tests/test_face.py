"""The public names of the package: what they are, and what they load."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import permakey_tf

ROOT = Path(__file__).parents[1]
NAMES = sorted(set(permakey_tf.__all__) - {"KeypointObservation"})


def test_the_names_are_listed_before_they_are_loaded():
    assert set(permakey_tf.__all__) <= set(dir(permakey_tf))
    assert "nonsense" not in dir(permakey_tf)
    with pytest.raises(AttributeError, match="nonsense"):
        permakey_tf.nonsense  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there_and_says_what_it_is(name):
    value = getattr(permakey_tf, name)
    assert name == "__version__" or value.__doc__


def test_type_checkers_see_the_same_names():
    """What they read, the block of TYPE_CHECKING, is never run."""
    source = (ROOT / "permakey_tf/__init__.py").read_text()
    found = re.findall(r"^    from (\S+) import (\w+) as (\w+)$", source, re.MULTILINE)
    assert {name: module for module, name, _ in found} == permakey_tf._HOMES
    assert all(name == alias for _, name, alias in found)
    assert (ROOT / "permakey_tf/py.typed").exists()


def test_a_users_mistake_is_a_value_error():
    with pytest.raises(ValueError, match="num_keypoints=0"):
        permakey_tf.KeypointConfig.make(num_keypoints=0)


# In one process, since each would load the libraries anew. Whatever is not installed by the
# standard library, or allowed, cannot be imported: as where it is not there.
WHAT_IS_LOADED = """
import sys

class Only:
    allowed = {"permakey_tf"}

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in self.allowed | sys.stdlib_module_names and not top.startswith("_"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Only())

import permakey_tf as pk
assert pk.__version__

config = pk.KeypointConfig.make("quick", num_keypoints=5)
assert config.pointnet.num_keypoints == 5

Only.allowed |= {"numpy", "scipy"}
import numpy as np
boxes = np.array([[10, 20, 30, 40]] * 2, np.int16)
objects = pk.Objects(np.arange(2, dtype=np.int32), np.zeros(2, np.uint8), boxes, ("Player",))
centers = np.zeros([2, 1, 2])
centers[0] = 2 * 40 / 209 - 1, 2 * 25 / 159 - 1
scores = pk.evaluate_keypoints(centers, objects, np.zeros(2, int), game="mspacman")
assert scores["all"]["recall"][4] == 0.5, scores["all"]
"""


def test_settings_need_nothing_and_scores_need_numpy_and_scipy():
    done = subprocess.run(
        [sys.executable, "-c", WHAT_IS_LOADED], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
