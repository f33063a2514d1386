"""Text encoders: features equal those of transformers, padding changes nothing, other directories are refused."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.models import backbones, blocks, classifiers, text_encoder_shapes, text_encoders, weight_sources
from toolkit.training.settings import Settings

checkpoint_writers = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "checkpoint_writers.py")))
CASES = ("bert", "tanh", "distilbert")


@pytest.fixture(scope="module")
def golden(goldens):
    with np.load(goldens.folder / "text_encoders.npz") as archive:
        return dict(archive)


def written(folder: Path, golden, goldens, case: str, *, change=lambda tensors: tensors, **said) -> Path:
    """A directory as a hub caches it, its vocabulary apart."""
    shapes = {name: tuple(shape) for name, shape in json.loads(str(golden[f"{case}_shapes"])).items()}
    folder.mkdir(parents=True)
    tensors = change(goldens.seeded(shapes))
    (folder / "model.safetensors").write_bytes(b"".join(checkpoint_writers.safetensors(tensors)))
    (folder / "config.json").write_text(json.dumps(json.loads(str(golden[f"{case}_config"])) | said))
    return folder


def loaded(folder: Path):
    shape = text_encoder_shapes.of_configuration(json.loads((folder / "config.json").read_text()), str(folder))
    return text_encoders.load_weights(text_encoders.network(shape), shape, folder)


@pytest.mark.parametrize("case", CASES)
def test_features_equal_those_of_transformers(case, golden, goldens, tmp_path):
    network = loaded(written(tmp_path / case, golden, goldens, case))
    features = np.asarray(network(golden["tokens"]))
    np.testing.assert_allclose(features, golden[f"{case}_features"], atol=1e-5)


def test_padding_and_neighbours_change_nothing(golden, goldens, tmp_path):
    network = loaded(written(tmp_path / "bert", golden, goldens, "bert"))
    tokens = golden["tokens"]
    alone = np.asarray(network(tokens[:1, :6]))
    longer = np.asarray(network(np.pad(tokens, [(0, 0), (0, 4)])))
    np.testing.assert_allclose(alone[0], longer[0], atol=1e-6)
    np.testing.assert_allclose(longer, golden["bert_features"], atol=1e-5)


def test_older_names_and_no_prefix(golden, goldens, tmp_path):
    def older(tensors):
        names = {name: name.removeprefix("bert.").replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta") for name in tensors}
        return {names[name]: value for name, value in tensors.items()}

    features = np.asarray(loaded(written(tmp_path / "old", golden, goldens, "bert", change=older))(golden["tokens"]))
    np.testing.assert_allclose(features, golden["bert_features"], atol=1e-5)


def test_blocks_go_from_the_words_to_the_last_layer(golden, goldens, tmp_path):
    groups = blocks.blocks(loaded(written(tmp_path / "bert", golden, goldens, "bert")))
    assert [group[0].name.partition("_")[0] for group in groups] == ["stem", "block1", "block2"]
    assert all(layer.weights or "_" in layer.name for group in groups for layer in group)


@pytest.mark.parametrize(("said", "message"), [
    ({"model_type": "roberta"}, "model_type 'roberta'; expected bert or distilbert"),
    ({"num_attention_heads": 3}, "16 units in 3 heads"),
    ({"hidden_act": "swish"}, "activation 'swish'"),
    ({"position_embedding_type": "relative_key"}, "absolute positions"),
    ({"vocab_size": "many"}, "vocab_size 'many'; expected a positive whole number"),
])
def test_other_networks_are_refused_before_anything_is_built(said, message, golden, goldens, tmp_path):
    folder = written(tmp_path / "other", golden, goldens, "bert", **said)
    with pytest.raises(ToolkitError, match=message):
        weight_sources.find(str(folder))


def test_a_directory_is_an_encoder_of_texts(golden, goldens, tmp_path):
    source = weight_sources.find(str(written(tmp_path / "bert", golden, goldens, "bert")))
    assert source.entry.family == "text_encoder" and source.entry.kinds == ("text",)
    assert source.preprocessing == weight_sources.CONFIGURATION and Path(source.weights) == tmp_path / "bert"
    assert weight_sources.find(str(tmp_path / "bert"), "none").weights == "none"


@pytest.mark.parametrize(("units", "rate"), [(16, 1e-4), (384, 1e-4), (512, 7.5e-5), (768, 5e-5), (1024, 3.75e-5)])
def test_wide_encoders_are_tuned_in_smaller_steps(units, rate, golden, goldens, tmp_path):
    folder = written(tmp_path / "bert", golden, goldens, "bert", hidden_size=units)
    settings = Settings(backbone=str(folder)).for_rows(6_000)
    assert settings.learning_rate == pytest.approx(rate) and settings.epochs == 3


def without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if name not in key}


def test_checkpoints_that_do_not_fit_are_refused(golden, goldens, tmp_path):
    cases = {"layer.1.output.dense.bias": "no tensor 'bert.encoder.layer.1.output.dense.bias'",
             "word_embeddings": "no tensor 'embeddings.word_embeddings.weight'"}
    for number, (name, message) in enumerate(cases.items()):
        folder = written(tmp_path / str(number), golden, goldens, "bert", change=without(name))
        with pytest.raises(ToolkitError, match=message):
            loaded(folder)
    folder = written(tmp_path / "smaller", golden, goldens, "bert", vocab_size=41)
    with pytest.raises(ToolkitError, match=r"stem_words/embeddings has shape \(40, 16\)"):
        loaded(folder)


# ---- From texts: needs KerasHub, an extra -------------------------------------------------------------------------

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefgh")]


@pytest.fixture(scope="module")
def hub(golden, goldens, tmp_path_factory):
    """A folder as a hub caches a model: `snapshots/<hash>` and `refs/main`."""
    pytest.importorskip("keras_hub")
    pytest.importorskip("tensorflow_text")
    folder = tmp_path_factory.mktemp("cache") / "models--tiny--bert"
    written(folder / "snapshots" / "0123", golden, goldens, "bert")
    (folder / "snapshots" / "0123" / "vocab.txt").write_text("\n".join([*PIECES, ""]))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123")
    return folder


def test_a_hub_cache_becomes_a_model_of_texts(hub, golden, goldens, tmp_path):
    model = backbones.build(str(hub))
    assert (model.name, model.output_shape) == ("text_encoder_models--tiny--bert", (None, 16))
    preprocessing = backbones.preprocessing(model)
    assert preprocessing.max_length == 12  # no more positions
    assert backbones.facts(model)["preprocessing"]["vocabulary_size"] == len(PIECES)
    texts = tf.constant(["ab z", "a b c d e f g h i j k l m n", ""])
    numbers = preprocessing.vectorizer(texts)
    assert numbers.shape == (3, 12) and numbers[0, :5].numpy().tolist() == [2, 5, 32, 30, 3]
    network = loaded(hub / "snapshots" / "0123")
    np.testing.assert_allclose(model.predict(texts, verbose=0), network(numbers), atol=1e-6)
    assert backbones.fingerprint(model) == backbones.fingerprint(backbones.build(str(hub)))
    assert backbones.fingerprint(model) != backbones.fingerprint(backbones.build(str(hub), max_length=8))


def test_the_model_of_a_run_is_a_backbone(hub, tmp_path):
    model = backbones.build(str(hub), max_length=9)
    classifiers.save_on_frozen(model, [(np.ones((16, 2)), np.zeros(2))], tmp_path / "model.keras", ["x", "y"])
    again = backbones.build(str(hub), tmp_path / "model.keras")
    texts = tf.constant(["ab z", "a b c d e f g h i j k l m n"])
    np.testing.assert_allclose(again.predict(texts, verbose=0), model.predict(texts, verbose=0), atol=1e-6)
    assert backbones.preprocessing(again).max_length == 9
    assert backbones.preprocessing(backbones.build(str(hub), tmp_path / "model.keras", max_length=5)).max_length == 5
    classifiers.save_on_frozen(again, [(np.ones((16, 2)), np.zeros(2))], tmp_path / "again.keras", ["x", "y"])
    loaded_again, _ = classifiers.load(tmp_path / "again.keras")
    assert loaded_again.predict(texts, verbose=0).shape == (2, 2)


def test_a_vocabulary_of_another_network(hub, golden, goldens, tmp_path):
    folder = written(tmp_path / "bert", golden, goldens, "bert")
    (folder / "vocab.txt").write_text("\n".join([*PIECES, "more", "than", "fit", ""]))
    with pytest.raises(ToolkitError, match="its vocabulary has 42 pieces, its network 40: they do not belong together"):
        backbones.build(str(folder))
