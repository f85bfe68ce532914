"""minicons with texts sorted by length, which it does not do itself."""

from workers.minicons import Minicons
from workers.protocol import serve


class MiniconsSorted(Minicons):
    def flat(self, texts: list[str]) -> list[float]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        logprobs = dict(zip(order, super().flat([texts[i] for i in order]), strict=True))
        return [logprobs[i] for i in range(len(texts))]


if __name__ == "__main__":
    serve(MiniconsSorted)
