"""Lesson 6: the general form o = g(x_0 … x_m; θ): the notebook beside the page that `chainrule lessons` writes."""

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
    page = lesson_page(lm, LESSONS[5])
    exercises = page.data["lesson"]["exercises"]
    return chainrule, check, exercises, lm, math, mo, page


@app.cell
def _(mo):
    mo.md(r"""
    # 6. The general form

    $$o = g(x_0, \ldots, x_m;\ \theta)$$

    The input are the tokens that are known ($x_0$ is the start symbol here, as in the course), $\theta$ are the
    parameters, and the output $o$ is a distribution over the next token. A causal model computes an output at
    each place in one pass.
    """)
    return


@app.cell
def _(mo, page):
    mo.as_html(page)  # the whole lesson, with its panels and exercises
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## One output: a probability for each token of the vocabulary
    """)
    return


@app.cell
def _(lm, math):
    text = "It is raining."
    output = lm.conditional(text)
    assert output.logprobs.shape == (lm.model.head.size,)
    assert abs(math.fsum(math.exp(x) for x in output.logprobs.tolist()) - 1) < 1e-4
    return output, text


@app.cell
def _(mo):
    mo.md(r"""
    ## The factors of a text are one number from each output
    """)
    return


@app.cell
def _(lm, text):
    score = lm.score(text)
    beginnings = [score.ids[:i].tolist() for i in range(len(score))]
    picked = [lm.conditional(known or None).logprobs[id] for known, id in zip(beginnings, score.ids.tolist(), strict=True)]
    assert max(abs(a - b) for a, b in zip(picked, score.logprobs.tolist(), strict=True)) < 1e-3
    return picked, score


@app.cell
def _(mo):
    mo.md(r"""
    ## Exercise
    """)
    return


@app.cell
def _(exercises):
    exercise = exercises[0]
    return (exercise,)


@app.cell
def _(exercise, mo):
    options = {text: i for i, text in enumerate(exercise["right"])}
    pairs = mo.ui.array([mo.ui.dropdown(options=options, label=left) for left in exercise["left"]])
    mo.vstack([mo.md(exercise["question"]), pairs])
    return (pairs,)


@app.cell
def _(check, exercise, mo, pairs):
    mo.md(check(exercise, pairs.value).reason)
    return


if __name__ == "__main__":
    app.run()
