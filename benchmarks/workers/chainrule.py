"""chainrule, through its public interface."""

import chainrule
from workers.protocol import serve


class Chainrule:
    def __init__(self, model: str, dtype: str) -> None:
        self.lm = chainrule.load(model, dtype=dtype)

    def flat(self, texts: list[str]) -> list[float]:
        return self.lm.score_batch(texts).logprob.tolist()

    def candidates(self, context: str, candidates: list[str]) -> list[float]:
        ranked = self.lm.rank(context, candidates)
        return [result.logprob for result in sorted(ranked, key=lambda result: result.index)]

    def questions(self, questions: list[tuple[str, list[str]]]) -> list[float]:
        pairs = [(question, answer) for question, answers in questions for answer in answers]
        return self.lm.score_batch(
            [answer for _, answer in pairs], context=[question for question, _ in pairs]
        ).logprob.tolist()

    def book(self, text: str, window: int, stride: int) -> list[float]:
        return [self.lm.score(text, window=window, stride=stride).logprob]


if __name__ == "__main__":
    serve(Chainrule)
