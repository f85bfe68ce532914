"""lm-evaluation-harness: ``HFLM.loglikelihood`` with a batch size of 16. It sorts the requests by length itself.

For comparable numbers: with an empty context it conditions on its prefix token, which is the tokenizer's start symbol. The
answer is that of ``loglikelihood_rolling`` for texts that fit the model, but all requests are sorted together, so it is the
faster of the two. A non-empty context gets no start symbol from this model's tokenizer, so the symbol's text is put before it.

A book is scored by ``loglikelihood_rolling`` with a maximal length of 2,048, in batches of 4, so that the logits fit into
memory. Its windows do not overlap. Those after the first follow the token before them, not the start symbol: the same amount
of work, but a different number.
"""

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from workers.protocol import serve

WINDOW = 2048  # longer than any text of the other workloads


class LmEval:
    def __init__(self, model: str, dtype: str) -> None:
        self.model = HFLM(pretrained=model, device="cpu", dtype=dtype, batch_size=16, max_length=WINDOW)

    def flat(self, texts: list[str]) -> list[float]:
        return self.loglikelihood([("", text) for text in texts])

    def rolling(self, texts: list[str]) -> list[float]:
        requests = [Instance("loglikelihood_rolling", {}, (text,), index) for index, text in enumerate(texts)]
        return self.model.loglikelihood_rolling(requests, disable_tqdm=True)

    def candidates(self, context: str, candidates: list[str]) -> list[float]:
        return self.questions([(context, candidates)])

    def questions(self, questions: list[tuple[str, list[str]]]) -> list[float]:
        bos = self.model.tokenizer.bos_token
        return self.loglikelihood([(bos + question, answer) for question, answers in questions for answer in answers])

    def book(self, text: str, window: int, stride: int) -> list[float]:
        if not window == stride == WINDOW:
            raise ValueError(
                f"window and stride must both be {WINDOW}, not {window} and {stride}: lm-evaluation-harness has no overlap"
            )
        self.model.batch_size_per_gpu = 4
        return self.model.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0)], disable_tqdm=True)

    def loglikelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
        return [logprob for logprob, _ in self.model.loglikelihood(requests, disable_tqdm=True)]


if __name__ == "__main__":
    serve(LmEval)
