"""Drawn figures as files, each written in one step."""

import logging
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from permakey_tf.system import files

# Reports every table of the font that a PDF leaves out.
logging.getLogger("fontTools").setLevel(logging.WARNING)


def write_figure(figure: Figure, paths: list[Path], dpi: int) -> None:
    """Writes a figure to files whose suffixes say the format, `.png` or `.pdf`.

    Equal figures give equal bytes.

    Raises:
      UserError: a folder cannot be made or a file cannot be written.
    """
    for path in paths:
        files.make_folder(path.parent)
        format = path.suffix[1:]
        metadata = {"CreationDate": None} if format == "pdf" else None
        # TrueType: conferences refuse Type 3.
        with matplotlib.rc_context({"pdf.fonttype": 42}), files.replaced(path) as file:
            figure.savefig(file, format=format, dpi=dpi, metadata=metadata)
