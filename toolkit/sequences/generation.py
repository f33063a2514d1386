r"""New text from a language model, token by token.

.. math:: x_t \sim p(x | x_{<t})^{1 / \tau} / Z

with the temperature tau: below 1 the probable becomes more so, and at 0 the most probable token is taken; above 1 all
become alike. Where the end of a row is drawn, a line ends and the next begins without a past.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.models import classifiers
from toolkit.sequences.language_models import END_NUMBER, split

UNKNOWN = 1


@dataclass(frozen=True, eq=False)
class Generator:
    """A trained language model.

    Attributes:
        network: token numbers (B, T) -> logits (B, T, V).
        vocabulary: V tokens; padding, unknown and end come first.
        tokens: "characters" or "words".
        max_length: tokens that it looks back.
    """

    network: keras.Model
    vocabulary: tuple[str, ...]
    tokens: str
    max_length: int


def load(run: str | Path) -> Generator:
    """The language model of a finished run.

    Raises:
        ToolkitError: the run is none, or of another task.
    """
    path = Path(run)
    try:
        report = json.loads((path / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolkitError(f"{run} is not the folder of a finished run: expected that of toolkit train-lstm or "
                           f"train-transformer --task language-model.") from error
    if report.get("task") != "language-model":
        raise ToolkitError(f"{run} holds a run of {report.get('recipe')}, which writes no text: train a language model "
                           f"with toolkit train-lstm --task language-model.")
    model, vocabulary = classifiers.load(path / "model.keras")
    facts = report["training"]
    return Generator(model.get_layer("network"), vocabulary, facts["tokens"], facts["max_length"])


def generate(generator: Generator, *, prompt: str = "", length: int = 200, temperature: float = 1.0, seed: int = 0
             ) -> str:
    """Text that continues a prompt.

    Args:
        generator: from ``load``.
        prompt: how the text begins; tokens that the model does not know count as unknown.
        length: tokens to draw.
        temperature: 0 for the most probable token.
        seed: of the draws.

    Returns:
        The prompt and what follows it.
    """
    number = {token: i for i, token in enumerate(generator.vocabulary)}
    random, joint = np.random.default_rng(seed), " " if generator.tokens == "words" else ""
    past = [END_NUMBER, *(number.get(token, UNKNOWN) for token in split(prompt, generator.tokens))]
    call = tf.function(lambda tokens: generator.network(tokens, training=False)[0],
                       input_signature=[tf.TensorSpec((1, generator.max_length), tf.int32)])
    lines, line = [prompt], []
    for _ in range(length):
        token = _draw(_next(call, past, generator.max_length), temperature, random)
        if token == END_NUMBER:
            lines[-1] = joint.join(filter(None, [lines[-1], *line]))
            lines, line, past = [*lines, ""], [], [END_NUMBER]
        else:
            line.append(generator.vocabulary[token])
            past.append(token)
    lines[-1] = joint.join(filter(None, [lines[-1], *line]))
    return "\n".join(lines)


def _next(call: tf.types.experimental.GenericFunction, past: list[int], length: int) -> np.ndarray:
    """The logits (V,) after a past: seen through a window that moves by half its length, as on held-out rows."""
    step = max(1, length // 2)
    start = 0 if len(past) <= length else -(-(len(past) - length) // step) * step
    window = np.zeros((1, length), np.int32)
    window[0, :len(past) - start] = past[start:]
    return call(window).numpy()[len(past) - start - 1].astype(np.float64)


def _draw(logits: np.ndarray, temperature: float, random: np.random.Generator) -> int:
    """A token, never padding or the unknown one."""
    logits = logits.copy()
    logits[:END_NUMBER] = -np.inf
    if temperature <= 0:
        return int(logits.argmax())
    shares = np.exp((logits - logits.max()) / temperature)
    return int(np.searchsorted(np.cumsum(shares), random.random() * shares.sum(), side="right"))
