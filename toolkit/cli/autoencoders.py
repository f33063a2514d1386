"""The commands on autoencoders: train one, write its codes, denoise with it, search by it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit import ToolkitError
from toolkit.cli import options, quiet_tensorflow

if TYPE_CHECKING:
    import numpy as np

    from toolkit.tables import Table

# of recipes.pretrain_autoencoder, toolkit.autoencoders.corruptions and .similar; the former import TensorFlow
METHODS = ("denoising", "plain", "sparse", "k-sparse", "contractive", "variational", "masked")
CORRUPTIONS = ("masking", "gaussian", "salt-and-pepper")
METRICS = ("cosine", "euclidean")
DEFAULTS = {"backbone": "mlp", "weights": "none", "ema": 0.0}
USUAL, BY_SGD = {"batch_size": 100, "optimizer": "adam"}, {"batch_size": 50, "optimizer": "sgd"}
METHODS_BY_SGD = ("denoising", "k-sparse")  # where fully connected layers are trained one by one
_METHOD, _RUN = "Method", "Run"


# ---- Training -----------------------------------------------------------------------------------------------------


@click.command("pretrain-autoencoder", cls=options.Command, short_help="Learn features by reconstructing images.",
               context_settings={"default_map": DEFAULTS})
@options.table
@options.option("--method", family=_METHOD, type=click.Choice(METHODS), default=METHODS[0],
                help="What is learnt besides reconstructing: to undo a corruption (denoising), few active codes by a "
                     "penalty (sparse) or by keeping the k largest (k-sparse), codes that hardly move with the input "
                     "(contractive), normal codes (variational), hidden patches (masked), or nothing (plain).")
@options.option("--tied/--untied", family=_METHOD, default=True,
                help="Whether the decoder of fully connected layers uses the encoder's weights.")
@options.option("--corruption", family=_METHOD, type=click.Choice(CORRUPTIONS), default=CORRUPTIONS[0],
                help="What denoising undoes: zeros, normal noise, or zeros and ones.")
@options.option("--corruption-level", family=_METHOD, type=click.FloatRange(0, 1), metavar="X",
                help="Share of the values that are corrupted, standard deviation of normal noise, or share of the "
                     "patches that are hidden.", show_default="denoising: 0.5; masked: 0.6")
@options.option("--sparsity-target", family=_METHOD, type=click.FloatRange(1e-6, 1, max_open=True), metavar="X",
                default=0.03, help="Mean activation that a sparse autoencoder aims at.")
@options.option("--penalty-weight", family=_METHOD, type=click.FloatRange(0), metavar="X",
                help="Weight of the penalty of a sparse, contractive or variational autoencoder.",
                show_default="sparse: 10; contractive: 0.1; variational: 1")
@options.option("--kept", family=_METHOD, type=click.IntRange(1), metavar="K", default=25,
                help="Codes that a k-sparse autoencoder reconstructs from.")
@options.option("--kept-factor", family=_METHOD, type=click.FloatRange(1, 100), metavar="X", default=3.0,
                help="Times as many codes are kept where features are wanted.")
@options.option("--patch-size", family=_METHOD, type=click.IntRange(1, 1024), metavar="N", default=4,
                help="Side of the patches that masked autoencoding hides, in pixels.")
@options.option("--jointly/--layer-by-layer", "jointly", family=_METHOD, default=False,
                help="Whether several fully connected layers are trained at once.")
@options.backbone
@options.option("--epochs", family="Training", type=click.IntRange(1, 100_000), metavar="N",
                help="Passes over the training rows, of each layer.", show_default="as many as show 3,000,000 images, "
                "10 to 1,000")
@options.setting("batch_size", family="Training", usual="100; where sgd is the usual optimizer: 50")
@options.setting("optimizer", family="Training", usual="adam; denoising or k-sparse layers one by one: sgd")
@options.option("--learning-rate", family="Training", type=click.FloatRange(1e-8, 100), metavar="X",
                help="Peak learning rate.", show_default="0.001; sgd: 0.005, denoising or k-sparse layers one by one: "
                "by the variance of their values")
@options.setting("momentum", family="Training")
@options.setting("schedule", family="Training")
@options.setting("warm_up_ratio", family="Training")
@options.setting("ema", family="Training")
@options.setting("time_limit", family="Training")
@options.run
def pretrain_autoencoder(table: str, output: str, resume: bool, as_json: bool, **values: Any) -> None:
    """Train an autoencoder on all training rows, labelled or not; other commands take it as --backbone DIR.

    TABLE is a CSV (path[,label][,split][,group]), a folder of class folders, a .npz file or tfds:NAME. Where it has
    labels, logistic regression on the codes is judged beside the same network untrained, principal components and
    pixels. Fully connected layers, the backbone mlp, have here 1000 units (--hidden), plain ones 128, variational ones
    400,20. Their weights begin as glorot, those of denoising and k-sparse layers, one by one by SGD, as gaussian
    (--initialiser).
    """
    from toolkit.training import run_folders

    own = {name: values.pop(name) for name in (
        "method", "tied", "corruption", "corruption_level", "sparsity_target", "penalty_weight", "kept", "kept_factor",
        "patch_size", "jointly")}
    settings = options.settings({**values, **{name: values[name] or default for name, default in USUAL.items()}})
    by_layer = settings.backbone == "mlp" and settings.weights == "none" and not own["jointly"]
    if by_layer and own["method"] in METHODS_BY_SGD:
        settings = dataclasses.replace(settings, **{name: values[name] or usual for name, usual in BY_SGD.items()})
    run_folders.check(output, resume=resume)
    quiet_tensorflow.load()
    from recipes import pretrain_autoencoder as recipe
    from toolkit.autoencoders import reports
    from toolkit.training.devices import strategy

    strategy(settings.devices)
    found = _with_or_without_labels(table, values)
    report = recipe.run(found, output=output, settings=settings, resume=resume, **own)
    click.echo(json.dumps(report) if as_json else reports.text(report))


def _with_or_without_labels(source: str, values: dict[str, Any]) -> "Table":
    """The table; one that has no label at all is read without, and stderr says so.

    Raises:
        ToolkitError: if the table cannot be used, or has labels that cannot.
    """
    from toolkit.tables import csv_files, sources

    try:
        return options.read_images(source, values)
    except ToolkitError:
        if source.startswith("tfds:") or values["labels_per_class"] is not None:
            raise
        columns = csv_files.Columns(**{name.removesuffix("_column"): values[name]
                                       for name in values if name.endswith("_column")})
        root = None if values["root"] is None else Path(values["root"]).expanduser()
        entries = sources.read(source, kind=values["kind"], columns=columns, root=root, class_names=None,
                               require_labels=False)
        if any(entries.labels):
            click.echo("Pretraining needs no labels: with a table that has none at all, the codes are not judged as "
                       "features.", err=True)
            raise
    click.echo(f"{source} has no labels, so its codes are not judged as features.", err=True)
    return options.read_images(source, values, require_labels=False)


# ---- Codes --------------------------------------------------------------------------------------------------------


@click.command("encode", cls=options.Command, short_help="Write the codes of images to a file.")
@click.argument("run")
@click.argument("inputs", nargs=-1, required=True, metavar="TABLE_OR_FILES...")
@options.reading
@options.option("--output", family=_RUN, required=True, type=click.Path(), metavar="FILE",
                help="New file: .csv, a line for every row, or .npz with the arrays codes, rows, inputs, labels, "
                     "splits.")
def encode(run: str, inputs: tuple[str, ...], output: str, **values: Any) -> None:
    """Write the codes that a run gives images: of an autoencoder, or the features of any run's network.

    RUN is the folder of a run; what follows is a table, a folder of images, or image files. Labels are not needed.
    """
    from toolkit.evaluation.report import files

    if Path(output).suffix not in (".csv", ".npz"):
        raise ToolkitError(f"--output {output} is neither .csv nor .npz: choose one of them.")
    if os.path.lexists(output):
        raise ToolkitError(f"--output {output} exists already, and nothing is overwritten: choose another name.")
    table, codes = _table_and_codes(run, inputs, values)
    from toolkit.autoencoders import runs

    table = dataclasses.replace(table, splits=runs.splits(run, table))
    if output.endswith(".csv"):
        lines = _code_lines(table, codes)
        files.write_csv(Path(output), next(lines), lines)
    else:
        _write_arrays(Path(output), table, codes)
    click.echo(f"{output}: {len(codes):,} rows, {codes.shape[1]:,} codes each"
               + (f", {len(table.rejected):,} rejected" if table.rejected else ""))


def _table_and_codes(run: str, sources: tuple[str, ...], values: dict[str, Any]) -> tuple["Table", "np.ndarray"]:
    table = options.read_images(sources[0] if len(sources) == 1 else list(sources), values, require_labels=False)
    quiet_tensorflow.load()
    from toolkit.models import backbones
    from toolkit.training import features

    return table, features.extract(backbones.build(run), table)


def _code_lines(table: "Table", codes: "np.ndarray") -> Iterator[list[Any]]:
    """The header, then every row in the order of the input, the rejected ones among them."""
    yield ["row", "input", "split", "label", "status", *(f"code_{number}" for number in range(codes.shape[1]))]
    lines = {int(table.rows[i]): [table.names[i], table.splits[i], _label(table, i), "ok", *codes[i].tolist()]
             for i in range(len(table))}
    lines |= {int(row.row): [row.input, row.split, row.label, "rejected", *[""] * codes.shape[1]]
              for row in table.rejected}
    yield from ([row, *lines[row]] for row in sorted(lines))


def _label(table: "Table", index: int) -> str:
    return table.class_names[table.labels[index]] if table.labels[index] >= 0 else ""


def _write_arrays(path: Path, table: "Table", codes: "np.ndarray") -> None:
    import numpy as np

    from toolkit import atomic_files

    order = np.argsort(table.rows)
    labels = np.array([_label(table, index) for index in order], dtype=str)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(path) as temporary:
            np.savez(temporary, codes=codes[order], rows=table.rows[order], inputs=table.names[order].astype(str),
                     labels=labels, splits=table.splits[order].astype(str))
    except OSError as error:
        raise ToolkitError(f"{path} cannot be written: {error.strerror or error}.") from error


@click.command("find-similar", cls=options.Command, short_help="Find the images of a table most like others.")
@click.argument("run")
@click.argument("table")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.reading
@options.option("--count", family="Search", type=click.IntRange(1), metavar="N", default=5,
                help="Images that are named for each query.")
@options.option("--metric", family="Search", type=click.Choice(METRICS), default=METRICS[0],
                help="Distance of two codes.")
@options.option("--output", family=_RUN, type=click.Path(), metavar="FILE", help="New CSV file for the table.",
                show_default="stdout")
def find_similar(run: str, table: str, images: tuple[str, ...], count: int, metric: str, output: str | None,
                 **values: Any) -> None:
    """Find the images of TABLE whose codes lie nearest to those of each IMAGE: a line for each of them.

    RUN is the folder of a run, an autoencoder's or another; IMAGE an image file or a folder of images.
    """
    import csv
    import sys

    from toolkit.autoencoders import similar
    from toolkit.evaluation.report import files

    if output is not None and os.path.lexists(output):
        raise ToolkitError(f"--output {output} exists already, and nothing is overwritten: choose another name.")
    found, codes = _table_and_codes(run, (table,), values)
    asked, queries = _table_and_codes(run, images, {})
    for row in asked.rejected:
        click.echo(f"{row.input} set aside: {row.message}", err=True)
    if not len(queries) or not len(codes):
        raise ToolkitError(f"{' '.join(images) if len(codes) else table} holds no usable image: name others.")
    rows, distances = similar.nearest(queries, codes, count, metric=metric)
    header = ["query", "rank", "row", "input", "label", f"{metric}_distance"]
    lines = ([asked.names[query], rank + 1, int(found.rows[row]), found.names[row], _label(found, row),
              float(distances[query, rank])]
             for query in asked.rows.argsort() for rank, row in enumerate(rows[query]))
    if output is not None:
        files.write_csv(Path(output), header, lines)
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *lines])


# ---- Denoising ----------------------------------------------------------------------------------------------------


@click.command("denoise", cls=options.Command, short_help="Denoise images with an autoencoder.")
@click.argument("run")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.reading
@options.option("--output", family=_RUN, required=True, type=click.Path(), metavar="DIR",
                help="New folder for the PNG files.")
@options.option("--noise", family="Judging", type=click.Choice(CORRUPTIONS), help="Add this noise first, to clean "
                "images, and judge what is made of it beside a blur and a median filter.", show_default="none")
@options.option("--level", family="Judging", type=click.FloatRange(0, 1), metavar="X", default=0.25,
                help="Share of the values, or standard deviation, of --noise.")
@options.option("--seed", family="Judging", type=options.SEEDS, metavar="N", default=0, help="Seeds --noise.")
def denoise(run: str, images: tuple[str, ...], output: str, noise: str | None, level: float, seed: int,
            **values: Any) -> None:
    """Denoise images with an autoencoder: DIR gets a PNG file of each, in the size that the autoencoder sees.

    RUN is the folder of a run of pretrain-autoencoder; IMAGE an image file, a folder of images or a table, of which
    --noise judges the test rows where it has some.
    """
    from toolkit.autoencoders import denoising
    from toolkit.training import run_folders

    run_folders.check(output, resume=None)
    if noise is not None:
        denoising.check()
    table = options.read_images(images[0] if len(images) == 1 else list(images), values, require_labels=False)
    for row in table.rejected:
        click.echo(f"{row.input} set aside: {row.message}", err=True)
    if not len(table):
        raise ToolkitError(f"{table.source} holds no usable image, so there is nothing to denoise: name others.")
    quiet_tensorflow.load()
    from toolkit.autoencoders import runs

    autoencoder = runs.load(run)
    crops = runs.crops(table, autoencoder.preprocessing)
    noisy = crops if noise is None else runs.corrupted(crops, noise, level, seed)
    clean = runs.in_parts(autoencoder.reconstructed, noisy)
    runs.write_pictures(Path(output), table, clean)
    if noise is not None:
        runs.write_pictures(Path(output) / "noisy", table, noisy)
        click.echo("\n".join(_judged(table, runs.splits(run, table), crops, noisy, clean)))
    click.echo(f"{len(clean):,} images in {output}")


def _judged(table: "Table", splits: "np.ndarray", *images: "np.ndarray") -> list[str]:
    """What is said of clean, noisy and denoised images (n, S, S, 3) in [0, 255] of splits (n,)."""
    from toolkit.autoencoders import denoising

    rows, others = denoising.to_judge(splits)
    grey = all((values[..., :1] == values).all() for values in images)
    clean, noisy, made = (values[..., :1 if grey else 3] / 255.0 for values in images)
    chosen_on = f"{len(others):,} other images" if len(others) else "these images, since there are no others"
    others = others if len(others) else rows
    filters = denoising.best_filters(clean[others], noisy[others])
    return denoising.lines(denoising.judged(clean[rows], noisy[rows], made[rows], filters, chosen_on=chosen_on))


COMMANDS = (pretrain_autoencoder, encode, find_similar, denoise)
