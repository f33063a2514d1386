r"""Language models: the probability of the next token after those before it.

.. math:: \log p(x_1, \dots, x_T) = \sum_t \log p(x_t | x_1, \dots, x_{t-1}), \qquad
          p(x_t | x_{<t}) = \mathrm{softmax}(W h_{t-1} + b)

with h the steps of an LSTM or of a transformer that knows no later step. Tokens are characters, or words between
blanks; a token of its own begins and ends each row. Rows longer than ``max_length`` are cut into windows, each learnt
on its own; on held-out rows the windows overlap by half, so that every token beyond the first window has some past.

Scores are bits a character of the held-out rows, the end of a row counted as one, beside an interpolated n-gram model
of the same tokens (see ``n_gram_models``); tokens that training saw less than twice are one token, "unknown", to both.
``model.keras`` takes strings that begin with the character U+0003 (before words a blank after it) and gives at each
token the probabilities of the next.

References:
    Graves 2013, https://arxiv.org/abs/1308.0850; Radford et al. 2018, Improving language understanding by generative
    pre-training
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from toolkit import ToolkitError
from toolkit.models import classifiers, vocabularies
from toolkit.sequences import batches, bits, n_gram_models, reports, step_networks
from toolkit.tables import Table, splits
from toolkit.tables.errors import counted
from toolkit.training import Settings, devices, run_folders
from toolkit.training.progress import say

NAMES = {"lstm": "LSTM language model", "transformer": "transformer language model"}
DEFAULTS = {"lstm": {"units": 256, "dropout": 0.1}, "transformer": {"units": 128, "dropout": 0.1}}
LEARNING_RATES = {"lstm": 0.004, "transformer": 0.001}  # of Adam, where none is given
END = "\x03"
END_NUMBER, FEWEST_NUMBERS = 2, 3  # 0 is padding and 1 any unknown token
MAX_LENGTH = {"characters": 256, "words": 64}
ORDERS = {"characters": (3, 5, 7), "words": (2, 3)}
VOCABULARY_SIZE = 20_000
BUDGET, FEWEST_EPOCHS, MOST_EPOCHS = 100_000, 5, 60  # rows to show in all


# ---- Tokens -------------------------------------------------------------------------------------------------------


def split(text: str, tokens: str) -> list[str]:
    """The tokens of a text, its end not among them.

    Example:
        >>> split("to be", "words"), split("ab", "characters")
        (['to', 'be'], ['a', 'b'])
    """
    text = text.replace(END, " ")
    return re.findall(r"[^ \t\n\v\f\r]+", text) if tokens == "words" else list(text)  # as TensorFlow splits


def vectorizer(known: Sequence[str], tokens: str) -> keras.layers.TextVectorization:
    """The layer "tokens": strings (B,) to numbers (B, T), the end of a row among the tokens."""
    return keras.layers.TextVectorization(standardize=None, split="whitespace" if tokens == "words" else "character",
                                          vocabulary=[END, *known], name="tokens")


def windows(row: np.ndarray, length: int, *, step: int) -> list[np.ndarray]:
    """Parts of a row of at most ``length``, each ``step`` after the one before; the last ends where the row ends.

    Example:
        >>> [part.tolist() for part in windows(np.arange(5), 4, step=2)]
        [[0, 1, 2, 3], [2, 3, 4]]
    """
    starts = range(0, max(1, len(row) - length + step), step)
    return [row[start:start + length] for start in starts]


def row_bits(model: keras.Model, rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """-log2 p of each row but its first token, (n,): windows of ``length`` that overlap by half.

    Args:
        model: tokens (B, T) -> logits (B, T, C).
        rows: n arrays of token numbers, from end to end.
        length: of a window.
    """
    step = max(1, length // 2)
    parts = [(number, start, part) for number, row in enumerate(rows)
             for start, part in enumerate(windows(row[:-1], length, step=step))]
    targets = [rows[number][1 + start * step:][:len(part)] for number, start, part in parts]
    nats, _ = step_networks.losses(model, [part for *_, part in parts], targets)
    new = [values if start == 0 else values[length - step:] for (_, start, _), values in zip(parts, nats)]
    found = np.zeros(len(rows))
    np.add.at(found, [number for number, *_ in parts], step_networks.bits(new))
    return found


# ---- The run ------------------------------------------------------------------------------------------------------


def with_splits(table: Table) -> Table:
    """The table with rows for training, validation and test, whether or not they have labels.

    Args:
        table: of texts; the seed and the ratios of the choice are its own.

    Raises:
        ToolkitError: it has no row to learn from.
    """
    if len(table) < 2 or table.names_splits and "train" not in table.splits:
        raise ToolkitError(f"{table.source} has {counted(len(table), 'usable text')} and no training rows among them: "
                           f"mark some as train, or leave out the splits.")
    assigned = splits.assign(np.zeros(len(table), np.int64), table.splits if table.names_splits else None,
                             table.checksums, table.groups, ("text",), splits.Policy.of(table.arguments))
    notes = [note.replace("labelled ", "") for note in assigned.notes]
    return dataclasses.replace(table, splits=assigned.splits, notes=(*table.notes, *notes),
                               arguments={**table.arguments, "task": "language-model"})


def run(table: Table, *, output: str | Path, settings: Settings, network: str, recipe: str, resume: bool = False
        ) -> dict[str, Any]:
    """Trains a language model and writes a run folder.

    Args:
        table: of texts, from ``with_splits``.
        output: the new run folder.
        settings: training, and in ``backbone_options`` the network's own and ``tokens``, "characters" or "words".
        network: "lstm" or "transformer".
        recipe: its name in ``params.json``.
        resume: continue a run that was stopped, to the same weights.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder or the options cannot be used.
        KeyboardInterrupt: on Ctrl-C; the same command with ``resume`` continues.
    """
    step_networks.refuse_settings(settings)
    if settings.backbone_options.get("max_length") == 0:
        raise ToolkitError("max_length is 0, whole rows, but a language model learns from windows: give their length.")
    options = {**settings.describe(), "task": "language-model"}
    with run_folders.begin(output, recipe, table, options, resume=resume) as folder:
        if folder.finished:
            return folder.report
        started = time.monotonic()
        devices.strategy(settings.devices)

        # Data
        own = {**DEFAULTS[network], "tokens": "characters", **settings.backbone_options}
        length = own.get("max_length", MAX_LENGTH[own["tokens"]])
        train, held, test = (table.in_split(part) for part in ("train", "validation", "test"))
        pieces = [split(text, own["tokens"]) for text in table.inputs]
        known = vocabularies.choose(Counter(token for i in train for token in pieces[i]),
                                    own.get("vocabulary_size", VOCABULARY_SIZE))
        number = {token: i + FEWEST_NUMBERS for i, token in enumerate(known)}
        rows = [np.array([END_NUMBER, *(number.get(token, 1) for token in row), END_NUMBER], np.int32)
                for row in pieces]

        # Model and training
        parts = [part for i in train for part in windows(rows[i], length + 1, step=length)]
        if settings.learning_rate is None and settings.optimizer != "sgd":
            settings = dataclasses.replace(settings, learning_rate=LEARNING_RATES[network])
        plan, settings = step_networks.plan(settings, len(parts), folder.checkpoints, title="language model",
                                            budget=BUDGET, fewest=FEWEST_EPOCHS, most=MOST_EPOCHS)
        validation = step_networks.Validation([rows[i][:-1][:length] for i in held],
                                              [rows[i][1:][:length] for i in held], "log_loss", settings.patience
                                              ) if len(held) else None
        stream = batches.training([part[:-1] for part in parts], [part[1:] for part in parts],
                                  batch_size=settings.batch_size, seed=settings.seed)
        model, history = step_networks.train(
            lambda: step_networks.on_tokens(network, len(known) + FEWEST_NUMBERS, len(known) + FEWEST_NUMBERS, own,
                                            causal=True), stream, plan, settings, validation)
        classifiers.save(from_strings(model, known, own["tokens"]), folder.path / "model.keras",
                         ["", "[UNK]", END, *known])

        # Report
        training = {"rows": len(train), "network": network, "parameters": model.count_params(),
                    "tokens": own["tokens"], "vocabulary": len(known), "max_length": length,
                    "epochs": history[-1]["epoch"], "learning_rate": settings.learning_rate,
                    "seconds": round(time.monotonic() - started, 1)}
        found = {"own": row_bits(model, rows, length)}
        say(f"counting n-grams of {sum(map(len, (rows[i] for i in train))):,} tokens")
        n_grams = n_gram_models.chosen([rows[i][1:] - 1 for i in train], [rows[i][1:] - 1 for i in held],
                                       ORDERS[own["tokens"]], num_tokens=len(known) + FEWEST_NUMBERS - 1,
                                       start=END_NUMBER - 1)
        found["n-grams"] = np.array([float(n_grams.bits(rows[i][1:] - 1).sum()) for i in test])
        result = _report(table, rows, pieces, found, n_grams.order, NAMES[network], training, settings.seed)
        reports.write(folder.path, result, predictions=lines(table, pieces, found["own"]), splits=_splits(table),
                      rejected=table.rejected, params=folder.params, history=history)
        return result


def from_strings(model: keras.Model, known: Sequence[str], tokens: str) -> keras.Model:
    """Strings (B,) -> probabilities of the next token (B, T, V): the vectorizer, the network and its softmax."""
    text = keras.Input((), dtype="string", name="text")
    numbers = keras.ops.cast(vectorizer(known, tokens)(text), "int32")
    probabilities = keras.layers.Activation("softmax", name="probabilities")(model(numbers))
    return keras.Model(text, probabilities, name="language_model")


# ---- Report -------------------------------------------------------------------------------------------------------


def characters(pieces: Sequence[str], tokens: str) -> int:
    """The characters of a row: of its tokens, the blanks between words, and one for its end."""
    return sum(map(len, pieces)) + 1 + (max(len(pieces) - 1, 0) if tokens == "words" else 0)


def _report(table: Table, rows: Sequence[np.ndarray], pieces: Sequence[Sequence[str]], found: dict[str, np.ndarray],
            order: int, name: str, training: dict[str, Any], seed: int) -> dict[str, Any]:
    counts = np.array([characters(row, training["tokens"]) for row in pieces])
    lengths = np.array([len(row) - 1 for row in rows])
    groups, beside = table.groups, f"{order}-gram model, Kneser-Ney"
    test, held = table.in_split("test"), table.in_split("validation")

    def scores(part: np.ndarray, values: np.ndarray) -> dict[str, Any] | None:
        own = None if groups is None else groups[part]
        return bits.scores(values, counts[part], lengths[part], groups=own, seed=seed) if len(part) else None

    compared = bits.compare(found["own"][test], found["n-grams"], counts[test], first_name=name, second_name=beside,
                            groups=None if groups is None else groups[test], seed=seed) if len(test) else None
    unknown = sum(int((rows[i] == 1).sum()) for i in test) / max(int(lengths[test].sum()), 1)
    split_counts = {part: len(table.in_split(part)) for part in ("train", "validation", "test")}
    return {
        "recipe": name, "task": "language-model",
        "data": {"source": str(table.source), "kind": table.kind, "rows": len(table), "splits": split_counts,
                 "rejected": len(table.rejected), "fingerprint": table.fingerprint,
                 "sentence": f"{len(table):,} texts, {int(counts.sum()):,} characters: "
                             f"{', '.join(f'{part} {count:,}' for part, count in split_counts.items())}; "
                             f"{100 * unknown:.2f} % of the test tokens are unknown"},
        "training": training, "validation": scores(held, found["own"][held]), "test": scores(test, found["own"][test]),
        "unknown_rate": unknown, "baselines": {beside: scores(test, found["n-grams"])} if len(test) else {},
        "comparisons": {beside: compared} if compared else {}, "control": beside, "notes": list(table.notes),
        "verdict": {key: compared[key] for key in ("code", "sentence")} if compared else {
            "code": None, "sentence": f"No verdict on {name}: there is no test row."},
        "intervals_sentence": f"[95 % intervals] by bootstrap of {'rows' if groups is None else 'groups'}."}


def lines(table: Table, pieces: Sequence[Sequence[str]], found: np.ndarray) -> Iterator[list[Any]]:
    """predictions.csv: every row of the input with its bits, as ``prediction``, and its number of tokens.

    Args:
        table: of n rows.
        pieces: n lists of tokens.
        found: (n,) bits.
    """
    yield ["row", "input", "split", "label", "status", "prediction", "tokens"]
    own = [[int(table.rows[i]), table.names[i], table.splits[i], "", "ok", float(found[i]), len(pieces[i]) + 1]
           for i in range(len(table))]
    own += [[row.row, row.input, row.split, "", "rejected", "", ""] for row in table.rejected]
    yield from sorted(own, key=lambda line: line[0])


def _splits(table: Table) -> list[tuple[int, str]]:
    own = [(int(row), part) for row, part in zip(table.rows, table.splits)]
    return sorted([*own, *((rejected.row, rejected.split) for rejected in table.rejected)])
