"""chainrule, as its users call it."""

import chainrule
from workers.protocol import serve


class Chainrule:
    def __init__(self, model: str) -> None:
        self.lm = chainrule.load(model, dtype="float32")

    def flat(self, texts: list[str]) -> list[float]:
        return self.lm.score_batch(texts).logprob.tolist()

    def candidates(self, context: str, candidates: list[str]) -> list[float]:
        ranked = self.lm.rank(context, candidates)
        return [result.logprob for result in sorted(ranked, key=lambda result: result.index)]


if __name__ == "__main__":
    serve(Chainrule)
