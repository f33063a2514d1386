"""Random draws: repeatable, different from row to row, within the range, and no reflection unless asked."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.inputs.augmentation import Augmentation, augment, identity, mix_up

ALL_STEPS = {
    "shift": Augmentation("shift"), "resized": Augmentation("resized"), "reflect": Augmentation(reflect=True),
    "colour": Augmentation(colour=1.0), "rand_augment": Augmentation(rand_augment=0.7),
    "erase": Augmentation(erase=0.8), "all": Augmentation("resized", True, 0.5, 1.0, 1, 0.5),
}


def _draws(image: np.ndarray, augmentation: Augmentation, rows: int, size: int = 16) -> np.ndarray:
    function = tf.autograph.experimental.do_not_convert(lambda row: augment(
        tf.constant(image, tf.float32), tf.stack([tf.constant(7, tf.int64), row]), augmentation, size))
    dataset = tf.data.Dataset.range(rows).map(function)
    first, again = (np.stack(list(dataset.as_numpy_iterator())) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    return first


def _image(side: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ALL_STEPS)
def test_draws_repeat_differ_by_row_and_stay_in_range(name):
    draws = _draws(_image(), ALL_STEPS[name], 12)
    assert len({draw.tobytes() for draw in draws}) >= (2 if name == "reflect" else 8)
    assert draws.shape == (12, 16, 16, 3) and draws.dtype == np.float32
    assert 0 <= draws.min() and draws.max() <= 255


def test_no_step_is_stateful(operations_in):
    change = partial(augment, augmentation=ALL_STEPS["all"], image_size=16)
    _, stateful = operations_in(change, tf.TensorSpec((20, 20, 3), tf.float32), tf.TensorSpec((2,), tf.int64))
    assert not stateful


def test_nothing_asked_is_the_centre():
    np.testing.assert_array_equal(_draws(_image(), identity, 2)[1], _image()[2:18, 2:18])
    assert identity == Augmentation("none", False, 0, 0)


def test_reflection_mirrors_about_one_in_two():
    draws = _draws(_image(16), Augmentation(reflect=True), 60)
    mirrored = (draws == _image(16)[:, ::-1]).all((1, 2, 3))
    assert (mirrored | (draws == _image(16)).all((1, 2, 3))).all()
    assert 15 < mirrored.sum() < 45


@pytest.mark.parametrize("name", ["shift", "resized", "colour", "erase"])
def test_nothing_else_mirrors(name):
    ramp = np.broadcast_to(np.arange(0, 240, 12.0).reshape(1, 20, 1), (20, 20, 3))  # brighter to the right
    draws = _draws(ramp, ALL_STEPS[name], 30)
    where = (draws != 127.5).all(-1)
    for draw, shown in zip(draws[..., 0], where, strict=True):
        assert np.corrcoef(draw[shown], np.indices(draw.shape)[1][shown])[0, 1] > 0.5


def test_shift_takes_every_window_unchanged():
    image = _image(18)
    windows = {image[top:top + 16, left:left + 16].tobytes() for top in range(3) for left in range(3)}
    assert {draw.tobytes() for draw in _draws(image, Augmentation("shift"), 100)} == windows


def test_shift_of_an_image_without_margin_repeats_its_edge():
    image = _image(16)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "edge")
    windows = {padded[top:top + 16, left:left + 16].tobytes() for top in range(5) for left in range(5)}
    draws = {draw.tobytes() for draw in _draws(image, Augmentation("shift"), 200)}
    assert draws <= windows and len(draws) > 20


def test_resized_crops_cover_the_stated_areas_and_aspects():
    rows, columns = np.indices((64, 64), np.float32)
    draws = _draws(np.stack([rows, columns, rows], -1), Augmentation("resized"), 300)
    height, width = (((draws[:, -1, -1] - draws[:, 0, 0])[:, channel] * 16 / 15) / 64 for channel in (0, 1))
    area, aspect = height * width, width / height
    assert 0.3 < area.min() < 0.45 and 0.9 < area.max() <= 1.1
    assert 0.7 < aspect.min() < 0.82 and 1.22 < aspect.max() < 1.42
    assert abs(np.log(aspect).mean()) < 0.05 and 0.6 < area.mean() < 0.75


def test_colour_moves_no_pixel_and_grows_with_strength():
    flat = np.full((16, 16, 3), (200.0, 100, 50))
    weak, strong = (_draws(flat, Augmentation(colour=strength), 40) for strength in (0.1, 1.0))
    assert (weak.std((1, 2)) < 1e-3).all()
    assert np.abs(weak - flat).mean() * 3 < np.abs(strong - flat).mean()


def test_erasing_paints_one_grey_square():
    image = np.zeros((20, 20, 3))
    shares = (_draws(image, Augmentation(erase=0.5), 60, 20) == 127.5).all(-1).mean((1, 2))
    assert shares.max() <= 0.25 and 0.02 < shares.mean() < 0.12


def test_number_of_operations():
    none, one = (_draws(_image(), Augmentation(rand_augment=0.5, num_operations=count), 100) for count in (0, 1))
    unchanged = [int((draws == _image()[2:18, 2:18]).all((1, 2, 3)).sum()) for draws in (none, one)]
    assert unchanged[0] == 100 and 1 <= unchanged[1] <= 25  # identity is one of fourteen


@pytest.mark.parametrize(("field", "value"), [("crop", "random"), ("colour", 1.5), ("rand_augment", -0.1),
                                              ("erase", float("nan")), ("num_operations", -1)])
def test_values_outside_their_range_are_refused(field, value):
    with pytest.raises(ToolkitError, match=field):
        Augmentation(**{field: value})


def test_mix_up_keeps_the_weighted_loss_linear():
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (6, 4, 4, 3)).astype(np.float32)
    targets, weights = np.eye(6, dtype=np.float32), generator.uniform(0.5, 2, 6).astype(np.float32)
    mixed, target, weight = (value.numpy() for value in mix_up(*map(tf.constant, (images, targets, weights)), alpha=0.4,
                                                               seed=tf.constant([1, 2])))
    share = (target * weight[:, None])[np.arange(6), np.arange(6)] / weights
    assert ((share >= 0) & (share <= 1)).all() and share.std() > 0.1
    other = np.roll(np.arange(6), -1)
    blend = share[:, None, None, None]
    np.testing.assert_allclose(mixed, blend * images + (1 - blend) * images[other], atol=1e-2)
    np.testing.assert_allclose(target.sum(1), 1, atol=1e-5)
    log = np.log(generator.dirichlet(np.ones(6), 6))
    loss = share * weights * log[np.arange(6), np.arange(6)] + (1 - share) * weights[other] * log[np.arange(6), other]
    np.testing.assert_allclose(weight * (target * log).sum(1), loss, rtol=1e-4)


def test_mix_up_survives_tiny_alpha():
    values = mix_up(tf.ones((512, 1, 1, 3)), tf.ones((512, 1)), tf.ones(512), alpha=0.001, seed=tf.constant([1, 2]))
    assert all(np.isfinite(value).all() for value in values)
