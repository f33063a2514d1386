"""Networks on texts and series: from a string or an array of measurements to features.

    text (B,) string  ->  tokens  ->  network (B, T) int32, 0 = padding  ->  features (B, F)
    series (B, T, C) float32, NaN = missing  ->  network  ->  features (B, F)

Before the network a sequence is cut to its first `max_length` steps. The network of a text begins with an embedding
of its tokens, that of a series with the normalisation of its channels; vocabulary and statistics are learnt from
examples, which are the training rows. `lstm` and `transformer` read both kinds, the others one.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from toolkit import ToolkitError
from toolkit.models import saved_networks, vocabularies, word_pieces, word_vectors
from toolkit.models.recurrent import lstm
from toolkit.models.sequence_convolutions import series_fcn, series_resnet, text_cnn
from toolkit.models.sequence_layers import filled, series_mask, token_mask
from toolkit.models.transformer import transformer

GRAPHS: dict[str, Callable[..., KerasTensor]] = {
    "lstm": lstm, "transformer": transformer, "text_cnn": text_cnn, "series_fcn": series_fcn,
    "series_resnet": series_resnet}
KINDS = {"lstm": ("text", "series"), "transformer": ("text", "series"), "text_cnn": ("text",),
         "series_fcn": ("series",), "series_resnet": ("series",)}
TEXT_OPTIONS = {"tokens": "words", "vocabulary_size": 20_000, "max_length": 256, "embedding": "128"}
SERIES_OPTIONS = {"max_length": 0}
ROUNDING = 1e-12  # of the squared mean: a variance below it is that of one value many times
_SERIES_WIDTH = 64  # of the layer before recurrent and attention layers
_CUT = re.compile(r"first_(\d+)_steps|all_steps")


# ---- Preprocessing ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextPreprocessing:
    """How a text becomes token numbers: exactly what the model's own first layers do.

    `vectorizer` turns strings (B,) into whole numbers (B, T), 0 = padding; the first `max_length` are kept (0: all).
    """

    vectorizer: Callable[[Any], Any] = field(repr=False)
    max_length: int

    def longer(self) -> "TextPreprocessing":
        """The same, with a step more: a text that fills it was cut."""
        length = self.max_length + 1
        whole = isinstance(self.vectorizer, keras.Model)  # word pieces, which cut for themselves
        return TextPreprocessing(word_pieces.with_length(self.vectorizer, length) if whole else self.vectorizer, length)


@dataclass(frozen=True)
class SeriesPreprocessing:
    """How a series is cut: `channels` of it, the first `max_length` steps (0: all)."""

    channels: int
    max_length: int

    def longer(self) -> "SeriesPreprocessing":
        """The same, with a step more."""
        return SeriesPreprocessing(self.channels, self.max_length + 1)


def cut(steps: KerasTensor, max_length: int) -> KerasTensor:
    """The first `max_length` steps of (B, T) or (B, T, C); 0: all. The name of the last layer tells how many."""
    kept = steps[:, :max_length] if max_length else steps
    return layers.Identity(name=f"first_{max_length}_steps" if max_length else "all_steps")(kept)


def tokens_of(text: KerasTensor, preprocessing: TextPreprocessing) -> KerasTensor:
    """Token numbers (B, T) int32 of texts (B,), with a place at least: layers "tokens" and of `cut`."""
    numbers = ops.cast(preprocessing.vectorizer(text), "int32")
    return cut(ops.pad(numbers, [[0, 0], [0, 1]]), preprocessing.max_length)


def raw_input(preprocessing: TextPreprocessing | SeriesPreprocessing) -> tuple[KerasTensor, KerasTensor]:
    """Input "text" or "series" of a model, and what a network takes of it."""
    if isinstance(preprocessing, TextPreprocessing):
        text = keras.Input((), dtype="string", name="text")
        return text, tokens_of(text, preprocessing)
    series = keras.Input((None, preprocessing.channels), name="series")
    return series, cut(series, preprocessing.max_length)


def preprocessing(model: keras.Model) -> TextPreprocessing | SeriesPreprocessing | None:
    """The preprocessing of a built model, or of one made from it; None where it is of images."""
    found = [match for layer in model.layers if (match := _CUT.fullmatch(layer.name))]
    if not found:
        return None
    max_length = int(found[0][1] or 0)
    vectorizer = next((layer for layer in model.layers if layer.name == "tokens"), None)
    if vectorizer is None:
        return SeriesPreprocessing(model.inputs[0].shape[-1], max_length)
    return TextPreprocessing(vectorizer, max_length)


def described(preprocessing: TextPreprocessing | SeriesPreprocessing) -> dict[str, Any]:
    """A preprocessing for reports, JSON-ready."""
    if isinstance(preprocessing, SeriesPreprocessing):
        return {"channels": preprocessing.channels, "max_length": preprocessing.max_length}
    return {"vocabulary_size": preprocessing.vectorizer.vocabulary_size(), "max_length": preprocessing.max_length}


# ---- Building -----------------------------------------------------------------------------------------------------


def build(name: str, weights: str | Path, *, examples: Sequence[str] | Sequence[np.ndarray] = (), **options: Any
          ) -> keras.Model:
    """A model from raw texts or series to features, trainable throughout.

    Args:
        name: a key of `GRAPHS`.
        weights: "none" (random), or the `.keras` file of a run, which brings vocabulary, statistics and graph along.
        examples: for random weights, the training rows: texts, or series (T, C) float32 with NaN where a value is
            missing. They decide the kind.
        **options: of the network's own function; of `TEXT_OPTIONS` for texts, of `SERIES_OPTIONS` for series.

    Returns:
        A model named like the backbone, from Input "text", string (B,), or "series", float32 (B, T, C), to features
        (B, F).

    Raises:
        ToolkitError: an unknown option, weights that cannot be used, no examples, or examples of a kind that the
            network does not read.
    """
    if str(weights) != "none":
        return _of_run(name, Path(weights))
    if not len(examples):
        raise ToolkitError(f"{name} learns its vocabulary or statistics from training rows, and there are none: give "
                           "examples, the texts or series of the table.")
    kind = "text" if isinstance(examples[0], str) else "series"
    if kind not in KINDS[name]:
        others = ", ".join(other for other, kinds in KINDS.items() if kind in kinds)
        raise ToolkitError(f"{name} reads {KINDS[name][0]}, and the rows are of kind {kind}; choose {others}.")
    try:
        return (_of_texts if kind == "text" else _of_series)(name, examples, _split_options(name, kind, options))
    except ValueError as error:
        raise ToolkitError(f"{name}: {error}.") from error


def _split_options(name: str, kind: str, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the stem with their defaults, and those of the network's function."""
    own = list(inspect.signature(GRAPHS[name]).parameters)[2:]
    stem = TEXT_OPTIONS if kind == "text" else SERIES_OPTIONS
    for option in options:
        if option not in own and option not in stem:
            raise ToolkitError(f"{name} has no option {option!r} for rows of kind {kind}; it has "
                               f"{', '.join((*own, *stem))}.")
    return ({**stem, **{key: value for key, value in options.items() if key in stem}},
            {key: value for key, value in options.items() if key in own})


def _of_texts(name: str, texts: Sequence[str], options: tuple[dict[str, Any], dict[str, Any]]) -> keras.Model:
    stem, own = options
    vectors = word_vectors.read(stem["embedding"]) if not str(stem["embedding"]).isdigit() else None
    counts = vocabularies.count(texts, stem["tokens"])
    vocabulary = vocabularies.choose(counts, stem["vocabulary_size"], known=vectors.words if vectors else ())
    vectorizer = vocabularies.vectorizer(vocabulary, stem["tokens"])
    width = vectors.width if vectors else int(stem["embedding"])
    net = token_network(name, len(vocabulary) + 3, width=width, **own)
    if vectors:
        embedding = net.get_layer("stem_embedding")
        embedding.set_weights([vectors.placed(vocabulary, embedding.get_weights()[0])])
    return from_raw(net, TextPreprocessing(vectorizer, stem["max_length"]), name)


def _of_series(name: str, series: Sequence[np.ndarray], options: tuple[dict[str, Any], dict[str, Any]]) -> keras.Model:
    stem, own = options
    mean, variance = statistics(series)
    net = series_network(name, mean, variance, **own)
    return from_raw(net, SeriesPreprocessing(len(mean), stem["max_length"]), name)


def _of_run(name: str, path: Path) -> keras.Model:
    try:
        saved = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise ToolkitError(f"{path}: not a model that Keras can read ({saved_networks.first_line(error)}).") from error
    found = preprocessing(saved)
    if found is None:
        raise ToolkitError(f"{path}: is no network on texts or series, as {name} is; name a run of such a one.")
    net = next(layer for layer in saved._flatten_layers() if layer.name == "network")
    for layer in net._flatten_layers():
        layer.trainable = True
    return from_raw(net, found, name)


def from_raw(net: keras.Model, preprocessing: TextPreprocessing | SeriesPreprocessing, name: str) -> keras.Model:
    """A network behind the layers that bring raw texts or series to it.

    Args:
        net: (B, T) int32 or (B, T, C) float32 to features.
        preprocessing: what those layers do.
        name: of the model.
    """
    raw, steps = raw_input(preprocessing)
    return keras.Model(raw, net(steps), name=name)


# ---- Networks -----------------------------------------------------------------------------------------------------


def token_network(name: str, vocabulary_size: int, *, width: int = 128, **options: Any) -> keras.Model:
    """The network of a text: tokens (B, T) int32, 0 = padding, to features.

    Args:
        name: a key of `GRAPHS`.
        vocabulary_size: number of tokens with padding, unknown and hidden ones.
        width: of the embedding of a token.
        **options: of the network's function; `pooling="none"` gives every step, (B, T, F).

    Example:
        >>> token_network("lstm", 50, width=8, units=4, pooling="none").output_shape
        (None, None, 8)
    """
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    x = layers.Embedding(vocabulary_size, width, name="stem_embedding")(tokens)
    return keras.Model(tokens, GRAPHS[name](x, token_mask(tokens), **options), name="network")


def series_network(name: str, mean: Sequence[float], variance: Sequence[float], **options: Any) -> keras.Model:
    """The network of a series: (B, T, C) float32, NaN = missing, to features.

    Args:
        name: a key of `GRAPHS`.
        mean: of each of the C channels.
        variance: likewise.
        **options: of the network's function; `pooling="none"` gives every step, (B, T, F).
    """
    series = keras.Input((None, len(mean)), name="steps")
    x = filled(series, mean=list(mean), variance=list(variance))
    if name in ("lstm", "transformer"):
        x = layers.Dense(_SERIES_WIDTH, name="stem_dense")(x)
    return keras.Model(series, GRAPHS[name](x, series_mask(series), **options), name="network")


def statistics(series: Sequence[np.ndarray]) -> tuple[list[float], list[float]]:
    """Mean and variance of each channel over all values that are there; 0 and 1 where a channel does not vary.

    Args:
        series: (T, C) each, NaN = missing; their order does not matter.
    """
    ordered = [values.astype(np.float64) for values in sorted(series, key=lambda values: values.tobytes())]
    count = np.maximum(sum(np.isfinite(values).sum(axis=0) for values in ordered), 1)
    mean = sum(np.nansum(values, axis=0) for values in ordered) / count
    variance = sum(np.nansum((values - mean)**2, axis=0) for values in ordered) / count
    return mean.tolist(), np.where(variance > ROUNDING * mean**2, variance, 1.0).tolist()
