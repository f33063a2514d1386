r"""Pretrained text encoders of the BERT family (BERT, MiniLM, DistilBERT), from a directory as the hubs cache it.

    text (B,) string  ->  tokens  ->  network (B, T) int32, 0 = padding  ->  features (B, F)

`tokens` is WordPiece, by KerasHub's tokenizer (extra `hub`), which is all that a saved model needs beside Keras. The
network is of stock layers: word and position embeddings, then blocks

.. math:: x \leftarrow \mathrm{norm}(x + \mathrm{attention}(x)), \qquad
          x \leftarrow \mathrm{norm}(x + W_2\, \mathrm{gelu}(W_1 x))

and the mean over the tokens that are no padding. KerasHub's own BertBackbone takes an approximate gelu where these
checkpoints mean the exact one, and is a thousandth away from them; here features equal the original's within 1e-5. The
pooler and the heads of a checkpoint are not used; a text is one segment, whose embedding is added to the positions'.

References:
    BERT: Devlin et al. 2019, https://arxiv.org/abs/1810.04805; DistilBERT: Sanh et al. 2019,
    https://arxiv.org/abs/1910.01108; MiniLM: Wang et al. 2020, https://arxiv.org/abs/2002.10957
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from toolkit import ToolkitError
from toolkit.models import checkpoint_files, saved_networks, sequence_backbones, word_pieces
from toolkit.models.catalogue import TEXT_ENCODER
from toolkit.models.sequence_backbones import TextPreprocessing
from toolkit.models.text_encoder_shapes import TYPES, Shape, of_configuration
from toolkit.models.weight_sources import Source

MAX_LENGTH = 256  # tokens, where the directory does not say
_NAMES = {  # of the tensors of a block, ours -> BERT's and DistilBERT's
    "query": ("attention.self.query", "attention.q_lin"), "key": ("attention.self.key", "attention.k_lin"),
    "value": ("attention.self.value", "attention.v_lin"),
    "attention_output": ("attention.output.dense", "attention.out_lin"),
    "attention_norm": ("attention.output.LayerNorm", "sa_layer_norm"),
    "hidden": ("intermediate.dense", "ffn.lin1"), "output": ("output.dense", "ffn.lin2"),
    "output_norm": ("output.LayerNorm", "output_layer_norm")}


# ---- From a text to features --------------------------------------------------------------------------------------


def build(source: Source, *, max_length: int | None = None, **others: object) -> keras.Model:
    """The model of a directory, or of a run that began with one.

    Args:
        source: its entry is named after the directory; its weights are the directory, "none" (random), or the `.keras`
            file of a run, whose tokens and network are taken.
        max_length: most tokens a text, both marks included; None: what the directory or the run has, or 256.
        **others: options of other networks, which are refused.

    Returns:
        A model from Input "text" (B,) string to features (B, F), its layers "tokens" and "network".

    Raises:
        ToolkitError: the directory or the file cannot be used, or KerasHub is not installed.
    """
    for option in others:
        raise ToolkitError(f"a text encoder has no option {option!r}; it has max_length.")
    make = _of_run if Path(source.weights).suffix == ".keras" else _of_directory
    tokens, net = make(source, max_length)
    title = re.sub(r"[^\w.-]", "_", f"text_encoder_{Path(source.entry.name).name.removeprefix('text_encoder_')}")
    model = sequence_backbones.from_raw(net, TextPreprocessing(tokens, word_pieces.max_length(tokens)), title)
    model.sources = (str(source.weights), source.preprocessing, None)
    return model


def _of_directory(source: Source, max_length: int | None) -> tuple[keras.Model, keras.Model]:
    """Tokens and network of a directory."""
    folder = checkpoint_files.located(source.entry.name.removeprefix(TEXT_ENCODER)).parent
    shape = of_configuration(checkpoint_files.configuration(folder), str(folder))
    pieces = word_pieces.vocabulary(folder)
    if len(pieces) > shape.vocabulary_size:
        raise ToolkitError(f"{folder}: its vocabulary has {len(pieces):,} pieces, its network "
                           f"{shape.vocabulary_size:,}: they do not belong together. Download both again.")
    length = min(max_length or word_pieces.stated_length(folder) or MAX_LENGTH, shape.max_length)
    tokens = word_pieces.tokens(pieces, lower=word_pieces.lower_case(folder), max_length=length)
    net = network(shape)
    return tokens, net if str(source.weights) == "none" else load_weights(net, shape, Path(source.weights))


def _of_run(source: Source, max_length: int | None) -> tuple[keras.Model, keras.Model]:
    """Tokens and network of a run's model, the network trainable throughout."""
    found = {layer.name: layer for layer in saved_networks.model(Path(source.weights))._flatten_layers()}
    if not {"tokens", "network", "word_pieces"} <= set(found):
        raise ToolkitError(f"{source.weights}: holds no text encoder; name a run that began with one.")
    for layer in found["network"]._flatten_layers():
        layer.trainable = True
    tokens = found["tokens"]
    if max_length:
        positions = found["network"].get_layer("stem_positions").input_dim
        tokens = word_pieces.with_length(tokens, min(max_length, positions))
    return word_pieces.portable(tokens), found["network"]


# ---- The network --------------------------------------------------------------------------------------------------


def network(shape: Shape) -> keras.Model:
    """The encoder with random weights: a flat model "network" from tokens (B, T) int32 to features (B, F)."""
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    real = ops.not_equal(tokens, 0)
    positions = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
    x = layers.Add(name="stem_add")([
        layers.Embedding(shape.vocabulary_size, shape.units, name="stem_words")(tokens),
        layers.Embedding(shape.max_length, shape.units, name="stem_positions")(positions)])
    x = layers.LayerNormalization(epsilon=shape.epsilon, name="stem_norm")(x)
    x = layers.Dropout(shape.dropout, name="stem_dropout")(x)
    mask = ops.expand_dims(real, 1)  # (B, 1, T): every token looks at all that are no padding
    for number in range(1, shape.num_layers + 1):
        x = _block(x, mask, shape, f"block{number}")
    x = layers.GlobalAveragePooling1D(name="head_mean")(x, mask=real)
    return keras.Model(tokens, x, name="network")


def _block(x: KerasTensor, mask: KerasTensor, shape: Shape, name: str) -> KerasTensor:
    """Attention, then two dense layers, each added to what it was given and normalised."""
    attention = layers.MultiHeadAttention(shape.num_heads, shape.units // shape.num_heads,
                                          dropout=shape.attention_dropout, name=f"{name}_attention")
    y = attention(x, x, attention_mask=mask)
    y = layers.Dropout(shape.dropout, name=f"{name}_attention_dropout")(y)
    y = layers.Add(name=f"{name}_attention_add")([x, y])
    x = layers.LayerNormalization(epsilon=shape.epsilon, name=f"{name}_attention_norm")(y)
    y = layers.Dense(shape.hidden_units, name=f"{name}_hidden")(x)
    if shape.activation == "gelu_tanh":
        y = ops.gelu(y, approximate=True)
    else:
        y = ops.relu(y) if shape.activation == "relu" else ops.gelu(y, approximate=False)
    y = layers.Dense(shape.units, name=f"{name}_output")(y)
    y = layers.Dropout(shape.dropout, name=f"{name}_output_dropout")(y)
    y = layers.Add(name=f"{name}_output_add")([x, y])
    return layers.LayerNormalization(epsilon=shape.epsilon, name=f"{name}_output_norm")(y)


# ---- Its weights --------------------------------------------------------------------------------------------------


def load_weights(net: keras.Model, shape: Shape, folder: Path) -> keras.Model:
    """Puts the weights of a directory into a network from `network`; tensors of poolers and heads are left over.

    Args:
        net: the network.
        shape: of which it is.
        folder: with `model.safetensors` or `pytorch_model.bin`.

    Returns:
        The network.

    Raises:
        ToolkitError: a tensor is missing or has another shape, or the file is damaged.
    """
    tensors = checkpoint_files.read(folder).tensors
    anchor = "embeddings.word_embeddings.weight"
    found = next((name for name in tensors if name == anchor or name.endswith(f".{anchor}")), None)
    if found is None:
        raise ToolkitError(f"{folder}: its weights have no tensor '{anchor}' (the first is '{next(iter(tensors), '')}'"
                           f"). Use a checkpoint of a {shape.kind} encoder.")
    prefix = found.removesuffix(anchor)

    def tensor(name: str) -> np.ndarray:
        older = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        for one in (prefix + name, prefix + older):
            if one in tensors:
                return tensors[one]
        raise ToolkitError(f"{folder}: its weights have no tensor '{prefix}{name}'. Download the checkpoint again.")

    for path, variable in _variables(net):
        value = _value(path, shape, tensor)
        if value.size != int(np.prod(variable.shape)):
            raise ToolkitError(f"{folder}: the tensor of {path} has shape {value.shape}; expected as many numbers as "
                               f"{tuple(variable.shape)}. Its config.json is not of this checkpoint.")
        variable.assign(np.asarray(value, np.float32).reshape(variable.shape))
    return net


def _variables(net: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """Every weight with its place: "stem_norm/gamma", "block1_attention/query/kernel"."""
    for layer in net.layers:
        for variable in layer.weights:
            yield variable.path[variable.path.index(layer.name):], variable


def _value(path: str, shape: Shape, tensor: Callable[[str], np.ndarray]) -> np.ndarray:
    """The array of one weight; Keras has the kernels transposed."""
    layer, *inner, kind = path.split("/")
    distilled = TYPES.index(shape.kind)
    if layer == "stem_words":
        return tensor("embeddings.word_embeddings.weight")
    if layer == "stem_positions":
        positions = tensor("embeddings.position_embeddings.weight")
        return positions if distilled else positions + tensor("embeddings.token_type_embeddings.weight")[0]
    suffix = {"kernel": "weight", "gamma": "weight"}.get(kind, "bias")
    if layer == "stem_norm":
        return tensor(f"embeddings.LayerNorm.{suffix}")
    block, _, part = layer.partition("_")
    part = inner[0] if inner else part
    start = f"{'transformer' if distilled else 'encoder'}.layer.{int(block.removeprefix('block')) - 1}"
    value = tensor(f"{start}.{_NAMES[part][distilled]}.{suffix}")
    return value.T if kind == "kernel" else value
