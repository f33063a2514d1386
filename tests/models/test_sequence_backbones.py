"""Networks on texts and series: what padding, batches, missing values and files must not change."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.models import backbones, catalogue, classifiers, sequence_backbones, sequence_layers
from toolkit.models.sequence_backbones import GRAPHS, KINDS

TEXTS = ["the cat sat on the mat .", "a dog, a dog! my kingdom for a dog", "the mat on the cat", "cat"] * 2
GENERATOR = np.random.default_rng(0)
SERIES = [GENERATOR.normal(3, 2, (length, 2)).astype(np.float32) for length in (5, 9, 30)]
SERIES[1][3, 0] = np.nan
TINY = {"lstm": {"units": 4}, "transformer": {"units": 8, "heads": 2, "num_layers": 1},
        "text_cnn": {"filters": (3,)}, "series_fcn": {"filters": (4, 6, 5)}, "series_resnet": {"filters": (4, 6)}}
ALL = [(name, kind) for name in GRAPHS for kind in KINDS[name]]


def build(name: str, kind: str, **options) -> keras.Model:
    keras.utils.set_random_seed(1)
    options = TINY[name] | ({"embedding": "6"} if kind == "text" else {}) | options
    model = backbones.build(name, "none", examples=TEXTS if kind == "text" else SERIES, **options)
    generator = np.random.default_rng(2)
    for weight in model.weights:  # moving averages and biases too, so that nothing is hidden by a zero
        weight.assign(weight + 0.1 * np.abs(generator.normal(size=weight.shape)))
    return model


def batch(kind: str) -> np.ndarray:
    if kind == "text":
        return np.array([[3, 4, 5, 1, 6], [4, 0, 0, 0, 0], [5, 3, 0, 0, 0]], np.int32)
    series = np.full((3, 9, 2), np.nan, np.float32)
    for row, values in enumerate((SERIES[1], SERIES[0], SERIES[0][:1])):
        series[row, :len(values)] = values
    return series


def padded(steps: np.ndarray, count: int) -> np.ndarray:
    filling = 0 if steps.dtype == np.int32 else np.nan
    return np.pad(steps, [(0, 0), (0, count), (0, 0)][:steps.ndim], constant_values=filling)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_padding_and_company_change_no_features(name, kind):
    network = backbones.network(build(name, kind))
    steps = batch(kind)
    features = network(steps, training=False).numpy()
    assert np.isfinite(features).all()
    assert np.ptp(features, axis=0).max() > 1e-3  # the rows do differ
    np.testing.assert_allclose(network(padded(steps, 13), training=False), features, atol=1e-5)
    for row in range(3):
        np.testing.assert_allclose(network(steps[row:row + 1], training=False)[0], features[row], atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_padding_changes_no_training_step(name, kind):
    """Statistics of BatchNorm among what is trained: of the steps that are no padding."""
    results = []
    for extra in (0, 16):
        network = backbones.network(build(name, kind, **({} if name.startswith("series") else {"dropout": 0.0})))
        network(padded(batch(kind), extra), training=True)
        results.append(np.concatenate([np.ravel(weight) for weight in network.weights]))
    np.testing.assert_allclose(*results, atol=1e-5)


def test_a_missing_value_counts_as_the_mean_of_its_channel():
    network = backbones.network(build("series_fcn", "series"))
    mean, _ = sequence_backbones.statistics(SERIES)
    filled = np.where(np.isnan(SERIES[1]), mean, SERIES[1]).astype(np.float32)
    np.testing.assert_allclose(network(SERIES[1][None]), network(filled[None]), atol=1e-5)


def test_a_missing_step_within_a_series_is_no_padding():
    network = backbones.network(build("lstm", "series", pooling="last"))
    gap = SERIES[0].copy()
    gap[2] = np.nan
    assert np.abs(network(gap[None]) - network(gap[None, :2])).max() > 1e-4


def test_statistics_are_those_of_the_values_that_are_there():
    values = np.concatenate(SERIES).astype(np.float64)
    mean, variance = sequence_backbones.statistics(SERIES)
    np.testing.assert_allclose(mean, np.nanmean(values, axis=0))
    np.testing.assert_allclose(variance, np.nanvar(values, axis=0))
    assert sequence_backbones.statistics(SERIES[::-1]) == (mean, variance)
    assert sequence_backbones.statistics([np.full((4, 1), 7, np.float32)]) == ([7.0], [1.0])


@pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e-9])
def test_the_unit_of_a_series_does_not_matter(scale):
    steps = np.random.default_rng(0).normal(size=(1, 50, 2)).astype(np.float32)
    normalised = [keras.Model(series := keras.Input((None, 2)), sequence_layers.filled(
        series, **dict(zip(("mean", "variance"), sequence_backbones.statistics(list(values))))))(values).numpy()
        for values in (steps, steps * np.float32(scale))]
    np.testing.assert_allclose(normalised[1], normalised[0], atol=1e-5)
    assert abs(normalised[1].std() - 1) < 1e-3


@pytest.mark.parametrize("pooling", ["attention", "max", "mean", "last", "concatenation"])
def test_poolings_ignore_padding(pooling):
    network = backbones.network(build("lstm", "text", pooling=pooling, cell="gru", num_layers=2))
    np.testing.assert_allclose(network(padded(batch("text"), 9)), network(batch("text")), atol=1e-5)


def test_causal_networks_know_no_later_step():
    for name, options in (("lstm", {"bidirectional": False}), ("transformer", {"causal": True, "heads": 2})):
        network = sequence_backbones.token_network(name, 9, width=8, units=8, pooling="none", **options)
        tokens = np.array([[3, 4, 5, 6]], np.int32)
        other = np.array([[3, 4, 8, 7]], np.int32)
        steps, changed = network(tokens).numpy(), network(other).numpy()
        np.testing.assert_allclose(steps[0, :2], changed[0, :2], atol=1e-6)
        assert np.abs(steps[0, 2:] - changed[0, 2:]).max() > 1e-4


def test_order_of_words_matters_to_a_transformer():
    network = backbones.network(build("transformer", "text"))
    first, second = network(np.array([[3, 4, 5]])).numpy(), network(np.array([[5, 4, 3]])).numpy()
    assert np.abs(first - second).max() > 1e-4


def test_texts_are_cut_and_need_no_token():
    model = build("text_cnn", "text", max_length=3)
    features = model(tf.constant(["the cat sat on mats", "the cat sat", "", "?!"])).numpy()
    np.testing.assert_allclose(features[0], features[1], atol=1e-6)
    np.testing.assert_allclose(features[2], features[3], atol=1e-6)
    assert np.isfinite(features).all()


@pytest.mark.parametrize(("name", "kind"), [("lstm", "text"), ("series_resnet", "series")])
def test_a_file_brings_vocabulary_statistics_and_graph_along(tmp_path, name, kind):
    model = build(name, kind)
    member = classifiers.with_head(backbones.network(model), 2)
    classifiers.save(classifiers.assemble([member], backbones.preprocessing(model)), tmp_path / "model.keras", "ab")
    again = backbones.build(name, tmp_path / "model.keras")
    assert backbones.fingerprint(again) == backbones.fingerprint(model)
    assert backbones.origin(again) == backbones.origin(model) | {
        "weights": str(tmp_path / "model.keras"), "preprocessing": "the run's"}
    assert again.output_shape == model.output_shape


@pytest.mark.contract
def test_a_saved_classifier_takes_raw_texts_and_needs_keras_alone(tmp_path):
    model = build("lstm", "text")
    member = classifiers.with_head(backbones.network(model), 2)
    whole = classifiers.assemble([member], backbones.preprocessing(model))
    classifiers.save(whole, tmp_path / "model.keras", ["no", "yes"])
    texts = ["a cat on the mat", "", "quux\nthe dog " * 200]
    script = ("import keras, numpy as np, json, sys\n"
              "model = keras.models.load_model(sys.argv[1])\n"
              "print(json.dumps(model.predict(np.array(json.loads(sys.argv[2]), object), verbose=0).tolist()))\n"
              "assert 'toolkit' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "model.keras", json.dumps(texts)],
                          capture_output=True, text=True, cwd=tmp_path, check=True)
    found = np.array(json.loads(done.stdout.splitlines()[-1]))
    np.testing.assert_allclose(found, whole(tf.constant(texts)), atol=1e-5)


def test_members_vote():
    model = build("series_fcn", "series")
    members = [classifiers.with_head(backbones.network(build("series_fcn", "series")), 3, name=f"member_{number}")
               for number in (0, 1)]
    whole = classifiers.assemble(members, backbones.preprocessing(model))
    one = [tf.nn.softmax(member(SERIES[0][None])) for member in members]
    np.testing.assert_allclose(whole(SERIES[0][None]), (one[0] + one[1]) / 2, atol=1e-6)


def test_word_vectors_begin_the_embedding(tmp_path):
    (tmp_path / "vectors.txt").write_text("cat 1 2 3\nzebra 4 5 6\n", encoding="utf-8")
    model = build("text_cnn", "text", embedding=str(tmp_path / "vectors.txt"))
    numbers = model.get_layer("tokens")(tf.constant(["cat zebra dog"])).numpy()[0]
    assert numbers.min() > 2
    fresh = backbones.build("text_cnn", "none", examples=TEXTS, embedding=str(tmp_path / "vectors.txt"))
    embedded = backbones.network(fresh).get_layer("stem_embedding").get_weights()[0]
    np.testing.assert_allclose(embedded[numbers[:2]], [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_numbers_of_the_catalogue(name):
    entry = catalogue.ENTRIES[name]
    assert entry.kinds == KINDS[name]
    net = (sequence_backbones.token_network(name, 20_000) if "text" in entry.kinds else
           sequence_backbones.series_network(name, [0.0], [1.0]))
    assert (net.output_shape, net.count_params()) == ((None, entry.num_features), entry.num_parameters)


@pytest.mark.parametrize(("name", "options", "message"), [
    ("text_cnn", {"heads": 3}, "has no option 'heads'"), ("lstm", {"cell": "lstn"}, "cell is 'lstn'"),
    ("lstm", {"pooling": "median"}, "pooling is 'median'"),
    ("transformer", {"units": 6, "heads": 4}, "multiple of heads"),
    ("series_fcn", {}, "reads series, and the rows are of kind text"),
    ("lstm", {"tokens": "signs"}, "tokens is 'signs'"),
    ("text_cnn", {"filters": (2, 3)}, "one, or one a width"), ("lstm", {"embedding": "nowhere.txt"}, "cannot be read")])
def test_refusals(name, options, message):
    with pytest.raises(ToolkitError, match=message):
        backbones.build(name, "none", examples=TEXTS, **options)


def test_refusals_without_examples_or_weights(tmp_path):
    with pytest.raises(ToolkitError, match="learns its vocabulary"):
        backbones.build("lstm", "none")
    with pytest.raises(ToolkitError, match="no pretrained weights here"):
        backbones.build("lstm", examples=TEXTS)
    (tmp_path / "broken.keras").write_bytes(b"not a model")
    with pytest.raises(ToolkitError, match="not a model that Keras can read"):
        backbones.build("lstm", tmp_path / "broken.keras")
    with pytest.raises(ToolkitError, match="reads image, and the rows are of kind text"):
        backbones.check_kind(catalogue.ENTRIES["resnet18"], "text")
