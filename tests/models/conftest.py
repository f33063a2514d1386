"""What several tests of the networks share: the goldens, and one full-size EfficientNet-Lite0 with its weights."""

import importlib.util
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="session")
def goldens():
    """`folder`, and the functions `photographs()`, `pictures(case)` and `seeded(shapes)`."""
    functions = runpy.run_path(str(GOLDENS / "inputs.py"))
    images = Path(importlib.util.find_spec("sklearn").origin).parent / "datasets" / "images"
    return SimpleNamespace(folder=GOLDENS, seeded=functions["seeded"],
                           photographs=lambda: functions["photographs"](images),
                           pictures=lambda case: functions["pictures"](images, case))


@pytest.fixture(scope="session")
def lite0(tmp_path_factory):
    """EfficientNet-Lite0 with ImageNet weights and its head: logits (B, 1000)."""
    from toolkit.models import backbones

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return backbones.build("efficientnet_lite0", include_top=True)


@pytest.fixture
def images():
    """Two random raw images, uint8 (2, 23, 31, 3)."""
    return np.random.default_rng(0).integers(0, 256, (2, 23, 31, 3), np.uint8)
