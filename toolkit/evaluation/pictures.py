"""Drawings of what a network looks at, as PNG files: filters, activations, exciting pictures, heat maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from toolkit.evaluation import sheets
from toolkit.evaluation.sheets import GAP, LINE, MARGIN, SMALL, TEXT, check

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["activation_sheet", "check", "exciting_sheet", "heat_map_overlay", "shrunk", "tiles"]

PICTURE, TILE, FILTER = 360, 112, 72  # longest sides, in pixels
NUM_COLUMNS = 10
NUM_CHANNELS_ALONE = 80


def shrunk(values: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 or a map (H, W) float32, made smaller if it is larger than any drawing needs."""
    if max(values.shape[:2]) <= 2 * PICTURE:
        return values
    height, width = sheets.fitted(values, 2 * PICTURE)
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BOX))


# ---- Filters and activations --------------------------------------------------------------------------------------


def tiles(filters: np.ndarray, path: str | Path, *, title: str) -> None:
    """Draws the filters of a layer side by side, each scaled to its largest weight; grey is zero.

    Args:
        filters: (K, h, w, C); with C of 3 in colour, else the mean over C in grey.
        path: the new PNG file.
        title: first line.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    if filters.shape[-1] != 3:
        filters = filters.mean(axis=-1, keepdims=True)
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    shades = np.broadcast_to(0.5 + 0.5 * filters / np.where(largest > 0, largest, 1), (*filters.shape[:3], 3))
    columns = max(8, math.ceil(math.sqrt(2 * len(shades))))
    rows, step = math.ceil(len(shades) / columns), FILTER + GAP
    lines = (f"{len(shades)} filters of {filters.shape[1]} x {filters.shape[2]}",
             "Grey is a weight of 0; each filter is scaled to its largest.")
    axes, top = sheets.begin(columns * step - GAP, rows * step - GAP, title, lines)
    for number, shade in enumerate(shades):
        row, column = divmod(number, columns)
        sheets.place(axes, shade, MARGIN + column * step, top + row * step, FILTER)
    sheets.save(axes, path)


def activation_sheet(activations: Mapping[str, np.ndarray], path: str | Path, *, picture: np.ndarray, title: str
                     ) -> None:
    """Draws layer by layer the channels that vary most over the picture, each from its smallest value to its largest.

    Args:
        activations: (h, w, C) by name of layer.
        path: the new PNG file.
        picture: (H, W, 3) uint8, what the network saw.
        title: first line.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    shown = NUM_COLUMNS if len(activations) > 1 else NUM_CHANNELS_ALONE
    heights = [_block_height(min(shown, values.shape[-1])) for values in activations.values()]
    lines = ("Of each layer the channels that vary most over the picture, from black (smallest) to yellow (largest).",
             "Below each: its number and its largest activation.")
    axes, top = sheets.begin(NUM_COLUMNS * (TILE + GAP) - GAP, 2 * TILE + sum(heights) - GAP, title, lines)
    sheets.place(axes, picture, MARGIN, top, 2 * TILE - GAP)
    top += 2 * TILE + GAP
    for (name, values), height in zip(activations.items(), heights, strict=True):
        _draw_channels(axes, name, values.astype(np.float32), shown, top)
        top += height
    sheets.save(axes, path)


def _block_height(count: int) -> int:
    """Pixels of a layer with so many channels shown."""
    return 2 * TEXT + math.ceil(count / NUM_COLUMNS) * (TILE + 2 * SMALL) + GAP


def _draw_channels(axes: "Axes", name: str, values: np.ndarray, count: int, top: float) -> None:
    height, width, channels = values.shape
    sheets.write(axes, MARGIN, top + TEXT / 2, f"{name}   {height} x {width}, {channels} channels", size=TEXT)
    for number, channel in enumerate(np.argsort(-values.std(axis=(0, 1)), kind="stable")[:count]):
        row, column = divmod(number, NUM_COLUMNS)
        left, upper = MARGIN + column * (TILE + GAP), top + 2 * TEXT + row * (TILE + 2 * SMALL)
        low, high = values[..., channel].min(), values[..., channel].max()
        shades = (values[..., channel] - low) / (high - low if high > low else 1)
        sheets.place(axes, sheets.coloured(shades), left, upper, TILE)
        sheets.write(axes, left, upper + TILE + SMALL, f"{channel}: {high:.3g}", size=SMALL, width=TILE)


# ---- Pictures of a table ------------------------------------------------------------------------------------------


def exciting_sheet(pictures: Sequence[np.ndarray], captions: Sequence[Sequence[str]], path: str | Path, *, title: str,
                   maps: Sequence[np.ndarray]) -> None:
    """Draws the pictures that excite a unit most, with an outline around what excites it.

    Args:
        pictures: each (H, W, 3) uint8, at least one.
        captions: the lines below each.
        path: the new PNG file.
        title: first line.
        maps: (H, W) in [0, 1] for each; the outline is drawn at a half.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    side, columns = 2 * TILE, min(4, max(3, len(pictures)))
    sizes = [sheets.fitted(picture, side)[0] for picture in pictures]
    heights = [max(sizes[start:start + columns]) for start in range(0, len(sizes), columns)]
    words_height = 2 * GAP + math.ceil(LINE * SMALL * max(map(len, captions)))
    lines = ("Strongest response first. The outline is where the unit responds with at least half of that.",)
    axes, top = sheets.begin(columns * (side + 2 * GAP) - 2 * GAP, sum(heights) + len(heights) * words_height - GAP,
                             title, lines)
    for number, (picture, caption, where) in enumerate(zip(pictures, captions, maps, strict=True)):
        row, column = divmod(number, columns)
        left, upper = MARGIN + column * (side + 2 * GAP), top + sum(heights[:row]) + row * words_height
        box = sheets.place(axes, picture, left, upper, side)
        sheets.outline(axes, where, box)
        for line, words in enumerate(caption):
            sheets.write(axes, box[0], upper + sizes[number] + LINE * SMALL * (line + 0.6), words, size=SMALL,
                         width=left + side - box[0])
    sheets.save(axes, path)


# ---- Heat maps ----------------------------------------------------------------------------------------------------


def heat_map_overlay(pictures: Sequence[np.ndarray], heats: Sequence[np.ndarray], captions: Sequence[Sequence[str]],
                     path: str | Path, *, title: str, seen: Sequence[tuple[float, float, float, float]]) -> None:
    """Draws each picture beside itself in grey under its heat map; what the network does not see is darkened.

    Args:
        pictures: each (H, W, 3) uint8, at least one.
        heats: (H, W) in [0, 1] for each.
        captions: the lines above each.
        path: the new PNG file.
        title: first line.
        seen: top, left, bottom and right edge of what the network sees, for each.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    heights = [sheets.fitted(picture, PICTURE)[0] for picture in pictures]
    above = [math.ceil(LINE * TEXT * len(caption)) for caption in captions]
    lines = ["Heat: evidence for the class, from none (no colour) over red to the strongest in the picture (yellow)."]
    if any(frame != (0, 0, *picture.shape[:2]) for frame, picture in zip(seen, pictures, strict=True)):
        lines.append("Outside the dashed frame the network sees nothing.")
    axes, top = sheets.begin(2 * PICTURE + GAP, sum(heights) + sum(above) + MARGIN * (len(heights) - 1), title, lines)
    for picture, heat, caption, frame, height, words_height in zip(
            pictures, heats, captions, seen, heights, above, strict=True):
        for line, words in enumerate(caption):
            sheets.write(axes, MARGIN, top + LINE * TEXT * (line + 0.4), words, size=TEXT)
        top += words_height
        sheets.place(axes, picture, MARGIN, top, PICTURE)
        _draw_heat(axes, picture, heat, frame, top)
        top += height + MARGIN
    sheets.save(axes, path)


def _draw_heat(axes: "Axes", picture: np.ndarray, heat: np.ndarray, frame: tuple[float, float, float, float],
               top: float) -> None:
    """The picture in grey, never quite black so that heat can be seen on it, with heat and frame."""
    grey = 0.25 + 0.75 * np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., None] / 255
    box = sheets.place(axes, grey.repeat(3, axis=-1), MARGIN + PICTURE + GAP, top, PICTURE)
    height, width = sheets.fitted(picture, PICTURE)
    large = sheets.resized(heat, height, width, smooth=True)
    alpha = np.clip(1.5 * large, 0, 0.7)[..., None]
    sheets.draw(axes, np.concatenate([sheets.coloured(0.3 + 0.6 * large), alpha], axis=-1), box)
    if frame == (0, 0, *picture.shape[:2]):
        return
    upper, first, lower, last = (height / picture.shape[0] * edge for edge in frame)
    dark = np.zeros((height, width, 4), np.float32)
    dark[..., 3] = 0.6
    dark[round(upper):round(lower), round(first):round(last), 3] = 0
    sheets.draw(axes, dark, box)
    inner = (box[0] + first, box[0] + last, top + lower, top + upper)
    sheets.frame(axes, inner, edgecolor="black", linewidth=1)
    sheets.frame(axes, inner, edgecolor="white", linewidth=1, linestyle="--")
