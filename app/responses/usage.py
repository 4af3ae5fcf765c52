"""Usage by the names that the other of the two APIs has for it."""

from typing import Any, TypeAlias

from schemas.responses import InputTokensDetails, OutputTokensDetails, ResponseUsage

__all__ = ["chat_usage", "response_usage"]

Json: TypeAlias = dict[str, Any]


def chat_usage(usage: Json | None) -> Json | None:
    """Usage in the names of a chat, which is counted by them."""
    return usage and {
        "prompt_tokens": usage.get("input_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens": usage.get("output_tokens"),
        "completion_tokens_details": usage.get("output_tokens_details"),
        "total_tokens": usage.get("total_tokens"),
    }


def response_usage(usage: Json) -> ResponseUsage:
    """What a service reported, in the names of responses."""
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    of_input, of_output = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return ResponseUsage(
        input_tokens=read,
        input_tokens_details=InputTokensDetails(
            cached_tokens=_count(of_input, "cached_tokens"),
            cache_write_tokens=_count(of_input, "cache_write_tokens"),
        ),
        output_tokens=written,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=_count(of_output, "reasoning_tokens")),
        total_tokens=_count(usage, "total_tokens") or read + written,
    )


def _count(usage: object, name: str) -> int:
    """A number of tokens; none where the service reported something else."""
    tokens = usage.get(name) if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else 0
