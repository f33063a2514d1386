r"""Autoencoder pretraining: features learnt from images without labels, by reconstructing them.

An encoder makes codes h = f(x) of an image x, a decoder an image x' = g(h) of the codes. With E the squared error, or
for grey images the cross-entropy, summed over the values of an image, every method below minimises the mean over the
images of

.. math:: E(x, g(h)) + \lambda \, \Omega(h)

==============  ==========================  =====================================================================
method          codes                       penalty, or what is else different
==============  ==========================  =====================================================================
plain           h = f(x)                    none; fewer codes than values
denoising       h = f(corrupted x)          none; zeros, normal noise, or salt and pepper [1]
sparse          h = f(x)                    sum_j KL(rho || mean_x h_j), rho the target of the mean activation [2]
k-sparse        the k largest of f(x)       none; k falls linearly to its value over the first half; alpha k codes
                                            are kept where features are wanted [3]
contractive     h = f(x)                    \|\|dh / dx\|\|^2 = sum_j f'_j^2 sum_i W_ij^2 for one layer [4]
variational     mean + e sqrt(variance)     KL(N(mean, variance) || N(0, 1)), e from N(0, 1); features: the mean [5]
masked          h = f(x without patches)    none; E over the hidden patches alone [6]
==============  ==========================  =====================================================================

Fully connected layers (``--backbone mlp``; 1,000 units, plain 128, variational 400 and 20) are trained one after the
other, each on the codes of the one below [1], or jointly; any other backbone is trained at once with a decoder that
goes back through the sizes of its maps. Denoising and k-sparse layers see their input less its mean. One by one, both
learn as [3] has it for the latter, from small weights by SGD, at the rate 0.13 / v, where v is the largest variance of
the clean values in any direction, at least 1. Principal components of the same number stand beside the codes, and the
same network untrained. Ng's lambda, 3, belongs to half the squared error of sigmoid units, whose slopes are at most a
quarter of those of the cross-entropy: here it is 10. The loss on validation rows stands in the history, of a k-sparse
autoencoder with the final k; nothing is chosen by it.

Measured (commands in ``benchmarks/RESULTS.md``): MNIST, 1,000 codes, logistic regression on them errs on 1.47 %
(k-sparse, five seeds; published 1.35), 1.70 % (denoising, 20 % hidden, five seeds; published 1.95), 7.4 % on pixels;
8 and 7 to 12 min on one core. Fine-tuned, k-sparse 1.20 and 1.36 % (two runs), the same network without pretraining
1.86 and 1.99.

References:
    [1] Vincent et al. 2010, https://www.jmlr.org/papers/v11/vincent10a.html
    [2] Ng 2011, Sparse autoencoder, https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf
    [3] Makhzani and Frey 2013, https://arxiv.org/abs/1312.5663; [4] Rifai et al. 2011, Contractive auto-encoders
    [5] Kingma and Welling 2013, https://arxiv.org/abs/1312.6114; [6] He et al. 2021, https://arxiv.org/abs/2111.06377
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from recipes import linear_probe
from toolkit.autoencoders import batches, choices, corruptions, networks, reports, training
from toolkit.autoencoders.choices import METHODS, Choices
from toolkit.models import backbones
from toolkit.tables import Table
from toolkit.training import Settings, devices, run_folders

FIRST_KEPT = 100  # codes of a k-sparse autoencoder at the beginning, or k where that is more


# ---- Penalties ----------------------------------------------------------------------------------------------------


def sparsity(codes: tf.Tensor, target: float) -> tf.Tensor:
    """KL divergence of the mean activations of a batch from their target, summed over the codes.

    Args:
        codes: (B, F) in (0, 1).
        target: rho, in (0, 1).

    Returns:
        (), the same on every replica.

    Example:
        >>> float(sparsity(tf.constant([[0.2, 0.1], [0.0, 0.1]]), 0.1)) < 1e-6
        True
    """
    mean = tf.reduce_mean(codes, axis=0)
    if tf.distribute.get_strategy().num_replicas_in_sync > 1 and tf.distribute.get_replica_context() is not None:
        mean = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, mean)
    mean = tf.clip_by_value(mean, 1e-6, 1 - 1e-6)
    return tf.reduce_sum(target * tf.math.log(target / mean)
                         + (1 - target) * tf.math.log((1 - target) / (1 - mean)))


def contraction(codes: tf.Tensor, kernel: tf.Tensor, activation: str) -> tf.Tensor:
    """Squared Frobenius norm of the Jacobian of one layer, (B,): codes (B, F), kernel (d, F)."""
    slopes = {"sigmoid": lambda h: h * (1 - h), "tanh": lambda h: 1 - h**2, "relu": lambda h: tf.cast(h > 0, h.dtype),
              "linear": tf.ones_like}[activation](codes)
    return tf.linalg.matvec(slopes**2, tf.reduce_sum(kernel**2, axis=0))


def divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """KL divergence of normal codes from the standard normal, (B,): mean and log variance (B, F)."""
    return 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_variance) - log_variance - 1, axis=1)


# ---- The method ---------------------------------------------------------------------------------------------------


class Autoencoder(keras.Model):
    """E(x, g(h)) + lambda Omega(h), as the module says.

    Args:
        encoder: values to codes; of a variational one to mean and log variance, side by side.
        decoder: codes to values, linear.
        chosen: the method.
        activation: of the codes.
        cross_entropy: whether E is the cross-entropy of sigmoid units, else the squared error.
    """

    def __init__(self, encoder: keras.Model, decoder: keras.Model, chosen: Choices, *, activation: str,
                 cross_entropy: bool) -> None:
        super().__init__(name="autoencoder")
        self.encoder, self.decoder, self.chosen = encoder, decoder, chosen
        self.activation, self.cross_entropy = activation, cross_entropy
        self.built = True

    def call(self, batch: batches.Batch, training: bool | None = None) -> dict[str, tf.Tensor]:
        """A batch of ``drawn`` -> its reconstruction, linear, and the penalty Omega of each row, or of all."""
        found = self.encoder(batch["input"], training=training)
        codes, penalty, method = found, 0.0, self.chosen.method
        if method == "k-sparse":
            codes = keep_largest(found, batch["kept"], max(FIRST_KEPT, self.chosen.kept))
        elif method == "variational":
            mean, log_variance = tf.split(found, 2, axis=1)
            codes, penalty = mean + tf.exp(log_variance / 2) * batch["noise"], divergence(mean, log_variance)
        elif method == "sparse":
            penalty = sparsity(found, self.chosen.sparsity_target)
        elif method == "contractive":
            penalty = contraction(found, self.encoder.layers[-1].kernel, self.activation)
        return {"values": self.decoder(codes, training=training), "penalty": penalty}

    def compute_loss(self, x: batches.Batch | None = None, y: None = None, y_pred: dict[str, tf.Tensor] | None = None,
                     sample_weight: None = None, training: bool = True) -> tf.Tensor:
        """The mean over the rows of the global batch, so that several replicas take the steps of one."""
        return tf.nn.compute_average_loss(self.row_losses(x, y_pred))

    def row_losses(self, batch: batches.Batch, found: dict[str, tf.Tensor]) -> tf.Tensor:
        """E + lambda Omega of each row, (B,): a batch of ``drawn``, and what ``call`` has ``found`` of it."""
        target, values = batch["target"], tf.cast(found["values"], tf.float32)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits
        errors = entropy(target, values) if self.cross_entropy else (values - target)**2
        errors = errors * batch["hidden"] if "hidden" in batch else errors
        rows = tf.reduce_sum(errors, axis=list(range(1, target.shape.rank)))
        return rows + self.chosen.penalty_weight * found["penalty"]


def keep_largest(codes: tf.Tensor, kept: tf.Tensor, most: int) -> tf.Tensor:
    """Zeroes all but the ``kept``, (B,) int of at most ``most``, largest codes of each row (B, F).

    Example:
        >>> keep_largest(tf.constant([[3.0, 1.0, 2.0]]), tf.constant([2]), 3).numpy().tolist()
        [[3.0, 0.0, 2.0]]
    """
    ordered = tf.math.top_k(codes, min(most, codes.shape[1])).values
    return tf.where(codes >= tf.gather(ordered, kept[:, None] - 1, batch_dims=1), codes, 0.0)


def drawn(chosen: Choices, num_codes: int, total_steps: int, shape: tuple[int, ...], pixels: bool) -> batches.Draw:
    """What a step is given: the clean rows as target, the input, and what else the method draws.

    Args:
        chosen: the method.
        num_codes: F.
        total_steps: of the training.
        shape: of a row as an image, (S, S, C), for patches.
        pixels: whether the values are pixels in [0, 1], which noise does not leave either.
    """
    first = min(num_codes, max(FIRST_KEPT, chosen.kept))

    def draw(target: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) -> batches.Batch:
        batch, count = {"input": target, "target": target}, tf.shape(target)[0]
        if chosen.method == "denoising":
            noisy = corruptions.CORRUPTIONS[chosen.corruption](target, chosen.level, seed)
            batch["input"] = tf.clip_by_value(noisy, 0.0, 1.0) if pixels else noisy
        elif chosen.method == "masked":
            images = tf.reshape(target, (-1, *shape))
            hidden = corruptions.hidden_patches(images, chosen.level, seed, patch_size=chosen.patch_size)
            batch["input"] = tf.reshape(tf.where(hidden > 0, corruptions.GREY, images), tf.shape(target))
            batch["hidden"] = tf.reshape(tf.broadcast_to(hidden, tf.shape(images)), tf.shape(target))
        elif chosen.method == "k-sparse":
            progress = tf.minimum(2.0 * tf.cast(step, tf.float32) / total_steps, 1.0)
            kept = tf.round(first + progress * (min(chosen.kept, num_codes) - first))
            batch["kept"] = tf.fill([count], tf.cast(kept, tf.int32))
        elif chosen.method == "variational":
            batch["noise"] = tf.random.stateless_normal((count, num_codes), seed)
        return batch

    return draw


def objective(chosen: Choices) -> training.Objective:
    """What ``training`` needs of the method."""
    sparse, variational = chosen.method == "k-sparse", chosen.method == "variational"

    def model(encoder: keras.Model, decoder: keras.Model, activation: str, cross_entropy: bool) -> keras.Model:
        return Autoencoder(encoder, decoder, chosen, activation=activation, cross_entropy=cross_entropy)

    return training.Objective(
        model, partial(drawn, chosen), linear_codes=METHODS[chosen.method].linear_codes, squared=sparse,
        code_width=2 if variational else 1, tied=chosen.tied and not variational, jointly=chosen.jointly,
        centred=METHODS[chosen.method].centred, kept=chosen.kept if sparse else 0,
        kept_codes=round(chosen.kept * chosen.kept_factor) if sparse else 0)


# ---- The run ------------------------------------------------------------------------------------------------------


def run(table: Table, *, output: str | Path, settings: Settings | None = None, method: str = "denoising",
        tied: bool = True, corruption: str = "masking", corruption_level: float | None = None,
        sparsity_target: float = 0.03, penalty_weight: float | None = None, kept: int = 25, kept_factor: float = 3.0,
        patch_size: int = 4, jointly: bool = False, resume: bool = False) -> dict[str, Any]:
    """Trains an autoencoder on all training rows, labelled or not, and writes a run folder.

    ``model.keras`` takes raw images and reconstructs them; ``--backbone`` takes the folder. With labels,
    ``predictions.csv`` holds what ``classifier.keras``, logistic regression on the codes, says.

    Args:
        table: of images; labels are only used to judge.
        output: the new run folder.
        settings: backbone, weights, image_size, seed, devices, epochs, time limit, batch size, optimizer, momentum,
            rate and schedule are used; None: the usual ones of the method.
        method: one of ``METHODS``.
        tied: the decoder of fully connected layers uses the encoder's kernels.
        corruption: of denoising, one of ``corruptions.CORRUPTIONS``.
        corruption_level: share of values or standard deviation; of masked autoencoding the share of hidden patches.
        sparsity_target: rho, the mean activation that a sparse autoencoder aims at.
        penalty_weight: lambda.
        kept: k, of a k-sparse autoencoder.
        kept_factor: alpha; round(alpha k) codes are kept as features.
        patch_size: side in pixels of what masked autoencoding hides.
        jointly: train fully connected layers at once, not one after the other.
        resume: continue a run that was stopped, to the same weights.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the backbone or the options cannot be used.
    """
    options = {"method": method, "tied": tied, "corruption": corruption, "corruption_level": corruption_level,
               "sparsity_target": sparsity_target, "penalty_weight": penalty_weight, "kept": kept,
               "kept_factor": kept_factor, "patch_size": patch_size, "jointly": jointly}
    chosen, settings = choices.chosen(**options), settings or choices.defaults(method, by_layer=not jointly)
    settings = choices.with_layers(settings, method, jointly=chosen.jointly)
    with run_folders.begin(output, "pretrain_autoencoder", table, {**settings.describe(), **options}, resume=resume
                           ) as folder:
        if folder.finished:
            return folder.report
        started = time.monotonic()
        devices.strategy(settings.devices)

        # Data
        table = choices.with_training_rows(table)
        train, build = table.in_split("train"), partial(linear_probe.build_backbone, table, settings)
        backbone = build()
        images = batches.images(table, backbones.preprocessing(backbone), table.channels)

        # Model and training
        shown, layers = images[train], settings.backbone_options
        settings = choices.with_epochs(settings, len(train))
        found = training.train(shown, build, objective(chosen), settings, folder.checkpoints,
                               hidden=layers["hidden"] if choices.is_dense(settings) else None,
                               activation=layers.get("activation", METHODS[method].activation),
                               initialiser=layers.get("initialiser", "glorot"),
                               held_out=images[table.in_split("validation")])
        networks.save(networks.from_raw_images(found.network, backbone, found.decoder), folder.path / "model.keras")

        # Report
        encoder = networks.from_raw_images(found.network, backbone)
        facts = {**dataclasses.asdict(chosen), "rows": len(train), **backbones.facts(backbone),
                 "codes": encoder.output_shape[1], "epochs": found.history[-1]["epoch"],
                 "learning_rates": found.rates, "seconds": round(time.monotonic() - started, 1)}
        return reports.write(folder, table, images, encoder, found, facts, seed=settings.seed)
