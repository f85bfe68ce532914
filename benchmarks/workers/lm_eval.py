"""lm-evaluation-harness: ``HFLM.loglikelihood`` with a batch size of 16; it sorts the requests by length itself.

Like for like: an empty context makes it condition on its prefix token, which is the tokenizer's start symbol; the
answer is that of ``loglikelihood_rolling`` for texts that fit the model, but sorted over all requests, so it is the
faster of the two. A real context gets no start symbol from this model's tokenizer: its text is put before the context.
"""

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from workers.protocol import serve


class LmEval:
    def __init__(self, model: str) -> None:
        self.model = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=16)

    def flat(self, texts: list[str]) -> list[float]:
        return self.loglikelihood([("", text) for text in texts])

    def candidates(self, context: str, candidates: list[str]) -> list[float]:
        context = self.model.tokenizer.bos_token + context
        return self.loglikelihood([(context, candidate) for candidate in candidates])

    def loglikelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
        return [logprob for logprob, _ in self.model.loglikelihood(requests, disable_tqdm=True)]


if __name__ == "__main__":
    serve(LmEval)
