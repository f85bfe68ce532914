"""transformers with careful batching: texts sorted by length, right-padded batches of up to 16.

A batch has at most 8,192 tokens, padding included, so that its logits (1.6 GB) fit into memory. Batches of short texts are
smaller.
"""

import torch

from workers.protocol import serve
from workers.transformers_single import load

BATCH, MOST = 16, 8192


class TransformersSorted:
    def __init__(self, model: str, dtype: str) -> None:
        self.network, self.tokenizer = load(model, dtype)
        self.tokenizer.padding_side = "right"

    def flat(self, texts: list[str]) -> list[float]:
        return self.logprobs(self.ids(texts))

    def questions(self, questions: list[tuple[str, list[str]]]) -> list[float]:
        pairs = [(question, answer) for question, answers in questions for answer in answers]
        before, after = (self.ids(part) for part in zip(*pairs, strict=True))
        return self.logprobs([[*a, *b] for a, b in zip(before, after, strict=True)], [len(b) for b in after])

    def book(self, text: str, window: int, stride: int) -> list[float]:
        if stride != window:
            raise ValueError(f"stride must be {window}, the window, not {stride}: windows may not overlap here")
        (ids,) = self.ids([text])
        return [sum(self.logprobs([ids[start : start + window] for start in range(0, len(ids), window)]))]

    def ids(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(list(texts), add_special_tokens=False).input_ids

    @torch.inference_mode()
    def logprobs(self, ids: list[list[int]], last: list[int] | None = None) -> list[float]:
        """The log-probability of each row after the start symbol, or of its last ``last[i]`` tokens only."""
        last = last or [len(row) for row in ids]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        logprobs = [0.0] * len(ids)
        for rows in batches(order, ids):
            for row, logprob in zip(rows, self.batch([ids[i] for i in rows], [last[i] for i in rows]), strict=True):
                logprobs[row] = logprob
        return logprobs

    def batch(self, ids: list[list[int]], last: list[int]) -> list[float]:
        bos = self.tokenizer.bos_token_id
        padded = self.tokenizer.pad({"input_ids": [[bos, *row] for row in ids]}, return_tensors="pt")
        logits = self.network(**padded, use_cache=False).logits[:, :-1]
        targets, real = padded.input_ids[:, 1:], padded.attention_mask[:, 1:]
        wanted = real * (torch.arange(real.shape[1]) >= real.sum(-1, keepdim=True) - torch.tensor(last)[:, None])
        logprobs = logits.float().log_softmax(-1).gather(-1, targets[..., None])[..., 0]
        return (logprobs.double() * wanted).sum(-1).tolist()


def batches(order: list[int], ids: list[list[int]]) -> list[list[int]]:
    """``order``, shortest first, in runs of at most 16 rows and 8,192 positions, start symbols included."""
    runs: list[list[int]] = [[]]
    for i in order:
        if len(runs[-1]) == BATCH or (runs[-1] and (len(runs[-1]) + 1) * (len(ids[i]) + 1) > MOST):
            runs.append([])
        runs[-1].append(i)
    return runs


if __name__ == "__main__":
    serve(TransformersSorted)
