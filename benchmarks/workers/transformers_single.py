"""transformers, one text at a time; ``exact`` is the reference for every system's numbers.

Measured with PyTorch 2.13 on CPU and this model, float32 ``log_softmax`` is 7e-6 nats too high for each token, always
to the same side. So the reference normalises the same float32 logits, unpadded and unmasked, in float64, untimed.
"""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from workers.protocol import serve


def load(model: str):
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    return network, AutoTokenizer.from_pretrained(model)


class TransformersSingle:
    def __init__(self, model: str) -> None:
        self.network, self.tokenizer = load(model)

    @torch.inference_mode()
    def flat(self, texts: list[str]) -> list[float]:
        return [self.logprob(text, torch.float32) for text in texts]

    @torch.inference_mode()
    def exact(self, texts: list[str]) -> list[float]:
        return [self.logprob(text, torch.float64) for text in texts]

    def logprob(self, text: str, dtype: torch.dtype) -> float:
        ids = [self.tokenizer.bos_token_id, *self.tokenizer(text, add_special_tokens=False).input_ids]
        ids = torch.tensor([ids])
        logits = self.network(input_ids=ids, use_cache=False).logits[:, :-1]
        logprobs = logits.to(dtype).log_softmax(-1).gather(-1, ids[:, 1:, None])
        return logprobs.double().sum().item()


if __name__ == "__main__":
    serve(TransformersSingle)
