"""A chat template is tried before it is relied on: one that cannot be used is taken for none, and a note says so."""

from __future__ import annotations

from typing import Any

from fewtune.backbones.load import short

ASKED, ANSWERED = "What is asked?", "What is said."


def mend_chat_template(name: str, tokenizer: Any) -> list[str]:
    """Take the template away where a question and an answer cannot be put into it; a note on it."""
    if not getattr(tokenizer, "chat_template", None):
        return []
    why = _trouble(tokenizer)
    if why is None:
        return []
    tokenizer.chat_template = None
    return [f"The chat template of {name} cannot be used ({why}): it is passed over."]


def _trouble(tokenizer: Any) -> str | None:
    """Why no conversation of one exchange or two can be put into it; some templates refuse the shorter ones."""
    exchange = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}]
    found: list[str | None] = []
    for said in (exchange[:1], exchange, [*exchange, *exchange[:1]], [*exchange, *exchange]):
        try:
            text = str(tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=len(said) % 2 == 1))
        except Exception as error:  # whatever a template does wrong; it is a program of its own
            found.append(f"{type(error).__name__}: {short(error)}")
            continue
        if ASKED not in text:
            return "it leaves out what the user says"
        if len(said) > 1 and ANSWERED not in text:
            return "it leaves out what the assistant says"
        found.append(None)
    return None if None in found else found[0]


__all__ = ["mend_chat_template"]
