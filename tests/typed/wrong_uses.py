"""Mistakes that mypy, pyright and pyrefly must report: each line with the comment, and no other (`make types`)."""

# ruff: noqa: B018

import chainrule

lm = chainrule.load("smollm2-135m")
score = lm.score("The cat")
scores = lm.score_batch(["The cat"])

lm.score(3.5)  # wrong
lm.score(["The cat", "The dog"])  # wrong
lm.score({"text": "The cat"})  # wrong
lm.score({"The cat"})  # wrong
lm.score("The cat", contxt="It rained.")  # wrong
lm.score("The cat", top="3")  # wrong
lm.score("The cat", start="begin")  # wrong
lm.score("The cat", special="symbols")  # wrong
lm.score("The cat", order=3)  # wrong
lm.score_batch("The cat")  # wrong
lm.score_batch([1.5])  # wrong
lm.rank("The cat")  # wrong
lm.rank("The cat", " sat")  # wrong
lm.conditional(1.5)  # wrong
lm.generate("Once", method="nucleus")  # wrong
lm.generate("Once", n="3")  # wrong
lm.generate("Once", temprature=0.8)  # wrong
lm.generate("Once", n=3).text  # wrong
lm.infill("The ____ sat", max_tokens=3)  # wrong
lm.pseudo_log_likelihoods("The cat")  # wrong
lm.pseudo_log_likelihood("The cat", within_word=True)  # wrong
lm.embed(3.5)  # wrong
lm.explain(scores)  # wrong
score.log_prob  # wrong
number: str = score.logprob  # wrong
one: chainrule.Score = scores  # wrong
chainrule.load("smollm2-135m", dtyp="auto")  # wrong
chainrule.Skore  # wrong
