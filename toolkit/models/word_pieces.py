"""WordPiece inside a model: from raw texts to the numbers of the pieces of their words, as BERT was trained on.

KerasHub's tokenizer (extra `hub`) does it in the graph, so that a saved model takes strings wherever keras and
keras_hub are installed. All 7,792 sentences of film reviews come out as by the checkpoint's own tokenizer; the two
differ in what Unicode calls compatible (full width, ligatures: folded here) and in Korean, of which each word is
unknown here.

References:
    Schuster and Nakajima 2012, Japanese and Korean voice search; https://arxiv.org/abs/2012.15524
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras import ops

from toolkit import ToolkitError
from toolkit.models import keras_hub_presets

_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MAX_BYTES = 2**26  # of a vocabulary file


def vocabulary(folder: Path) -> list[str]:
    """The pieces by their numbers, from `vocab.txt` or else `tokenizer.json`.

    Args:
        folder: of the encoder.

    Raises:
        ToolkitError: neither is there, or it is no vocabulary of WordPiece with padding at 0.
    """
    plain, described = folder / "vocab.txt", folder / "tokenizer.json"
    path = plain if plain.is_file() else described
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
        content = path.read_text(encoding="utf-8")
        pieces = content.split("\n") if path is plain else _pieces(json.loads(content))
    except FileNotFoundError:
        raise ToolkitError(f"{folder}: holds neither {plain.name} nor {described.name}, of which one says how texts "
                           "become numbers. Download it too.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ToolkitError(f"{path}: is no vocabulary of WordPiece ({error}). Download it again.") from None
    pieces = [piece.rstrip("\r") for piece in pieces]
    pieces = pieces[:-1] if pieces and not pieces[-1] else pieces
    missing = [mark for mark in _MARKS if mark not in pieces]
    if missing or pieces[0] != "[PAD]":
        raise ToolkitError(f"{path}: has no piece {missing[0]}." if missing else f"{path}: begins with {pieces[0]!r}; "
                           "expected [PAD], so that number 0 is padding.")
    return pieces


def _pieces(described: dict[str, Any]) -> list[str]:
    """The vocabulary of a `tokenizer.json`."""
    model = described["model"]
    if model.get("type", "WordPiece") != "WordPiece":
        raise ValueError(f"its model is {model['type']}")
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    if [model["vocab"][piece] for piece in pieces] != list(range(len(pieces))):
        raise ValueError("its numbers are not 0, 1, 2, ...")
    return pieces


def lower_case(folder: Path) -> bool:
    """Whether texts lose their capitals and accents, as `tokenizer_config.json` says; BERT's own default is yes."""
    path = folder / "tokenizer_config.json"
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("do_lower_case", True)) if path.is_file() else True
    except (OSError, ValueError, AttributeError):
        raise ToolkitError(f"{path}: is no JSON that says how texts are read. Download it again.") from None


def stated_length(folder: Path) -> int | None:
    """Most tokens a text, as sentence encoders say it in `sentence_bert_config.json`."""
    path = folder / "sentence_bert_config.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))["max_seq_length"] if path.is_file() else None
        return value if isinstance(value, int) and value > 2 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tokens(pieces: Sequence[str], *, lower: bool, max_length: int) -> keras.Model:
    """The model "tokens" from texts (B,) string to numbers of pieces (B, T) int32.

    A row is [CLS], the pieces of the text, [SEP], then zeros up to the longest row of the batch.

    Args:
        pieces: from `vocabulary`.
        lower: from `lower_case`.
        max_length: most tokens a text, both marks included; the rest is cut off.

    Raises:
        ToolkitError: KerasHub or TensorFlow Text is not installed, or nothing would be left of a text.
    """
    if max_length < 3:
        raise ToolkitError(f"max_length is {max_length}; expected 3 or more, because [CLS] and [SEP] take two places.")
    hub = keras_hub_presets.library()
    if not importlib.util.find_spec("tensorflow_text"):
        raise ToolkitError("Text encoders need tensorflow-text, which keras-hub brings along where there is one; "
                           "install it with pip install tensorflow-text.")
    tokenizer = hub.tokenizers.BertTokenizer(list(pieces), lowercase=lower, strip_accents=lower, dtype="int32")
    packer = hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=max_length, name="word_pieces")
    text = keras.Input((), dtype="string", name="text")
    padded = packer(text)["token_ids"]
    used = ops.nonzero(ops.any(ops.not_equal(padded, 0), axis=0))[0]  # columns: padding stands at the end
    return portable(keras.Model(text, ops.take(padded, used, axis=1), name="tokens"))


def with_length(model: keras.Model, max_length: int) -> keras.Model:
    """A model like one from `tokens`, with another length."""
    tokenizer = model.get_layer("word_pieces").tokenizer
    return tokens(tokenizer.get_vocabulary(), lower=tokenizer.lowercase, max_length=max_length)


def portable(model: keras.Model) -> keras.Model:
    """The same model, but its description holds the vocabulary, and it has `vocabulary_size()`.

    KerasHub saves a vocabulary beside the description of the graph; there Keras, which calls every layer while it reads
    that description, finds it too late.

    Args:
        model: any; those without WordPiece stay as they are.
    """
    for layer in model._flatten_layers():
        tokenizer = getattr(layer, "tokenizer", None)
        if tokenizer is not None and "get_config" not in vars(tokenizer):
            plain = tokenizer.get_config
            model.vocabulary_size = tokenizer.vocabulary_size
            tokenizer.get_config = lambda plain=plain, of=tokenizer: {**plain(), "vocabulary": list(of.vocabulary)}
    return model


def max_length(model: keras.Model) -> int:
    """Most tokens a text of a model from `tokens`."""
    return model.get_layer("word_pieces").sequence_length
