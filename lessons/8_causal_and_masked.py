"""Lesson 8: causal beside masked: the notebook beside the page that `chainrule lessons` writes."""

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
    page = lesson_page(lm, LESSONS[7])
    exercises = page.data["lesson"]["exercises"]
    return chainrule, check, exercises, lm, math, mo, page


@app.cell
def _(mo):
    mo.md(r"""
    # 8. Causal beside masked

    A causal model predicts each token from those before it, and the product of its factors is a probability. A
    masked model predicts each token from *all* others. The sum of the logs is the pseudo-log-likelihood, PLL: a
    score, not a log probability.
    """)
    return


@app.cell
def _(mo, page):
    mo.as_html(page)  # the whole lesson, with its panels and exercises
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## Two fair bits that always agree: exp(PLL) sums to 2
    """)
    return


@app.cell
def _(chainrule, math):
    rows = {"": [0.5, 0.5], "0": [1, 0], "1": [0, 1]}
    bits = chainrule.LanguageModel(chainrule.TableModel(["0", "1"], rows, probabilities=True, back_off=True))
    texts = ["00", "01", "10", "11"]
    probabilities = {text: math.exp(bits.score(text).logprob) for text in texts}
    plls = {text: bits.pseudo_log_likelihood(text).pll_nats for text in texts}
    assert plls["00"] == plls["11"] == 0
    assert abs(math.fsum(probabilities.values()) - 1) < 1e-12
    assert abs(math.fsum(math.exp(x) for x in plls.values()) - 2) < 1e-12
    return plls, probabilities


@app.cell
def _(math, mo, plls, probabilities):
    lines = [f"| {text} | {p:.2f} | {plls[text]} | {math.exp(plls[text]):.0f} |" for text, p in probabilities.items()]
    mo.md("\n".join(["| text | Pr | PLL in nats | exp(PLL) |", "|---|---:|---:|---:|", *lines]))
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## A masked model in an order is a chain rule again
    """)
    return


@app.cell
def _(chainrule, math):
    weather = {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}
    letters = chainrule.LanguageModel(chainrule.TableModel(["A", "B"], weather, probabilities=True, back_off=True))
    totals = [
        math.fsum(math.exp(letters.score(a + b + c, order=order).logprob) for a in "AB" for b in "AB" for c in "AB")
        for order in [(0, 1, 2), (2, 0, 1), (1, 2, 0)]
    ]
    assert all(abs(total - 1) < 1e-12 for total in totals)
    return (totals,)


@app.cell
def _(mo):
    mo.md(r"""
    ## Exercise
    """)
    return


@app.cell
def _(exercises):
    exercise = exercises[1]
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
