"""What a method in pixel space is given when nothing was said: steps and learning rate."""

from functools import partial
from typing import Any

import pytest

from toolkit.models import backbones
from toolkit.semisupervised import pixel_training
from toolkit.training import Settings

SCRATCH = {"weights": "none", "image_size": 16}


def ready(**changes: Any) -> Settings:
    settings = Settings(**{**SCRATCH, "backbone": "small_cnn", **changes})
    return pixel_training.ready(settings, 5000, 100, partial(
        backbones.build, settings.backbone, weights=settings.weights, image_size=settings.image_size))


def test_a_network_from_scratch_takes_more_steps_and_with_batch_norm_a_higher_rate() -> None:
    assert pixel_training.num_steps(Settings(backbone="small_cnn", weights="none")) == 6000
    assert pixel_training.num_steps(Settings()) == 1500
    assert ready().learning_rate == 0.003
    assert ready(backbone="mlp").learning_rate == 0.001


@pytest.mark.parametrize("asked, rate", [({"learning_rate": 0.002}, 0.002), ({"optimizer": "sgd"}, 0.1)])
def test_the_rate_that_was_asked_for_stays(asked: dict[str, Any], rate: float) -> None:
    assert ready(**asked).learning_rate == rate


def test_labels_are_not_smoothed_and_the_average_spans_a_tenth_of_the_steps() -> None:
    assert ready().label_smoothing == 0.0
    assert ready().ema == pytest.approx(0.9)
