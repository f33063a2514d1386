"""Recurrent networks: a state that reads a sequence step by step.

The plain cell is h_t = tanh(W x_t + U h_{t-1} + b). The LSTM adds a memory c that gates write, keep and read,

    f, i, o = sigmoid(W x_t + U h_{t-1} + b),    c_t = f * c_{t-1} + i * tanh(W_c x_t + U_c h_{t-1} + b_c),
    h_t = o * tanh(c_t),

so that gradients reach far back; the GRU does with two gates and no memory of its own.

References:
    Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; GRU: Cho et al. 2014,
    https://arxiv.org/abs/1406.1078; both directions: Schuster and Paliwal 1997, https://doi.org/10.1109/78.650093
"""

from keras import KerasTensor, layers

from toolkit.models.sequence_layers import pooled

CELLS = {"lstm": layers.LSTM, "gru": layers.GRU, "rnn": layers.SimpleRNN}


def lstm(
    x: KerasTensor,
    mask: KerasTensor,
    *,
    cell: str = "lstm",
    units: int = 128,
    num_layers: int = 1,
    bidirectional: bool = True,
    pooling: str = "max",
    dropout: float = 0.5,
) -> KerasTensor:
    """Stacked recurrent layers, and one vector from all their steps.

    Args:
        x: (B, T, E).
        mask: (B, T) bool, false at padding.
        cell: "lstm", "gru" or "rnn" (the plain one).
        units: of each layer and direction.
        num_layers: one upon the other.
        bidirectional: read forwards and backwards; False: no step knows a later one.
        pooling: "attention", "max", "mean", "last", "concatenation" (of last, max, mean), or "none".
        dropout: rate in [0, 1) before each layer and before the features.

    Returns:
        (B, F) features, F = units, twice that if bidirectional, three times that if concatenated; (B, T, F) with
        pooling "none".

    Raises:
        ValueError: an unknown cell or pooling.
    """
    if cell not in CELLS:
        raise ValueError(f"cell is {cell!r}; expected one of {', '.join(CELLS)}")
    for number in range(1, num_layers + 1):
        x = layers.Dropout(dropout, name=f"layer{number}_dropout")(x)
        layer = CELLS[cell](units, return_sequences=True, name=f"layer{number}_{cell}")
        if bidirectional:
            layer = layers.Bidirectional(layer, name=f"layer{number}_bidirectional")
        x = layer(x, mask=mask)
    return layers.Dropout(dropout, name="head_dropout")(pooled(x, mask, pooling))
