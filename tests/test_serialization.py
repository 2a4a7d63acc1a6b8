"""Every Keras layer of the models is made anew from its config."""

import importlib
import inspect
import json
import pkgutil

import keras
import numpy as np
import pytest
from support import tiny_config

import permakey_tf.models
from permakey_tf.configs.agent import EncoderConfig
from permakey_tf.models.conv import BatchNorm, ConvBlock, ConvStack
from permakey_tf.models.encoders import CNNEncoder
from permakey_tf.models.lspn import LSPN, LSPNs, NeighbourhoodDense
from permakey_tf.models.permakey import PermaKey
from permakey_tf.models.pointnet import PointNet
from permakey_tf.models.pursuit import Pursuit
from permakey_tf.models.transporter import Transporter
from permakey_tf.models.vae import VAE

CONFIG = tiny_config()
STACK = CONFIG.vae.stack

LAYERS = {
    "BatchNorm": lambda: BatchNorm(0.9, epsilon=1e-2, dtype="mixed_bfloat16", name="mine"),
    "ConvBlock": lambda: ConvBlock(4, 3, strides=2, name="mine"),
    "ConvStack": lambda: ConvStack(STACK, momentum=0.9),
    "NeighbourhoodDense": lambda: NeighbourhoodDense(5, patch_size=2),
    "LSPN": lambda: LSPN(CONFIG.lspn, 3, name="layer_0"),
    "LSPNs": lambda: LSPNs(CONFIG.lspn, [4, 8, 8, 8], 0.9, "mixed_bfloat16"),
    "VAE": lambda: VAE(CONFIG.vae, 20, 1),
    "PointNet": lambda: PointNet(CONFIG.pointnet, STACK),
    "Pursuit": lambda: Pursuit(CONFIG.pointnet, CONFIG.pursuit, 20, 2),
    "PermaKey": lambda: PermaKey(CONFIG, 20, channels=1),
    "Transporter": lambda: Transporter(tiny_config(method="transporter"), 20, 3),
    "CNNEncoder": lambda: CNNEncoder(EncoderConfig(cnn_units=7), dtype="float32"),
}


def test_no_layer_is_left_out():
    found = set()
    for module in pkgutil.iter_modules(permakey_tf.models.__path__):
        classes = vars(importlib.import_module(f"permakey_tf.models.{module.name}")).values()
        for kind in filter(inspect.isclass, classes):
            ours = kind.__module__.startswith("permakey_tf")
            found |= {kind.__name__} if ours and issubclass(kind, keras.layers.Layer) else set()
    assert found - {"KeypointModel"} == set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_a_config_makes_the_layer_anew(name):
    layer = LAYERS[name]()
    config = json.loads(json.dumps(layer.get_config()))  # what a file would hold
    again = type(layer).from_config(config)
    assert config == layer.get_config() == again.get_config()
    assert again.dtype_policy == layer.dtype_policy
    for key in (
        "units",
        "patch_size",
        "momentum",
        "epsilon",
        "latent_dim",
        "num_steps",
        "config",
        "image_size",
    ):
        assert getattr(again, key, None) == getattr(layer, key, None)


def test_keras_finds_classes_by_name():
    model = LAYERS["CNNEncoder"]()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    for encoder in (model, again):
        encoder(np.zeros([2, 8, 8, 4], np.float32))
    shapes = [[tuple(v.shape) for v in encoder.variables] for encoder in (model, again)]
    assert shapes[0] == shapes[1]


def test_the_same_weights_give_the_same_keypoints():
    model = LAYERS["PermaKey"]()
    again = PermaKey.from_config(model.get_config())
    again.set_weights(model.get_weights())
    images = np.random.default_rng(0).random([2, 20, 20, 1], np.float32)
    np.testing.assert_array_equal(again(images).centers_yx, model(images).centers_yx)
