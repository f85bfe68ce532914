"""Refusal of weights that are not numbers."""

from __future__ import annotations

from typing import Any

import torch

from chainrule.errors import ModelError


def refuse_nan(lm: Any, name: str) -> None:
    """Raises ModelError if a weight is NaN."""
    bad = [key for key, p in lm.named_parameters() if torch.isnan(p.sum()) and torch.isnan(p).any()]
    if bad:
        raise ModelError(f"{name} has NaN in its weights ({bad[0]}{' and others' if len(bad) > 1 else ''}): it is damaged")
