"""The command that draws what a run looks at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit import ToolkitError
from toolkit.cli import options, quiet_tensorflow

if TYPE_CHECKING:
    import numpy as np

    from toolkit.tables import Table

Drawings = dict[str, Callable[[Path], None]]

MAX_IMAGES = 12
NUM_EXCITING = 12
_DRAWING = "Drawing"


@click.command(cls=options.Command, short_help="Draw what a run looks at in images.")
@click.argument("run")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.option("--output", family=_DRAWING, type=click.Path(), metavar="DIR", help="Folder for the PNG files.",
                show_default="RUN-pictures")
@options.option("--class", "class_name", family=_DRAWING, metavar="NAME", help="Class whose evidence is shown.",
                show_default="the predicted one")
@options.option("--layer", family=_DRAWING, metavar="NAME", help="Layer that is shown: its activations, the evidence "
                "in it, and its unit.", show_default="activations: of each block the last; else the last of all")
@options.option("--unit", family=_DRAWING, type=click.IntRange(0), metavar="N",
                help="Unit of the layer whose most exciting images in --table are shown.", show_default="none")
@options.option("--table", family=_DRAWING, metavar="TABLE", help="Where to look for them.", show_default="none")
@options.reading
def show(run: str, images: tuple[str, ...], output: str | None, class_name: str | None, layer: str | None,
         unit: int | None, table: str | None, **values: Any) -> None:
    """Draw what a run looks at in images: grad_cam.png, filters.png, activations.png; with --unit exciting.png.

    RUN is the folder of a run, or its model.keras; IMAGE an image file or a folder of images. Grad-CAM shows where in
    an image the evidence for a class lies.
    """
    from toolkit.evaluation import pictures

    if (unit is None) != (table is None):
        raise ToolkitError("--unit and --table belong together: give both, or neither.")
    folder = Path(output or f"{_folder_of(run)}-pictures")
    pictures.check([folder / name for name in ("grad_cam.png", "filters.png", "activations.png")])
    quiet_tensorflow.load()
    from toolkit.models import classifiers

    model, class_names = classifiers.load(Path(run) / "model.keras" if os.path.isdir(run) else Path(run))
    found = _read(images, values, class_names)
    lines, drawings = _grad_cam(model, found, class_names, _class_index(class_name, class_names), layer)
    drawings |= {**_filters(model), **_activations(model, found, layer)}
    if unit is not None:
        drawings |= _exciting(model, options.read_images(table, values, require_labels=False), layer, unit)
    pictures.check([folder / name for name in drawings])
    click.echo("\n".join(lines))
    for name, draw in drawings.items():
        draw(folder / name)
        click.echo(folder / name)


def _folder_of(run: str) -> str:
    folder = os.path.normpath(run if os.path.isdir(run) else os.path.dirname(run) or ".")
    return os.path.abspath(folder) if os.path.basename(folder) in (".", "..") else folder


def _class_index(name: str | None, class_names: Sequence[str]) -> int | None:
    from toolkit.tables.errors import listed, suggestion

    if name is not None and name not in class_names:
        raise ToolkitError(f"--class {name!r} is not a class of the run ({listed(class_names)})."
                           f"{suggestion(name, class_names)}")
    return None if name is None else class_names.index(name)


def _read(images: tuple[str, ...], values: dict[str, Any], class_names: Sequence[str]) -> "Table":
    """The images as a table, in the order in which they were named; those that cannot be used are told on stderr."""
    import numpy as np

    found = options.read_images(images[0] if len(images) == 1 else list(images), values, class_names=class_names,
                               require_labels=False)
    for row in found.rejected:
        click.echo(f"{row.input} set aside: {row.message}", err=True)
    if not len(found):
        raise ToolkitError(f"{found.source}: no image can be used, so there is nothing to draw: name others.")
    if len(found) > MAX_IMAGES:
        click.echo(f"The first {MAX_IMAGES} of {len(found):,} images are drawn.", err=True)
    return found.select(np.argsort(found.rows)[:MAX_IMAGES])


# ---- One function a drawing: it computes, and gives by name of file what draws it ---------------------------------


def _grad_cam(model: Any, table: "Table", class_names: Sequence[str], class_index: int | None, layer: str | None
              ) -> tuple[list[str], Drawings]:
    """Also a line for the prediction of each image."""
    from toolkit.evaluation import pictures
    from toolkit.models import explanations, views
    from toolkit.training import prediction

    probabilities = prediction.predict(model, table)
    lines, shown, heats, captions, seen = [], [], [], [], []
    for row, image in enumerate(_pixels(table, range(len(table)))):
        best = int(probabilities[row].argmax())
        explained = best if class_index is None else class_index
        heat = explanations.grad_cam(model, image, explained, layer=layer)
        predicted = f"{class_names[best]}, probability {probabilities[row, best]:.3f}"
        lines.append(f"{table.names[row]}: {predicted}")
        evidence = f"evidence for {class_names[explained]} (probability {probabilities[row, explained]:.3f})"
        captions.append([os.path.basename(table.names[row]), predicted])
        if explained != best or not heat.any():
            captions[-1].append(evidence if heat.any() else f"no {evidence} in this layer")
        shown.append(pictures.shrunk(image))
        heats.append(pictures.shrunk(heat))
        seen.append(views.seen(model, *shown[-1].shape[:2]))
    title = f"Grad-CAM at {layer or explanations.last_layer(model)}"
    return lines, {"grad_cam.png": partial(pictures.heat_map_overlay, shown, heats, captions, title=title, seen=seen)}


def _filters(model: Any) -> Drawings:
    from toolkit.evaluation import pictures
    from toolkit.models import explanations

    filters = explanations.first_layer_filters(model)
    return {"filters.png": partial(pictures.tiles, filters, title="Filters of the first layer")}


def _activations(model: Any, table: "Table", layer: str | None) -> Drawings:
    from toolkit.evaluation import pictures
    from toolkit.models import explanations, views

    drawings = {}
    for row, image in enumerate(_pixels(table, range(len(table)))):
        found = explanations.layer_activations(model, image, None if layer is None else [layer])
        drawings[f"activations{f'_{row + 1}' if row else ''}.png"] = partial(
            pictures.activation_sheet, found, picture=views.crop(model, image),
            title=f"Activations: {os.path.basename(table.names[row])}")
    return drawings


def _exciting(model: Any, table: "Table", layer: str | None, unit: int) -> Drawings:
    import numpy as np

    from toolkit import inputs
    from toolkit.evaluation import pictures
    from toolkit.models import classifiers, explanations
    from toolkit.training.progress import Progress

    everything = np.arange(len(table))
    with Progress(f"responses of unit {unit}", len(table)) as progress:
        batches = inputs.evaluation_batches(table, everything, batch_size=64,
                                            preprocessing=classifiers.preprocessing_of(model))
        rows, responses = inputs.explained(table, lambda: explanations.exciting_rows(
            model, _told(batches, progress), layer, unit, NUM_EXCITING))
    images = list(_pixels(table, rows))
    maps = [pictures.shrunk(explanations.unit_map(model, image, layer, unit)) for image in images]
    labels = [table.class_names[table.labels[row]] if table.labels[row] >= 0 else "no label" for row in rows]
    captions = [[f"{response:.3g}   {label}", os.path.basename(table.names[row])]
                for row, response, label in zip(rows, responses, labels, strict=True)]
    title = f"Unit {unit} of {layer or explanations.last_layer(model)}"
    return {"exciting.png": partial(pictures.exciting_sheet, list(map(pictures.shrunk, images)), captions,
                                    title=title, maps=maps)}


def _told(batches: Iterable[Any], progress: Callable[[int], None]) -> Iterator[Any]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        progress(done)


def _pixels(table: "Table", rows: Iterable[int]) -> Iterator["np.ndarray"]:
    """Images of rows of a table, (H, W, 3) uint8."""
    import numpy as np

    from toolkit import inputs
    from toolkit.inputs import images

    rows = np.asarray(list(rows), np.int64)
    read = images.reader(table, rows)
    for row in rows:
        yield inputs.explained(table, lambda: read(row).numpy())
