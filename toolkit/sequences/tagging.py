r"""Tagging: a class for every token of a row.

A network reads a row in both directions and gives at every token the probabilities of its tags,

.. math:: p(y_t | x) = \mathrm{softmax}(W h_t + b), \qquad
          \min \; -\frac{1}{\sum_i T_i} \sum_{i, t} \log p(y_{it} | x_i),

h_t being the step of the LSTM (Huang et al. 2015) or of the transformer. Beside it stand the most frequent tag of each
token and logistic regression on the tokens around; the verdict is against the latter, by the exact test that takes the
tokens of a row together.

``model.keras`` takes strings, the tokens of a row with blanks between them, and gives (rows, tokens, classes).

References:
    Huang, Xu, Yu 2015, https://arxiv.org/abs/1508.01991
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from toolkit.evaluation import comparison
from toolkit.models import classifiers, vocabularies
from toolkit.sequences import batches, reports, step_networks, tag_baselines, tag_scores
from toolkit.tables.tagged_texts import TaggedTexts
from toolkit.training import Settings, devices, run_folders
from toolkit.training.progress import say

NAMES = {"lstm": "LSTM tagger", "transformer": "transformer tagger"}
MOST_FREQUENT, ON_NEIGHBOURS = "most frequent tag", "logistic regression on neighbouring tokens"
VOCABULARY_SIZE = 20_000
BUDGET, FEWEST_EPOCHS, MOST_EPOCHS = 60_000, 6, 60  # rows to show in all


# ---- Tokens -------------------------------------------------------------------------------------------------------


def vocabulary(table: TaggedTexts, size: int) -> list[str]:
    """The tokens that the network knows: those that two training rows or more use, the most frequent first."""
    counts = Counter(token for i in table.in_split("train") for token in table.tokens[i])
    return vocabularies.choose(counts, size) or vocabularies.choose(counts, size, least=1)


def vectorizer(known: Sequence[str]) -> keras.layers.TextVectorization:
    """The layer "tokens": strings (B,), tokens with blanks between them, to numbers (B, T)."""
    return keras.layers.TextVectorization(standardize=None, split="whitespace", vocabulary=list(known), name="tokens")


def numbered(tokens: Sequence[str], number: dict[str, int]) -> np.ndarray:
    """What the vectorizer makes of a row, (T,) int32; 1 is any unknown token.

    Args:
        tokens: of the row.
        number: of each known token.
    """
    return np.array([number.get(token, 1) for token in tokens], np.int32)


# ---- The run ------------------------------------------------------------------------------------------------------


def run(table: TaggedTexts, *, output: str | Path, settings: Settings, network: str, recipe: str,
        resume: bool = False) -> dict[str, Any]:
    """Trains a tagger and writes a run folder.

    Args:
        table: with training rows that have tags.
        output: the new run folder.
        settings: training, and in ``backbone_options`` the network's own.
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
    options = {**settings.describe(), "task": "tag"}
    with run_folders.begin(output, recipe, table, options, resume=resume) as folder:
        if folder.finished:
            return folder.report
        started = time.monotonic()
        devices.strategy(settings.devices)

        # Data
        train, own = table.labelled("train"), settings.backbone_options
        known = vocabulary(table, own.get("vocabulary_size", VOCABULARY_SIZE))
        number = {token: i + 2 for i, token in enumerate(known)}
        inputs = [numbered(tokens, number) for tokens in table.tokens]
        beside, details = _baselines(table, settings.seed)

        # Model and training
        plan, settings = step_networks.plan(settings, len(train), folder.checkpoints, title="tagging", budget=BUDGET,
                                            fewest=FEWEST_EPOCHS, most=MOST_EPOCHS)
        held = table.labelled("validation")
        validation = step_networks.Validation([inputs[i] for i in held], [table.tags[i] for i in held],
                                              settings.monitor, settings.patience) if len(held) else None
        stream = batches.training([inputs[i] for i in train], [table.tags[i] for i in train],
                                  batch_size=settings.batch_size, seed=settings.seed)
        model, history = step_networks.train(
            lambda: step_networks.on_tokens(network, len(known) + 2, len(table.class_names), own, causal=False),
            stream, plan, settings, validation)
        classifiers.save(from_strings(model, known), folder.path / "model.keras", table.class_names)

        # Report
        probabilities = step_networks.probabilities(model, inputs)
        training = {"rows": len(train), "network": network, "parameters": model.count_params(),
                    "vocabulary": len(known), "epochs": history[-1]["epoch"], "learning_rate": settings.learning_rate,
                    "seconds": round(time.monotonic() - started, 1), "logistic_regression": details}
        result = _report(table, probabilities, beside, NAMES[network], training, settings.seed)
        reports.write(folder.path, result, predictions=lines(table, probabilities), splits=_splits(table),
                      rejected=table.rejected, params=folder.params, history=history, class_names=table.class_names)
        return result


def from_strings(model: keras.Model, known: Sequence[str]) -> keras.Model:
    """Strings (B,) -> probabilities (B, T, C): the vectorizer, the network and its softmax."""
    text = keras.Input((), dtype="string", name="text")
    tokens = keras.ops.cast(vectorizer(known)(text), "int32")
    return keras.Model(text, keras.layers.Activation("softmax", name="probabilities")(model(tokens)), name="tagger")


def predict(model: keras.Model, table: TaggedTexts) -> list[np.ndarray]:
    """The probabilities of every row, n arrays (T, C), by a model as ``from_strings`` makes it."""
    known = model.get_layer("tokens").get_vocabulary()[2:]
    number = {token: i + 2 for i, token in enumerate(known)}
    return step_networks.probabilities(model.get_layer("network"), [numbered(row, number) for row in table.tokens])


# ---- Report -------------------------------------------------------------------------------------------------------


def _baselines(table: TaggedTexts, seed: int) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
    """The tags that the plain taggers give the test rows, and what logistic regression chose."""
    train, test = table.labelled("train"), [table.tokens[i] for i in table.labelled("test")]
    tokens, tags = [table.tokens[i] for i in train], [table.tags[i] for i in train]
    say(f"fitting logistic regression on neighbouring tokens: {sum(map(len, tokens)):,} tokens")
    linear, details = tag_baselines.on_neighbours(tokens, tags, seed=seed)
    return {MOST_FREQUENT: tag_baselines.most_frequent(tokens, tags)(test), ON_NEIGHBOURS: linear(test)}, details


def _report(table: TaggedTexts, probabilities: Sequence[np.ndarray], beside: dict[str, list[np.ndarray]], name: str,
            training: dict[str, Any], seed: int) -> dict[str, Any]:
    predicted = [row.argmax(axis=-1) for row in probabilities]

    def scores(rows: np.ndarray, tags: Sequence[np.ndarray]) -> dict[str, Any] | None:
        groups = None if table.groups is None else table.groups[rows]
        true = [table.tags[i] for i in rows]
        return tag_scores.scores(true, tags, table.class_names, groups=groups, seed=seed) if len(rows) else None

    test, held = table.labelled("test"), table.labelled("validation")
    own = [predicted[i] for i in test]
    comparisons = {other: _comparison(table, test, own, tags, name, other) for other, tags in beside.items()
                   } if len(test) else {}
    verdict = comparison.verdict(comparisons[ON_NEIGHBOURS], noun="test tokens") if len(test) else {
        "code": None, "sentence": f"No verdict on {name}: the test split has no row with tags."}
    counts = {split: len(table.in_split(split)) for split in ("train", "validation", "test")}
    in_words = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    return {
        "recipe": name, "task": "tag",
        "data": {"source": table.source, "kind": table.kind, "classes": list(table.class_names), "rows": len(table),
                 "splits": counts, "rejected": len(table.rejected), "fingerprint": table.fingerprint,
                 "split_fingerprint": table.split_fingerprint,
                 "sentence": f"{len(table.class_names):,} tags, {sum(map(len, table.tokens)):,} tokens in "
                             f"{len(table):,} rows: {in_words}"},
        "training": training, "validation": scores(held, [predicted[i] for i in held]), "test": scores(test, own),
        "baselines": {other: scores(test, tags) for other, tags in beside.items()} if len(test) else {},
        "comparisons": comparisons, "control": ON_NEIGHBOURS, "verdict": verdict, "notes": list(table.notes),
        "intervals_sentence": f"[95 % intervals] by bootstrap of {'rows' if table.groups is None else 'groups'}."}


def _comparison(table: TaggedTexts, test: np.ndarray, own: Sequence[np.ndarray], other: Sequence[np.ndarray],
                name: str, other_name: str) -> dict[str, Any]:
    """The paired comparison over tokens; those of a row, or of a group, are taken together."""
    true = np.concatenate([table.tags[i] for i in test])
    units = [str(i) if table.groups is None or not table.groups[i] else f"group {table.groups[i]}" for i in test]
    units = np.repeat(np.array(units, object), [len(table.tokens[i]) for i in test])
    return comparison.compare_hits(np.concatenate(own) == true, np.concatenate(other) == true, first_name=name,
                                   second_name=other_name, groups=units)


def lines(table: TaggedTexts, probabilities: Sequence[np.ndarray]) -> Iterator[list[Any]]:
    """Lines of predictions.csv: the header, then every row in input order; confidence: the mean over its tokens.

    Args:
        table: of n rows.
        probabilities: n arrays (T, C).
    """
    yield ["row", "input", "split", "label", "status", "prediction", "confidence"]
    found = {int(row): i for i, row in enumerate(table.rows)}
    for row in sorted([*found, *(rejected.row for rejected in table.rejected)]):
        if row not in found:
            rejected = next(other for other in table.rejected if other.row == row)
            yield [row, rejected.input, rejected.split, "", "rejected", "", ""]
            continue
        i = found[row]
        label = "" if table.tags[i] is None else _joined(table, table.tags[i])
        yield [row, " ".join(table.tokens[i]), table.splits[i], label, "ok",
               _joined(table, probabilities[i].argmax(axis=-1)), float(probabilities[i].max(axis=-1).mean())]


def _joined(table: TaggedTexts, tags: np.ndarray) -> str:
    return " ".join("\N{NO-BREAK SPACE}".join(table.class_names[tag].split()) for tag in tags)


def _splits(table: TaggedTexts) -> list[tuple[int, str]]:
    own = [(int(row), split) for row, split in zip(table.rows, table.splits)]
    return sorted([*own, *((rejected.row, rejected.split) for rejected in table.rejected)])
