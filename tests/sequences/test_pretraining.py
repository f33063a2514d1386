"""Pretraining on the table's own texts: what is asked of the network, and where."""

import dataclasses
from collections.abc import Callable
from itertools import islice
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.models import sequence_backbones, vocabularies
from toolkit.sequences import pretraining
from toolkit.tables import Table, read_table
from toolkit.training import Settings

SEED = tf.constant([3, 4], tf.int64)
SETTINGS = Settings(backbone="lstm", weights="none", batch_size=4)
ROWS = [np.arange(3, 5 + length, dtype=np.int32) for length in range(2, 14)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    lines = [f"word{i % 5} and word{i % 7} {'more ' * (70 if i == 3 else 1)},{'' if i % 3 else 'ab'[i % 2]}"
             for i in range(20)]
    path.write_text("text,label,split\n" + "".join(f"{line},train\n" for line in lines) + "unseen words,a,test\n"
                    "!,,train\n", encoding="utf-8")
    return read_table(path)


@pytest.mark.parametrize(("name", "options", "causal"), [
    ("lstm", {"units": 4, "bidirectional": False}, True), ("lstm", {"units": 4}, False),
    ("transformer", {"units": 4, "heads": 2, "num_layers": 1}, False)])
def test_the_language_model_shares_the_weights_of_the_network(name: str, options: dict, causal: bool) -> None:
    network = sequence_backbones.token_network(name, 11, width=6, **options)
    model, found = pretraining.language_model(network)
    assert (found, model.output_shape) == (causal, (None, None, 11))
    inner = {id(weight) for weight in network.weights}
    assert len([weight for weight in model.weights if id(weight) not in inner]) == 2  # a projection to the embedding
    tokens, places = np.array([[3, 4, 5, 6]], np.int32), np.array([[2, 0]], np.int32)
    before = model((tokens, places)).numpy()
    assert np.abs(before[0, 0] - before[0, 1]).max() > 1e-6
    embedding = network.get_layer("stem_embedding")
    embedding.set_weights([np.concatenate([embedding.get_weights()[0][:10], np.full((1, 6), 9)])])
    after = model((tokens, places)).numpy()  # token 10 is not among those read, so its vector acts as an output alone
    np.testing.assert_allclose(after[..., :10], before[..., :10], atol=1e-6)
    assert np.abs(after[..., 10] - before[..., 10]).max() > 1e-3


def test_the_embedding_learns_as_output_too() -> None:
    network = sequence_backbones.token_network("lstm", 11, width=6, units=4)
    model, _ = pretraining.language_model(network)
    with tf.GradientTape() as tape:
        logits = model((np.array([[3, 4]], np.int32), np.array([[1]], np.int32)))
        loss = keras.losses.sparse_categorical_crossentropy(np.array([[10]]), logits, from_logits=True)
    embeddings = network.get_layer("stem_embedding").embeddings.value
    gradient = tf.convert_to_tensor(tape.gradient(loss, embeddings)).numpy()
    assert np.abs(gradient[10]).max() > 0


def test_a_convolutional_network_has_no_steps_to_ask() -> None:
    with pytest.raises(ToolkitError, match="use --backbone lstm or transformer"):
        pretraining.language_model(sequence_backbones.token_network("text_cnn", 9, width=4))


def test_places_are_a_share_of_the_real_steps() -> None:
    real = np.zeros((3, 40), np.float32)
    for row, length in enumerate((40, 20, 1)):
        real[row, :length] = 1
    places, weights = (part.numpy() for part in pretraining.some_places(tf.constant(real), 0.15, seed=SEED))
    assert weights.sum(axis=1).tolist() == [6, 3, 1]
    for row in range(3):
        chosen = places[row][weights[row] > 0]
        assert len(set(chosen)) == len(chosen)
        assert real[row, chosen].all()


def test_hidden_tokens_are_marked_replaced_or_kept() -> None:
    tokens = tf.constant(np.random.default_rng(0).integers(3, 50, (64, 200)), tf.int32)
    places, weights = pretraining.some_places(tf.ones((64, 200)), 0.5, seed=SEED)
    shown = pretraining.hidden(tokens, places, weights, seed=SEED, num_tokens=50).numpy()
    chosen = np.zeros((64, 200), bool)
    np.put_along_axis(chosen, places.numpy(), True, axis=1)
    assert np.array_equal(shown[~chosen], tokens.numpy()[~chosen])
    assert (shown[chosen] == vocabularies.HIDDEN).mean() == pytest.approx(0.8, abs=0.02)
    assert (shown[chosen] == tokens.numpy()[chosen]).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("causal", [True, False])
def test_the_stream_asks_for_the_right_tokens_and_begins_anywhere(causal: bool) -> None:
    stream = pretraining.stream(ROWS, 40, SETTINGS, causal=causal)

    def arrays(first: int, count: int) -> list[list[np.ndarray]]:
        return [[part.numpy() for part in tf.nest.flatten(batch)] for batch in islice(stream(first), count)]

    for tokens, places, targets, weights in arrays(0, 6):
        there = np.take_along_axis(tokens, places, axis=1)
        asked = weights > 0
        if causal:
            assert np.array_equal(targets[asked], there[asked] + 1)  # the rows count upwards
        else:
            assert np.array_equal(targets[asked], (3 + places)[asked])
    for whole, resumed in zip(arrays(0, 9)[5:], arrays(5, 4), strict=True):
        for part, again in zip(whole, resumed, strict=True):
            np.testing.assert_array_equal(part, again)


def test_rows_are_all_training_texts_in_pieces(table: Table) -> None:
    vectorizer = vocabularies.vectorizer(["and", "more"])
    rows = pretraining.rows_of(table, sequence_backbones.TextPreprocessing(vectorizer, 2))
    assert len(rows) == 20 + 1  # the long one in two; the one without tokens left out; no test row
    assert max(map(len, rows)) == pretraining.LONGEST


def test_series_have_no_language(table: Table, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    build: Callable[[], Any] = list
    with pytest.raises(ToolkitError, match="learns the language of texts"):
        pretraining.pretrain(dataclasses.replace(table, kind="series"), build, SETTINGS, tmp_path, epochs=1)
