"""PSNR and SSIM, and the filters that stand beside an autoencoder."""

import numpy as np
import pytest

from toolkit.autoencoders import denoising

pytest.importorskip("skimage")
RANDOM = np.random.default_rng(0)
CLEAN = np.repeat(np.repeat(RANDOM.uniform(size=(3, 4, 4, 1)), 4, axis=1), 4, axis=2)
NOISY = np.clip(CLEAN + RANDOM.normal(scale=0.2, size=CLEAN.shape), 0, 1)


def test_psnr_is_that_of_scikit_image() -> None:
    from skimage.metrics import peak_signal_noise_ratio

    expected = [peak_signal_noise_ratio(one, other, data_range=1) for one, other in zip(CLEAN, NOISY)]
    np.testing.assert_allclose(denoising.psnr(CLEAN, NOISY), expected)
    assert denoising.psnr(CLEAN, CLEAN).tolist() == [100.0] * 3


def test_ssim_is_one_for_the_same_image() -> None:
    np.testing.assert_allclose(denoising.ssim(CLEAN, CLEAN), 1)
    assert (denoising.ssim(CLEAN, NOISY) < 0.99).all()
    assert denoising.ssim(CLEAN[:, :6, :6], NOISY[:, :6, :6]).shape == (3,)  # the window shrinks with the image


def test_the_best_filter_of_each_kind_stands_beside() -> None:
    filters = denoising.best_filters(CLEAN, NOISY)
    found = denoising.judged(CLEAN, NOISY, CLEAN, filters, chosen_on="others")
    names = [row["name"] for row in found["rows"]]
    assert names[:2] == ["noisy", "autoencoder"] and len(names) == 4
    assert names[2].startswith("Gaussian blur") and names[3].startswith("median")
    assert found["rows"][1]["psnr"] == 100 and found["rows"][0]["psnr"] < found["rows"][2]["psnr"]
    best = denoising.psnr(CLEAN, filters[names[2]](NOISY)).mean()
    for width in denoising.BLURS:
        from scipy import ndimage

        blurred = np.stack([ndimage.gaussian_filter(image, (width, width, 0)) for image in NOISY])
        assert denoising.psnr(CLEAN, blurred).mean() <= best + 1e-9


def test_the_table_has_a_line_for_each() -> None:
    lines = denoising.lines(denoising.judged(CLEAN, NOISY, CLEAN, denoising.best_filters(CLEAN, NOISY),
                                             chosen_on="9 others"))
    assert lines[0] == "Denoising, means of 3 images" and len(lines) == 7 and lines[-1].endswith("chosen on 9 others.")


def test_filters_are_chosen_on_the_images_that_are_given_for_it() -> None:
    """Without noise the weakest filter is best, whatever is judged afterwards."""
    filters = denoising.best_filters(CLEAN, CLEAN)
    rows = denoising.judged(CLEAN, NOISY, CLEAN, filters, chosen_on="others")["rows"]
    assert [row["name"] for row in rows[2:]] == ["Gaussian blur, deviation 0.5", "median of 3 x 3"]
    assert list(denoising.best_filters(CLEAN, NOISY)) != list(filters)


def test_test_rows_are_judged_where_there_are_some_and_never_chosen_on() -> None:
    splits = np.array((["train"] * 3 + ["test"] * 2) * 400, object)
    rows, others = denoising.to_judge(splits)
    assert len(rows) == len(others) == 500 and set(splits[rows]) == {"test"} and not set(rows) & set(others)
    rows, others = denoising.to_judge(splits[:3])
    assert rows.tolist() == [0, 1, 2] and not len(others)
