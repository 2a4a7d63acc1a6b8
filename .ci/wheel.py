"""What an installed wheel must have; called outside the checkout, beside the examples."""

import sys
from pathlib import Path

import numpy as np

import permakey_tf as pk
from permakey_tf.configs import preset_files
from permakey_tf.configs.agent import AgentConfig
from permakey_tf.scores import published

home = Path(pk.__file__).parent
assert Path(sys.argv[1]) in home.parents, f"{home} is not the wheel's"
assert (home / "py.typed").is_file()
assert pk.KeypointConfig.make("paper") == pk.KeypointConfig() != pk.KeypointConfig.make("quick")
for name in preset_files.names():
    pk.KeypointConfig.make(name, "seaquest")
for name in preset_files.names("rl_"):
    AgentConfig.make(name)
assert published.human_normalised("mspacman", published.find("mspacman", "human").value) == 1

objects = pk.Objects(np.zeros(1, np.int32), np.zeros(1, np.uint8), np.array([[0, 0, 9, 9]]), ("A",))
scores = pk.evaluate_keypoints(np.full([1, 1, 2], -1.0), objects, np.zeros(1, int))
assert scores["all"]["recall"][4] == 1

import cv2  # noqa: E402

from examples import (  # noqa: E402 (need TensorFlow: last)
    score_your_keypoints,
    train_from_arrays,
    your_own_images,
)

frames = train_from_arrays.make_frames(num_episodes=3, length=8, size=20)
assert score_your_keypoints.my_keypoints(frames[0]).shape == (24, 4, 2)
tiny = {"vae_filters": (4, 8, 8, 8), "lsp_hidden_sizes": (8, 8), "batch_size": 4, "max_steps": 2}
train_from_arrays.main("run", frames, image_size=20, **tiny)
for number, (frame, episode) in enumerate(zip(*frames, strict=True)):
    Path(f"images/{episode}").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f"images/{episode}/{number:03}.png", frame)
your_own_images.main("images", 1, "run_of_images", image_size=20, **tiny)
