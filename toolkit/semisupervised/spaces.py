"""A method in the space that was asked for: a head on cached features, a network on pixels, or the one after the other.

A recipe says what it is in each space; what leads there is the same for all: run folder, backbone, controls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from toolkit import ToolkitError
from toolkit.semisupervised import feature_runs, pixel_runs
from toolkit.tables import Table, entries
from toolkit.training import Settings, devices, run_folders


def learn(table: Table, name: str, *, output: str | Path, settings: Settings, options: Mapping[str, Any], space: str,
          scales: int, resume: bool, probe: ModuleType, compile_: Callable[..., None],
          on_features: Callable[[], feature_runs.Recipe], in_pixels: Callable[[], pixel_runs.PixelRecipe],
          stage: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Learns by a recipe in a space and writes a run folder.

    Args:
        table: with labelled training rows; in pixel space of images.
        name: of the recipe's module.
        output: the new run folder.
        settings: as asked for.
        options: the recipe's own, for params.json.
        space: one of ``pixel_runs.SPACES``.
        scales: as for ``feature_runs.learn``.
        resume: go on with a run that was stopped.
        probe: ``recipes.linear_probe``, which builds backbones and fits controls.
        compile_: ``fine_tune.compile_member``.
        on_features: what the recipe is in feature space.
        in_pixels: what it is in pixel space.
        stage: the recipe's ``run`` with its options of feature space, which comes first where both are asked for.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the space, the backbone or the weights cannot be used.
    """
    if table.kind != "image" and space != "features":
        raise ToolkitError(f"{table.source}: --space {space} trains on the pixels of images, and the rows are "
                           f"{entries.NOUNS[table.kind][1]}: use --space features.")
    options = {**settings.describe(), **options, "scales": scales, "space": space}
    with run_folders.begin(output, name, table, options, resume=resume) as folder:
        if folder.finished:
            return folder.report
        settings = pixel_runs.check(space, settings)
        devices.strategy(settings.devices)
        build = partial(probe.build_backbone, table, settings)
        backbone = build()
        features = space == "features" or not settings.from_scratch
        controls = probe.fit_controls(table, backbone if features else None, settings)
        if space == "features":
            return feature_runs.learn(table, folder, backbone, settings, on_features(),
                                      baselines=controls.probabilities, scales=scales)
        first = partial(stage, table, settings=settings, scales=1, resume=True) if space == "both" else None
        return pixel_runs.learn(table, folder, settings, in_pixels(), controls=controls, build=build,
                                compile_=compile_, stage=first)
