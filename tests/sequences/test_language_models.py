"""Language models: tokens, windows, and what an untrained network must already keep. Nothing is trained here."""

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.sequences import generation, language_models, step_networks, tagging
from toolkit.sequences.language_models import END, END_NUMBER, FEWEST_NUMBERS

TEXTS = ["the cat", "a\nline, and more!", "naïve café — 日本", "a\u00a0b\u3000c d\x1ce", ""]
OPTIONS = {"units": 8, "embedding": "8", "heads": 2, "num_layers": 1, "dropout": 0.1}


@pytest.fixture(scope="module", params=step_networks.NETWORKS)
def model(request: pytest.FixtureRequest) -> keras.Model:
    keras.utils.set_random_seed(0)
    return step_networks.on_tokens(request.param, 30, 30, OPTIONS, causal=True)


@pytest.mark.parametrize("tokens", ["characters", "words"])
def test_the_vectorizer_numbers_tokens_as_python_does(tokens: str) -> None:
    known = list(dict.fromkeys(token for text in TEXTS[:2] for token in language_models.split(text, tokens)))
    number = {token: i + FEWEST_NUMBERS for i, token in enumerate(known)}
    layer = language_models.vectorizer(known, tokens)
    for text in TEXTS:
        pieces = language_models.split(text, tokens)
        written = f"{END} {' '.join(pieces)}" if tokens == "words" else END + text
        assert layer([written]).numpy()[0].tolist() == [END_NUMBER, *(number.get(piece, 1) for piece in pieces)]


def test_the_tagger_splits_at_blanks_and_at_nothing_else() -> None:
    tokens = ("New\N{NO-BREAK SPACE}York", "it's", "—", "日本")
    number = {token: i + 2 for i, token in enumerate(tokens)}
    found = tagging.vectorizer(tokens)([" ".join(tokens)]).numpy()[0]
    assert found.tolist() == tagging.numbered(tokens, number).tolist() == [2, 3, 4, 5]


def test_no_step_knows_a_later_one_and_padding_changes_nothing(model: keras.Model) -> None:
    row = np.random.default_rng(0).integers(1, 30, 12).astype(np.int32)
    alone, = step_networks.probabilities(model, [row])
    beside, _ = step_networks.probabilities(model, [row, np.ones(40, np.int32)])
    np.testing.assert_allclose(alone, beside, atol=1e-6)
    changed = row.copy()
    changed[7:] = 3
    other, = step_networks.probabilities(model, [changed])
    np.testing.assert_allclose(alone[:7], other[:7], atol=1e-6)
    assert np.abs(alone[7:] - other[7:]).max() > 1e-4


def test_a_tagger_knows_both_sides() -> None:
    keras.utils.set_random_seed(0)
    model = step_networks.on_tokens("lstm", 30, 3, OPTIONS, causal=False)
    row = np.arange(1, 9, dtype=np.int32)
    first, second = step_networks.probabilities(model, [row, np.r_[row[:-1], 20].astype(np.int32)])
    assert np.abs(first[0] - second[0]).max() > 1e-6


def test_bits_of_a_short_row_are_those_of_one_window(model: keras.Model) -> None:
    row = np.array([2, 5, 6, 7, 2], np.int32)
    probabilities, = step_networks.probabilities(model, [row[:-1]])
    expected = -np.log2(probabilities[np.arange(4), row[1:]]).sum()
    assert language_models.row_bits(model, [row], 64)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("length", [4, 5, 8])
def test_every_token_of_a_long_row_is_counted_once(model: keras.Model, length: int) -> None:
    """A network whose answer does not depend on the past gives the same bits for any window."""
    for weight in model.weights:
        weight.assign(weight * 0)
    row = np.random.default_rng(0).integers(1, 30, 21).astype(np.int32)
    assert language_models.row_bits(model, [row], length)[0] == pytest.approx(20 * np.log2(30), rel=1e-5)


def generator() -> generation.Generator:
    keras.utils.set_random_seed(1)
    vocabulary = ("", "[UNK]", END, *"abcdefghij")
    network = step_networks.on_tokens("lstm", len(vocabulary), len(vocabulary), OPTIONS, causal=True)
    return generation.Generator(network, vocabulary, "characters", 16)


def test_generation_repeats_with_its_seed_and_has_the_length() -> None:
    found = generator()
    first, again, other = (generation.generate(found, prompt="ab", length=30, seed=seed) for seed in (0, 0, 1))
    assert first == again != other and first.startswith("ab")
    assert len(first) == 2 + 30  # the end of a row is a line break, one token too
    assert set(first) <= set("abcdefghij\n")


def test_at_temperature_zero_the_seed_does_not_matter() -> None:
    found = generator()
    assert len({generation.generate(found, length=20, temperature=0, seed=seed) for seed in range(3)}) == 1


def test_draws_have_the_probabilities_of_the_temperature() -> None:
    logits = np.log(np.array([0.5, 0.2, 0.1, 0.15, 0.05]))  # padding and unknown are never drawn
    random = np.random.default_rng(0)
    counts = np.bincount([generation._draw(logits, 0.5, random) for _ in range(4000)], minlength=5) / 4000
    shares = np.array([0, 0, 0.1, 0.15, 0.05])**2
    np.testing.assert_allclose(counts, shares / shares.sum(), atol=0.03)


def test_word_vectors_from_a_file_are_refused_in_one_sentence() -> None:
    with pytest.raises(ToolkitError, match="--embedding glove.txt is a file"):
        step_networks.on_tokens("lstm", 5, 5, {"embedding": "glove.txt"}, causal=True)


def test_options_that_a_graph_cannot_use_are_refused_in_one_sentence() -> None:
    with pytest.raises(ToolkitError, match="transformer: units is 30, which 4 heads do not divide"):
        step_networks.on_tokens("transformer", 9, 9, {"units": 30}, causal=False)
