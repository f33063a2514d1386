"""The equations of the autoencoders on numbers made by hand, and what is refused."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from recipes import pretrain_autoencoder as recipe
from toolkit import ToolkitError
from toolkit.autoencoders import choices, networks, reports, training
from toolkit.cli import autoencoders as commands
from toolkit.tables import Table, read_table
from toolkit.training import Settings

NUMBERS = {"tied": True, "corruption": "masking", "corruption_level": None, "sparsity_target": 0.1,
           "penalty_weight": None, "kept": 2, "kept_factor": 2.0, "patch_size": 4}
RANDOM = np.random.default_rng(0)


def chosen(method: str, **changes: Any) -> choices.Choices:
    return choices.chosen(method, **{**NUMBERS, **changes})


def model(method: str, *, cross_entropy: bool = False, **changes: Any) -> recipe.Autoencoder:
    encoder, decoder = networks.dense_pair(6, [4], activation="sigmoid", tied=False,
                                           code_activation="linear" if method in ("variational", "k-sparse") else None,
                                           code_width=8 if method == "variational" else None)
    return recipe.Autoencoder(encoder, decoder, chosen(method, **changes), activation="sigmoid",
                              cross_entropy=cross_entropy)


def loss_of(network: recipe.Autoencoder, batch: dict[str, tf.Tensor]) -> float:
    return float(network.compute_loss(x=batch, y_pred=network(batch)))


# ---- Penalties ----------------------------------------------------------------------------------------------------


def test_sparsity_is_the_divergence_of_bernoulli_variables() -> None:
    codes = np.array([[0.2, 0.5], [0.4, 0.7]], np.float32)
    expected = sum(0.05 * np.log(0.05 / mean) + 0.95 * np.log(0.95 / (1 - mean)) for mean in (0.3, 0.6))
    assert float(recipe.sparsity(tf.constant(codes), 0.05)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "linear"])
def test_contraction_is_the_squared_norm_of_the_jacobian(activation: str) -> None:
    kernel, values = (tf.constant(RANDOM.normal(size=size).astype(np.float32)) for size in ((5, 3), (4, 5)))
    with tf.GradientTape() as tape:
        tape.watch(values)
        codes = tf.keras.activations.get(activation)(values @ kernel)
    jacobian = tape.batch_jacobian(codes, values)
    expected = tf.reduce_sum(jacobian**2, axis=(1, 2))
    np.testing.assert_allclose(recipe.contraction(codes, kernel, activation), expected, rtol=1e-4)


def test_divergence_is_that_of_normal_distributions() -> None:
    mean, variance = np.array([[0.0, 1.0]], np.float32), np.array([[1.0, 4.0]], np.float32)
    found = recipe.divergence(tf.constant(mean), tf.math.log(variance))
    assert found.numpy()[0] == pytest.approx(0.5 * (1 + 4 - np.log(4) - 1))
    assert recipe.divergence(tf.zeros((1, 2)), tf.zeros((1, 2))).numpy()[0] == 0


# ---- Losses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cross_entropy", [True, False])
def test_the_loss_is_the_mean_over_rows_of_sums_over_values(cross_entropy: bool) -> None:
    network, target = model("plain", cross_entropy=cross_entropy), RANDOM.uniform(size=(3, 6)).astype(np.float32)
    values = network.decoder(network.encoder(target)).numpy()
    shares = 1 / (1 + np.exp(-values))
    errors = -(target * np.log(shares) + (1 - target) * np.log(1 - shares)) if cross_entropy else (target - values)**2
    batch = {"input": tf.constant(target), "target": tf.constant(target)}
    assert loss_of(network, batch) == pytest.approx(errors.sum(axis=1).mean(), rel=1e-5)


def test_the_penalty_is_added_with_its_weight() -> None:
    target = tf.constant(RANDOM.uniform(size=(5, 6)).astype(np.float32))
    for method in ("sparse", "contractive"):
        network, without = model(method, penalty_weight=2.0), None
        batch = {"input": target, "target": target}
        codes = network.encoder(target)
        penalty = recipe.sparsity(codes, 0.1) if method == "sparse" else \
            tf.reduce_mean(recipe.contraction(codes, network.encoder.layers[-1].kernel, "sigmoid"))
        found = loss_of(network, batch)
        network.chosen = dataclasses.replace(network.chosen, penalty_weight=0.0)
        without = loss_of(network, batch)
        assert found - without == pytest.approx(2 * float(penalty), rel=1e-3)


def test_only_hidden_patches_count_in_masked_autoencoding() -> None:
    network, target = model("masked"), tf.constant(RANDOM.uniform(size=(2, 6)).astype(np.float32))
    hidden = tf.constant([[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], tf.float32)
    values = network.decoder(network.encoder(target))
    batch = {"input": target, "target": target, "hidden": hidden}
    assert loss_of(network, batch) == pytest.approx(float(tf.reduce_sum((values - target)[0, :2]**2)) / 2, rel=1e-5)


def test_gradients_flow_through_the_kept_codes_only() -> None:
    codes = tf.constant([[3.0, -1.0, 2.0, 0.5]])
    with tf.GradientTape() as tape:
        tape.watch(codes)
        found = recipe.keep_largest(codes, tf.constant([2]), 3)
    assert found.numpy().tolist() == [[3, 0, 2, 0]]
    assert tape.gradient(found, codes).numpy().tolist() == [[1, 0, 1, 0]]


def test_variational_codes_are_drawn_around_their_mean() -> None:
    network, target = model("variational"), tf.constant(RANDOM.uniform(size=(2, 6)).astype(np.float32))
    mean, log_variance = tf.split(network.encoder(target), 2, axis=1)
    noise = tf.constant(RANDOM.normal(size=(2, 4)).astype(np.float32))
    expected = network.decoder(mean + tf.exp(0.5 * log_variance) * noise)
    found = network({"input": target, "target": target, "noise": noise})
    np.testing.assert_allclose(found["values"], expected, atol=1e-6)
    np.testing.assert_allclose(found["penalty"], recipe.divergence(mean, log_variance), atol=1e-6)


def test_the_mean_activation_comes_near_its_target() -> None:
    from sklearn.datasets import load_digits

    images = np.rint(load_digits().images[:500, ..., None] * 15.9).astype(np.uint8)
    settings = dataclasses.replace(choices.DEFAULTS, devices="cpu", batch_size=50, epochs=60, learning_rate=0.01)
    usual = choices.METHODS["sparse"].penalty_weight
    means = []
    for weight in (0.0, usual):
        own = recipe.objective(chosen("sparse", sparsity_target=0.05, penalty_weight=weight))
        found = training.train(images, None, own, settings, None, hidden=[50], activation="sigmoid")
        codes = training.in_parts(partial(reports.codes_of, found.network), images)
        means.append(float(codes.mean()))
    assert means[0] > 0.15 and 0.04 < means[1] < 0.06


# ---- What a step is given -----------------------------------------------------------------------------------------


def drawn(method: str, step: int, pixels: bool = True, **changes: Any) -> dict[str, np.ndarray]:
    draw = recipe.drawn(chosen(method, **changes), 200, 100, (4, 4, 1), pixels)
    target = tf.constant(RANDOM.uniform(0.1, 0.9, (3, 16)).astype(np.float32))
    found = draw(target, tf.constant([1, step], tf.int64), tf.constant(step, tf.int64))
    return {name: value.numpy() for name, value in found.items()}


def test_k_falls_linearly_over_the_first_half() -> None:
    assert [drawn("k-sparse", step, kept=20)["kept"][0] for step in (0, 25, 50, 99)] == [100, 60, 20, 20]
    assert drawn("k-sparse", 0, kept=150)["kept"].tolist() == [150] * 3


def test_the_target_stays_clean() -> None:
    batch = drawn("denoising", 1, corruption_level=0.5)
    assert (batch["target"] > 0).all() and (batch["input"] == 0).any()
    assert drawn("plain", 1)["input"].min() > 0


def test_noise_leaves_pixels_in_their_range_and_codes_as_they_fall() -> None:
    of_pixels, of_codes = (drawn("denoising", 1, pixels, corruption="gaussian", corruption_level=1.0)["input"]
                           for pixels in (True, False))
    assert of_pixels.min() == 0 and of_pixels.max() == 1
    assert of_codes.min() < 0 and of_codes.max() > 1


def test_hidden_patches_show_grey() -> None:
    batch = drawn("masked", 2, patch_size=2, corruption_level=0.5)
    assert (batch["hidden"].sum(axis=1) == 8).all()
    assert (batch["input"][batch["hidden"] == 1] == 0.5).all()
    np.testing.assert_array_equal(batch["input"][batch["hidden"] == 0], batch["target"][batch["hidden"] == 0])


# ---- Options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "message"), [
    ({"method": "magic"}, "must be one of plain"), ({"corruption": "dust"}, "must be one of masking"),
    ({"corruption_level": 2.0}, "between 0 and 1"), ({"kept": 0}, "kept is 0"), ({"penalty_weight": -1}, "penalty"),
    ({"method": "contractive", "jointly": True}, "one layer")])
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolkitError, match=message):
        choices.chosen(**{"method": "plain", **NUMBERS, **changes})


@pytest.mark.parametrize(("method", "settings", "message"), [
    ("k-sparse", Settings(backbone="small_cnn", weights="none"), "fully connected"),
    ("sparse", dataclasses.replace(choices.DEFAULTS, backbone_options={"activation": "relu"}), "sigmoid"),
    ("k-sparse", dataclasses.replace(choices.DEFAULTS, backbone_options={"activation": "relu"}), "units are linear"),
    ("plain", dataclasses.replace(choices.DEFAULTS, backbone_options={"batch_normalisation": True}), "leave it out"),
    ("plain", dataclasses.replace(choices.DEFAULTS, backbone_options={"dropout": 0.2}), "no dropout"),
    ("plain", dataclasses.replace(choices.DEFAULTS, backbone_options={"initialiser": "zeros"}), "must be one of")])
def test_what_a_method_cannot_train_is_refused(method: str, settings: Settings, message: str) -> None:
    with pytest.raises(ToolkitError, match=message):
        choices.with_layers(settings, method)


def test_the_run_knows_its_layers() -> None:
    found = choices.with_layers(choices.DEFAULTS, "denoising").backbone_options
    assert found == {"hidden": [1000], "initialiser": "glorot", "dropout": 0.0, "activation": "relu"}
    found = choices.with_layers(choices.defaults("k-sparse"), "k-sparse")
    assert choices.with_layers(found, "k-sparse") == found  # as rerun does


@pytest.mark.parametrize("method", ["denoising", "k-sparse"])
def test_layers_that_learn_one_by_one_by_sgd_begin_with_small_weights(method: str) -> None:
    by_sgd = choices.defaults(method)
    for settings, jointly, expected in ((by_sgd, False, "gaussian"), (by_sgd, True, "glorot"),
                                        (choices.DEFAULTS, False, "glorot")):
        assert choices.with_layers(settings, method, jointly=jointly).backbone_options["initialiser"] == expected


def test_hiding_half_of_bright_photographs_does_not_send_sgd_astray() -> None:
    """Less the mean of the clean images, what the network sees would lie far from zero: the weights became infinite."""
    random = np.random.default_rng(0)
    images = np.clip(random.normal(160, 30, (400, 1, 1, 1)) + random.normal(0, 20, (400, 12, 12, 3)), 0, 255)
    settings = dataclasses.replace(choices.defaults("denoising"), devices="cpu", epochs=25)
    own = recipe.objective(chosen("denoising", corruption_level=0.5))
    _, history, rates = training.dense(images.astype(np.uint8), [200], "relu", own, settings, None,
                                       initialiser="gaussian")
    assert history[-1]["loss"] < 0.7 * history[0]["loss"] and rates == [
        choices.learning_rate(images.astype(np.uint8), "sgd", centred=True)]


@pytest.mark.parametrize(("method", "hidden"), [("plain", [128]), ("variational", [400, 20]), ("sparse", [1000])])
def test_the_layers_are_those_of_the_method_unless_they_are_given(method: str, hidden: list[int]) -> None:
    assert choices.with_layers(choices.DEFAULTS, method).backbone_options["hidden"] == hidden
    given = dataclasses.replace(choices.DEFAULTS, backbone_options={"hidden": [7], "initialiser": "gaussian"})
    found = choices.with_layers(given, method).backbone_options
    assert found["hidden"] == [7] and found["initialiser"] == "gaussian"


def test_the_rate_is_one_for_a_loss_summed_over_values() -> None:
    images = np.zeros((40, 4, 4, 3), np.uint8)
    rates = {name: choices.learning_rate(images, name, centred=False) for name in ("sgd", "adam", "adamw")}
    assert rates == {"sgd": 0.005, "adam": 0.001, "adamw": 0.001}
    assert choices.learning_rate(images, "adam", centred=True) == 0.001
    given = dataclasses.replace(choices.defaults("k-sparse"), learning_rate=0.3)
    assert training._rate(images, given, centred=True) == 0.3


def test_the_rate_for_centred_values_falls_with_their_variance() -> None:
    for method in ("denoising", "k-sparse"):
        settings = choices.defaults(method)
        assert (settings.optimizer, settings.batch_size) == ("sgd", 50) and choices.METHODS[method].centred
    images = np.tile(np.random.default_rng(0).integers(0, 256, (1200, 1, 1, 1), np.uint8), (1, 10, 10, 1))
    dark, wide = images // 2, np.tile(images, (1, 2, 2, 1))
    found = [choices.learning_rate(some, "sgd", centred=True) for some in (images, dark, wide)]
    assert found[1] == pytest.approx(4 * found[0], rel=0.03) and found[2] == pytest.approx(found[0] / 4, rel=0.01)
    assert choices.learning_rate(images / np.float32(255), "sgd", centred=True) == pytest.approx(found[0], rel=0.01)
    assert choices.steepness(images) == pytest.approx(np.linalg.eigvalsh(
        np.cov(images.reshape(1200, -1) / 255, rowvar=False, bias=True))[-1], rel=0.1)
    assert choices.steepness(np.full((3, 4, 4, 1), 200, np.uint8)) == 1


def test_epochs_follow_from_the_number_of_images() -> None:
    def epochs(count: int, **given: int) -> int:
        return choices.with_epochs(dataclasses.replace(choices.DEFAULTS, **given), count).epochs

    assert [epochs(count) for count in (100, 60_000, 10**6)] == [1000, 50, 10] and epochs(100, epochs=3) == 3


def without_labels(path: Path, **columns: Any) -> Table:
    """The table as it is read without labels and splits, some of its columns changed."""
    table = read_table(path)
    blank = {"labels": np.full(len(table), -1), "splits": np.full(len(table), "test", object), "names_splits": False}
    return dataclasses.replace(table, **{**blank, **columns})


def test_a_table_without_labels_and_splits_is_split_as_any_other(small_table: Path) -> None:
    alone = without_labels(small_table)
    found = choices.with_training_rows(alone)
    assert (found.splits == "test").sum() == 23 and (found.splits == "train").sum() == 91
    assert "91 train, 0 validation, 23 test" in found.notes[-1]
    other = choices.with_training_rows(dataclasses.replace(alone, arguments={"split_seed": 1}))
    assert (other.splits != found.splits).any()
    ratios = {"test_ratio": 0.5, "validation_ratio": 0.1}
    found = choices.with_training_rows(dataclasses.replace(alone, arguments=ratios))
    assert [(found.splits == split).sum() for split in ("train", "validation", "test")] == [46, 11, 57]
    table = read_table(small_table)
    assert choices.with_training_rows(table) is table


def test_groups_and_equal_images_are_not_parted(small_table: Path) -> None:
    count = len(read_table(small_table))
    groups, twice = np.array([f"group {i // 3}" for i in range(count)], object), np.arange(count) // 2
    grouped = choices.with_training_rows(without_labels(small_table, groups=groups))
    assert all(len(set(grouped.splits[groups == group])) == 1 for group in groups)
    equal = choices.with_training_rows(without_labels(small_table, checksums=twice.astype(str).astype(object)))
    assert all(len(set(equal.splits[twice == one])) == 1 for one in twice)


def test_splits_without_training_rows_are_refused(small_table: Path) -> None:
    table = read_table(small_table)
    tests = np.full(len(table), "test", object)
    labelled = dataclasses.replace(table, splits=tests)
    declared = without_labels(small_table, names_splits=True)
    for refused in (labelled, declared, without_labels(small_table).select(np.arange(1))):
        with pytest.raises(ToolkitError, match="training images, and an autoencoder"):
            choices.with_training_rows(refused)


def test_the_command_offers_what_the_recipe_knows() -> None:
    from toolkit.autoencoders import corruptions, similar

    assert set(commands.METHODS) == set(choices.METHODS)
    assert commands.CORRUPTIONS == tuple(corruptions.CORRUPTIONS) and commands.METRICS == similar.METRICS
    assert commands.DEFAULTS == {name: getattr(choices.DEFAULTS, name) for name in commands.DEFAULTS}
    for method in choices.METHODS:
        usual = commands.BY_SGD if method in commands.METHODS_BY_SGD else commands.USUAL
        assert usual == {name: getattr(choices.defaults(method), name) for name in usual}
        assert commands.USUAL == {name: getattr(choices.defaults(method, by_layer=False), name) for name in usual}
    defaults = {option.name: option.default for option in commands.pretrain_autoencoder.params}
    for name in ("method", "tied", "corruption", "sparsity_target", "kept", "kept_factor", "patch_size", "jointly"):
        assert defaults[name] == recipe.run.__kwdefaults__[name]
