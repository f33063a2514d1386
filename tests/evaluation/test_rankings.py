"""The order, the correlations, the advice and the files of a ranking."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from toolkit.evaluation import comparison, rankings

LABELS = np.arange(200) % 2


def row(name: str, logme: float, *, minutes: float | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "backbone": name, "weights": "imagenet", "image_size": 224, "num_features": 1280,
            "logme": logme, "h_score": 1.0, "seconds_per_step": minutes, "fine_tuning_minutes": minutes, **more}


def right(count: int) -> np.ndarray:
    """The first ``count`` rows."""
    return np.arange(200) < count


def completed(ranking: dict[str, Any]) -> dict[str, Any]:
    return {"source": "photos.csv", "rows": 200, "labelled_rows": 200, "num_classes": 2, "notes": [], **ranking}


def test_the_best_held_out_accuracy_comes_first_and_ties_go_to_logme() -> None:
    ranking = rankings.build([row("low", 5.0), row("tied", 1.0), row("best", 2.0)],
                             [right(120), right(180), right(180)], LABELS)
    assert [own["name"] for own in ranking["candidates"]] == ["best", "tied", "low"]
    assert [own["rank"] for own in ranking["candidates"]] == [1, 2, 3]
    assert [own["accuracy"] for own in ranking["candidates"]] == [0.9, 0.9, 0.6]
    best, tied, low = ranking["candidates"]
    assert best["interval95"] == list(comparison.wilson_interval(180, 200))
    assert (tied["difference"], tied["p_value_holm"]) == (0.0, 1.0)
    assert low["difference"] == pytest.approx(-0.3)
    assert low["p_value_holm"] == pytest.approx(2 * comparison.mcnemar_exact(0, 60))
    assert json.loads(json.dumps(ranking)) == ranking


def test_rank_correlations_are_kendalls() -> None:
    scores, counts = [0.1, 0.4, 0.3, 0.9], [110, 150, 160, 190]
    candidates = [row(str(number), value, h_score=-value) for number, value in enumerate(scores)]
    found = rankings.build(candidates, [right(count) for count in counts], LABELS)["correlations"]
    assert found["logme"] == pytest.approx(stats.kendalltau(counts, scores).statistic) == pytest.approx(2 / 3)
    assert found["h_score"] == pytest.approx(-2 / 3)


@pytest.mark.parametrize("hits", [[right(10)] * 2, [right(10)] * 3, [None] * 3])
def test_no_correlation_of_two_of_equals_or_without_yardstick(hits: list[np.ndarray | None]) -> None:
    candidates = [row(str(number), float(number)) for number in range(len(hits))]
    ranking = rankings.build(candidates, hits, LABELS)
    assert ranking["correlations"] == {"logme": None, "h_score": None}
    assert "Kendall" not in rankings.text(completed(ranking))


@pytest.mark.parametrize(("counts", "minutes", "words"), [
    ((190, 120), (9.0, 3.0), "Use a: 95.0 % held out, better than every other candidate."),
    ((190, 188), (19.4, 3.0), "not distinguishable from b (94.0 %): use a, or b to fine-tune in 3.0 instead of 19 "),
    ((190, 188), (3.0, 9.0), "on 200 rows it is not distinguishable from b (94.0 %): use a."),
    ((190, 188), (None, None), "not distinguishable from b (94.0 %): use a."),
    ((190, 188, 189, 187, 120), (None,) * 5, "from c (94.5 %), b (94.0 %) and d (93.5 %): use a."),
    ((190,), (3.0,), "a alone was ranked: name others"),
    ((105, 101), (1.0, 1.0), "None is better than always answering the most frequent class")])
def test_advice(counts: tuple[int, ...], minutes: tuple[float | None, ...], words: str) -> None:
    candidates = [row("abcde"[place], 0.0, minutes=own) for place, own in enumerate(minutes)]
    assert words in rankings.build(candidates, [right(count) for count in counts], LABELS)["advice"]


def test_without_yardstick_logme_decides_and_says_so() -> None:
    ranking = rankings.build([row("a", 1.0), row("b", 2.0)], [None, None], LABELS[:4])
    assert [own["name"] for own in ranking["candidates"]] == ["b", "a"]
    assert ranking["advice"].startswith("By LogME alone b comes first: fewer than two classes have three")
    assert ranking["candidates"][0]["accuracy"] is None
    assert "  b            224     1,280  -  " in rankings.text(completed(ranking))


def test_rows_of_a_group_are_compared_together() -> None:
    groups = np.repeat(np.arange(4).astype(str), 50)
    ranking = rankings.build([row("a", 1.0), row("b", 0.0)], [right(200), right(150)], LABELS, groups=groups)
    assert ranking["candidates"][0]["interval95"] is None
    assert ranking["candidates"][1]["p_value_holm"] == 1.0  # fifty rows, but one group
    assert "not distinguishable from b" in ranking["advice"]


def test_text_and_files(tmp_path: Path) -> None:
    ranking = completed(rankings.build(
        [row("efficient\nnet", 0.25, minutes=2.5), row("b" * 60, 0.5, minutes=1200.4), row("c", 0.1, minutes=None)],
        [right(190), right(100), right(150)], LABELS))
    text = rankings.text({**ranking, "labelled_rows": 9000, "notes": ["A note."]})
    lines = text.splitlines()
    assert lines[0] == "200 labelled training rows (a sample of 9,000) of photos.csv, 2 classes"
    assert "efficient\\nnet" in text and "…" in text and "95.0 % [91.0, 97.3]" in text
    assert "1,200.4" in text and "A note." in text and "the most frequent class: 50.0 %" in text
    assert "-20.0 [-25.5, -14.1]" in text
    assert "3 candidates: -0.33 (LogME) and - (H-score)." in " ".join(text.split())
    assert max(map(len, lines[3:])) < 160 and text.endswith("better than every other candidate.")
    rankings.write(tmp_path, ranking)
    assert json.loads((tmp_path / "ranking.json").read_text()) == ranking
    with open(tmp_path / "ranking.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [line["rank"] for line in table] == ["1", "2", "3"]
    assert float(table[0]["accuracy"]) == 0.95 and table[1]["seconds_per_step"] == ""
