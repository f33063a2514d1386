"""A recurrent network for texts or series, alone or after it has learnt the language of the table.

The network reads a sequence step by step (``models.recurrent`` has the equations) and is trained from scratch on the
labelled rows; validation rows choose the epoch. With ``pretrain_epochs`` it learns language first, from the texts of
all training rows and no label, and then the classes (ULMFiT). A network that reads forwards alone
(``bidirectional=False``) learns to predict the next token, any other hidden tokens, of which a text has fewer to learn
from. All layers move at once, which validation rows of SST-2 preferred to ULMFiT's gradual order;
``unfreeze="gradual"`` has that.

Measured (commands in ``benchmarks/RESULTS.md``): sst2, 6,920 sentences, three seeds: 79.4 % of 872 right, not
distinguishable from logistic regression on n-grams (80.7 %), 89 s. Tags and forecasts stand there too.

References:
    Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; ULMFiT: Howard and Ruder 2018,
    https://arxiv.org/abs/1801.06146
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recipes import fine_tune, linear_probe
from toolkit.sequences import runs
from toolkit.training import Settings


def run(table: Any, *, output: str | Path, settings: Settings = Settings(backbone="lstm", weights="none"),
        task: str = "classify", pretrain_epochs: int = 0, unfreeze: str = "all", resume: bool = False,
        **own: Any) -> dict[str, Any]:
    """Trains a recurrent network and writes a run folder.

    Args:
        table: of texts or series, with labelled training rows; for other tasks what their modules say.
        output: the new run folder.
        settings: everything else about training; the backbone is "lstm", whatever they say.
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
    return runs.learn(table, network="lstm", title="LSTM", output=output, settings=settings, task=task,
                      pretrain_epochs=pretrain_epochs, unfreeze=unfreeze, resume=resume,
                      build=linear_probe.build_backbone, classify=fine_tune.classify, **own)
