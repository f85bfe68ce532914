"""Lesson 7: arbitrary orders: the notebook beside the page that `chainrule lessons` writes."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import marimo as mo

    import chainrule
    from chainrule.pages.lessons import LESSONS, check, lesson_page

    lm = chainrule.load()
    page = lesson_page(lm, LESSONS[6])
    exercises = page.data["lesson"]["exercises"]
    return chainrule, check, exercises, lm, mo, page


@app.cell
def _(mo):
    mo.md(r"""
    # 7. Arbitrary orders

    The chain rule holds in any order of the tokens, as long as each factor is conditioned on exactly the tokens
    that came earlier in that order. In the order 0, 4, 2, 1, 3:

    $$\Pr(x) = \Pr(x_0) \Pr(x_4 \mid e_0) \Pr(x_2 \mid e_0, e_4) \Pr(x_1 \mid e_0, e_4, e_2) \Pr(x_3 \mid e_0, e_4, e_2, e_1)$$

    The start symbol is always known, and is left out here. Tokens keep their positions.
    """)
    return


@app.cell
def _(mo, page):
    mo.as_html(page)  # the whole lesson, with its panels and exercises
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## One joint distribution: the same product in every order
    """)
    return


@app.cell
def _(chainrule):
    rows = {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}
    letters = chainrule.LanguageModel(chainrule.TableModel(["A", "B"], rows, probabilities=True, back_off=True))
    orders = [(0, 1, 2, 3, 4), (0, 4, 2, 1, 3), (3, 1, 4, 0, 2)]
    scores = [letters.score("ABBAB", order=order) for order in orders]
    assert max(abs(score.logprob - scores[0].logprob) for score in scores) < 1e-12
    return letters, scores


@app.cell
def _(mo):
    mo.md(r"""
    ## The contexts of the order 3 → 1 → 4 → 0 → 2
    """)
    return


@app.cell
def _(scores):
    contexts = [scores[2].context_positions(position).tolist() for position in (3, 1, 4, 0, 2)]
    assert contexts == [[], [3], [3, 1], [3, 1, 4], [3, 1, 4, 0]]
    return (contexts,)


@app.cell
def _(letters, mo):
    mo.as_html(letters.explain("ABBAB", order=(0, 4, 2, 1, 3)))
    return


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
    columns = {f"{p}: {token}": p for p, token in enumerate(exercise["tokens"])}
    marks = mo.ui.array([mo.ui.multiselect(options=columns, label=f"known for position {p}") for p in exercise["order"]])
    mo.vstack([mo.md(exercise["question"]), marks])
    return (marks,)


@app.cell
def _(check, exercise, marks, mo):
    mo.md(check(exercise, marks.value).reason)
    return


if __name__ == "__main__":
    app.run()
