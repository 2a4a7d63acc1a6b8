"""Installs the library `permakey_tf`; the command lines `run.*` are used from a checkout."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "permakey_tf/__init__.py").read_text())[1]

setup(
    name="permakey-tf",
    version=VERSION,
    description="Unsupervised object keypoints from local spatial predictability, in TensorFlow",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["permakey_tf", "permakey_tf.*"]),
    package_data={
        "permakey_tf": ["py.typed"],
        "permakey_tf.configs": ["presets/*.cfg"],
        "permakey_tf.scores": ["published.json"],
    },
    python_requires=">=3.11,<3.14",
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<4",
        "tensorflow-probability>=0.25,<0.26",
        "tf-keras>=2.21,<2.22",
        "graph_nets>=1.1,<2",
        "dm-sonnet>=2.0.2,<3",
        "gymnasium>=1.4,<2",
        "ale-py>=0.12,<0.13",
        "absl-py>=2.1",
        "numpy>=2,<3",
        "opencv-python-headless>=5,<6",
        "matplotlib>=3.9",
        "tqdm>=4.66",
        "tensorboard>=2.20",
        "scipy>=1.14",
        "imageio-ffmpeg>=0.6",
        "pillow>=11",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "slurm": ["submitit>=1.5"],
        "minari": ["minari[hdf5,hf]>=0.5"],
        "dev": [
            "hypothesis>=6.100",
            "imageio>=2.37",
            "mypy>=1.10",
            "pdoc>=15",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.12",
        ],
    },
)
