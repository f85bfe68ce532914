"""transformers for candidates, cached by hand: the context's keys and values once, then batches of 16 after them."""

import copy

import torch

from workers.protocol import serve
from workers.transformers_single import load

BATCH = 16


class TransformersCached:
    def __init__(self, model: str, dtype: str) -> None:
        self.network, self.tokenizer = load(model, dtype)
        self.tokenizer.padding_side = "right"

    @torch.inference_mode()
    def candidates(self, context: str, candidates: list[str]) -> list[float]:
        ids = [self.tokenizer.bos_token_id, *self.tokenizer(context, add_special_tokens=False).input_ids]
        context = self.network(input_ids=torch.tensor([ids]), use_cache=True, logits_to_keep=1)
        batches = (candidates[start : start + BATCH] for start in range(0, len(candidates), BATCH))
        return [logprob for batch in batches for logprob in self.batch(context, batch)]

    def questions(self, questions: list[tuple[str, list[str]]]) -> list[float]:
        return [logprob for question, answers in questions for logprob in self.candidates(question, answers)]

    def batch(self, context, candidates: list[str]) -> list[float]:
        padded = self.tokenizer(candidates, add_special_tokens=False, padding=True, return_tensors="pt")
        cache = copy.deepcopy(context.past_key_values)
        cache.batch_repeat_interleave(len(candidates))
        # Padding comes last, so no real token sees it and no mask is needed.
        logits = self.network(input_ids=padded.input_ids, past_key_values=cache).logits[:, :-1]
        logits = torch.cat([context.logits.expand(len(candidates), -1, -1), logits], dim=1)
        logprobs = logits.float().log_softmax(-1).gather(-1, padded.input_ids[..., None])[..., 0]
        return (logprobs.double() * padded.attention_mask).sum(-1).tolist()


if __name__ == "__main__":
    serve(TransformersCached)
