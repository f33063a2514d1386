"""Where the weights of a backbone come from, and the preprocessing that travels with them.

| `name` | `weights` | backbone | weights | preprocessing |
|---|---|---|---|---|
| resnet18 | imagenet, none | | | the family's default |
| resnet18 | file.pth | | the file's | the family's default |
| resnet18 | directory of a hub cache | | the directory's | its config.json |
| directory of a hub cache | | what its config.json names | the directory's | its config.json |
| likewise, of a text encoder | | `text_encoder` | the directory's | its vocabulary |
| resnet18 | run, or its model.keras | | the run's | the run's |
| run | | the run's | the run's | the run's |

Nothing heavy is imported here.
"""

import dataclasses
import json
import math
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit import ToolkitError
from toolkit.models import catalogue, checkpoint_files, keras_hub_presets, text_encoder_shapes
from toolkit.models.catalogue import Entry

DEFAULT, CONFIGURATION, RUN = "the family's default", "the checkpoint's own configuration", "the run's"
_MODEL = "model.keras"
_MAX_GRAPH = 2**26  # bytes of the description of a graph in a .keras file


@dataclass(frozen=True)
class Source:
    """What a name and weights come to.

    `entry` has the preprocessing that travels, `preprocessing` says whose that is; `weights` is "none", "imagenet" or a
    path; `options` are those that the run was built with; `padding` is the convention that timm's name tells.
    """

    entry: Entry
    weights: str | Path
    preprocessing: str = DEFAULT
    padding: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def at(self, image_size: int) -> Entry:
        """The entry for one size: timm rounds the size before the crop down, we to the nearest."""
        if self.preprocessing != CONFIGURATION:
            return self.entry
        return dataclasses.replace(self.entry, crop_ratio=image_size / math.floor(image_size / self.entry.crop_ratio))


def resolve(name: str) -> Entry:
    """The entry of a backbone, with the preprocessing of its directory where the name is one.

    Args:
        name: as `catalogue.resolve` takes it, a directory of a hub cache, or the folder of a finished run.

    Raises:
        ToolkitError: there is no such backbone.
    """
    return find(name).entry


def find(name: str, weights: str | Path = "imagenet") -> Source:
    """What a name and weights come to.

    Args:
        name: as for `resolve`.
        weights: "imagenet", "none", a file, a directory of a hub cache, or the folder of a finished run.

    Raises:
        ToolkitError: there is no such backbone, or the weights say that they are of another.
    """
    folder = _folder(name)
    if folder is None:
        source = Source(catalogue.resolve(name), weights)
        if source.entry.family == "keras_hub":
            keras_hub_presets.check(name)
    elif (folder / "params.json").exists():
        source = _of_run(folder, weights)
        weights = folder / _MODEL if str(weights) == "imagenet" else weights
    else:
        source = _of_directory(folder, weights)
        weights = folder if str(weights) == "imagenet" and source.entry.family != "keras_hub" else weights
    return source if str(weights) in ("imagenet", "none") else _with_weights(source, Path(weights))


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder, not of the catalogue.

    Raises:
        ToolkitError: it is neither.
    """
    return _folder(name) is not None


def _folder(name: str) -> Path | None:
    try:
        catalogue.resolve(name)
        return None
    except ToolkitError:
        if Path(name).is_dir():
            return Path(name)
        if os.sep in name:
            raise ToolkitError(f"there is no backbone and no directory {name!r}; `toolkit backbones` lists the names."
                               ) from None
        raise


def _with_weights(source: Source, path: Path) -> Source:
    """With what the weights say of themselves."""
    if path.is_dir() and (path / "params.json").exists():
        found = _of_run(path, path)
        if found.entry.name != source.entry.name:
            raise ToolkitError(f"{path}: is a run of {found.entry.name}, not of {source.entry.name}; use that one.")
        return _with_weights(dataclasses.replace(source, options=found.options), path / _MODEL)
    if path.suffix == ".keras":
        saved = saved_preprocessing(path)
        of_run = saved or "image" not in source.entry.kinds
        return dataclasses.replace(source, entry=dataclasses.replace(source.entry, **saved), weights=path,
                                   preprocessing=RUN if of_run else DEFAULT)
    said = checkpoint_files.configuration(path)
    named = checkpoint_files.architecture(said)
    if named and named[0] != source.entry.name:
        raise ToolkitError(f"{path}: its config.json says {named[0]}, not {source.entry.name}. Supported are "
                           f"{checkpoint_files.SUPPORTED}.")
    found = _with_configuration(source, said, path)
    return dataclasses.replace(found, weights=path)


# ---- Directories of hub caches ------------------------------------------------------------------------------------


def _of_directory(folder: Path, weights: str | Path) -> Source:
    said = checkpoint_files.configuration(folder)
    if text_encoder_shapes.is_encoder(said):
        entry = catalogue.resolve(f"{catalogue.TEXT_ENCODER}{folder.absolute()}")
        rate = text_encoder_shapes.of_configuration(said, str(folder)).learning_rate
        return Source(dataclasses.replace(entry, training={**entry.training, "learning_rate": rate}), weights,
                      CONFIGURATION)
    named = checkpoint_files.architecture(said)
    if said and (named is None or named[0] not in checkpoint_files.ARCHITECTURES):
        keras_hub_presets.check(str(folder))
        return Source(catalogue.resolve(f"{catalogue.KERAS_HUB}{folder}"), weights)
    if named is None:
        raise ToolkitError(f"{folder}: cannot be the backbone: no config.json in it names an architecture. Supported "
                           f"are {checkpoint_files.SUPPORTED}.")
    return _with_configuration(Source(catalogue.resolve(named[0]), weights), said, folder)


def _with_configuration(source: Source, said: dict[str, Any], path: Path) -> Source:
    values = checkpoint_files.preprocessing(said, str(path))
    named = checkpoint_files.architecture(said)
    return dataclasses.replace(
        source, entry=dataclasses.replace(source.entry, **values), padding=named[1] if named else source.padding,
        preprocessing=CONFIGURATION if values else source.preprocessing)


# ---- Runs ---------------------------------------------------------------------------------------------------------


def _of_run(folder: Path, weights: str | Path) -> Source:
    if not ((folder / "report.json").is_file() and (folder / _MODEL).is_file()):
        raise ToolkitError(f"{folder}: is a run that has not finished; continue it with --resume first.")
    try:
        options = _json(folder / "params.json")["options"]
        name, own = options["backbone"], dict(options.get("backbone_options") or {})
        if os.sep in name:  # a directory, which may have gone since: the report has the name
            name = _json(folder / "report.json")["training"]["backbone"]
        return Source(catalogue.resolve(name), weights, options=own)
    except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError):
        raise ToolkitError(f"{folder}: is no run of a backbone; name one by linear-probe or fine-tune.") from None


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def saved_preprocessing(path: Path) -> dict[str, Any]:
    """How the pictures are prepared in a `.keras` file of a run, read from its description of the graph.

    Args:
        path: the file.

    Returns:
        image_size, crop_ratio, interpolation and antialias of an `Entry`; {} where the file is damaged or none of ours.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _MAX_GRAPH:
                return {}
            found = list(_layers(json.loads(archive.read("config.json"))))
        resizing = next(layer["config"] for layer in found if layer["config"].get("name") == "resizing")
        network = next(layer["config"] for layer in found if layer["config"].get("name") == "network")
        size = network["layers"][0]["config"]["batch_shape"][1]
        return {"image_size": size, "crop_ratio": size / resizing["height"], "antialias": resizing["antialias"],
                "interpolation": resizing["interpolation"]}
    except (OSError, KeyError, TypeError, ValueError, IndexError, StopIteration, RecursionError, NotImplementedError,
            RuntimeError, ZeroDivisionError, zipfile.BadZipFile):
        return {}


def _layers(node: Any) -> Iterator[dict[str, Any]]:
    """Every layer in a description, those of nested models too."""
    if isinstance(node, dict) and isinstance(node.get("config"), dict) and "class_name" in node:
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _layers(child)
