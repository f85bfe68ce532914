"""`same_but_rounding`: whether numbers differ by rounding alone."""

from __future__ import annotations

import pytest
import torch

from chainrule.ops.rounding import same_but_rounding

INF, NAN = torch.inf, torch.nan
OWN = [[1.0, -4.0, 2.0], [0.001, 0.002, INF]]


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (OWN, True),
        ([[1.0004, -4.0, 2.0], [0.001, 0.002, INF]], True),  # 0.0004 of a row whose largest number is 4
        ([[1.0005, -4.0, 2.0], [0.001, 0.002, INF]], False),
        ([[1.0, -4.0, 2.0], [0.0010003, 0.002, INF]], False),  # 3e-7 of a row whose largest number is 0.002
        ([[1.0, -4.0, 2.0], [0.0010001, 0.002, INF]], True),
        ([[1.0, -4.0, 2.0], [0.001, INF, INF]], False),
        ([[1.0, -4.0, 2.0], [0.001, 0.002, 1e30]], False),
        ([[1.0, -4.0, 2.0], [0.001, 0.002, NAN]], True),  # neither is finite
        ([[NAN, -4.0, 2.0], [0.001, 0.002, INF]], False),
    ],
)
def test_a_difference_is_relative_to_the_largest_number_of_its_row(found: list, same: bool):
    tolerance = 1.1e-4
    assert same_but_rounding(torch.tensor(found).double(), torch.tensor(OWN).double(), tolerance, (1,)) is same


def test_a_difference_over_several_dimensions_is_relative_to_the_largest_of_all():
    own, found = torch.tensor([[100.0, 0.0], [0.0, 1.0]]).double(), torch.tensor([[100.0, 0.0], [0.0, 1.05]]).double()
    assert same_but_rounding(found, own, 1e-3, (0, 1))
    assert not same_but_rounding(found, own, 1e-3, (1,))
