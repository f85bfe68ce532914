"""Lesson 3: calculating a sequence probability: the notebook beside the page that `chainrule lessons` writes."""

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
    page = lesson_page(lm, LESSONS[2])
    exercises = page.data["lesson"]["exercises"]
    return chainrule, check, exercises, lm, math, mo, page


@app.cell
def _(mo):
    mo.md(r"""
    # 3. Calculating a sequence probability

    Take each factor from the distribution of its own context, and multiply: .1 · .5 · .8 = .04. In practice the
    logs are added, because a product of many factors becomes too small for a computer. A factor of 0 makes the
    text impossible: its log probability is −∞.
    """)
    return


@app.cell
def _(mo, page):
    mo.as_html(page)  # the whole lesson, with its panels and exercises
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## The numbers of the lesson, from a table
    """)
    return


@app.cell
def _(chainrule, math):
    rows = {"": [0.1, 0.9], "A": [0.5, 0.5], "AB": [0.8, 0.2]}
    letters = chainrule.LanguageModel(chainrule.TableModel(["A", "B"], rows, probabilities=True))
    assert math.isclose(math.exp(letters.score("ABA").logprob), 0.04)
    assert abs(letters.score("ABB").logprob - -4.605170) < 1e-6

    logs = [-1.5, -2.0, -1.2]
    chain = {"A" * n: [math.exp(x), 1 - math.exp(x)] for n, x in enumerate(logs)}
    sure = chainrule.LanguageModel(chainrule.TableModel(["A", "B"], chain, probabilities=True))
    assert abs(sure.score("AAA").logprob - -4.7) < 1e-12
    return letters, sure


@app.cell
def _(chainrule, math):
    impossible = chainrule.TableModel(["A", "B"], {"": [0, 1], "A": [0.6, 0.4], "AB": [0.8, 0.2]}, probabilities=True)
    zero = chainrule.LanguageModel(impossible).score("ABA")
    assert zero.logprob == -math.inf
    return (zero,)


@app.cell
def _(mo):
    mo.md(r"""
    ## Underflow: multiply 10,000 factors of ½, and add their logs
    """)
    return


@app.cell
def _(chainrule, math):
    coin = chainrule.LanguageModel(chainrule.TableModel(["H", "T"], {"": [0.5, 0.5]}, probabilities=True, back_off=True))
    tosses = coin.score("H" * 10_000)
    assert math.prod([0.5] * 10_000) == 0.0  # too small for a float
    assert abs(tosses.bits - 10_000) < 1e-6
    return (tosses,)


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
