"""Counting, choosing and numbering tokens."""

import numpy as np
import pytest
import tensorflow as tf

from toolkit.models import vocabularies

TEXTS = ["The cat sat, on the mat!", "the CAT; a dog", "dog's \ud800 tail"]


def test_words_are_lower_case_without_punctuation():
    counts = vocabularies.count(TEXTS)
    assert (counts["the"], counts["cat"], counts["dogs"], counts["cat,"]) == (3, 2, 1, 0)


def test_characters_are_as_they_stand():
    counts = vocabularies.count(["Ab b\n", "é"], "characters")
    assert counts == {"A": 1, "b": 2, " ": 1, "\n": 1, "é": 1}


def test_the_vocabulary_does_not_depend_on_the_order_of_texts():
    chosen = vocabularies.choose(vocabularies.count(TEXTS), 100)
    assert chosen == vocabularies.choose(vocabularies.count(TEXTS[::-1]), 100) == ["the", "cat"]
    assert vocabularies.choose(vocabularies.count(TEXTS), 4) == ["the"]


def test_words_with_vectors_need_one_occurrence_and_fill_up():
    counts = vocabularies.count(TEXTS)
    assert vocabularies.choose(counts, 7, known=["zebra", "mat", "lion"]) == ["the", "cat", "mat", "zebra"]


@pytest.mark.parametrize("tokens", vocabularies.KINDS)
def test_every_token_has_its_number(tokens):
    vocabulary = vocabularies.choose(vocabularies.count(TEXTS, tokens), 100, least=1)
    layer = vocabularies.vectorizer(vocabulary, tokens)
    assert layer.get_vocabulary()[:3] == ["", "[UNK]", vocabularies.HIDDEN_TOKEN]
    numbers = layer(vocabularies.encoded(vocabulary)).numpy()[:, 0] if tokens == "words" else [
        layer(tf.constant([token])).numpy()[0, 0] for token in vocabulary]
    assert np.array_equal(numbers, np.arange(len(vocabulary)) + vocabularies.HIDDEN + 1)
    assert (layer(tf.constant(["ÿ" if tokens == "characters" else "quux"])).numpy() == vocabularies.UNKNOWN).all()


def test_no_text_can_write_the_hiding_mark():
    layer = vocabularies.vectorizer(["mask"], "words")
    assert layer(tf.constant(["[MASK]"])).numpy().tolist() == [[3]]


def test_other_tokens_are_refused():
    with pytest.raises(ValueError, match="expected words or characters"):
        vocabularies.vectorizer([], "syllables")
