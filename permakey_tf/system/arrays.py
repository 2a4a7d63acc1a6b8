"""Arrays that users give."""

from typing import Any

import numpy as np

from permakey_tf.errors import UserError


def as_array(values: Any, name: str) -> np.ndarray:
    """`np.asarray`; UserError where the parts of a list differ in shape and make no array."""
    try:
        return np.asarray(values)
    except ValueError:
        raise UserError(
            f"{name} must be one array, and the parts of this list differ in shape: bring them to "
            "one size first"
        ) from None
