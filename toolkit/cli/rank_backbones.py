"""The command that says which backbone suits a table, before anything is trained."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import click

from toolkit import ToolkitError
from toolkit.cli import options, quiet_tensorflow

if TYPE_CHECKING:
    from toolkit.training import Settings

PRESENT = "present"
_RANKING = "Ranking"


@click.command("rank-backbones", cls=options.Command, short_help="Which backbone suits a table, without training.")
@options.table
@options.option("--backbone", "named", family=_RANKING, multiple=True, metavar="NAME[=WEIGHTS][@SIZE]",
                show_default="all whose pretrained weights are here",
                help="A candidate: its weights (imagenet, none or a file) and the side of its pictures in pixels. "
                     f"Repeat it for several; `--backbone {PRESENT}` stands for the default ones.")
@options.option("--measure-steps/--no-measure-steps", family=_RANKING, default=True,
                help="Take a few training steps of each, to predict how long fine-tuning it would take.")
@options.option("--output", family=_RANKING, type=click.Path(), metavar="DIR",
                help="New folder for ranking.csv and ranking.json.", show_default="none, the ranking is only printed")
@options.option("--seed", family=_RANKING, type=options.SEEDS, metavar="N", default=0,
                help="Seeds the folds, and the weights of candidates without any.")
@options.setting("devices", family=_RANKING)
@options.as_json
def rank_backbones(table: str, named: tuple[str, ...], measure_steps: bool, output: str | None, seed: int,
                   devices: str, as_json: bool, **values: Any) -> None:
    """Rank backbones by how well their frozen features suit a table: minutes, and nothing is fine-tuned.

    TABLE is a CSV (path,label[,split][,group]), a folder of class folders, a .npz file or tfds:NAME. Only its labelled
    training rows are used.
    """
    from toolkit.training import run_folders

    shared = options.settings({"backbone": "efficientnet_lite0", "weights": "imagenet", "seed": seed,
                               "devices": devices})
    asked = {text: None if text == PRESENT else candidate(text, seed=seed, devices=devices) for text in named}
    if output is not None:
        run_folders.check(output, resume=None)
    if devices != "auto":
        quiet_tensorflow.load()
        from toolkit.training.devices import strategy

        strategy(devices)
    found = options.read_images(table, values)
    quiet_tensorflow.load()
    from recipes import rank_backbones as recipe
    from toolkit.evaluation import rankings

    candidates = [settings for own in asked.values() for settings in ([own] if own else recipe.present(shared))]
    ranking = recipe.rank(found, candidates=candidates or None, settings=shared, measure_steps=measure_steps)
    if output is not None:
        record = {"backbone": list(named), "measure_steps": measure_steps, "seed": seed}
        with run_folders.begin(output, "rank_backbones", found, record) as folder:
            rankings.write(folder.path, ranking)
    click.echo(json.dumps(ranking) if as_json else rankings.text(ranking))


def candidate(text: str, *, seed: int = 0, devices: str = "auto") -> "Settings":
    """The settings that ``NAME[=WEIGHTS][@SIZE]`` stands for; a name that is a path may hold any sign.

    Raises:
        ToolkitError: there is no such backbone, nothing follows the sign, or the size is out of its range.

    Example:
        >>> found = candidate("EfficientNet-Lite0=none@96")
        >>> found.backbone, found.weights, found.image_size
        ('efficientnet_lite0', 'none', 96)
    """
    size = None if os.path.exists(text) else re.search(r"@(\d{1,6})$", text)
    rest = text[:size.start()] if size else text
    name, equals, weights = (rest, "", "") if os.path.exists(rest) else rest.partition("=")
    if not name:
        raise ToolkitError(f"--backbone {text!r} names no backbone: expected NAME[=WEIGHTS][@SIZE].")
    if equals and not weights:
        raise ToolkitError(f"--backbone {text} names no weights after '=': write {name}, {name}=none or {name}=FILE.")
    return options.settings({"backbone": name, "weights": weights or "imagenet", "seed": seed, "devices": devices,
                             "image_size": int(size[1]) if size else None})
