"""transformers, one text at a time; ``exact`` and ``exact_book`` are the references for every system's numbers.

Measured with PyTorch 2.13 on CPU and this model, float32 ``log_softmax`` is 7e-6 nats too high for each token, always
in the same direction. So the references normalise the same float32 logits, unpadded and unmasked, in float64, untimed.
"""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from workers.protocol import serve

BLOCK = 256  # positions to normalise at a time


def load(model: str, dtype: str):
    network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
    return network, AutoTokenizer.from_pretrained(model)


class TransformersSingle:
    def __init__(self, model: str, dtype: str) -> None:
        self.network, self.tokenizer = load(model, dtype)

    @torch.inference_mode()
    def flat(self, texts: list[str]) -> list[float]:
        return [self.logprob(self.ids(text), torch.float32) for text in texts]

    @torch.inference_mode()
    def exact(self, texts: list[str]) -> list[float]:
        return [self.logprob(self.ids(text), torch.float64) for text in texts]

    @torch.inference_mode()
    def exact_book(self, text: str, window: int, stride: int) -> list[float]:
        """Window by window: up to ``window`` tokens after the start symbol; the last ``stride`` of them are new."""
        ids = self.ids(text)
        total, done, stop = 0.0, 0, min(window, len(ids))
        while done < len(ids):
            total += self.logprob(ids[max(0, stop - window) : stop], torch.float64, new=stop - done)
            done, stop = stop, min(stop + stride, len(ids))
        return [total]

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def logprob(self, ids: list[int], dtype: torch.dtype, new: int = 0) -> float:
        """The sum over the last ``new`` tokens; over all, if 0."""
        ids = torch.tensor([[self.tokenizer.bos_token_id, *ids]])
        logits = self.network(input_ids=ids, use_cache=False).logits[0, :-1][-new:]
        blocks = zip(logits.split(BLOCK), ids[0, 1:][-new:, None].split(BLOCK), strict=True)
        return sum(z.to(dtype).log_softmax(-1).gather(-1, x).double().sum().item() for z, x in blocks)


if __name__ == "__main__":
    serve(TransformersSingle)
