"""What a stream of training batches refuses."""

from types import SimpleNamespace

import pytest

from toolkit import ToolkitError
from toolkit.tables import read_table
from toolkit.training import Settings, streams


@pytest.mark.parametrize("given, words", [({"mixup": 0.2}, "--mixup mixes images"),
                                          ({"word_dropout": 0.1}, "a pretrained text encoder knows pieces of words")])
def test_what_makes_no_sense_for_texts(tmp_path, given, words):
    lines = ["text,label", *(f"a {name} film {number},{name}" for name in ("good", "bad") for number in range(8))]
    (tmp_path / "texts.csv").write_text("\n".join(lines), encoding="utf-8")
    pieces = SimpleNamespace(vectorizer=lambda texts: texts, max_length=0)
    with pytest.raises(ToolkitError, match=words):
        streams.labelled(read_table(tmp_path / "texts.csv"), pieces, Settings(**given), reflect=False, seed=0)
