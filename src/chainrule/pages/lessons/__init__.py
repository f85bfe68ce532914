"""The lessons around the chain rule: a page of text with panels and exercises for each."""

from chainrule.pages.lessons.checking import check

__all__ = ["check"]
