"""The commands that learn from the unlabelled rows too: each stands beside logistic regression on the labels alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from toolkit.cli import options, recipes

# of recipes.spread_labels; that module imports TensorFlow
METHODS = ("poisson", "laplace", "label-spreading", "label-propagation", "auto")
SHARES = ("labels", "unknown")
CLASSIFIERS = ("auto", "linear", "mlp")
# of recipes.pseudo_label and recipes.fix_match, likewise
WAYS = ("rounds", "lee")
TARGETS = ("hard", "soft")
RULES = ("adamatch", "softmatch", "freematch", "flexmatch", "fixmatch", "uda", "debiasmatch")
SPACES = ("features", "pixels", "both")
_OWN = ("method", "targets", "rounds", "rule", "strong_copies", "scales", "space", "steps", "per_label",
        "unlabelled_weight", "strength", "radius", "neighbours", "shares",
        "classifier")
_PIXELS = "Pixel space"
STEPS = {"features": 1000, "pixels": 1500, "from scratch": 6000}
_IN_PIXELS = f"{STEPS['pixels']:,}; from scratch {STEPS['from scratch']:,}"
_OF_PIXELS = ("batch_size", "optimizer", "learning_rate", "momentum", "schedule", "warm_up_ratio", "layer_decay",
              "weight_decay", "l2", "max_norm", "dropout", "label_smoothing", "class_weights", "batch_norm", "monitor",
              "patience", "time_limit", "accumulation", "precision", "crop", "colour", "rand_augment")

# ---- Options that several commands have ---------------------------------------------------------------------------

strong_copies = options.option("--strong-copies", family="Method", type=click.IntRange(0, 64), metavar="K", default=2,
                               help="Strongly changed copies of each row; their features are cached.")
scales = options.option("--scales", family="Method", type=click.IntRange(1, 2), metavar="N", default=2,
                        help="2: features of an image at five sevenths of its size stand beside those of the image.")
space = options.option("--space", family="Method", type=click.Choice(SPACES), default=SPACES[0],
                       help="Learn a head on cached frozen features in seconds; or the whole network, in up to an "
                            "hour; or both, the one from where the other ends.")
steps = options.option("--steps", family="Method", type=click.IntRange(1, 1_000_000), metavar="N",
                       help="Gradient steps of the method, and of its control.",
                       show_default=f"{STEPS['features']:,} in feature space, in pixel space {_IN_PIXELS}")
reflect = options.setting("reflect", family="Method")
_ONLY_PIXELS = (*_OF_PIXELS, "per_label", "unlabelled_weight", "strength", "radius")


def _unheard(values: Mapping[str, Any]) -> dict[str, str]:
    """Options of another space or method than the one that is chosen."""
    space, method = values.get("space", SPACES[0]), values.get("method")
    found = {"scales": "belongs to --space features"} if space != "features" else {}
    if space == "features":
        found |= dict.fromkeys(_ONLY_PIXELS, "belongs to --space pixels and both")
    if space == "pixels":
        found["strong_copies"] = "belongs to --space features and both"
    if space == "features" and method == "rounds":
        found["steps"] = "belongs to --method lee and --space pixels and both"
    if method == "lee":
        found |= dict.fromkeys(("rounds", "targets"), "belongs to --method rounds")
    return found


in_pixels = options.together(*(options.setting(name, family=_PIXELS) for name in _OF_PIXELS))


def per_label(default: int | None, told: str | bool = True) -> options.Decorator:
    """The option of the unlabelled images in a batch.

    Args:
        default: of the recipe.
        told: what the help says is the default, if not the number.
    """
    return options.option("--per-label", family=_PIXELS, type=click.IntRange(1, 64), metavar="N", default=default,
                          help="Unlabelled images a labelled one in each batch.", show_default=told)


def unlabelled_weight(default: float | None, told: str | bool = True) -> options.Decorator:
    """The option of the weight of the loss of unlabelled images, as ``per_label``.

    Args:
        default: of the recipe.
        told: what the help says is the default, if not the number.
    """
    return options.option("--unlabelled-weight", family=_PIXELS, type=click.FloatRange(0, 1000, min_open=True),
                          metavar="X", default=default, help="Of the loss of unlabelled images.", show_default=told)


# ---- The commands -------------------------------------------------------------------------------------------------


def _command(name: str, short: str, sentence: str, *own: options.Decorator, control: str = "the same head"
             ) -> click.Command:
    """The command of a recipe.

    Args:
        name: of the command, and with underscores of the recipe.
        short: its line among all commands.
        sentence: what it does.
        own: options beside those of the table, the backbone and the run.
        control: what learns from the labels alone.
    """
    def train(**values: Any) -> None:
        of_recipe = {option: values.pop(option) for option in _OWN if option in values}
        recipes.train(name.replace("-", "_"), values, **of_recipe)

    train.__doc__ = f"""{sentence}

    TABLE is a CSV (path or text,label[,split][,group]), a folder of class folders, a .npz file or tfds:NAME. A
    training row with a blank label is unlabelled. Where hidden labelled rows show no gain over {control} on the
    labels alone, the unlabelled rows are not used.
    """
    of_all = options.together(options.table, options.unlabelled, options.backbone, *own, options.run)
    return click.command(name, cls=options.Command, short_help=short, unheard=_unheard)(of_all(train))


spread_labels = _command(
    "spread-labels", "Spread few labels along a graph of rows.",
    "Spread few labels to the unlabelled rows along a nearest-neighbour graph of frozen features.",
    options.option("--method", family="Graph", type=click.Choice(METHODS), default=METHODS[0],
                   help="How labels spread; auto: chosen by cross-fitting on labelled rows."),
    options.option("--neighbours", family="Graph", type=click.IntRange(1, 1000), metavar="N", default=25,
                   help="Nearest neighbours that each row is joined to."),
    options.option("--class-shares", "shares", family="Graph", type=click.Choice(SHARES), default=SHARES[0],
                   help="Whether the unlabelled rows are taken to have the classes in the shares of the labels, unless "
                        "they visibly have not."),
    options.option("--classifier", family="Graph", type=click.Choice(CLASSIFIERS), default=CLASSIFIERS[0],
                   help="What predicts new rows: logistic regression on the spread labels, or a network with a hidden "
                        "layer; auto: chosen by cross-fitting."),
    control="logistic regression, or over the network of --classifier mlp,")

pseudo_label = _command(
    "pseudo-label", "Learn from one's own labels, class by class.",
    "Label the unlabelled rows with the classifier itself and learn from what it said.",
    options.option("--method", family="Method", type=click.Choice(WAYS), default=WAYS[0],
                   help="Self-training in rounds, the most confident rows of each class first; or Lee's of 2013: "
                        "labels recomputed at every update, their weight rising."),
    options.option("--targets", family="Method", type=click.Choice(TARGETS), default=TARGETS[0],
                   help="Whether a round learns classes or probabilities."),
    options.option("--rounds", family="Method", type=click.IntRange(1, 1000), metavar="N", default=12,
                   help="Rounds of self-training."),
    strong_copies, scales, space,
    options.option("--steps", family="Method", type=click.IntRange(1, 1_000_000), metavar="N",
                   help="Gradient steps of Lee's method, and of every method and control in pixel space.",
                   show_default=_IN_PIXELS),
    reflect, per_label(None, "3; 8 for --method lee"), unlabelled_weight(None, "1; 3 for --method lee"), in_pixels)

fix_match = _command(
    "fix-match", "Teach strong views what weak views are taken for.",
    "Learn from unlabelled rows that strongly changed ones mean what weakly changed ones do.",
    options.option("--rule", family="Method", type=click.Choice(RULES),
                   show_default="adamatch; in pixel space from scratch flexmatch",
                   help="How the weak view of an unlabelled image becomes a target and a weight."),
    strong_copies, scales, space, steps, reflect, per_label(3), unlabelled_weight(1.0),
    options.option("--strength", family=_PIXELS, type=click.FloatRange(0, 2), metavar="X", default=1.0,
                   help="Factor on how strongly the strong views are changed."),
    in_pixels)

mean_teacher = _command(
    "mean-teacher", "Agree with one's own moving average.",
    "Learn from unlabelled rows to agree, on every view of them, with the moving average of the network.",
    strong_copies, scales, space, steps, reflect, per_label(3), unlabelled_weight(10.0), in_pixels)

virtual_adversarial = _command(
    "virtual-adversarial", "Be unmoved by the worst small change.",
    "Learn from unlabelled rows answers that are sure, and that no small change of an image moves.",
    scales, space, steps, reflect, per_label(3), unlabelled_weight(1.0),
    options.option("--radius", family=_PIXELS, type=click.FloatRange(0, 1, min_open=True), metavar="X", default=0.02,
                   help="Root mean square change of a grey level, as a share of 255."),
    in_pixels)

mix_match = _command(
    "mix-match", "Learn from mixtures of labelled and unlabelled images.",
    "Learn from mixtures of labelled images and of unlabelled ones with guessed, sharpened labels.",
    strong_copies, scales, space, steps, reflect, per_label(3), unlabelled_weight(7.5), in_pixels)

COMMANDS = (spread_labels, pseudo_label, fix_match, mean_teacher, virtual_adversarial, mix_match)
