"""/v1/models, /health and /metrics."""

from __future__ import annotations

from fastapi import Request, Response

from chainrule.serving.endpoints.route import router, service_of
from chainrule.serving.served import ServedModel
from chainrule.serving.wire import json_reply

routes = router()


@routes.head("/v1/models", include_in_schema=False)
@routes.get("/v1/models")
async def models(request: Request) -> Response:
    """The models that are served."""
    return json_reply({"object": "list", "data": [_about(served) for served in service_of(request).models.values()]})


@routes.get("/v1/models/{name:path}")
async def model(name: str, request: Request) -> Response:
    """One of them."""
    return json_reply(_about(service_of(request).model(name)))


@routes.head("/health", include_in_schema=False)
@routes.get("/health")
async def health(request: Request) -> Response:
    """Whether the server answers, and its worker works."""
    works = service_of(request).worker.works
    return json_reply({"status": "ok" if works else "the worker has ended"}, 200 if works else 503)


@routes.get("/metrics")
async def metrics(request: Request) -> Response:
    """What the server has done, for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _about(served: ServedModel) -> dict[str, object]:
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "chainrule",
        "root": served.name,
        "parent": None,
        "max_model_len": served.max_length,
        "system_fingerprint": served.fingerprint,
    }
