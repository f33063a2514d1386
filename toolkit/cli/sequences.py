"""The commands on texts and series: train a recurrent net or a transformer on them, and write new text."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from toolkit import ToolkitError
from toolkit.cli import options, quiet_tensorflow, recipes

TASKS = ("classify", "tag", "forecast", "language-model")
# of toolkit.sequences.tasks.ARGUMENTS, and of forecasting.run; those modules import TensorFlow
MODELS = {"tagger": "tag", "forecaster": "forecast", "language_model": "language-model"}  # by their names
_OF_CLASSES = ("pretrain_epochs", "unfreeze")
OF_TASKS = ("tokens_column", "tags_column", "value_column", "horizon", "lags", "season")
_TASK, _TABLE, _RUN = "Task", "Table", "Run"
_GRAPH = ("network_cell", "network_units", "network_num_layers", "network_heads", "network_dropout")
_SPLITS = ("split_seed", "test_ratio", "validation_ratio")
HEARD = {
    "tag": ("tokens_column", "tags_column", "split_column", "group_column", *_SPLITS, "monitor", *_GRAPH,
            "network_embedding", "network_vocabulary_size"),
    "forecast": ("value_column", "series_column", "time_column", "horizon", "lags", "season", *_GRAPH),
    "language-model": ("text_column", "split_column", "group_column", *_SPLITS, "on_bad_image", *_GRAPH,
                       "network_embedding", "network_vocabulary_size", "network_tokens", "network_max_length"),
}
"""Of the options that not every task knows, those that it does."""

columns = options.together(
    options.option("--tokens-column", family=_TABLE, default="tokens", help="Column of the tokens to tag."),
    options.option("--tags-column", family=_TABLE, default="tags",
                   help="Column of their tags; a blank one is unlabelled."),
    options.option("--value-column", family=_TABLE, default="value", help="Column of the values to forecast."))
_task_options = options.together(
    options.option("--task", family=_TASK, type=click.Choice(TASKS), default=TASKS[0],
                   help="A class a row (classify), a tag a token (tag), the next values of series (forecast), or "
                        "the next token, to write text (language-model)."),
    options.option("--pretrain-epochs", family=_TASK, type=click.IntRange(0, 100_000), metavar="N", default=0,
                   help="Passes in which classify first learns the language of all training rows; 0: none."),
    options.option("--unfreeze", family=_TASK, type=click.Choice(recipes.UNFREEZE), default="all",
                   help="What classify trains, as of fine-tune."),
    options.option("--horizon", family=_TASK, type=click.IntRange(1, 10_000), metavar="N", default=1,
                   help="Steps that forecast looks ahead."),
    options.option("--lags", family=_TASK, type=click.IntRange(1, 100_000), metavar="N",
                   help="Values that a forecast is made from.", show_default="two seasons, at least 8"),
    options.option("--season", family=_TASK, type=click.IntRange(2, 100_000), metavar="N",
                   help="Steps after which a series resembles itself, such as 12 months.", show_default="none"),
    columns)


def _network_options(network: str) -> options.Decorator:
    """The options of one network."""
    return options.together(*(options.network_option(name, found) for name, found in options.NETWORK_OPTIONS.items()
                              if network in found.defaults))


def _unheard(values: Mapping[str, Any]) -> dict[str, str]:
    """Options of other tasks than the one that is chosen."""
    if values["task"] == "classify":
        return dict.fromkeys(OF_TASKS, "belongs to other tasks than classify")
    of_some = [*options.TABLE_ARGUMENTS, *OF_TASKS, *_OF_CLASSES, "monitor",
               *(name for name in values if name.startswith("network_"))]
    why = f"is not heard by --task {values['task']}"
    return {name: why for name in of_some if name not in HEARD[values["task"]]}


# ---- Training -----------------------------------------------------------------------------------------------------


def _command(network: str, short: str, sentence: str) -> click.Command:
    """The command that trains one network: its line among all commands, and what it does."""
    def train(**values: Any) -> None:
        _train(network, values)

    train.__doc__ = f"""{sentence}, from random weights.

    TABLE is a CSV. To classify: a column text, or series in any of their forms, and a column label. To tag: the columns
    tokens and tags. To forecast: value[,time][,series], a row a time step. For a language model: a column text.
    """
    of_all = options.together(options.table, _task_options, _network_options(network), options.training, options.run)
    return click.command(f"train-{network}", cls=options.Command, short_help=short, unheard=_unheard)(of_all(train))


def _train(network: str, values: dict[str, Any]) -> None:
    task = values.pop("task")
    own = {name: values.pop(name) for name in OF_TASKS}
    values |= {"backbone": network, "weights": "none"}
    of_classes = {name: values.pop(name) for name in _OF_CLASSES}
    if task == "classify":
        recipes.train(f"train_{network}", values, task=task, **of_classes)
        return
    from toolkit.training import run_folders

    settings = options.settings(values)
    run_folders.check(values["output"], resume=values["resume"])
    quiet_tensorflow.load()
    from toolkit.sequences import reports, tasks
    from toolkit.training import devices

    devices.strategy(settings.devices)
    table = tasks.read(task, values["table"], {**values, **own})
    of_task = {name: own[name] for name in ("horizon", "lags", "season")} if task == "forecast" else {}
    report = importlib.import_module(f"recipes.train_{network}").run(
        table, output=values["output"], settings=settings, task=task, resume=values["resume"], **of_task)
    click.echo(json.dumps(report) if values["as_json"] else reports.text(report))


train_lstm = _command("lstm", "Train a recurrent net on texts or series.",
                      "Train a recurrent network (LSTM, GRU or plain) on texts or series")
train_transformer = _command("transformer", "Train a transformer on texts or series.",
                             "Train a transformer on texts or series")


def repeat(run: str, params: dict[str, Any], output: str) -> None:
    """Does again what a finished run of a task did; as ``recipes.repeat``.

    Args:
        run: its folder, for messages.
        params: its ``params.json``.
        output: the new folder.

    Raises:
        ToolkitError: if its data are no longer the same.
    """
    quiet_tensorflow.load()
    from toolkit.sequences import tasks
    from toolkit.training import Settings

    shared = {name: value for name, value in params["options"].items() if name in options.FIELDS}
    own = {name: value for name, value in params["options"].items() if name not in shared}
    table = tasks.read(own["task"], params["table"]["source"], params["table"])
    if table.fingerprint != params["fingerprint"]:
        raise ToolkitError(f"The data have changed since {run} was made ({table.source}), so its numbers cannot "
                           f"repeat: restore them, or begin a new run.")
    importlib.import_module(f"recipes.{params['recipe']}").run(table, output=output, settings=Settings(**shared), **own)


# ---- Finished runs ------------------------------------------------------------------------------------------------


def folder_of(run: str) -> str:
    """The folder of a run that is named by it or by its model.keras."""
    return os.path.dirname(run) or "." if os.path.isfile(run) else run


def task_of(run: str) -> str:
    """The task of a finished run, "classify" where it says none."""
    try:
        with open(os.path.join(folder_of(run), "report.json"), encoding="utf-8") as file:
            return json.load(file).get("task", "classify")
    except (OSError, ValueError, AttributeError):
        return "classify"  # no folder of a finished run: what reads it next says so


def refuse_tasks(runs: Sequence[str], command: str) -> None:
    """Refuses, for a command on classifiers, runs with more than one answer a row.

    Args:
        runs: their folders.
        command: what the user typed.

    Raises:
        ToolkitError: for the first of them.
    """
    for run in runs:
        task = task_of(run)
        if task != "classify":
            raise ToolkitError(f"{run} holds a run with --task {task}, and {command} knows classifiers only: its "
                               f"scores are in {os.path.join(folder_of(run), 'report.json')}; toolkit predict takes "
                               f"other rows.")


def prediction_lines(run: str, inputs: Sequence[str], values: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The lines that predict writes of a run of a task, the header first.

    Args:
        run: its folder.
        inputs: one CSV.
        values: by name of option.

    Raises:
        ToolkitError: several inputs, or one that cannot be used.
    """
    if len(inputs) > 1:
        raise ToolkitError(f"{run} holds a run with --task {task_of(run)}, which predicts one table at a time: name "
                           f"one CSV.")
    quiet_tensorflow.load()
    from toolkit.sequences import prediction

    return prediction.lines(folder_of(run), task_of(run), inputs[0], values)


# ---- New text -----------------------------------------------------------------------------------------------------


@click.command("generate", cls=options.Command, short_help="Write text with a language model.")
@click.argument("run")
@options.option("--prompt", family=_RUN, default="", help="How the text begins.", show_default="nothing")
@options.option("--length", family=_RUN, type=click.IntRange(1, 100_000), metavar="N", default=200,
                help="Tokens to write: characters or words, as the model has them.")
@options.option("--temperature", family=_RUN, type=click.FloatRange(0, 100), metavar="X", default=1.0,
                help="Below 1 the probable becomes more probable; 0 takes the most probable token.")
@options.option("--seed", family=_RUN, type=options.SEEDS, metavar="N", default=0, help="Of the draws.")
@options.as_json
def generate(run: str, prompt: str, length: int, temperature: float, seed: int, as_json: bool) -> None:
    """Write text with a language model, a token at a time.

    RUN is the folder of a run of train-lstm or train-transformer with --task language-model.
    """
    if not os.path.isfile(os.path.join(run, "report.json")):
        raise ToolkitError(f"{run} is not the folder of a finished run: it holds no report.json. Correct the path, or "
                           f"finish the run with --resume.")
    quiet_tensorflow.load()
    from toolkit.sequences import generation

    text = generation.generate(generation.load(run), prompt=prompt, length=length, temperature=temperature, seed=seed)
    click.echo(json.dumps({"run": run, "prompt": prompt, "length": length, "temperature": temperature, "seed": seed,
                           "text": text}) if as_json else text)


COMMANDS = (train_lstm, train_transformer, generate)
