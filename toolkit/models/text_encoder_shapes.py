"""What the `config.json` of a text encoder says of its network: BERT, MiniLM, DistilBERT.

Nothing heavy is imported here.

References:
    https://huggingface.co/docs/transformers/model_doc/bert#transformers.BertConfig; rates of fine-tuning: Devlin et al.
    2019, https://arxiv.org/abs/1810.04805, appendix A.3
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit import ToolkitError

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
_KEYS = {  # of config.json: ours -> BERT's and DistilBERT's
    "vocabulary_size": ("vocab_size", "vocab_size"), "num_layers": ("num_hidden_layers", "n_layers"),
    "num_heads": ("num_attention_heads", "n_heads"), "units": ("hidden_size", "dim"),
    "hidden_units": ("intermediate_size", "hidden_dim"),
    "max_length": ("max_position_embeddings", "max_position_embeddings")}
TYPES = ("bert", "distilbert")
BASE_RATE = 5e-5  # of fine-tuning, at so many units:
_BASE_UNITS = 768


@dataclass(frozen=True)
class Shape:
    """What the `config.json` of an encoder says of its network.

    `kind` is one of `TYPES`; `units` is F, `max_length` the number of positions, `activation` Keras' name; the dropout
    rates lie in [0, 1).
    """

    kind: str
    vocabulary_size: int
    num_layers: int
    num_heads: int
    units: int
    hidden_units: int
    max_length: int
    activation: str
    dropout: float
    attention_dropout: float
    epsilon: float

    @property
    def learning_rate(self) -> float:
        """Peak rate of fine-tuning: the largest that BERT's authors tried at 768 units, and twice that from 384 units
        down, where validation rows of sst2 preferred it for MiniLM; between them, and for wider ones, in proportion."""
        return BASE_RATE * min(_BASE_UNITS / self.units, 2.0)


def is_encoder(configuration: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is that of a model of language, which `of_configuration` then takes or refuses."""
    return "model_type" in configuration and "vocab_size" in configuration


def of_configuration(configuration: Mapping[str, Any], source: str) -> Shape:
    """The network that a configuration describes.

    Args:
        configuration: of the directory, as `checkpoint_files.configuration` reads it.
        source: its name, for messages.

    Raises:
        ToolkitError: it is none that is built here, or a number is missing.
    """
    kind = configuration.get("model_type")
    if kind not in TYPES:
        raise ToolkitError(f"{source}: its config.json says model_type {kind!r}; expected {' or '.join(TYPES)}. MiniLM "
                           "and most sentence encoders are of these.")
    distilled = TYPES.index(kind)
    values = {ours: configuration.get(theirs[distilled]) for ours, theirs in _KEYS.items()}
    for ours, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**24:
            raise ToolkitError(f"{source}: its config.json says {_KEYS[ours][distilled]} {value!r}; expected a "
                               "positive whole number. Download it again.")
    said = configuration.get("activation" if distilled else "hidden_act", "gelu")
    if said not in ACTIVATIONS or values["units"] % values["num_heads"] or \
            configuration.get("position_embedding_type", "absolute") != "absolute":
        raise ToolkitError(f"{source}: its config.json asks for activation {said!r}, {values['units']} units in "
                           f"{values['num_heads']} heads; expected one of {', '.join(ACTIVATIONS)}, heads of equal "
                           "size and absolute positions.")
    rates = ("dropout", "attention_dropout") if distilled else ("hidden_dropout_prob", "attention_probs_dropout_prob")
    return Shape(kind, **values, activation=ACTIVATIONS[said], dropout=float(configuration.get(rates[0], 0.1)),
                 attention_dropout=float(configuration.get(rates[1], 0.1)),
                 epsilon=float(configuration.get("layer_norm_eps", 1e-12)))
