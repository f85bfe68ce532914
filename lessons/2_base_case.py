"""Lesson 2: the base case and the start symbol: the notebook beside the page that `chainrule lessons` writes."""

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
    page = lesson_page(lm, LESSONS[1])
    exercises = page.data["lesson"]["exercises"]
    return chainrule, check, exercises, lm, math, mo, page


@app.cell
def _(mo):
    mo.md(r"""
    # 2. The base case and the start symbol

    The first token has no token before it. With a *start symbol* it is predicted from that symbol, and the
    product is a joint probability. Without one it can only be *given*: it has no factor, and the product is a
    conditional probability.

    The course calls the start symbol $x_0$ and writes $\Pr(x_0) = 1$. chainrule calls it `s`, and the first token
    of the text $x_0$. The course's $\Pr(x_1 \mid e_0)$ is chainrule's $\Pr(x_0 \mid s)$.
    """)
    return


@app.cell
def _(mo, page):
    mo.as_html(page)  # the whole lesson, with its panels and exercises
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## With a start symbol, and with the first token given
    """)
    return


@app.cell
def _(lm):
    joint, conditional = lm.score("It is raining."), lm.score("It is raining.", start="given")
    assert (joint.kind, conditional.kind) == ("joint", "conditional")
    assert len(joint) == len(conditional) + 1  # the given token has no factor
    return conditional, joint


@app.cell
def _(conditional, joint, mo):
    mo.md(f"""
    | start | log Pr in nats | kind |
    |---|---:|---|
    | {joint.start.token} | {joint.logprob:.6f} | {joint.kind} |
    | given | {conditional.logprob:.6f} | {conditional.kind} |
    """)
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## All texts of one length sum to 1, or to V if the first token is given
    """)
    return


@app.cell
def _(chainrule, math):
    rows = {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}
    letters = chainrule.LanguageModel(chainrule.TableModel(["A", "B"], rows, probabilities=True, back_off=True))
    texts = [a + b + c for a in "AB" for b in "AB" for c in "AB"]
    of_joints = math.fsum(math.exp(letters.score(text).logprob) for text in texts)
    of_conditionals = math.fsum(math.exp(letters.score(text, start="given").logprob) for text in texts)
    assert abs(of_joints - 1) < 1e-12
    assert abs(of_conditionals - 2) < 1e-12
    return of_conditionals, of_joints


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
