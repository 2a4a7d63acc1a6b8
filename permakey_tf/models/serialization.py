"""Keras layers that can be made anew from their config."""

import inspect
import typing
from typing import Any

import keras

from permakey_tf.configs.base import Config
from permakey_tf.configs.keypoints import Stack


class Serializable:
    """First base of every Keras layer and model here: gives it `get_config` and `from_config`.

    Keras writes down the arguments of a constructor by itself, but not where one is an object of
    settings, and for no model. Here a config is those arguments, defaults included, as JSON can
    hold them. Classes are registered with Keras, so that it finds them by name.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("permakey_tf")(cls)

    def __new__(cls, *args, **kwargs):
        layer = super().__new__(cls, *args, **kwargs)
        signature = inspect.signature(cls)
        arguments = signature.bind(*args, **kwargs)
        arguments.apply_defaults()
        given = arguments.arguments
        given |= given.pop("kwargs", {})
        # Past Keras, which would take a dictionary for one of layers, and is not ready yet.
        vars(layer)["_given"] = given
        return layer

    def get_config(self) -> dict[str, Any]:
        """{argument of the constructor: value}, of what JSON holds; with the layer's name where the
        constructor takes one."""
        config = {name: _plain(value) for name, value in self._given.items()}
        parameters = inspect.signature(type(self)).parameters
        return config | ({"name": self.name} if {"name", "kwargs"} & set(parameters) else {})

    def build(self, input_shape=None):
        """Nothing to do: parts make their variables when they are first called. Without this Keras
        would trace each layer symbolically first, and in it each part again."""

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None):
        """An untrained layer of the same arguments."""
        kinds = typing.get_type_hints(cls.__init__)
        return cls(**{name: _restored(value, kinds.get(name)) for name, value in config.items()})


def _plain(value):
    if isinstance(value, Config):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return keras.saving.serialize_keras_object(value)


def _restored(value, kind):
    if isinstance(kind, type) and issubclass(kind, Config):
        return kind.from_dict(value)
    if kind is Stack:
        return Stack(*(tuple(sizes) for sizes in value))
    return keras.saving.deserialize_keras_object(value)
