"""The commands that set methods beside each other: a benchmark at all labels, a curve over few of them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli import options, quiet_tensorflow, recipes, semisupervised, sequences

if TYPE_CHECKING:
    from recipes.benchmark import Row
    from toolkit.training import Settings

SPACES = ("pixels", "hog", "ngrams", "series", "features")
COMMANDS = {command.name: command for command in (
    recipes.linear_probe, recipes.fine_tune, *semisupervised.COMMANDS, sequences.train_lstm,
    sequences.train_transformer)}
NOT_IN_A_ROW = (*options.TABLE_ARGUMENTS, "resume", "as_json", "seed")  # the benchmark's own
_ROWS = "Rows"


class Labels(click.ParamType):
    """Numbers of labels a class with commas between them, the last perhaps "all": 1,5,20,all."""

    name = "labels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int | None]:
        """The numbers in rising order, None for all; a list passes through."""
        if isinstance(value, list):
            return value
        if not re.fullmatch(r"([1-9]\d{0,6}|all)(,([1-9]\d{0,6}|all))*", value):
            self.fail(f"{value!r} is not a list of numbers of labels a class such as 1,5,20,all.", param, ctx)
        words = set(value.split(","))
        return sorted(int(word) for word in words - {"all"}) + [None] * ("all" in words)


def _measuring(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of both commands."""
    for decorator in reversed((
            options.option("--row", "specs", family=_ROWS, multiple=True, metavar="[NAME=]SPEC",
                           help="A row of the table: METHOD@SPACE, such as gaussian-svm@hog, or a command with its "
                                "options, such as \"my net=fine-tune --backbone mlp --weights none\". Repeat it.",
                           show_default="majority-class, logistic-regression and lda on pixels (of texts @ngrams, "
                                        "of series @series, with what else their kind has) and on features, "
                                        "linear-probe, fine-tune"),
            options.option("--all-baselines", family=_ROWS, is_flag=True, show_default="only those named",
                           help="Also every plain method on pixels and HOG descriptors, on n-grams or on values, and "
                                "on frozen features."),
            options.backbone,
            options.option("--output", family="Run", required=True, type=click.Path(), metavar="DIR",
                           help="New folder for the table, and for what each row leaves behind."),
            options.option("--resume", family="Run", is_flag=True, show_default="a new run",
                           help="Do what is missing in --output; more rows and seeds may be asked for."),
            options.setting("seed", family="Run"), options.setting("devices", family="Run"), options.as_json)):
        function = decorator(function)
    return function


@click.command(cls=options.Command, short_help="Is the deep model worth it? Baselines and recipes in one table.")
@options.table
@options.unlabelled
@options.option("--seeds", family=_ROWS, type=click.IntRange(1, 1000), metavar="N", default=1,
                help="How often what depends on a seed is repeated, splits that the table does not name included.")
@_measuring
@click.pass_context
def benchmark(ctx: click.Context, table: str, seeds: int, output: str, resume: bool, as_json: bool, **values: Any
              ) -> None:
    """Set plain baselines and trained networks beside each other on the same rows of a table.

    TABLE is a CSV (path|text|values,label[,split][,group]), a folder of class folders, a .npz or .ts file or tfds:NAME.
    The backbone is that of frozen features and of rows that name none. Unlabelled rows are seen by the rows that learn
    from them alone. Exit code 1 if a row failed.
    """
    rows, found = _begin(ctx, table, output, resume, values)
    from recipes import benchmark as recipe
    from toolkit.evaluation import benchmark_pictures, benchmark_tables

    report = recipe.run(found, output=output, rows=rows, seeds=seeds, resume=resume, prepare=quiet_tensorflow.load)
    _draw(lambda path: benchmark_pictures.error_and_time(report, path), Path(output) / "benchmark.png")
    click.echo(json.dumps(report) if as_json else benchmark_tables.text(report))
    ctx.exit(int(any(row["failure"] for row in report["rows"])))


@click.command("learning-curve", cls=options.Command, short_help="Error against the number of labels.")
@options.table
@options.unlabelled
@options.option("--labels", family=_ROWS, type=Labels(), default="1,2,5,10,20,50,all", metavar="N,N...",
                help="Training labels a class that are kept.")
@options.option("--seeds", family=_ROWS, type=click.IntRange(1, 1000), metavar="N", default=3,
                help="How often each number is drawn and trained on.")
@_measuring
@click.pass_context
def learning_curve(ctx: click.Context, table: str, labels: list[int | None], seeds: int, output: str, resume: bool,
                   as_json: bool, **values: Any) -> None:
    """Measure the error of plain baselines and trained networks against the number of labels a class.

    TABLE is a CSV (path|text|values,label[,split][,group]), a folder of class folders, a .npz or .ts file or tfds:NAME.
    Exit code 1 if a row failed.
    """
    if values["labels_per_class"] is not None:
        raise click.UsageError("--labels-per-class is one number of labels; learning-curve measures those of --labels.")
    rows, found = _begin(ctx, table, output, resume, values)
    from recipes import learning_curve as recipe
    from toolkit.evaluation import benchmark_pictures, learning_curves

    report = recipe.run(found, output=output, labels=labels, rows=rows, seeds=seeds, resume=resume,
                        prepare=quiet_tensorflow.load)
    _draw(lambda path: benchmark_pictures.curves(report, path), Path(output) / "learning_curve.png")
    click.echo(json.dumps(report) if as_json else learning_curves.text(report))
    ctx.exit(int(any(row["failure"] for row in report["rows"])))


def _begin(ctx: click.Context, table: str, output: str, resume: bool, values: dict[str, Any]
           ) -> tuple[list["Row"], Any]:
    """The rows and the table; refuses what cannot be used before anything is read."""
    from recipes import benchmark as recipe
    from toolkit.training import run_folders

    settings = options.settings(values)
    rows = [row(spec, settings, _shared_words(ctx)) for spec in values["specs"]]
    recipe.refuse_alike(rows)
    run_folders.check(output, resume=resume)
    if table.startswith("tfds:"):  # reading starts TensorFlow, which must leave the GPUs to the processes of the rows
        quiet_tensorflow.load()
        from toolkit.training.devices import strategy

        strategy("cpu")
    found = options.read_table(table, values)
    return _completed(rows, settings, found.kind, values["all_baselines"]), found


def _draw(draw: Callable[[Path], None], path: Path) -> None:
    """Draws a picture anew; says on stderr where matplotlib is missing."""
    from toolkit import ToolkitError

    try:
        draw(path)
    except ToolkitError as error:
        click.echo(str(error), err=True)


# ---- From words to rows -------------------------------------------------------------------------------------------


def _completed(rows: list["Row"], settings: "Settings", kind: str, all_baselines: bool) -> list["Row"]:
    """The rows that the options ask for, on a table of some kind."""
    from recipes import benchmark as recipe
    from recipes.benchmark_work import SPACES_OF
    from toolkit.evaluation.baselines import METHODS, on_sequences

    rows = rows or recipe.default_rows(settings, kind=kind)
    if all_baselines:
        names = {own.name for own in rows}
        own = on_sequences.installed(on_sequences.OWN_METHODS.get(kind, ()))
        every = [recipe.baseline(method, space, settings) for space in SPACES_OF[kind]
                 for method in (*METHODS, *(own if space != "features" else ()))]
        rows += [own for own in dict((own.name, own) for own in every).values() if own.name not in names]
    return recipe.with_controls(rows, settings, kind=kind)


def row(spec: str, settings: "Settings", shared: Sequence[str] = ()) -> "Row":
    """The row that ``[NAME=]SPEC`` stands for.

    Args:
        spec: METHOD@SPACE, or a command and its options.
        settings: the seed and the devices of every row, and the backbone of the space "features".
        shared: the options of the backbone for a command that names none.

    Raises:
        click.BadParameter: if it stands for no row.

    Example:
        >>> from toolkit.training import Settings
        >>> row("Gaussian-SVM@HOG", Settings()).name
        'Gaussian SVM on HOG'
        >>> net = row("my net=fine-tune --backbone mlp --weights none --hidden 9", Settings(seed=3))
        >>> net.name, net.settings.backbone_options, net.settings.seed
        ('my net', {'hidden': [9]}, 3)
        >>> row("fine-tune 96=fine-tune --image-size=96", Settings()).name
        'fine-tune 96'
    """
    name, _, named = spec.partition("=")
    if named.split()[:1] and named.split()[0] not in COMMANDS and spec.split()[0] in COMMANDS:
        named = ""  # the "=" is one of the command's own: fine-tune --image-size=96
    name, rest = (name, named) if named else (None, spec)
    words = _split(spec, rest)
    if words and words[0] in COMMANDS:
        return _recipe(spec, name or rest.strip(), words, settings, shared)
    if len(words) == 1 and (found := _baseline(spec, words[0], settings)):
        return found if name is None else _renamed(found, name)
    raise _refusal(spec, f"expected METHOD@SPACE, or one of {', '.join(COMMANDS)} with its options, perhaps with "
                         "NAME= in front.")


def _renamed(found: "Row", name: str) -> "Row":
    import dataclasses

    return dataclasses.replace(found, name=name.strip())


def _split(spec: str, words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError as error:
        raise _refusal(spec, f"{error}.") from error


def _refusal(spec: str, reason: str) -> click.BadParameter:
    return click.BadParameter(f"{spec!r}: {reason}", param_hint="--row")


def _baseline(spec: str, word: str, settings: "Settings") -> "Row | None":
    """The row of METHOD@SPACE; None where the word is of another form."""
    from recipes import benchmark as recipe
    from toolkit.evaluation.baselines import METHODS, on_sequences

    method, at, space = word.lower().partition("@")
    if not at and method != "majority-class":
        return None
    own = {"ngrams": on_sequences.OWN_METHODS["text"], "series": on_sequences.OWN_METHODS["series"]}.get(space, ())
    methods = {name.lower().replace(" ", "-"): name for name in (*METHODS, *own)}
    if method not in methods or at and space not in SPACES:
        raise _refusal(spec, f"the methods are {', '.join(methods)}, and the spaces {', '.join(SPACES)}.")
    return recipe.baseline(methods[method], space or SPACES[0], settings)


def _recipe(spec: str, name: str, words: list[str], settings: "Settings", shared: Sequence[str]) -> "Row":
    """The row of a command line, read by that command's own parser."""
    from recipes import benchmark as recipe

    command = COMMANDS[words[0]]
    if any(word.partition("=")[0] == "--output" for word in words):
        raise _refusal(spec, "--output belongs to the whole benchmark.")
    context = _parsed(spec, command, words[1:])
    if "backbone" not in context.params:  # train-lstm and train-transformer have their own
        if context.params["task"] != "classify":
            raise _refusal(spec, "a benchmark compares classifiers: --task classify.")
        context.params |= {"backbone": words[0].removeprefix("train-"), "weights": "none"}
    elif not options.given(context, "backbone") and shared:
        context = _parsed(spec, command, [*shared, *words[1:]])
    own = [f"--{option.replace('_', '-')}" for option in NOT_IN_A_ROW if options.given(context, option)]
    if own:
        raise _refusal(spec, f"{', '.join(own)} belongs to the whole benchmark.")
    if not options.given(context, "devices"):
        context.params["devices"] = settings.devices
    chosen = options.settings({**context.params, "seed": settings.seed})
    not_its_own = {*options.FIELDS, *options.TABLE_ARGUMENTS, *sequences.OF_TASKS, "table", "output", "resume",
                   "as_json"}
    left = {key: value for key, value in context.params.items()
            if key not in not_its_own and not key.startswith("network_")}
    return recipe.Row(name, recipe=words[0].replace("-", "_"), settings=chosen, options=left)


def _parsed(spec: str, command: click.Command, words: Sequence[str]) -> click.Context:
    try:
        return command.make_context(command.name, ["TABLE", "--output", "DIR", *words])
    except click.UsageError as error:
        raise _refusal(spec, error.format_message()) from error


def _shared_words(ctx: click.Context) -> list[str]:
    """The options of the backbone that this command was given, as words for another."""
    words = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        of_backbone = name in ("backbone", "weights", "image_size") or name.startswith("network_")
        if not of_backbone or not options.given(ctx, name):
            continue
        value = ctx.params[name]
        if isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += [parameter.opts[0], ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    return words
