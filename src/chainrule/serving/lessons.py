"""The lessons of served models. Each is computed once, and kept: their number is that of the lessons for each model."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from html import escape
from urllib.parse import quote

from starlette.requests import Request

from chainrule.errors import short
from chainrule.pages.lessons import INDEX, LESSONS, Lesson, lesson_page, lessons_index
from chainrule.serving.errors import ApiError
from chainrule.serving.served import ServedModel
from chainrule.serving.service import Service

_TOKENS = 256  # of the texts of a lesson, about


class Lessons:
    """The lessons of the models of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: dict[tuple[str, str], str] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def index(self, name: str | None) -> str:
        """The list of lessons. name: of the model; None: the first. Raises ApiError."""
        return _linked(lessons_index(self._service.model(name).name), name)

    async def page(self, file: str, name: str | None, request: Request) -> str:
        """The lesson in a file of this name, or the list of all. Raises ApiError.

        Those who ask for a lesson while it is computed wait for the same one.
        """
        if file == INDEX:
            return self.index(name)
        served = self._service.model(name)
        lesson = next((each for each in LESSONS if each.file == file), None)
        if lesson is None:
            raise ApiError(404, f"there is no lesson {short(file)}: /lessons/ lists them", param="file", code="not_found")
        key = (served.name, file)
        async with self._locks[key]:
            if key not in self._kept:
                self._kept[key] = await self._service.call(
                    served, lambda _: _html(self._service, served, lesson), _TOKENS, request
                )
        return _linked(self._kept[key], name)


def _html(service: Service, served: ServedModel, lesson: Lesson) -> str:
    """The document, with the name that the model is served by: its own may be a path of this machine."""
    page = lesson_page(served.lm, lesson)
    data = json.dumps(page.data)
    for path, name in service.paths.items():
        data = data.replace(json.dumps(path)[1:-1], json.dumps(name)[1:-1])
    page.data = json.loads(data)
    html = page.html
    for path, name in service.paths.items():
        html = html.replace(escape(path), escape(name))
    return html


def _linked(html: str, name: str | None) -> str:
    """The document with links to the lessons of the same model."""
    if name is None:
        return html
    for file in (INDEX, *(lesson.file for lesson in LESSONS)):
        html = html.replace(f'href="{file}"', f'href="{file}?model={quote(name, safe="")}"')
    return html
