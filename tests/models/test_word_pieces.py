"""WordPiece: vocabularies and their damage; through KerasHub (an extra: else skipped) the numbers of the pieces."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.models import word_pieces

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "##s", "un", "##lov", "##able", "cafe", "!", "Film", "[MASK]"]


def test_a_vocabulary_comes_from_either_file(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {
        "type": "WordPiece", "vocab": {piece: number for number, piece in reversed(list(enumerate(PIECES)))}}}))
    assert word_pieces.vocabulary(tmp_path) == PIECES
    (tmp_path / "vocab.txt").write_bytes("\r\n".join([*PIECES, ""]).encode())
    assert word_pieces.vocabulary(tmp_path) == PIECES


@pytest.mark.parametrize(("name", "content", "message"), [
    ("tokenizer.json", json.dumps({"model": {"type": "BPE", "vocab": {}}}), "its model is BPE"),
    ("tokenizer.json", json.dumps({"model": {"vocab": {"[PAD]": 0, "[UNK]": 2}}}), "its numbers are not 0, 1, 2"),
    ("tokenizer.json", "[]", "no vocabulary of WordPiece"),
    ("vocab.txt", "the\n[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", "begins with 'the'; expected \\[PAD\\]"),
    ("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n", "has no piece \\[SEP\\]"),
])
def test_other_vocabularies_are_refused_in_one_sentence(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ToolkitError, match=message):
        word_pieces.vocabulary(tmp_path)


def test_a_directory_without_vocabulary(tmp_path):
    with pytest.raises(ToolkitError, match="holds neither vocab.txt nor tokenizer.json"):
        word_pieces.vocabulary(tmp_path)


def test_what_the_directory_says_of_capitals_and_length(tmp_path):
    assert word_pieces.lower_case(tmp_path) and word_pieces.stated_length(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    assert not word_pieces.lower_case(tmp_path) and word_pieces.stated_length(tmp_path) == 128
    (tmp_path / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(ToolkitError, match="tokenizer_config.json: is no JSON that says how texts are read"):
        word_pieces.lower_case(tmp_path)


@pytest.fixture(scope="module")
def tokens():
    pytest.importorskip("keras_hub")
    pytest.importorskip("tensorflow_text")
    return word_pieces.tokens(PIECES, lower=True, max_length=7)


def test_words_become_pieces_between_marks(tokens):
    numbers = tokens(tf.constant(["The FILMS!", "unlovable Café xyz", " ", "the the the the the the the"])).numpy()
    assert numbers.tolist() == [[2, 4, 5, 6, 11, 3, 0], [2, 7, 8, 9, 10, 1, 3], [2, 3, 0, 0, 0, 0, 0],
                                [2, 4, 4, 4, 4, 4, 3]]
    assert tokens(tf.constant(["the"])).shape == (1, 3)  # no longer than the longest


def test_capitals_stay_where_they_mean_something():
    pytest.importorskip("keras_hub")
    cased = word_pieces.tokens(PIECES, lower=False, max_length=5)
    assert cased(tf.constant(["Film film"])).numpy().tolist() == [[2, 12, 5, 3]]


def test_lengths(tokens):
    assert word_pieces.max_length(tokens) == 7 and word_pieces.max_length(word_pieces.with_length(tokens, 4)) == 4
    with pytest.raises(ToolkitError, match="max_length is 2; expected 3 or more"):
        word_pieces.with_length(tokens, 2)


def test_a_saved_model_takes_strings_in_a_process_that_imports_keras_only(tokens, tmp_path):
    text = keras.Input((), dtype="string", name="text")
    keras.Model(text, tokens(text)).save(tmp_path / "model.keras")
    code = ("import keras, sys, tensorflow as tf; model = keras.models.load_model(sys.argv[1]); "
            "print(model.predict(tf.constant(['the films', 'xyz']), verbose=0).tolist())")
    found = subprocess.run([sys.executable, "-c", code, tmp_path / "model.keras"], capture_output=True, text=True)
    assert found.stdout.strip().endswith("[[2, 4, 5, 6, 3], [2, 1, 3, 0, 0]]"), found.stderr


def test_a_model_that_was_loaded_can_be_saved_again(tokens, tmp_path):
    tokens.save(tmp_path / "once.keras")
    once = word_pieces.portable(keras.models.load_model(tmp_path / "once.keras"))
    once.save(tmp_path / "twice.keras")
    twice = keras.models.load_model(tmp_path / "twice.keras")
    texts = tf.constant(["the films"])
    np.testing.assert_array_equal(tokens(texts), twice(texts))
    assert once.vocabulary_size() == len(PIECES)
