"""Distances of sets of feature vectors, against closed forms and known collapses."""

import pytest
import torch

from gentool import UsageError
from gentool.feature_sets import coverage, duplicates, frechet


def test_frechet_is_that_of_gaussians():
    torch.manual_seed(0)
    real = torch.randn(20_000, 3)
    made = 2 * torch.randn(20_000, 3) + 1
    # |mean|^2 = 3, trace of (1 + 4 - 2 * 2) = 1 in each of three dimensions
    assert frechet(made, real) == pytest.approx(100 * (3 + 3) / 3, rel=0.05)
    assert frechet(real, made) == pytest.approx(100 * (3 + 3) / 12, rel=0.05)
    assert frechet(real, real) == pytest.approx(0, abs=1e-6)
    few = torch.randn(5, 40)
    assert frechet(few, few) == pytest.approx(0, abs=1e-5)
    with pytest.raises(UsageError, match="at least two"):
        frechet(made[:1], real)


def test_collapse_and_noise_show_in_precision_recall_and_duplicates(monkeypatch):
    torch.manual_seed(0)
    real, good = torch.randn(400, 4), torch.randn(400, 4)
    collapsed = real[:4].repeat(100, 1) + 1e-3 * torch.randn(400, 4)
    assert coverage(good, real) > 0.7
    assert coverage(collapsed, real) > 0.9
    assert coverage(real, collapsed) < 0.1
    assert coverage(good + 20, real) == 0
    assert duplicates(good, real) < 0.05
    assert duplicates(collapsed, real) > 0.9
    whole = coverage(good, real), duplicates(good, real)
    monkeypatch.setattr("gentool.feature_sets.PART", 37)
    assert (coverage(good, real), duplicates(good, real)) == whole


@pytest.mark.parametrize("count", [2, 5])
def test_few_rows_are_no_error(count):
    rows = torch.randn(count, 3)
    assert coverage(rows, rows) == 1
    assert 0 <= duplicates(rows, rows) <= 1


def test_one_row_has_no_duplicates_to_find():
    rows = torch.randn(1, 3)
    assert coverage(rows, rows) == 1
    for made, real in ((rows, torch.randn(5, 3)), (torch.randn(5, 3), rows)):
        with pytest.raises(UsageError, match="at least two"):
            duplicates(made, real)
