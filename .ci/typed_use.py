"""What users write, for the type checker alone: every line works, and has to be accepted as it is.

mypy reads this file with the library; nothing runs it.
"""

import gymnasium
import numpy as np

import permakey_tf as pk


def train(frames: np.ndarray, episodes: list[int]) -> pk.KeypointDetector:
    store = pk.FrameStore.from_arrays(frames, episodes, path="data/mine", split=(8, 1, 1))
    config = pk.KeypointConfig.make("quick", num_keypoints=5, learning_rate=1e-3)
    return pk.train(store, config, "runs/mine", logging=pk.LoggingConfig(summary_every=10))


def detect(detector: pk.KeypointDetector, frames: np.ndarray) -> np.ndarray:
    centers_yx, confidence = detector.keypoints(frames)
    surest = centers_yx[np.arange(len(frames)), confidence.argmax(1)]
    tracker, stream = detector.tracker(), detector.stream()
    places = [tracker.update(frame).centers_yx for frame in frames]
    places += [stream.update(frame).centers_yx for frame in frames]
    return np.concatenate([surest, detector.track(frames).centers_yx[:, 0], np.stack(places)[:, 0]])


def score(path: str) -> float:
    footage = pk.open_footage(path)
    rows = footage.scored_rows
    centers = np.zeros([len(rows), 5, 2])
    scores = pk.evaluate_keypoints(centers, footage.boxes(rows), footage.episodes[rows.start :])
    return scores["characters"]["recall"][4] - scores["all"]["consistency"]


def score_by_hand() -> float:
    boxes = pk.Objects(frame=[0, 1], category=[0, 0], xywh=[[8, 8, 4, 4]] * 2, categories=["Ball"])
    scores = pk.evaluate_keypoints([[[0.0, 0.0]], [[0.5, 0.5]]], boxes, [0, 0])
    return scores["all"]["recall"][4]


def observe(detector: pk.KeypointDetector) -> tuple[gymnasium.Env, gymnasium.vector.VectorEnv]:
    env = gymnasium.make("ALE/MsPacman-v5", frameskip=1)
    one = pk.KeypointObservation(env, detector, form="flat", frame_skip=4, track=True)
    several = pk.VectorKeypointObservation(gymnasium.make_vec("ALE/MsPacman-v5"), detector)
    pk.KeypointObservation(gymnasium.make_vec("ALE/MsPacman-v5"), detector)
    return one, several


def step(detector: pk.KeypointDetector, env: gymnasium.Env) -> float:
    one = pk.KeypointObservation(env, detector)
    observation, info = one.reset(seed=0)
    observation, reward, terminated, truncated, info = one.step(0)
    return reward + info["lives"] if terminated or truncated else float(observation[0, 0])


def same(detector: pk.KeypointDetector) -> pk.KeypointDetector:
    config = pk.KeypointConfig.from_dict(detector.config.to_dict())
    assert config.pointnet.num_keypoints == detector.model.config.pointnet.num_keypoints
    return pk.KeypointDetector(detector.model)


def play(run: str, env: gymnasium.Env) -> dict[str, float]:
    player = pk.AgentPlayer.load(run)
    frame, _ = env.reset(seed=0)
    player.reset()
    action = player.act(frame)
    sight = player.last
    assert sight is not None  # before the first action there is none
    return {player.action_names[action]: float(sight.q_values[action])}
