"""Drawn figures as files, each written in one step."""

from pathlib import Path

from matplotlib.figure import Figure

from permakey_tf.system import files
from permakey_tf.viz import page


def write_figure(figure: Figure, paths: list[Path], dpi: int) -> None:
    """Writes a figure to files whose suffixes say the format, `.png` or `.pdf`.

    Raises:
      UserError: a folder cannot be made or a file cannot be written.
    """
    for path in paths:
        files.make_folder(path.parent)
        with files.replaced(path) as file:
            page.write(figure, file, path.suffix[1:], dpi)
