"""The lessons around the chain rule: a page of text with panels and exercises for each."""

from chainrule.pages.lessons.checking import check
from chainrule.pages.lessons.lesson import INDEX, LESSONS, Lesson, check_causal, exercises_of, lesson_page, lessons_index

__all__ = ["INDEX", "LESSONS", "Lesson", "check", "check_causal", "exercises_of", "lesson_page", "lessons_index"]
