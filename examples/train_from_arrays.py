"""Trains keypoints on frames in memory: here a square that moves over a gradient.

python -m examples.train_from_arrays
"""

import numpy as np

import permakey_tf as pk


def make_frames(num_episodes: int = 20, length: int = 100, size: int = 84):
    """uint8 [N, S, S, 3] and int [N]: replace them by frames of your own, and their episodes."""
    rng = np.random.default_rng(0)
    frames = np.empty([num_episodes * length, size, size, 3], np.uint8)
    frames[:] = np.linspace(20, 60, size).astype(np.uint8)[None, :, None, None]
    side = size // 8
    for row, frame in enumerate(frames):
        if row % length == 0:
            place, step = rng.uniform(0, size - side, 2), rng.uniform(-3, 3, 2)
        place = np.clip(place + step, 0, size - side)
        y, x = place.astype(int)
        frame[y : y + side, x : x + side] = 230
    return frames, np.repeat(np.arange(num_episodes), length)


def main(out="runs/square", frames_and_episodes=None, image_size=84, **settings):
    frames, episodes = frames_and_episodes or make_frames()
    # Whole episodes go to training, validation and test. Without a path= the store is temporary.
    store = pk.FrameStore.from_arrays(frames, episodes, image_size=image_size)
    # The settings of a preset, and what is to be different; all names: flags/presets/paper.cfg.
    config = pk.KeypointConfig.make("quick", **({"num_keypoints": 1, "max_steps": 400} | settings))
    # Interrupted with Ctrl-C, the same call goes on; finished, it only loads the run.
    detector = pk.train(store, config, out)
    centers = detector.detect(frames[:3])  # float32 [3, K, 2]: (y, x) from -1 to 1
    pixels = (centers + 1) / 2 * (np.array(frames.shape[1:3]) - 1)
    print("the first keypoint, (row, column) in pixels:", pixels[:, 0].round(1).tolist())
    return detector


if __name__ == "__main__":
    main()
