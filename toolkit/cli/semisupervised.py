"""The commands that learn from the unlabelled rows too: each stands beside logistic regression on the labels alone."""

from __future__ import annotations

from typing import Any

import click

from toolkit.cli import options, recipes

# of recipes.spread_labels; that module imports TensorFlow
METHODS = ("poisson", "laplace", "label-spreading", "label-propagation", "auto")
SHARES = ("labels", "unknown")
# of recipes.pseudo_label and recipes.fix_match, likewise
WAYS = ("rounds", "lee")
TARGETS = ("hard", "soft")
RULES = ("adamatch", "softmatch", "freematch", "flexmatch", "fixmatch", "uda", "debiasmatch")
strong_copies = options.option("--strong-copies", family="Method", type=click.IntRange(0, 64), metavar="K", default=2,
                               help="Strongly changed copies of each image; their features are cached.")


@click.command("spread-labels", cls=options.Command, short_help="Spread few labels along a graph of images.")
@options.table
@options.backbone
@options.option("--method", family="Graph", type=click.Choice(METHODS), default=METHODS[0],
                help="How labels spread; auto: chosen by cross-fitting on labelled rows.")
@options.option("--neighbours", family="Graph", type=click.IntRange(1, 1000), metavar="N", default=25,
                help="Nearest neighbours that each image is joined to.")
@options.option("--class-shares", "shares", family="Graph", type=click.Choice(SHARES), default=SHARES[0],
                help="Whether the unlabelled rows are taken to have the classes in the shares of the labels, unless "
                     "they visibly have not.")
@options.run
def spread_labels(method: str, neighbours: int, shares: str, **values: Any) -> None:
    """Spread few labels to the unlabelled rows along a nearest-neighbour graph of frozen features.

    TABLE is a CSV (path,label[,split][,group]), a folder of class folders, a .npz file or tfds:NAME. A training row
    with a blank label is unlabelled. Where hidden labelled rows show no gain over logistic regression on the labels
    alone, the unlabelled rows are not used.
    """
    recipes.train("spread_labels", values, method=method, neighbours=neighbours, shares=shares)


@click.command("pseudo-label", cls=options.Command, short_help="Learn from one's own labels, class by class.")
@options.table
@options.backbone
@options.option("--method", family="Method", type=click.Choice(WAYS), default=WAYS[0],
                help="Self-training in rounds, the most confident rows of each class first; or Lee's of 2013: labels "
                     "recomputed at every update, their weight rising.")
@options.option("--targets", family="Method", type=click.Choice(TARGETS), default=TARGETS[0],
                help="Whether a round learns classes or probabilities.")
@options.option("--rounds", family="Method", type=click.IntRange(1, 1000), metavar="N", default=12,
                help="Rounds of self-training.")
@strong_copies
@options.setting("reflect", family="Method")
@options.run
def pseudo_label(**values: Any) -> None:
    """Label the unlabelled rows with the classifier itself and learn from what it said, on frozen features.

    TABLE is a CSV (path,label[,split][,group]), a folder of class folders, a .npz file or tfds:NAME. A training row
    with a blank label is unlabelled. Where hidden labelled rows show no gain over the same head on the labels alone,
    the unlabelled rows are not used.
    """
    own = {name: values.pop(name) for name in ("method", "targets", "rounds", "strong_copies")}
    recipes.train("pseudo_label", values, **own)


@click.command("fix-match", cls=options.Command, short_help="Teach strong views what weak views are taken for.")
@options.table
@options.backbone
@options.option("--rule", family="Method", type=click.Choice(RULES), default=RULES[0],
                help="How the weak view of an unlabelled image becomes a target and a weight.")
@options.option("--steps", family="Method", type=click.IntRange(1, 1_000_000), metavar="N", default=1000,
                help="Gradient steps of the head, and of its control.")
@strong_copies
@options.setting("reflect", family="Method")
@options.run
def fix_match(rule: str, steps: int, strong_copies: int, **values: Any) -> None:
    """Learn from unlabelled rows that strongly changed copies mean what weakly changed ones do, on frozen features.

    TABLE is a CSV (path,label[,split][,group]), a folder of class folders, a .npz file or tfds:NAME. A training row
    with a blank label is unlabelled. Where hidden labelled rows show no gain over the same head on the labels alone,
    the unlabelled rows are not used.
    """
    recipes.train("fix_match", values, rule=rule, steps=steps, strong_copies=strong_copies)


COMMANDS = (spread_labels, pseudo_label, fix_match)
