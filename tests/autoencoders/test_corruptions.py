"""What is done to inputs, and that it is a function of the seed."""

import numpy as np
import pytest
import tensorflow as tf

from toolkit.autoencoders import corruptions

VALUES = tf.constant(np.random.default_rng(0).uniform(0.2, 0.8, (50, 40)).astype(np.float32))


@pytest.mark.parametrize("name", list(corruptions.CORRUPTIONS))
def test_the_seed_decides(name: str) -> None:
    corrupt = corruptions.CORRUPTIONS[name]
    first, again, other = (corrupt(VALUES, 0.3, tf.constant([seed, 7])).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", list(corruptions.CORRUPTIONS))
def test_level_zero_changes_nothing(name: str) -> None:
    np.testing.assert_array_equal(corruptions.CORRUPTIONS[name](VALUES, 0.0, tf.constant([1, 2])), VALUES)


def test_masking_sets_its_share_to_zero_and_leaves_the_rest() -> None:
    found = corruptions.masking(VALUES, 0.3, tf.constant([0, 0])).numpy()
    assert abs((found == 0).mean() - 0.3) < 0.04
    np.testing.assert_array_equal(found[found != 0], VALUES.numpy()[found != 0])


def test_salt_and_pepper_are_as_many() -> None:
    found = corruptions.salt_and_pepper(VALUES, 0.4, tf.constant([0, 0])).numpy()
    assert abs((found == 0).mean() - 0.2) < 0.04 and abs((found == 1).mean() - 0.2) < 0.04
    np.testing.assert_array_equal(found[(found > 0) & (found < 1)], VALUES.numpy()[(found > 0) & (found < 1)])


def test_normal_noise_has_its_deviation() -> None:
    noise = corruptions.gaussian(VALUES, 0.25, tf.constant([0, 0])).numpy() - VALUES.numpy()
    assert abs(noise.std() - 0.25) < 0.02 and abs(noise.mean()) < 0.02


@pytest.mark.parametrize(("side", "patch"), [(16, 4), (10, 4), (9, 3)])
def test_whole_patches_are_hidden_of_each_image_as_many(side: int, patch: int) -> None:
    images, seed = tf.zeros((20, side, side, 3)), tf.constant([3, 4])
    hidden = corruptions.hidden_patches(images, 0.5, seed, patch_size=patch).numpy()
    assert hidden.shape == (20, side, side, 1) and set(np.unique(hidden)) == {0.0, 1.0}
    patches = -(-side // patch)
    firsts = hidden[:, ::patch, ::patch, 0]
    assert (firsts.sum(axis=(1, 2)) == round(0.5 * patches**2)).all()
    whole = firsts.repeat(patch, axis=1).repeat(patch, axis=2)[:, :side, :side]
    np.testing.assert_array_equal(hidden[..., 0], whole)
    assert len(np.unique(firsts.reshape(20, -1), axis=0)) > 1
