"""Lesson 1: the factorisation: the notebook beside the page that `chainrule lessons` writes."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import math

    import marimo as mo

    import chainrule
    from chainrule.pages.lessons import LESSONS, check, lesson_page

    lm = chainrule.load()
    page = lesson_page(lm, LESSONS[0])
    exercises = page.data["lesson"]["exercises"]
    return chainrule, check, exercises, lm, math, mo, page


@app.cell
def _(mo):
    mo.md(r"""
    # 1. The factorisation

    A language model predicts one token at a time. The chain rule makes one probability from these predictions:

    $$\Pr(x) = \Pr(x_0 \mid s) \cdot \Pr(x_1 \mid s, x_0) \cdot \Pr(x_2 \mid s, x_0, x_1) \cdots$$

    Each factor is conditioned on all tokens before it. No assumption was made: the rule holds for every
    distribution. `s` is the start symbol; the course calls it $x_0$.
    """)
    return


@app.cell
def _(mo, page):
    mo.as_html(page)  # the whole lesson, with its panels and exercises
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## The sum of the logs is the log of the product, and a text can be split anywhere
    """)
    return


@app.cell
def _(chainrule, lm, math):
    score = lm.score("It is raining. I need an umbrella.")
    first, rest = lm.score("It is raining."), lm.score(" I need an umbrella.", context="It is raining.")

    assert math.isclose(score.logprob, math.fsum(score.logprobs))
    assert abs(score.logprob - (first.logprob + rest.logprob)) < 1e-3
    assert score.contexts.tolist() == list(range(1, len(score) + 1))  # the start symbol, and the tokens before
    explanation = lm.explain("It is raining. I need an umbrella.")
    return explanation, score


@app.cell
def _(explanation, mo):
    mo.as_html(explanation)
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## A table of two letters: its texts of one length sum to 1
    """)
    return


@app.cell
def _(chainrule, math):
    rows = {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}
    letters = chainrule.LanguageModel(chainrule.TableModel(["A", "B"], rows, probabilities=True, back_off=True))

    total = math.fsum(math.exp(letters.score(a + b + c).logprob) for a in "AB" for b in "AB" for c in "AB")
    assert abs(total - 1) < 1e-12
    return letters, total


@app.cell
def _(mo):
    mo.md(r"""
    ## Exercise
    """)
    return


@app.cell
def _(exercises):
    exercise = exercises[2]
    return (exercise,)


@app.cell
def _(exercise, mo):
    box = mo.ui.text(label="Your answer")
    mo.vstack([mo.md(exercise["question"]), box])
    return (box,)


@app.cell
def _(box, check, exercise, mo):
    verdict = check(exercise, box.value) if box.value else None
    mo.md("Type a number." if verdict is None else verdict.reason)
    return


if __name__ == "__main__":
    app.run()
