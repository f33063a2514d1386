"""Options say what the functions behind them say, and answer without importing anything heavy."""

import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from toolkit import ToolkitError, __version__
from toolkit.cli import main, network_options, options, recipes
from toolkit.training.settings import CHOICES, Settings

ROOT = Path(__file__).parents[2]
HEAVY = {"tensorflow", "keras", "pandas", "numpy", "sklearn", "scipy", "PIL", "toolkit.tables"}


def given(**values: Any) -> dict[str, Any]:
    """The values of all options of fine-tune, as click would hand them over."""
    context = main.commands["fine-tune"].make_context("fine-tune", ["table.csv", "--output", "run"])
    return {**context.params, **values}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["fine-tune", "--help"], ["predict", "-h"], ["backbones"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = ("import sys\nfrom toolkit.cli import main\n"
            f"main({arguments!r}, standalone_mode=False) if {arguments!r} else None\n"
            f"print('loaded:', *sorted({HEAVY!r} & set(sys.modules)))")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "loaded:"


def test_python_m_toolkit() -> None:
    result = subprocess.run([sys.executable, "-m", "toolkit", "--version"], cwd=ROOT, check=True, capture_output=True,
                            text=True)
    assert result.stdout == f"toolkit, version {__version__}\n"


@pytest.mark.parametrize("name", list(main.commands))
def test_every_option_has_help_and_shows_its_default(name: str) -> None:
    command = main.commands[name]
    context = click.Context(command)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            extra = parameter.get_help_extra(context)
            assert extra.get("default") or extra.get("required"), parameter.opts
    page = CliRunner().invoke(main, [name, "--help"]).output
    assert "``" not in page and "None" not in page and not any(len(line) > 80 for line in page.splitlines())


def test_every_setting_is_an_option_of_fine_tune() -> None:
    assert set(options.FIELDS) - set(given()) == {"backbone_options"}
    assert options.settings(given()) == Settings()


def test_choices_and_ranges_are_those_of_settings() -> None:
    types = {parameter.name: parameter.type for parameter in main.commands["fine-tune"].params}
    assert {name: list(types[name].choices) for name in CHOICES} == {n: list(map(str, v)) for n, v in CHOICES.items()}
    assert (types["epochs"].min, types["epochs"].max) == (1, 100_000)
    assert (types["dropout"].min, types["dropout"].max) == (0.0, 0.95)


@pytest.mark.parametrize(("name", "text", "none"), [
    ("batch_size", "Rows a step, over all devices together.", ""),
    ("patience", "Stop after so many epochs without improvement on validation.", "never"),
    ("optimizer", "adamw, adam or sgd (Nesterov momentum).", ""),
    ("weights", "imagenet, none (train from scratch) or a file of weights.", "")])
def test_documented(name: str, text: str, none: str) -> None:
    assert options.documented(name) == (text, none)


def test_table_options_have_the_defaults_of_read_table() -> None:
    from toolkit.tables import read_table

    parameters = inspect.signature(read_table).parameters
    shared = [name for name in options.TABLE_ARGUMENTS if name != "unlabelled"]  # of the semi-supervised commands
    assert {name: given()[name] for name in shared} == {name: parameters[name].default for name in shared}


def test_network_options_are_those_of_the_networks() -> None:
    from toolkit.models import layers, own_networks, sequence_backbones

    declared = {name: {option: network.defaults[name] for option, network in options.NETWORK_OPTIONS.items()
                       if name in network.defaults} for name in network_options.OWN_NETWORKS}
    assert declared == {name: {parameter.name: parameter.default for parameter in
                               list(inspect.signature(graph).parameters.values())[1:]}
                        for name, graph in own_networks.GRAPHS.items()}
    for name, graph in sequence_backbones.GRAPHS.items():
        own = {parameter.name: parameter.default for parameter in list(inspect.signature(graph).parameters.values())[2:]
               if parameter.name != "causal"}
        assert own == {option: options.NETWORK_OPTIONS[option].defaults[name] for option in own}
    assert list(options.NETWORK_OPTIONS["activation"].type.choices) == list(layers.ACTIVATIONS)
    assert list(options.NETWORK_OPTIONS["initialiser"].type.choices) == list(layers.INITIALISERS)


def test_unfreeze_and_recipes_are_those_of_the_recipes() -> None:
    from importlib import import_module

    assert recipes.UNFREEZE == import_module("recipes.fine_tune").UNFREEZE
    assert all(callable(import_module(f"recipes.{name}").run) for name in recipes.RECIPES)


def test_network_options_reach_settings_only_where_given() -> None:
    values = given(backbone="Small-CNN", weights="none", network_filters=[4, 8], network_batch_normalisation=False)
    settings = options.settings(values)
    assert settings.backbone == "small_cnn"
    assert settings.backbone_options == {"filters": [4, 8], "batch_normalisation": False}


def test_a_file_of_weights_is_known_from_any_folder() -> None:
    assert options.settings(given(weights="mine.pth")).weights == str(Path("mine.pth").absolute())


def test_a_backbone_may_be_a_directory_known_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "config.json").write_text('{"architecture": "resnet18.a1_in1k"}')
    monkeypatch.chdir(tmp_path)
    assert options.settings(given(backbone="hub")).backbone == str(tmp_path / "hub")
    assert options.settings(given(backbone="hub", weights="none")).backbone == str(tmp_path / "hub")
    with pytest.raises(ToolkitError, match="--groups belongs to alexnet, not to resnet18"):
        options.settings(given(backbone="hub", network_groups=1))
    with pytest.raises(ToolkitError, match="hub: its config.json says resnet18, not resnet50"):
        options.settings(given(backbone="resnet50", weights="hub"))
    with pytest.raises(ToolkitError, match="no backbone and no directory './nowhere'"):
        options.settings(given(backbone="./nowhere"))


@pytest.mark.parametrize(("values", "sentence"), [
    ({"network_hidden": [8]}, "--hidden belongs to mlp, alexnet_torchvision, vgg11, vgg16, not to"),
    ({"network_dropout": 0.1, "backbone": "resnet18"}, "--network-dropout belongs to small_cnn, mlp, "),
    ({"network_batch_normalisation": True}, "--batch-normalisation belongs to small_cnn, mlp, not"),
    ({"network_groups": 1, "backbone": "mlp"}, "--groups belongs to alexnet, not to mlp"),
    ({"backbone": "efficientnet_light0"}, "did you mean efficientnet_lite0"),
    ({"learning_rate": float("nan")}, "learning_rate is nan")])
def test_settings_that_do_not_fit_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ToolkitError, match=sentence):
        options.settings(given(**values))


@pytest.mark.parametrize("arguments", [
    ["--epochs", "0"], ["--optimizer", "lion"], ["--test-views", "3"], ["--learning-rate", "fast"], ["--seed", "-1"],
    ["--hidden", "8,x"], ["--hidden", "0"], ["--network-dropout", "1"], ["--unfreeze", "none"], ["--root", "nowhere"],
    ["--labels-per-class", "0"], ["--on-bad-image", "ignore"], ["--layer-decay", "0"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["fine-tune", "table.csv", "--output", "run", *arguments])
    assert result.exit_code == 2 and result.stdout == ""
    assert arguments[0] in result.stderr


@pytest.mark.parametrize("arguments", [["fine-tune"], ["fine-tune", "table.csv"], ["predict", "run"], ["nothing"], []])
def test_missing_arguments_end_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and result.stdout == "" and "Usage" in result.stderr


def test_numbers_with_commas() -> None:
    convert = network_options.Integers().convert
    assert convert("256,128", None, None) == [256, 128] and convert([8], None, None) == [8]


def test_an_undocumented_package_still_has_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "Settings", SimpleNamespace(__doc__=None))  # python -OO
    assert options.documented("epochs") == (".", "")


@pytest.mark.parametrize("command", [
    ("rank-backbones",), ("pretrain-autoencoder", "--output", "DIR")])
def test_commands_on_images_refuse_texts(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text,label\na,x\nb,y\n")
    name, *rest = command
    words = [name, str(tmp_path / "texts.csv"), *(str(tmp_path / "run") if word == "DIR" else word for word in rest)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1 and "holds rows of kind text, and this command looks at images alone" in result.stderr


def test_every_column_of_a_table_has_its_option() -> None:
    from toolkit.tables import read_table

    columns = {name for name in inspect.signature(read_table).parameters if name.endswith("_column")}
    given = {parameter.name for parameter in main.commands["fine-tune"].params}
    assert columns <= given and columns <= set(options.TABLE_ARGUMENTS)
