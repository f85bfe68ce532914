"""minicons as in its README: ``sequence_score`` with a sum, on batches of 16 in the order of the input.

For comparable numbers: ``bos_token=True`` puts the text of the start symbol before each text, so the first token is scored too.
minicons never scores the first token of its input, which is then the start symbol.
"""

import torch
from minicons.scorer import IncrementalLMScorer

from workers.protocol import serve

BATCH = 16


class Minicons:
    def __init__(self, model: str, dtype: str) -> None:
        self.scorer = IncrementalLMScorer(model, "cpu")
        if self.scorer.model.dtype != getattr(torch, dtype):
            raise TypeError(f"minicons loaded {self.scorer.model.dtype}, but the benchmark needs {dtype}")

    def flat(self, texts: list[str]) -> list[float]:
        batches = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
        return [logprob for batch in batches for logprob in self.scorer.sequence_score(batch, total, bos_token=True)]


def total(logprobs: torch.Tensor) -> float:
    return logprobs.double().sum().item()


if __name__ == "__main__":
    serve(Minicons)
