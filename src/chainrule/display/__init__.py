"""Views of results: tables for terminals, HTML for notebooks, and documents. Importing this package registers all of them."""

from chainrule.display.acceptability import acceptability_html, acceptability_view
from chainrule.display.choices import choices_html, choices_view
from chainrule.display.comparisons import comparison_html, comparison_view
from chainrule.display.detectors import detectors_html, detectors_view
from chainrule.display.explanations import explanation_view
from chainrule.display.export.html import html_document, html_table
from chainrule.display.export.latex import latex
from chainrule.display.export.svg import svg
from chainrule.display.mixtures import mixture_view, mixtures_view
from chainrule.display.notebook import mixture_html, mixtures_html, score_html, scores_html
from chainrule.display.pairs import pairs_html, pairs_view
from chainrule.display.plots.choices import reliability_chart
from chainrule.display.plots.pairs import pairs_chart
from chainrule.display.plots.scores import score_chart, scores_chart
from chainrule.display.plots.words import words_chart
from chainrule.display.rankings import conditional_view
from chainrule.display.scores import pseudo_terms, pseudo_view, score_view, scores_view
from chainrule.display.suites import suite_html, suite_view
from chainrule.display.words import words_html, words_view
from chainrule.results.acceptability import Acceptability
from chainrule.results.batch import Scores
from chainrule.results.choices import Choices
from chainrule.results.comparison import Comparison
from chainrule.results.conditional import Conditional
from chainrule.results.detectors import Detectors
from chainrule.results.explanation import Explanation
from chainrule.results.mixture import Mixture, Mixtures
from chainrule.results.pairs import Pairs
from chainrule.results.pseudo import PseudoScore
from chainrule.results.score import Score
from chainrule.results.shown import chart, document, html, rich, text
from chainrule.results.suite import Suite
from chainrule.results.words import Words

rich.register(Score, score_view)
rich.register(Scores, scores_view)
rich.register(Mixture, mixture_view)
rich.register(Mixtures, mixtures_view)
rich.register(Explanation, explanation_view)
rich.register(Conditional, conditional_view)
rich.register(PseudoScore, pseudo_view)
rich.register(Comparison, comparison_view)
rich.register(Pairs, pairs_view)
rich.register(Choices, choices_view)
rich.register(Suite, suite_view)
rich.register(Words, words_view)
rich.register(Acceptability, acceptability_view)
rich.register(Detectors, detectors_view)

text.register(PseudoScore, pseudo_terms)

html.register(Score, score_html)
html.register(Scores, scores_html)
html.register(Mixture, mixture_html)
html.register(Mixtures, mixtures_html)
html.register(Explanation, html_table)
html.register(Comparison, comparison_html)
html.register(Pairs, pairs_html)
html.register(Choices, choices_html)
html.register(Suite, suite_html)
html.register(Words, words_html)
html.register(Acceptability, acceptability_html)
html.register(Detectors, detectors_html)

chart.register(Score, score_chart)
chart.register(Scores, scores_chart)
chart.register(Pairs, pairs_chart)
chart.register(Choices, reliability_chart)
chart.register(Words, words_chart)


@document.register
def explanation_document(explanation: Explanation, form: str) -> str:
    """An explanation as html, svg or latex, with the revision of its model."""
    explanation.score.provenance()  # computes the revision, which lines of text show only if it is known
    return {"html": html_document, "svg": svg, "latex": latex}[form](explanation)
