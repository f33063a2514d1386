"""The options of the commands: one decorator a family.

What ``Settings`` documents (help, default, choices, range) is read from there. Options leave with the names of the
arguments they become; ``settings`` and ``read_table`` pick theirs.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from toolkit import ToolkitError
from toolkit.cli import quiet_tensorflow
from toolkit.cli.network_options import NETWORK_OPTIONS, NetworkOption
from toolkit.training.settings import CHOICES, RANGES, Settings

if TYPE_CHECKING:
    from toolkit.tables import Table

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SEEDS = click.IntRange(*RANGES["seed"])
FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


# ---- Building blocks ----------------------------------------------------------------------------------------------


OF_ONE_PROCESS = ("benchmark", "learning-curve")  # their rows are processes of their own
OF_ANY = ("doctor", "launch", "backbones")


class Command(click.Command):
    """A command whose help lists its options by family, and which workers run together only if it trains.

    Args:
        unheard: values by name of option -> name of an option that they leave without use -> why, as an error goes on
            after its name; such an option is refused where it was given.
    """

    def __init__(self, *args: Any, unheard: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda values: {},
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unheard = unheard

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the words of a command line, and refuses what would not be heard."""
        rest = super().parse_args(ctx, args)
        unheard = {} if ctx.resilient_parsing else self.unheard(ctx.params)
        for parameter in self.params:
            if parameter.name in unheard and given(ctx, parameter.name):
                raise click.UsageError(f"{parameter.opts[0]} {unheard[parameter.name]}: leave it out.", ctx)
        return rest

    @property
    def trains(self) -> bool:
        """Whether several workers can share it."""
        return self.name not in OF_ONE_PROCESS and {"resume", "devices"} <= {one.name for one in self.params}

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        if not self.trains and self.name not in OF_ANY and {"TF_CONFIG", "SLURM_STEP_NUM_TASKS"} & set(os.environ):
            from toolkit.training import workers

            if workers.this().count > 1:
                raise ToolkitError(f"{self.name} is the work of one process, and this is one of "
                                   f"{workers.this().count} by TF_CONFIG or Slurm: run it once, without them.")
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes a section a family, in the order of the decorators."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "family", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def given(ctx: click.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


class Option(click.Option):
    """An option that shows its default and knows its family."""

    def __init__(self, *args: Any, family: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **{"show_default": True, **kwargs})
        self.family = family


def option(*names: str, family: str, **attributes: Any) -> Decorator:
    """``click.option`` that shows its default, in the section ``family`` of the help."""
    return click.option(*names, cls=Option, family=family, **attributes)


def together(*decorators: Decorator) -> Decorator:
    """Several decorators as one.

    Args:
        *decorators: the first is the outermost.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


# ---- Options of Settings ------------------------------------------------------------------------------------------


def documented(name: str) -> tuple[str, str]:
    """What the docstring of ``Settings`` says of an attribute: its help, and what None means ("" if it cannot be).

    Example:
        >>> documented("image_size")
        ('Side of the square the network sees, in pixels.', "the backbone's own")
    """
    entry = re.search(rf"^ {{8}}{name}: (.*(?:\n {{12}}.*)*)", Settings.__doc__ or "", re.MULTILINE)
    text = " ".join(entry[1].split()) if entry else ""
    text, _, none = text.partition(" None: ")
    text = text.rstrip(";.") + "."
    if not text.startswith("`"):
        text = text[0].upper() + text[1:]
    return re.sub(r'``"(.*?)"``', r"\1", text).replace("``", "`"), none.rstrip(".")


def setting(name: str, *, family: str, usual: str | None = None) -> Decorator:
    """The option of an attribute of ``Settings``; where its default is not always the same, ``usual`` says it in words.

    Then the command fills in what was left out, None.
    """
    flag, field = f"--{name.replace('_', '-')}", FIELDS[name]
    text, none = documented(name)
    attributes: dict[str, Any] = {"family": family, "help": text, "default": field.default}
    if field.default is None:
        attributes["show_default"] = none
    if name in CHOICES:
        attributes["type"] = click.Choice([str(choice) for choice in CHOICES[name]])
        attributes["default"] = str(field.default)
        if isinstance(field.default, int):
            attributes["callback"] = lambda ctx, param, value: int(value)
    elif name in RANGES:
        whole = "int" in field.type
        attributes["type"] = (click.IntRange if whole else click.FloatRange)(*RANGES[name])
        attributes["metavar"] = "N" if whole else "X"
    elif isinstance(field.default, bool):
        flag = f"{flag}/--no-{flag[2:]}"
    if usual is not None:
        attributes |= {"default": None, "show_default": usual}
    return option(flag, name, **attributes)


def _settings_of(family: str, names: Iterable[str]) -> Decorator:
    return together(*(setting(name, family=family) for name in names))


training = _settings_of("Training", (
    "epochs", "batch_size", "optimizer", "learning_rate", "find_learning_rate", "momentum", "schedule",
    "warm_up_ratio", "layer_decay", "weight_decay", "l2", "max_norm", "dropout", "label_smoothing", "interpolation",
    "class_weights", "ema", "batch_norm", "monitor", "patience", "members", "test_views", "time_limit",
    "accumulation", "precision"))
augmentation = _settings_of("Augmentation", ("crop", "reflect", "colour", "rand_augment", "mixup", "word_dropout",
                                             "jitter", "scaling", "window"))
_NETWORK = "Network (options that the named backbones have)"


# ---- Options of the backbone and its network ----------------------------------------------------------------------


def network_option(name: str, network: NetworkOption) -> Decorator:
    """The option of an argument of networks, whose value a command is given as ``network_<name>``.

    Args:
        name: of the argument.
        network: what is known of it.
    """
    by_value: dict[str, list[str]] = {}
    for backbone, value in network.defaults.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        by_value.setdefault({"True": "on", "False": "off"}.get(text, text), []).append(backbone)
    few_first = sorted(by_value.items(), key=lambda item: len(item[1]))
    default = "; ".join(f"{', '.join(names) if len(names) < 3 else 'else'}: {value}" for value, names in few_first)
    return option(network.flag or f"--{name}", f"network_{name}", family=_NETWORK, type=network.type, default=None,
                  metavar=network.metavar, help=network.help, show_default=default)


backbone = together(
    _settings_of("Backbone", ("backbone", "weights", "image_size")),
    *(network_option(name, network) for name, network in NETWORK_OPTIONS.items()))


def settings(values: Mapping[str, Any]) -> Settings:
    """The ``Settings`` that the options of a command ask for.

    Args:
        values: by name of option; those of other families are left alone.

    Raises:
        ToolkitError: there is no such backbone, or it has no such option, or a value is out of its range.
    """
    from toolkit.models import weight_sources

    chosen = {name: values[name] for name in FIELDS if name in values}
    if chosen["weights"] not in ("imagenet", "none"):
        chosen["weights"] = os.path.abspath(chosen["weights"])  # resume and rerun may start in another folder
    entry = weight_sources.find(chosen["backbone"], chosen["weights"]).entry
    if weight_sources.is_folder(chosen["backbone"]):
        chosen["backbone"] = os.path.abspath(chosen["backbone"])
    else:
        chosen["backbone"] = entry.name
    given = {name: values[f"network_{name}"] for name in NETWORK_OPTIONS if values.get(f"network_{name}") is not None}
    if not str(given.get("embedding", "0")).isdigit():
        given["embedding"] = os.path.abspath(given["embedding"])
    for name in given:
        network = NETWORK_OPTIONS[name]
        if (entry.family if entry.family == "text_encoder" else entry.name) not in network.defaults:
            flag = (network.flag or f"--{name}").partition("/")[0]
            raise ToolkitError(f"{flag} belongs to {', '.join(network.defaults)}, not to {entry.name}: leave "
                               f"it out, or choose another --backbone.")
    return Settings(**chosen, backbone_options=given)


# ---- Options of the table -----------------------------------------------------------------------------------------

_TABLE = "Table"
reading = together(
    option("--kind", family=_TABLE, type=click.Choice(["image", "text", "series"]), help="What the inputs are.",
           show_default="by the names of the columns"),
    option("--root", family=_TABLE, type=click.Path(exists=True, file_okay=False),
           help="Folder that the paths are relative to.", show_default="the folder of the CSV"),
    option("--path-column", family=_TABLE, default="path", help="Column of the paths of images."),
    option("--text-column", family=_TABLE, default="text", help="Column of the texts."),
    option("--values-column", family=_TABLE, default="values", help="Column with a series in each cell: \"1 2 NA 4\"."),
    option("--series-column", family=_TABLE, default="series",
           help="Column that names the series, where a row is a time step."),
    option("--time-column", family=_TABLE, default="time",
           help="Column of the times of such rows; with neither, --kind series takes all columns of numbers."),
    option("--label-column", family=_TABLE, default="label", help="Column of the labels; a blank one is unlabelled."),
    option("--split-column", family=_TABLE, default="split", help="Column of train, validation or test."),
    option("--group-column", family=_TABLE, default="group",
           help="Column of what belongs together, such as a patient."),
    option("--on-bad-image", family=_TABLE, type=click.Choice(["reject", "fail"]), default="reject",
           help="Set unusable inputs (images, texts, series) aside, or refuse the table."))
table = together(
    click.argument("table"), reading,
    option("--split-seed", family=_TABLE, type=SEEDS, metavar="N", default=0,
           help="Seeds the split where the table has none."),
    option("--test-ratio", family=_TABLE, type=click.FloatRange(0, 1, max_open=True), metavar="X", default=0.2,
           help="Share of the labelled rows that are for test, where the table has no splits."),
    option("--validation-ratio", family=_TABLE, type=click.FloatRange(0, 1, max_open=True), metavar="X",
           help="Share of the labelled rows, or, where the table has splits, of those for training, that validate; 0: "
                "all learn.", show_default="0.1, of 200 training rows or more"),
    option("--labels-per-class", family=_TABLE, type=click.IntRange(1), metavar="N",
           help="Keep so many training labels a class.", show_default="all of them"),
    option("--label-seed", family=_TABLE, type=SEEDS, metavar="N", default=0, help="Seeds which labels are kept."))
unlabelled = option("--unlabelled", family=_TABLE, multiple=True, type=click.Path(), metavar="SOURCE",
                    help="More unlabelled training rows of the same kind, whatever their labels: a CSV, a folder of "
                         "images, a .npz or .ts file; may be repeated.", show_default="none")
TABLE_ARGUMENTS = ("kind", "root", "path_column", "text_column", "values_column", "series_column", "time_column",
                   "label_column", "split_column", "group_column", "on_bad_image", "split_seed", "test_ratio",
                   "validation_ratio", "labels_per_class", "label_seed", "unlabelled")


def read_table(source: Any, values: Mapping[str, Any], **more: Any) -> "Table":
    """Reads the table that the options name, with progress, and tells its notes and rejected rows on stderr.

    Args:
        source: as in ``toolkit.tables.read_table``.
        values: by name of option; those of other families are left alone.
        **more: further arguments of ``toolkit.tables.read_table``.

    Raises:
        ToolkitError: if the table cannot be used.
    """
    from toolkit import tables
    from toolkit.training.progress import Progress, say

    if str(source).startswith("tfds:"):
        quiet_tensorflow.load()
    chosen = {name: values[name] for name in TABLE_ARGUMENTS if name in values}
    with Progress("checking inputs", 0) as progress:
        found = tables.read_table(source, **{**chosen, **more}, progress=progress)
    for note in found.notes:
        say(note)
    return found


def read_images(source: Any, values: Mapping[str, Any], **more: Any) -> "Table":
    """As ``read_table``, for commands that make sense for images alone.

    Args:
        source: as in ``toolkit.tables.read_table``.
        values: by name of option; those of other families are left alone.
        **more: further arguments of ``toolkit.tables.read_table``.

    Raises:
        ToolkitError: if the table cannot be used, or holds texts or series.
    """
    found = read_table(source, values, **more)
    if found.kind != "image":
        raise ToolkitError(f"{found.source} holds rows of kind {found.kind}, and this command looks at images alone: "
                           "name images.")
    return found


# ---- Options of a run ---------------------------------------------------------------------------------------------

_RUN = "Run"
as_json = option("--json", "as_json", family=_RUN, is_flag=True, help="Print the report as JSON, and nothing else, "
                 "on stdout.", show_default="text")
run = together(
    option("--output", family=_RUN, required=True, type=click.Path(), metavar="DIR",
           help="New folder for the model, the predictions and the report."),
    option("--resume", family=_RUN, is_flag=True, help="Go on with the run in --output that was stopped.",
           show_default="a new run"),
    _settings_of(_RUN, ("seed", "devices")), as_json)
