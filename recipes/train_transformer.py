r"""A transformer for texts or series, alone or after it has learnt the language of the table.

Every step looks at every other (``models.transformer`` has the equations), and the network is trained from scratch on
the labelled rows; validation rows choose the epoch. With ``pretrain_epochs`` it learns language first, from the texts
of all training rows and no label,

.. math:: \min \; -\sum_{t\ \mathrm{hidden}} \log p(x_t | x_1 ... x_T, \mathrm{hidden\ left\ out}),

and then the classes.

Measured (commands in ``benchmarks/RESULTS.md``): sst2, 6,920 sentences, three seeds: 79.4 % of 872 right, not
distinguishable from logistic regression on n-grams (80.7 %), 1.6 min.

References:
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; hidden words: Devlin et al. 2019 (BERT),
    https://arxiv.org/abs/1810.04805
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recipes import fine_tune, linear_probe
from toolkit.sequences import runs
from toolkit.training import Settings


def run(table: Any, *, output: str | Path, settings: Settings = Settings(backbone="transformer", weights="none"),
        task: str = "classify", pretrain_epochs: int = 0, unfreeze: str = "all", resume: bool = False,
        **own: Any) -> dict[str, Any]:
    """Trains a transformer and writes a run folder.

    Args:
        table: of texts or series, with labelled training rows; for other tasks what their modules say.
        output: the new run folder.
        settings: everything else about training; the backbone is "transformer", whatever they say.
        task: "classify", "tag", "forecast" or "language-model".
        pretrain_epochs: passes over the texts of all training rows before any label is looked at; 0: none.
        unfreeze: as of ``fine_tune.run``.
        resume: continue a run that was stopped, to the same weights.
        **own: further arguments of ``run`` of ``toolkit.sequences`` for the task.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the table or the options cannot be used.
        KeyboardInterrupt: on Ctrl-C, after the best model so far was saved.
    """
    return runs.learn(table, network="transformer", title="transformer", output=output, settings=settings, task=task,
                      pretrain_epochs=pretrain_epochs, unfreeze=unfreeze, resume=resume,
                      build=linear_probe.build_backbone, classify=fine_tune.classify, **own)
