"""A look at an agent: one of its test games, as a video or as a strip of pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from permakey_tf.envs.games import make_task
from permakey_tf.errors import UserError
from permakey_tf.player import AgentPlayer
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.system import disk, files
from permakey_tf.training.games import begin, game_stream
from permakey_tf.types import Keypoints
from permakey_tf.viz import game_film, video
from permakey_tf.viz.game_film import GameFilm

FORMATS = (".mp4", ".png")


def check_place(path: Path) -> None:
    """Raises UserError where no film can be written to a path, before anything is played."""
    if path.suffix not in FORMATS:
        raise UserError(
            f"out={path}: name a file, .mp4 for a video or .png for a strip of pictures", ["out"]
        )
    if path.is_dir():
        raise UserError(f"out={path} is a folder: name a file", ["out"])
    disk.check_place(path.parent, path.name)


def play_film(run: str | Path, seed: int = 0, episode: int = 0) -> GameFilm:
    """Plays game `episode` of a test seed as the test does, but alone.

    Games of a test are played side by side, which rounds otherwise: where two actions are of nearly
    one value, the games may part.

    Raises:
      UserError: as `AgentPlayer.load`.
    """
    config = AgentFolder.open(run).config
    task = make_task(config.environment, config.encoder.needs_objects)
    player, sights, actions, scores = AgentPlayer.load(run), [], [], []
    player.reset(game_stream("test", seed, episode))
    with task.lend() as (made,):
        game = begin(made, task, "test", seed, episode)
        while not game.over:
            actions.append(player.act(game.frame, game.game))
            sights.append(player.last)
            scores.append(game.score)
            game.step(actions[-1])
    played = config.environment.env_id or config.environment.game
    return GameFilm(
        f"{played}, test seed {seed}, game {episode}",
        np.stack([sight.frame for sight in sights]),
        Keypoints(*(np.stack(parts) for parts in zip(*(s.keypoints for s in sights), strict=True))),
        np.stack([sight.q_values for sight in sights]),
        np.array(actions),
        np.array(scores),
        player.action_names,
        game.score,
    )


def write_film(film: GameFilm, path: Path, fps: float) -> None:
    """Writes a video (.mp4) or a strip of pictures (.png) in one step.

    Raises:
      UserError: the file cannot be written.
    """
    files.make_folder(path.parent)
    with files.replaced_by_name(path) as partial:
        if path.suffix == ".mp4":
            video.write_mp4(game_film.render(film), fps, partial)
        else:
            Image.fromarray(game_film.strip(film)).save(partial, "PNG")
