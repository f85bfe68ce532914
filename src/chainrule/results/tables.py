"""Scores in plain Python, as JSON takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.results.score import Score


def score_dict(score: Score) -> dict[str, Any]:
    """A score with its tokens, in plain Python."""
    spans, places = score.spans, score.places + len(score.request.context_ids)
    factors = [
        {
            "token": token,
            "id": int(id),
            "logprob": float(logprob),
            "context": int(context),
            "rank": int(rank),
            "entropy": float(entropy),
        }
        | ({"span": list(spans.char_spans[i])} if spans else {})
        | ({"position": int(places[i]), "context_positions": score.context_positions(i).tolist()} if score.ordering else {})
        | ({"top": [{"token": t, "logprob": p} for t, p in score.top(i)]} if score.top_ids.shape[1] else {})
        for i, (token, id, logprob, context, rank, entropy) in enumerate(
            zip(score.tokens, score.ids, score.logprobs, score.contexts, score.ranks, score.entropies, strict=True)
        )
    ]
    return score_summary(score) | {"factors": factors}


def score_summary(score: Score) -> dict[str, Any]:
    """A score without its tokens, in plain Python."""
    summary = {
        "text": score.text,
        "context_text": score.context,
        "logprob": score.logprob,
        "tokens": len(score),
        "bits": score.bits,
        "perplexity": score.perplexity,
        "bytes": score.bytes,
        "bits_per_byte": score.bits_per_byte,
        "kind": score.kind,
        "start": score.start.policy,
        "start_id": score.start.id,
        "end_id": score.end,
        "boundary": score.boundary,
        "windows": score.windows,
        "least_context": score.least_context,
        "cut": score.cut,
        "special": score.special,
        "context_special": score.context_special,
        "model": score.model,
        "invariant": bool(score.invariant),
    }
    ordering = {} if score.ordering is None else {"ordering": score.ordering.to_dict()}
    return summary | ordering | ({"segments": score.segments} if score.segments else {})
