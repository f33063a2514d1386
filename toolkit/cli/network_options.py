"""The options that some of our own networks have: what they are, and their defaults by backbone."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import click

_TWO_HIDDEN_LAYERS = ("alexnet_torchvision", "vgg11", "vgg16")
OWN_NETWORKS = ("small_cnn", "mlp", "alexnet", *_TWO_HIDDEN_LAYERS, "resnet18", "resnet34", "resnet50",
                "efficientnet_lite0", "efficientnet_b0", "mobilenetv3_small_100")
_READ_STEPS = ("lstm", "transformer")
_READ_TEXTS = (*_READ_STEPS, "text_cnn")


class Integers(click.ParamType):
    """Whole numbers with commas between them: 256,128."""

    name = "integers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """The numbers as a list; a list passes through."""
        if isinstance(value, list):
            return value
        if not re.fullmatch(r"0*[1-9]\d{0,5}(,0*[1-9]\d{0,5})*", value):
            self.fail(f"{value!r} is not a list of positive whole numbers such as 256,128.", param, ctx)
        return [int(number) for number in value.split(",")]


@dataclasses.dataclass(frozen=True)
class NetworkOption:
    """An option of some of our own networks; it reaches the network only where it is given.

    Attributes:
        type: how click reads it.
        help: what it is.
        defaults: by backbone, as its function has them.
        flag: the option, where it is not called like the argument.
        metavar: what stands for the value in the help, where click's own word is too long.
    """

    type: click.ParamType
    help: str
    defaults: dict[str, Any]
    flag: str = ""
    metavar: str | None = None


NETWORK_OPTIONS = {
    "hidden": NetworkOption(
        Integers(), "Units of each hidden layer.",
        {"mlp": (256, 128), **dict.fromkeys(_TWO_HIDDEN_LAYERS, (4096, 4096))}, metavar="N,N..."),
    "filters": NetworkOption(Integers(), "Channels of each block of convolutions; of text_cnn, of each width.",
                             {"small_cnn": (32, 64, 128), "series_fcn": (128, 256, 128),
                              "series_resnet": (64, 128, 128), "text_cnn": (100,)}, metavar="N,N..."),
    "activation": NetworkOption(click.Choice(["relu", "leaky_relu", "elu", "maxout", "tanh", "sigmoid"]),
                                "After every layer.", {"small_cnn": "relu", "mlp": "relu"}),
    "initialiser": NetworkOption(
        click.Choice(["gaussian", "glorot", "he"]), "Random weights at the beginning; gaussian: deviation 0.01.",
        {name: "gaussian" if name == "alexnet" else "he" for name in OWN_NETWORKS}),
    "pooling": NetworkOption(click.Choice(["max", "average", "mean", "attention", "last", "concatenation"]),
                             "How a block halves the picture: max or average. How the steps of a sequence become one "
                             "vector: all but average; concatenation is of last, max and mean.",
                             {"small_cnn": "max", "lstm": "max", "transformer": "mean"}, metavar="NAME"),
    "dropout": NetworkOption(click.FloatRange(0, 1, max_open=True), "Dropout rate inside the network.",
                             {"small_cnn": 0.1, "mlp": 0.2, "lstm": 0.5, "transformer": 0.1, "text_cnn": 0.5,
                              **dict.fromkeys(("alexnet", *_TWO_HIDDEN_LAYERS), 0.5)},
                             "--network-dropout", "X"),
    "batch_normalisation": NetworkOption(click.BOOL, "BatchNorm before each activation.",
                                         {"small_cnn": True, "mlp": False},
                                         "--batch-normalisation/--no-batch-normalisation"),
    "groups": NetworkOption(click.IntRange(1, 2), "Halves of the layers, as on the paper's two GPUs; 1 joins them.",
                            {"alexnet": 2}, metavar="N"),
    "padding": NetworkOption(click.Choice(["symmetric", "same"]), "As PyTorch (symmetric) or TensorFlow (same) trained "
                             "the weights; a checkpoint's own configuration tells.",
                             {"efficientnet_lite0": "same", "efficientnet_b0": "symmetric",
                              "mobilenetv3_small_100": "symmetric"}),
    "cell": NetworkOption(click.Choice(["lstm", "gru", "rnn"]), "Recurrent cell; rnn is the plain one.",
                          {"lstm": "lstm"}),
    "bidirectional": NetworkOption(click.BOOL, "Read forwards and backwards.", {"lstm": True},
                                   "--bidirectional/--no-bidirectional"),
    "units": NetworkOption(click.IntRange(1, 65_536), "Units of each layer and direction.",
                           {"lstm": 128, "transformer": 128}, metavar="N"),
    "num_layers": NetworkOption(click.IntRange(1, 100), "Layers, or blocks of attention.",
                                {"lstm": 1, "transformer": 2}, "--layers", "N"),
    "heads": NetworkOption(click.IntRange(1, 1024), "Heads of the attention.", {"transformer": 4}, metavar="N"),
    "widths": NetworkOption(Integers(), "Tokens that the filters see.", {"text_cnn": (3, 4, 5)}, metavar="N,N..."),
    "tokens": NetworkOption(click.Choice(["words", "characters"]), "What a text is cut into.",
                            dict.fromkeys(_READ_TEXTS, "words")),
    "vocabulary_size": NetworkOption(click.IntRange(4, 2_000_000), "Most tokens that are known.",
                                     dict.fromkeys(_READ_TEXTS, 20_000), "--vocabulary-size", "N"),
    "max_length": NetworkOption(click.IntRange(0, 1_000_000), "Tokens or time steps that are read; 0: all.",
                                dict.fromkeys(_READ_TEXTS, "256 tokens, all time steps")
                                | dict.fromkeys(("series_fcn", "series_resnet"), "0")
                                | {"text_encoder": "as its directory says, or 256"}, "--max-length", "N"),
    "embedding": NetworkOption(click.STRING, "Columns of the word vectors, or a file of them to begin with (GloVe, "
                               "word2vec or fastText, as text).", dict.fromkeys(_READ_TEXTS, "128"), metavar="N|FILE"),
}
