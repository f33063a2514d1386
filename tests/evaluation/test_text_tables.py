"""Columns stay aligned and lines whole whatever the names are."""

from toolkit.evaluation.text_tables import aligned, columns, percent, printable, score, shortened, wrapped


def test_wide_and_combining_characters_are_counted() -> None:
    assert [columns(text) for text in ("cat", "犬", "e\u0301", "naïve")] == [3, 2, 1, 5]
    assert aligned([["犬", "1"], ["cat", "22"]], "<>", indent=0) == ["犬    1", "cat  22"]


def test_names_cannot_break_lines() -> None:
    assert printable("a\nb\x1b[31m\udcff") == r"a\nb\x1b[31m\udcff"
    assert printable("déjà vu") == "déjà vu"
    assert shortened("a" * 10, 5) == "aaaa…"
    assert shortened("犬" * 5, 6) == "犬犬…"
    assert shortened("short", 5) == "short"


def test_long_paths_stay_whole() -> None:
    path = "/".join(["folder"] * 30)
    assert any(path in line for line in wrapped(f"See {path} for more."))


def test_scores() -> None:
    scores = {"count": 153, "accuracy": 0.9542, "interval95": [0.9085, 0.9776], "roc_auc": None, "log_loss": 0.1234,
              "intervals": {"roc_auc": None, "log_loss": None}}
    assert score(scores, "accuracy") == "95.4 % [90.8, 97.8]"
    assert score(scores | {"count": 10_000}, "accuracy") == "95.42 % [90.85, 97.76]"
    assert (score(scores, "roc_auc"), score(scores, "log_loss")) == ("-", "0.123")
    assert (percent(None), percent(1.0)) == ("-", "100.0 %")
