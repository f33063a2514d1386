"""The losses of pixel space are their equations, on hand-made images; targets carry no gradient; alarms fire."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, log_softmax, softmax

from recipes import fix_match, mean_teacher, mix_match, pseudo_label, virtual_adversarial
from toolkit.semisupervised import pixel_alarms, pixel_models, pixel_rounds, weight_rules

POOL, CLASSES, PER_LABEL = 6, 3, 2


def classifier() -> keras.Model:
    """Linear in the pixels of images of two by two."""
    keras.utils.set_random_seed(1)
    images = keras.Input((2, 2, 3))
    return keras.Model(images, keras.layers.Dense(CLASSES, name="head")(keras.layers.Flatten()(images)))


def made(model: Callable[..., pixel_models.PoolModel], *, step: int = 0, hints: Any = None, ema: bool = True,
         **own: Any) -> pixel_models.PoolModel:
    found = model(classifier(), total_steps=10, num_unlabelled=POOL, hints=hints, **own)
    found.compile(optimizer=keras.optimizers.SGD(0.1, use_ema=ema), jit_compile=False)
    found.optimizer.build(found.trainable_variables)
    found.optimizer.iterations.assign(step)
    return found


@pytest.fixture
def batch() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two labelled images, two unlabelled ones with each, and one-hot labels."""
    random = np.random.default_rng(0)
    x = {name: random.normal(size=(2, *([PER_LABEL] if name != "labelled" else []), 2, 2, 3)).astype(np.float32)
         for name in ("labelled", "weak", "strong")}
    x |= {"rows": np.array([[0, 3], [5, 1]], np.int32), "shift": np.array([1, 3], np.int32),
          "shares": random.uniform(0.5, 1, (2, 1 + 2 * PER_LABEL)).astype(np.float32)}
    return x, np.eye(CLASSES, dtype=np.float32)[[2, 0]]


def loss(model: pixel_models.PoolModel, batch: tuple, weights: Any = None) -> float:
    x, y = batch
    x = {name: tf.constant(value) for name, value in x.items()}
    return float(model.compute_loss(x, tf.constant(y), model(x, training=True), weights))


def logits(model: pixel_models.PoolModel, images: np.ndarray) -> np.ndarray:
    kernel, bias = model.classifier.get_layer("head").get_weights()
    return images.reshape(-1, 12) @ kernel + bias


def entropy(targets: np.ndarray, scores: np.ndarray, weights: Any = 1.0) -> float:
    return float(np.mean(weights * -(targets * log_softmax(scores, axis=-1)).sum(axis=-1)))


@pytest.mark.parametrize("rule", list(weight_rules.RULES))
def test_fix_match_is_its_equation_and_the_state_of_the_rule_moves(rule: str, batch: tuple) -> None:
    model = made(fix_match.Consistent, rule=rule, unlabelled_weight=0.7)
    x, y = batch
    known, weak, strong = (logits(model, x[name]) for name in ("labelled", "weak", "strong"))
    state = weight_rules.begin(CLASSES, POOL, momentum=0.5)
    state, targets, weights = weight_rules.RULES[rule](state, known, weak, y.argmax(axis=1), x["rows"].ravel())
    expected = entropy(y, known) + 0.7 * entropy(np.asarray(targets), strong, np.asarray(weights))
    assert loss(model, batch) == pytest.approx(expected, rel=1e-5)
    for name, value in state.items():
        np.testing.assert_allclose(model.state[name], value, rtol=1e-5, err_msg=name)


def test_rows_weigh_as_their_classes_do(batch: tuple) -> None:
    model, (x, y) = made(fix_match.Consistent, rule="fixmatch", unlabelled_weight=0.0), batch
    weights = np.array([0.5, 2.0], np.float32)
    assert loss(model, batch, weights) == pytest.approx(entropy(y, logits(model, x["labelled"]), weights), rel=1e-5)


@pytest.mark.parametrize(("step", "alpha"), [(0, 0.0), (1, 0.0), (3, 1.2), (6, 3.0), (9, 3.0)])
def test_lees_weight_rises_between_a_tenth_and_six_tenths(step: int, alpha: float, batch: tuple) -> None:
    model, (x, y) = made(pseudo_label.Lee, step=step, full_weight=3.0), batch

    def binary(targets: np.ndarray, scores: np.ndarray) -> float:
        each = targets * np.log(expit(scores)) + (1 - targets) * np.log(expit(-scores))
        return float(-each.sum(axis=1).mean())  # the sum over the classes, as in the paper

    targets = np.eye(CLASSES)[logits(model, x["weak"]).argmax(axis=1)]
    expected = binary(y, logits(model, x["labelled"])) + alpha * binary(targets, logits(model, x["strong"]))
    assert loss(model, batch) == pytest.approx(expected, rel=1e-5)


def test_a_round_learns_the_rows_that_it_took(batch: tuple) -> None:
    model, (x, y) = made(pixel_rounds.Rounds, full_weight=1.0), batch
    taken, targets = np.array([1, 0, 0, 1, 0, 0], np.float32), np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 1, 1, 0]]
    model.taken.assign(taken)
    model.targets.assign(targets)
    rows = x["rows"].ravel()
    learnt = entropy(targets[rows], logits(model, x["strong"]), taken[rows])
    expected = entropy(y, logits(model, x["labelled"])) + learnt
    assert loss(model, batch) == pytest.approx(expected, rel=1e-5)


def test_the_teacher_is_the_moving_average(batch: tuple) -> None:
    model, (x, y) = made(mean_teacher.MeanTeacher, step=3, unlabelled_weight=10.0), batch
    kernel, bias = np.random.default_rng(1).normal(size=(12, CLASSES)), np.ones(CLASSES)
    for average, value in zip(model.optimizer._model_variables_moving_average, (kernel, bias), strict=True):
        average.assign(value)
    taught = softmax(x["weak"].reshape(-1, 12) @ kernel + bias, axis=1)
    distance = np.mean(np.sum((softmax(logits(model, x["strong"]), axis=1) - taught) ** 2, axis=1))
    ramp = np.exp(-5 * (1 - 0.3 / 0.4) ** 2)
    expected = entropy(y, logits(model, x["labelled"])) + 10 * ramp * distance
    assert loss(model, batch) == pytest.approx(expected, rel=1e-5)


def test_before_the_first_step_the_teacher_is_the_student(batch: tuple) -> None:
    model, (x, _) = made(mean_teacher.MeanTeacher, unlabelled_weight=10.0), batch
    np.testing.assert_allclose(model.teacher(x["labelled"]), logits(model, x["labelled"]), atol=1e-5)


def test_the_adversary_has_its_length_and_beats_random_directions(batch: tuple) -> None:
    model, (x, _) = made(virtual_adversarial.VirtualAdversarial, unlabelled_weight=1.0, radius=0.002), batch
    images = x["labelled"]
    shares = softmax(logits(model, images), axis=1).astype(np.float32)
    change = np.asarray(model.adversary(images, tf.constant(shares), x["labelled"][::-1].copy()))
    lengths = np.sqrt((change.reshape(2, -1) ** 2).sum(axis=1))
    np.testing.assert_allclose(lengths, 255 * 0.002 * 12 ** 0.5, rtol=1e-5)

    def divergence(moves: np.ndarray) -> float:
        return entropy(shares, logits(model, images + moves)) - entropy(shares, logits(model, images))

    random = np.random.default_rng(0).normal(size=(50, *change.shape))
    random *= lengths[0] / np.sqrt((random ** 2).sum(axis=(2, 3, 4), keepdims=True))
    assert divergence(change) > np.mean([divergence(one) for one in random]) > 0


def test_mixtures_are_of_a_group_and_keep_the_larger_share(batch: tuple) -> None:
    x, _ = batch
    values = np.arange(10, dtype=np.float32).reshape(2, 5, 1)
    found = np.asarray(mix_match.MixMatch.mixed(tf.constant(values), x))[..., 0]
    other = np.array([[1, 2, 3, 4, 0], [8, 9, 5, 6, 7]])
    np.testing.assert_allclose(found, x["shares"] * values[..., 0] + (1 - x["shares"]) * other, rtol=1e-6)


def test_mix_match_is_its_equation(batch: tuple) -> None:
    model, (x, y) = made(mix_match.MixMatch, step=4, unlabelled_weight=7.5), batch
    x["shares"] = np.ones_like(x["shares"])  # nothing is mixed
    guess = (softmax(logits(model, x["weak"]), axis=1) + softmax(logits(model, x["strong"]), axis=1)) / 2
    guess = guess ** 2 / (guess ** 2).sum(axis=1, keepdims=True)
    distance = np.mean([np.sum((softmax(logits(model, x[name]), axis=1) - guess) ** 2, axis=1)
                        for name in ("weak", "strong")])
    expected = entropy(y, logits(model, x["labelled"])) + 7.5 * 0.4 * distance
    assert loss(model, batch) == pytest.approx(expected, rel=1e-5)


def test_pseudo_labels_of_an_earlier_stage_count_at_first(batch: tuple) -> None:
    hints = (np.array([1, 1, 1, 2, 2, 2], np.int32), np.array([1, 0, 1, 1, 1, 1], np.float32))
    x, y = batch
    told, weights = np.eye(CLASSES)[hints[0]][x["rows"].ravel()], hints[1][x["rows"].ravel()]
    for step, share in ((0, 1.0), (1, 2 / 3), (3, 0.0), (9, 0.0)):
        model = made(pixel_rounds.Rounds, step=step, hints=hints, full_weight=1.0)  # which has taken no row
        expected = entropy(y, logits(model, x["labelled"])) + share * entropy(told, logits(model, x["strong"]), weights)
        assert loss(model, batch) == pytest.approx(expected, rel=1e-5), step


def normalised(*, moves: bool) -> pixel_models.PoolModel:
    """A convolution, a BatchNorm that is near its batch after one step, and much dropout."""
    keras.utils.set_random_seed(1)
    images = keras.Input((2, 2, 3))
    norm = keras.layers.BatchNormalization(momentum=0.5, name="norm")
    norm.trainable = moves
    y = norm(keras.layers.Conv2D(4, 1, name="convolution")(images))
    y = keras.layers.Dropout(0.9, name="dropout")(keras.layers.Flatten()(y))
    network = keras.Model(images, keras.layers.Dense(CLASSES, name="head")(y))
    found = fix_match.Consistent(network, total_steps=10, num_unlabelled=POOL, rule="uda", unlabelled_weight=1.0)
    found.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    return found


@pytest.mark.parametrize("moves", [True, False])
def test_targets_carry_no_gradient_and_see_no_dropout(moves: bool, batch: tuple) -> None:
    model, (x, _) = normalised(moves=moves), batch
    x = {name: tf.constant(value) for name, value in x.items()}
    layer, norm = (model.classifier.get_layer(name) for name in ("convolution", "norm"))
    values = np.asarray(layer(pixel_models.flat(x["weak"])))
    mean, variance = (values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))) if moves else (0.0, 1.0)
    plain = ((values - mean) / np.sqrt(variance + norm.epsilon)).reshape(4, -1)
    with tf.GradientTape() as tape:
        found = model(x, training=True)
        weak = tf.reduce_sum(found["weak"])
    assert set(tape.gradient(weak, [variable.value for variable in model.trainable_variables])) == {None}
    kernel, bias = model.classifier.get_layer("head").get_weights()
    np.testing.assert_allclose(found["weak"], plain @ kernel + bias, atol=1e-4)
    np.testing.assert_allclose(norm.moving_mean, 0.5 * mean * np.ones(4), atol=1e-5)  # of the weak views alone


def test_nothing_is_computed_backwards_for_targets(batch: tuple) -> None:
    model, (x, y) = normalised(moves=True), batch

    @tf.function
    def slopes(x: dict[str, tf.Tensor], y: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            value = model.compute_loss(x, y, model(x, training=True))
        return tape.gradient(value, [variable.value for variable in model.trainable_variables])

    graph = slopes.get_concrete_function({name: tf.constant(value) for name, value in x.items()}, tf.constant(y)).graph
    types = [operation.type for operation in graph.get_operations()]
    assert (types.count("Conv2D"), types.count("Conv2DBackpropFilter")) == (3, 2)  # not for the weak views


def alarms(mass: list[float], *, step: int = 5) -> list[str]:
    found = pixel_alarms.Alarms(np.full(3, 1 / 3), ("ant", "bee", "cat"), seen=500)
    model = made(fix_match.Consistent, rule="fixmatch", unlabelled_weight=1.0, step=step)
    model.class_mass.assign(mass)
    found.set_model(model)
    for epoch in range(2):
        found.on_epoch_end(epoch)
    return found.raised


def test_alarms_while_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert alarms([0.001, 0.001, 0.001]) == ["mask rate"]
    assert alarms([0.0, 0.6, 0.01]) == ["one class"]
    assert alarms([0.2, 0.3, 0.25]) == [] and alarms([0.0, 0.0, 0.0], step=1) == []
    text = capsys.readouterr().err
    assert text.count("Mask rate near zero: 0.3 %") == 1 and text.count("class 'bee'") == 1


def held_out(labels: list[int]) -> pixel_alarms.HeldOut:
    """Validation rows without images: somebody else predicts."""
    return pixel_alarms.HeldOut(None, np.array(labels), None, np.zeros(1, int))


def test_precision_that_falls_while_more_is_used_raises_an_alarm(monkeypatch: pytest.MonkeyPatch,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pixel_alarms.loop, "predict", lambda model, images: np.zeros((100, 3)))
    told = iter([(np.arange(100) // 80, np.arange(100) < 50), (np.arange(100) // 40, np.ones(100))])  # 80, 40 right
    model = made(fix_match.Consistent, rule="fixmatch", unlabelled_weight=1.0, step=5)
    model.pseudo_labels = lambda *_: next(told)
    alarm = pixel_alarms.Alarms(np.full(3, 1 / 3), ("ant", "bee", "cat"), 500, held_out([0] * 100))
    alarm.set_model(model)
    model.class_mass.assign([0.2, 0.3, 0.3])
    epochs = [{"coverage": 0.5, "loss": 1.0}, {"coverage": 0.9, "loss": 1.0}]
    for number, logs in enumerate(epochs):
        alarm.on_epoch_end(number, logs)
    assert [[logs[f"validation_{name}"] for name in ("used", "right", "named")] for logs in epochs] == [
        [50, 50, 80], [100, 40, 40]]
    assert alarm.raised == ["confirmation bias"]
    assert "while coverage rose from 50 % to 90 %" in capsys.readouterr().err


def test_a_round_says_what_it_took_and_when() -> None:
    model = made(pixel_rounds.Rounds, full_weight=1.0)
    shares = np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0.2, 0.8, 0], [0.1, 0.3, 0.6], [0.3, 0.3, 0.4], [1, 0, 0]])
    model.take(1, shares, shares, np.array([1, 0, 1, 0, 0, 1], bool), soft=False)
    model.take(2, shares, shares, np.array([1, 1, 0, 1, 0, 1], bool), soft=False)
    labels, weights = model.pseudo_labels(np.zeros((6, 3)), np.arange(6), np.zeros((1, 3)), np.zeros(1, int))
    assert labels.tolist() == [0, 0, 1, 2, 2, 0] and weights.tolist() == [1, 1, 0, 1, 0, 1]
    assert model.rounds(weights).tolist() == [1, 2, 0, 2, 0, 1]
    others = np.log(np.array([[0.7, 0.2, 0.1], [0.55, 0.4, 0.05], [0.05, 0.9, 0.05], [0.1, 0.2, 0.7]]))
    found, used = model.pseudo_labels(others, None, np.zeros((1, 3)), np.zeros(1, int))
    assert found.tolist() == [0, 0, 1, 2]
    assert used.tolist() == [1, 0, 0, 1]  # as sure as 0.6; less; of class 1 none was taken; as sure as 0.6


def test_a_threshold_out_of_reach_uses_nothing(batch: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weight_rules.RULES, "never", lambda *args: weight_rules.fixmatch(*args, threshold=1.01))
    model, (x, y) = made(fix_match.Consistent, rule="never", unlabelled_weight=1.0), batch
    assert loss(model, batch) == pytest.approx(entropy(y, logits(model, x["labelled"])), rel=1e-5)
    assert model.class_mass.numpy().sum() == 0
    assert model.pseudo_labels(np.eye(3), np.zeros(3, int), np.eye(3), np.arange(3))[1].sum() == 0


def test_a_round_begins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = np.tile(np.eye(CLASSES) * 0.6 + 0.1, (2, 1))
    start = SimpleNamespace(from_scratch=True, steps_per_epoch=5, epochs=2, prior=np.full(3, 1 / 3),
                            pool_probabilities=lambda model: probabilities)
    relabel = pixel_rounds.Relabel(start, targets="soft")
    for step, epoch, count in ((0, 0, 0), (7, 1, 0), (5, 1, 6)):  # first on labels alone; resumed within; begun
        model = made(pixel_rounds.Rounds, step=step, full_weight=1.0)
        relabel.set_model(model)
        relabel.on_epoch_begin(epoch)
        assert model.taken.numpy().sum() == count and model.waits == (count == 0)
    np.testing.assert_allclose(model.targets, probabilities / probabilities.sum(axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("model", [partial(fix_match.Consistent, rule="fixmatch", unlabelled_weight=0.0),
                                   partial(pixel_rounds.Rounds, full_weight=0.0)])
def test_labels_are_as_smooth_as_the_controls(model: Callable[..., pixel_models.PoolModel], batch: tuple) -> None:
    x, y = batch
    smooth = made(model, label_smoothing=0.3)
    expected = entropy(0.7 * y + 0.3 / CLASSES, logits(smooth, x["labelled"]))
    assert loss(smooth, batch) == pytest.approx(expected, rel=1e-5)
