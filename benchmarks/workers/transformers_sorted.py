"""transformers the way a careful user batches: texts sorted by length, right-padded batches of 16."""

import torch

from workers.protocol import serve
from workers.transformers_single import load

BATCH = 16


class TransformersSorted:
    def __init__(self, model: str) -> None:
        self.network, self.tokenizer = load(model)
        self.tokenizer.padding_side = "right"

    @torch.inference_mode()
    def flat(self, texts: list[str]) -> list[float]:
        bos = self.tokenizer.bos_token_id
        ids = [[bos, *row] for row in self.tokenizer(texts, add_special_tokens=False).input_ids]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        logprobs = [0.0] * len(ids)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            for row, logprob in zip(rows, self.batch([ids[i] for i in rows]), strict=True):
                logprobs[row] = logprob
        return logprobs

    def batch(self, ids: list[list[int]]) -> list[float]:
        padded = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        logits = self.network(**padded, use_cache=False).logits[:, :-1]
        targets, real = padded.input_ids[:, 1:], padded.attention_mask[:, 1:]
        logprobs = logits.float().log_softmax(-1).gather(-1, targets[..., None])[..., 0]
        return (logprobs.double() * real).sum(-1).tolist()


if __name__ == "__main__":
    serve(TransformersSorted)
