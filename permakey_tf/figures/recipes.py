"""The figures of the papers, each a function of runs and a choice of frames.

`RECIPES` has them by name. A builder returns what the figure shows as data
(`viz.figures.PanelGrid`, `viz.curves.Charts` or `viz.video.Video`) and raises UserError for runs
that do not belong together.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from permakey_tf.errors import UserError
from permakey_tf.figures import losses as loss_curves
from permakey_tf.figures.runs import (
    FrameChoice,
    ShownRun,
    require_alike,
    require_distinct,
    require_method,
)
from permakey_tf.runs import families
from permakey_tf.runs.families import game_name, show
from permakey_tf.system import files
from permakey_tf.types import Keypoints
from permakey_tf.viz import figures, overlay, page, video
from permakey_tf.viz.curves import Charts
from permakey_tf.viz.figures import Panel, PanelGrid, image_panels, keypoint_panels
from permakey_tf.viz.files import write_figure
from permakey_tf.viz.video import Video

_OUTSIDE = 0.2  # brightness that is left outside the windows
_SEED_RING = 0.055  # rings of several runs in one panel are smaller
_METHODS = ("transporter", "permakey")  # figure 2 compares these two, whatever else there is


class Recipe(NamedTuple):
    """How a figure is made.

    build: (runs, choice, columns) -> what it shows.
    columns: frames of one game where the user does not say; None where their number is fixed.
    """

    build: Callable[[list[ShownRun], FrameChoice, int], PanelGrid | Charts | Video]
    columns: int | None


def make(name: str, runs: list[ShownRun], choice: FrameChoice) -> PanelGrid | Charts | Video:
    """Makes a figure of `RECIPES`. Raises UserError where the runs or frames do not fit it."""
    recipe = RECIPES[name]
    if not runs:
        raise UserError(f"figure {name}: runs names no run folder", ["runs"])
    try:
        if recipe.columns is None and choice.columns is not None:
            raise UserError("columns is fixed here: leave it out", ["columns"])
        if choice.positions is not None:
            _refuse_seed_without_bars(runs, choice)
        return recipe.build(runs, choice, choice.columns or recipe.columns)
    except UserError as error:
        raise UserError(f"figure {name}: {error}", error.settings) from error


def save(picture: PanelGrid | Charts | Video, stem: Path, video_format: str) -> list[Path]:
    """Writes `stem`.png and .pdf, or an animation, each in one step. Returns the files."""
    files.make_folder(stem.parent)
    if isinstance(picture, Video):
        path = stem.with_suffix(f".{video_format}")
        with files.replaced_by_name(path) as partial:
            video.write(picture, partial, video_format)
        return [path]
    paths = [stem.with_suffix(f".{format}") for format in ("png", "pdf")]
    write_figure(figures.draw(picture), paths, page.DPI)
    return paths


# ------------------------------------------------------------------------------------- the figures


def compare_methods(runs, choice, columns, *, noisy: bool) -> PanelGrid:
    """Figure 2: frame, keypoints of both methods, error maps of each layer; a column a game.

    One game alone is a row.
    """
    for run in runs:
        if noisy and run.config.training.noise == "none":
            raise UserError(f"{run} was trained without noise: figure 2a shows such runs")
        if not noisy and run.config.training.noise != "none":
            raise UserError(
                f"{run} was trained with noise={run.config.training.noise}: figure 2b shows such "
                "runs"
            )
    games = _pair_methods(runs)
    if choice.positions is not None and len(choice.positions) != len(games):
        raise UserError(f"frames: one frame a game, {len(games)} in all", ["frames"])
    require_alike([pair["permakey"] for pair in games.values()], only=("lsp_layers",))
    shown = [
        _method_column(pair, choice._replace(positions=choice.positions and (choice.positions[i],)))
        for i, pair in enumerate(games.values())
    ]
    rows = {label: [panels[label] for panels, _ in shown] for label in shown[0][0]}
    names = [game_name(game) for game in games]
    title = "Keypoints on held-out frames" + noisy * " with moving bars"
    caption = "; ".join(caption for _, caption in shown)
    if len(names) == 1:
        places = [panel for (panel,) in rows.values()]
        return PanelGrid(title, {names[0]: places}, list(rows), caption=caption)
    return PanelGrid(title, rows, names, caption=caption)


def _pair_methods(runs) -> dict[str, dict[str, ShownRun]]:
    """{game: {method: run}} in the order of the runs."""
    games = {}
    for run in runs:
        pair = games.setdefault(run.game, {})
        if run.method in pair:
            raise UserError(
                f"{pair[run.method]} and {run} are both {run.method} runs of {run.game}"
            )
        pair[run.method] = run
    for game, pair in games.items():
        for method in _METHODS:
            if method not in pair:
                (other,) = pair.values()
                raise UserError(
                    f"no {method} run of {game} beside {other}: add one to runs "
                    f"(python -m run.keypoints --method={method} --game={game} ...)",
                    ["runs"],
                )
        shared = ("num_keypoints", "noise", "frames")
        require_alike([pair[method] for method in _METHODS], only=shared)
    return games


def _method_column(pair, choice) -> tuple[dict[str, Panel], str]:
    """Panels of one game by row, and the caption of its frame."""
    transporter, permakey = (pair[method] for method in _METHODS)
    positions = choice.pick(permakey.store, 1)
    frames = permakey.test_frames(positions, choice)
    column = {
        "frame": image_panels(frames),
        "Transporter keypoints": keypoint_panels(frames, transporter.detector.keypoints(frames)),
        "PermaKey keypoints": keypoint_panels(frames, permakey.detector.keypoints(frames)),
    }
    for layer, maps in _error_maps(permakey, frames).items():
        column[f"error map, layer {layer}"] = maps
    return {name: panels[0] for name, panels in column.items()}, _caption(permakey, positions)


def highlight(runs, choice, columns, *, with_keypoints: bool) -> PanelGrid:
    """Figures 4 and 10: what the keypoints' windows let an agent see."""
    run = _only(runs)
    positions = choice.pick(run.store, columns)
    frames = run.test_frames(positions, choice)
    windows = run.detector.windows(frames)  # [B, S, S, K]
    union = 1 - np.prod(1 - windows, axis=-1, keepdims=True)
    dimmed = np.round(frames * (_OUTSIDE + (1 - _OUTSIDE) * union)).astype(np.uint8)
    rows = {"frame": image_panels(frames)}
    if with_keypoints:
        rows["keypoints"] = keypoint_panels(frames, run.detector.keypoints(frames))
    rows["windows"] = [
        panel._replace(windows=inside)
        for panel, inside in zip(image_panels(dimmed), union[..., 0], strict=True)
    ]
    title = f"{game_name(run.game)}: regions highlighted by {run.method_title}"
    return PanelGrid(title, rows, caption=_caption(run, positions))


def seeds(runs, choice, columns, *, side_by_side: bool) -> PanelGrid:
    """Figures 5, 8 and 9: keypoints of several training seeds on the same frames.

    side_by_side: a frame and its overlay next to each other, else one above the other.
    """
    require_distinct(runs, "seed")
    require_alike(runs, but=("seed",))
    runs = sorted(runs, key=lambda run: run.config.training.seed)
    positions = choice.pick(runs[0].store, columns)
    frames = runs[0].test_frames(positions, choice)
    per_run = np.round(overlay.keypoint_colors(len(runs)) / 255, 6)
    of_runs = zip(*(run.detector.keypoints(frames) for run in runs), strict=True)
    keypoints = Keypoints(*(np.concatenate(parts, axis=1) for parts in of_runs))
    colors = np.repeat(per_run, runs[0].detector.num_keypoints, axis=0)
    plain, marked = image_panels(frames), keypoint_panels(frames, keypoints, colors)
    if side_by_side:
        rows = {"": [panel for pair in zip(plain, marked, strict=True) for panel in pair]}
    else:
        rows = {"frame": plain, "keypoints": marked}
    first = runs[0]
    title = f"{game_name(first.game)}: {first.method_title} keypoints of {len(runs)} training seeds"
    legend = {f"seed {run.config.training.seed}": c for run, c in zip(runs, per_run, strict=True)}
    caption = _caption(first, positions)
    return PanelGrid(title, rows, legend=legend, ring=_SEED_RING, caption=caption)


def numbers_of_keypoints(runs, choice, columns) -> PanelGrid:
    """Figure 6: the same frames with K growing from row to row."""
    require_distinct(runs, "num_keypoints")
    require_alike(runs, but=("num_keypoints",))
    runs = sorted(runs, key=lambda run: run.config.pointnet.num_keypoints)
    positions = choice.pick(runs[0].store, columns)
    frames = runs[0].test_frames(positions, choice)
    rows = {"frame": image_panels(frames)}
    for run in runs:
        label = f"K = {run.detector.num_keypoints}"
        rows[label] = keypoint_panels(frames, run.detector.keypoints(frames))
    title = f"{game_name(runs[0].game)}: {runs[0].method_title} by number of keypoints"
    return PanelGrid(title, rows, caption=_caption(runs[0], positions))


def ablation(runs, choice, columns, *, varied: tuple[str, ...], what: str) -> PanelGrid:
    """Figure 7 and the ablation of the convolutions: a row for each run, in the order given.

    Left the keypoints on some frames; right the error maps of the first of these.
    """
    require_method(runs, "permakey")
    require_distinct(runs, *varied)
    require_alike(runs, but=varied)
    positions = choice.pick(runs[0].store, columns)
    frames = runs[0].test_frames(positions, choice)
    layers = sorted({layer for run in runs for layer in run.detector.error_map_layers})
    rows = {"frame": [*image_panels(frames), *(f"error map, layer {layer}" for layer in layers)]}
    names = [n for n in varied if len({run.settings[n] for run in runs}) > 1]
    for run in runs:
        label = "; ".join(f"{_short(name)} {show(run.settings[name])}" for name in names)
        maps = _error_maps(run, frames[:1])
        rows[label] = [
            *keypoint_panels(frames, run.detector.keypoints(frames)),
            *(maps[layer][0] if layer in maps else None for layer in layers),
        ]
    title = f"{game_name(runs[0].game)}: PermaKey by {what} (error maps: of the first frame)"
    return PanelGrid(title, rows, caption=_caption(runs[0], positions))


def transporter_pairs(runs, choice, columns) -> PanelGrid:
    """Pairs of frames, keypoints and windows of both, the second made from the first, and how far
    it is off."""
    run = _only(runs)
    require_method(runs, "transporter")
    # TensorFlow takes seconds to load; what cannot be drawn is refused before.
    from permakey_tf.ops.images import to_images

    positions, pairs = run.test_pairs(columns, choice)
    first, second = pairs[:, 0], pairs[:, 1]
    _, reconstruction = run.model.reconstruct(to_images(pairs))
    rows = {}
    for name, frames in (("first", first), ("second", second)):
        windows = run.detector.windows(frames)
        rows[f"{name} frame"] = keypoint_panels(frames, run.detector.keypoints(frames))
        rows[f"{name} windows"] = image_panels(1 - np.prod(1 - windows, axis=-1))
    made = overlay.to_rgb(np.asarray(reconstruction))
    rows["second, reconstructed"] = image_panels(made)
    rows["difference to the second"] = image_panels(_difference(made, second))
    shown = ", ".join(f"{a} and {b}" for a, b in positions)
    title = f"{game_name(run.game)}: Transporter's reconstructions"
    return PanelGrid(title, rows, caption=f"{run.game}: test frames {shown}")


def _difference(one, other) -> np.ndarray:
    """uint8 [B, H, W, 3] each -> mean over the channels, float [B, H, W] in [0, 1]."""
    return np.abs(one.astype(float) - other).mean(axis=-1) / 255


def losses(runs, choice, columns) -> Charts:
    """Training and validation losses of every module, of any runs."""
    _refuse_positions(choice)
    _refuse_seed_without_bars([], choice)
    return loss_curves.build(runs)


def episode(runs, choice, columns) -> Video:
    """A whole episode of the test split, the runs side by side."""
    _refuse_positions(choice)
    _refuse_seed_without_bars(runs, choice)
    require_alike(runs, only=("game", "noise", "frames"))
    first = runs[0]
    rows = first.test_episode(choice.episode)
    frames = first.frames(rows, choice)
    names = _names_apart(runs)
    tracks = {name: run.detector.keypoints(frames) for name, run in zip(names, runs, strict=True)}
    caption = f"{first.game}: test episode {choice.episode}, {len(frames)} frames"
    return Video(frames, tracks, choice.fps, caption)


def _names_apart(runs) -> list[str]:
    """A name for each run: what it differs in, or where two have equal settings, its folder."""
    if len(runs) == 1:
        return [runs[0].title]
    choices = (
        families.labels([run.settings for run in runs]),
        [run.folder.path.name for run in runs],
        list(map(str, runs)),
    )
    return next(names for names in choices if len(set(names)) == len(runs))


def _only(runs) -> ShownRun:
    if len(runs) != 1:
        raise UserError(f"it shows one run, and runs names {len(runs)}", ["runs"])
    return runs[0]


def _refuse_positions(choice):
    if choice.positions is not None:
        raise UserError("frames does nothing here: leave it out", ["frames"])


def _refuse_seed_without_bars(runs, choice):
    """Where no frames are drawn at random, the seed is that of the bars on them."""
    if choice.seed is not None and all(run.config.training.noise == "none" for run in runs):
        raise UserError("frames_seed does nothing here: leave it out", ["frames_seed"])


def _error_maps(run, frames) -> dict[int, list[Panel]]:
    """{layer: panels}."""
    maps = np.moveaxis(run.detector.error_maps(frames), -1, 0)
    layers = run.detector.error_map_layers
    return {layer: image_panels(m) for layer, m in zip(layers, maps, strict=True)}


def _caption(run, positions) -> str:
    return f"{run.game}: test frames {','.join(map(str, positions))}"


def _short(name):
    return {"lsp_layers": "layers", "vae_kernel_sizes": "kernels", "vae_strides": "strides"}[name]


_SEEDS = functools.partial(seeds, side_by_side=False)
_LAYERS = functools.partial(ablation, varied=("lsp_layers",), what="encoder layers")
_KERNELS = functools.partial(
    ablation, varied=("vae_kernel_sizes", "vae_strides"), what="kernel sizes and strides"
)

RECIPES = {
    "2a": Recipe(functools.partial(compare_methods, noisy=False), None),
    "2b": Recipe(functools.partial(compare_methods, noisy=True), None),
    "4": Recipe(functools.partial(highlight, with_keypoints=False), 4),
    "5": Recipe(functools.partial(seeds, side_by_side=True), 2),
    "6": Recipe(numbers_of_keypoints, 5),
    "7": Recipe(_LAYERS, 3),
    "8": Recipe(_SEEDS, 5),
    "9": Recipe(_SEEDS, 5),
    "10": Recipe(functools.partial(highlight, with_keypoints=True), 5),
    "kernel": Recipe(_KERNELS, 3),
    "transporter": Recipe(transporter_pairs, 4),
    "curves": Recipe(losses, None),
    "video": Recipe(episode, None),
}
