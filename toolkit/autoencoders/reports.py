"""What the report of an autoencoder says: its errors beside those of principal components, and its codes as features.

Where a table has labels, logistic regression on the codes stands beside the same on the codes of the network before
training, on as many principal components and on pixels; then the report is that of any other recipe with
``reconstruction`` added. Test rows are read here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import ToolkitError
from toolkit.autoencoders import denoising, drawings, runs
from toolkit.autoencoders.components import Components, principal_components
from toolkit.autoencoders.training import Trained, in_parts
from toolkit.evaluation import baselines, report, sheets
from toolkit.evaluation.report import files
from toolkit.evaluation.report.contents import SPLITS
from toolkit.evaluation.text_tables import aligned
from toolkit.models import classifiers
from toolkit.tables import Table
from toolkit.training import features, run_folders
from toolkit.training.progress import say

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

ROWS_AT_ONCE = 256
RECIPE = "autoencoder pretraining"
ON_CODES = "logistic regression on codes"
BEFORE = "logistic regression on codes before training"
ON_PIXELS = "logistic regression on pixels"


# ---- Reconstruction -----------------------------------------------------------------------------------------------


def squared_errors(images: np.ndarray, codes: np.ndarray, decode: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Mean squared error of each reconstruction over its values.

    Args:
        images: (n, S, S, C) uint8, which stands for [0, 1].
        codes: (n, F).
        decode: codes (k, F) -> values (k, S * S * C) in [0, 1].

    Returns:
        (n,) float64.
    """
    found = np.zeros(len(images))
    for start in range(0, len(images), ROWS_AT_ONCE):
        part = images[start:start + ROWS_AT_ONCE].reshape(len(images[start:start + ROWS_AT_ONCE]), -1)
        differences = part.astype(np.float32) / np.float32(255) - decode(codes[start:start + ROWS_AT_ONCE])
        found[start:start + ROWS_AT_ONCE] = (differences.astype(np.float64)**2).mean(axis=1)
    return found


def reconstruction(table: Table, images: np.ndarray, errors: np.ndarray, components: Components) -> dict[str, Any]:
    """Mean errors of a split, beside those of principal components and of the mean image.

    Args:
        table: of n rows.
        images: (n, S, S, C) uint8.
        errors: (n,) of the autoencoder, from ``squared_errors``.
        components: as many as codes, of the training rows.

    Returns:
        dict for JSON: unit, components, rows_of_components (that decided), and for each split rows, autoencoder,
        principal components and mean image (None without rows).
    """
    linear = squared_errors(images, components.codes(images), components.decoded)
    flat = squared_errors(images, np.zeros((len(images), 0)), lambda codes: components.mean)
    columns = {"autoencoder": errors, "principal components": linear, "mean image": flat}
    splits = {split: table.in_split(split) for split in SPLITS}
    return {"unit": "mean squared error of a value in [0, 1]", "components": components.directions.shape[1],
            "rows_of_components": components.rows,
            "splits": {split: {"rows": len(rows), **{name: float(values[rows].mean()) if len(rows) else None
                                                     for name, values in columns.items()}}
                       for split, rows in splits.items()}}


def lines_on_reconstruction(found: Mapping[str, Any]) -> list[str]:
    """The errors as lines for a terminal."""
    names = ("autoencoder", "principal components", "mean image")
    splits = {split: values for split, values in found["splits"].items() if values["rows"]}
    rows = [["", *(f"{split}, {values['rows']:,} rows" for split, values in splits.items())]]
    rows += [[f"{name} ({found['components']:,})" if name == "principal components" else name,
              *(f"{values[name]:.5f}" for values in splits.values())] for name in names]
    sample = found["rows_of_components"]
    of_all = sample == found["splits"]["train"]["rows"]
    return [f"Reconstruction: {found['unit']}", *aligned(rows, "<" + ">" * len(splits)),
            *([] if of_all else [f"Principal components are those of {sample:,} of the training rows."])]


# ---- Codes as features --------------------------------------------------------------------------------------------


def has_labels(table: Table) -> bool:
    """Whether a classifier can be fitted and scored: two classes among the training rows, and labelled test rows."""
    return len(np.unique(table.labels[table.labelled("train")])) > 1 and len(table.labelled("test")) > 0


def on_features(table: Table, values: np.ndarray, name: str, seed: int) -> baselines.LinearClassifier:
    """Logistic regression on features (n, F) of the labelled training rows of a table."""
    rows = table.labelled("train")
    groups = None if table.groups is None else table.groups[rows]
    say(f"fitting {name}: {len(rows):,} rows, {values.shape[1]:,} columns")
    return baselines.logistic_regression(values[rows], table.labels[rows], len(table.class_names), groups=groups,
                                         seed=seed)


def of_classes(table: Table, spaces: Mapping[str, np.ndarray], training: Mapping[str, Any], *, seed: int
               ) -> tuple[dict[str, Any], np.ndarray, baselines.LinearClassifier]:
    """The report on logistic regression on codes.

    Args:
        table: with labels.
        spaces: name -> features (n, F), that of the codes first; all else is a control, the first of them the main one.
        training: for the report.
        seed: of the fits.

    Returns:
        The report, the probabilities (n, C) and the classifier on the codes.
    """
    (first, codes), *others = spaces.items()
    classifier, test = on_features(table, codes, first, seed), table.labelled("test")
    counts = baselines.majority_class(table.labels[table.labelled("train")], len(table.class_names))
    beside = {"majority class": counts.probabilities(np.zeros((len(test), 0)))}
    for name, values in others:
        beside[name] = on_features(table, values, name, seed).probabilities(values[test])
    probabilities = classifier.probabilities(codes)
    result = report.build(table, probabilities, recipe=RECIPE, training={**training, "classifier": classifier.details},
                          baselines=beside, control=others[0][0], seed=seed)
    return result, probabilities, classifier


def write(folder: run_folders.RunFolder, table: Table, images: np.ndarray, encoder: "keras.Model", trained: Trained,
          facts: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
    """Judges a trained autoencoder and writes the files of its run.

    Args:
        folder: of the run.
        table: of n rows.
        images: (n, S, S, C) uint8.
        encoder: from raw images to codes, as ``backbones.build`` makes them.
        trained: the autoencoder.
        facts: for the report's ``training``.
        seed: of the fits.

    Returns:
        The report.
    """
    codes = features.extract(encoder, table)
    dead = drawings.dead_codes(codes[table.in_split("train")], facts["kept"] if facts["method"] == "k-sparse" else 0)
    facts = {**facts, "dead_codes": int(dead.sum())}
    components = principal_components(images[table.in_split("train")], codes.shape[1], seed=seed)
    errors = squared_errors(images, codes, partial(decoded, trained.decoder, channels=images.shape[-1]))
    found = {"reconstruction": reconstruction(table, images, errors, components)}
    found |= judged_denoising(table, images, trained, facts)
    draw(folder.path / "pictures", drawings.drawings(table, images, codes, encoder, trained, components, dict(facts)))
    if not has_labels(table):
        result = {**unlabelled(table, facts), **found}
        _write_unlabelled(folder, table, errors, result, trained.history)
        return result
    in_components = f"logistic regression on {components.directions.shape[1]:,} principal components"
    spaces = {ON_CODES: codes, BEFORE: in_parts(partial(codes_of, trained.before), images),
              in_components: components.codes(images), ON_PIXELS: features.pixels(table)}
    result, probabilities, classifier = of_classes(table, spaces, facts, seed=seed)
    classifiers.save_on_frozen(encoder, classifier.layers, folder.path / "classifier.keras",
                               table.class_names)
    result |= found
    report.write(folder.path, table, probabilities, result, params=folder.params, history=trained.history)
    return result


def judged_denoising(table: Table, images: np.ndarray, trained: Trained, facts: Mapping[str, Any]) -> dict[str, Any]:
    """How well test images are denoised, beside two filters; {} for another method, or without scikit-image.

    Args:
        table: of n rows.
        images: (n, S, S, C) uint8.
        trained: the autoencoder.
        facts: of the run: method, corruption, level.
    """
    rows, others = (table.in_split(split)[:denoising.MAX_JUDGED] for split in ("test", "train"))
    if facts["method"] != "denoising" or not len(rows):
        return {}
    try:
        denoising.check()
    except ToolkitError as error:
        say(f"{error} The run goes on without them.")
        return {}
    clean, to_choose = (drawings.in_colour(images[some]).astype(np.float32) for some in (rows, others))
    noisy, noisy_too = (runs.corrupted(values, facts["corruption"], facts["level"], seed)
                        for seed, values in enumerate((clean, to_choose)))
    made = runs.in_parts(lambda part: trained.decoder(trained.network(part, training=False), training=False).numpy(),
                         noisy)
    every = (clean, noisy, made, to_choose, noisy_too)
    clean, noisy, made, *to_choose = (np.clip(values[..., :images.shape[-1]], 0, 255) / 255.0 for values in every)
    filters = denoising.best_filters(*to_choose)
    return {"denoising": denoising.judged(clean, noisy, made, filters,
                                          chosen_on=f"{len(others):,} training images")}


def draw(folder: Path, found: Mapping[str, drawings.Drawing]) -> None:
    """Draws what is not drawn yet; without matplotlib it says so, and the run goes on."""
    try:
        sheets.check([])
    except ToolkitError as error:
        say(f"{error} The run goes on without pictures.")
        return
    for name, drawing in found.items():
        if not (folder / name).exists():
            drawing(folder / name)


def decoded(decoder: "keras.Model", codes: np.ndarray, *, channels: int) -> np.ndarray:
    """Codes (n, F) as values (n, S * S * channels) float32, in [0, 1] where the decoder stays there."""
    pixels = decoder(codes, training=False).numpy()[..., :channels]
    return pixels.reshape(len(codes), -1) / np.float32(255)


def codes_of(network: "keras.Model", values: "tf.Tensor") -> np.ndarray:
    """Images (n, S, S, C) in [0, 1] -> codes (n, F)."""
    pixels = np.asarray(values) * np.float32(255)
    return network(np.broadcast_to(pixels, (*pixels.shape[:-1], 3)), training=False).numpy()


# ---- Without labels -----------------------------------------------------------------------------------------------


def unlabelled(table: Table, training: Mapping[str, Any]) -> dict[str, Any]:
    """The report on a table without labels: recipe, data, training, notes."""
    return {"recipe": RECIPE, "data": {"source": table.source, "kind": table.kind, "rows": len(table),
                                       "rejected": len(table.rejected)},
            "training": dict(training), "notes": list(table.notes)}


def _write_unlabelled(folder: run_folders.RunFolder, table: Table, errors: np.ndarray, result: Mapping[str, Any],
                      history: Sequence[Mapping[str, Any]]) -> None:
    """reconstructions.csv, rejected.csv, history.csv, params.json and, last, report.json."""
    order = np.argsort(table.rows)
    files.write_csv(folder.path / "reconstructions.csv", ["row", "input", "split", "squared_error"],
                    ([int(table.rows[i]), table.names[i], table.splits[i], float(errors[i])] for i in order))
    files.write_csv(folder.path / "rejected.csv", ["row", "input", "reason", "message"],
                    ([row.row, row.input, row.reason, row.message] for row in table.rejected))
    columns = list(dict.fromkeys([*files.HISTORY_COLUMNS, *(key for epoch in history for key in epoch)]))
    files.write_csv(folder.path / "history.csv", columns, ([row.get(name, "") for name in columns] for row in history))
    files.write_json(folder.path / "params.json", folder.params)
    files.write_json(folder.path / "report.json", result)


def _dead(training: Mapping[str, Any]) -> str:
    """What that means, in words."""
    if training["method"] == "k-sparse":
        return f"never among the {training['kept']:,} largest that training keeps"
    return "zero on every training image"


def text(result: Mapping[str, Any]) -> str:
    """A report in words, whether or not there are labels."""
    dead, codes = (result["training"].get(name, 0) for name in ("dead_codes", "codes"))
    own = ["", *lines_on_reconstruction(result["reconstruction"]),
           *([f"Dead codes, {_dead(result['training'])}: {dead:,} of {codes:,}"] if dead else [])]
    own += ["", *denoising.lines(result["denoising"])] if "denoising" in result else []
    if "verdict" in result:
        return "\n".join([report.text(dict(result)), *own])
    data = result["data"]
    lines = [f"{result['recipe']} on {data['source']}",
             f"{data['rows']:,} images, without labelled test rows or two classes to train on", *own, "",
             *result["notes"]]
    return "\n".join(lines)
