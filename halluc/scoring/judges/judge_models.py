"""Judges: language models that say whether an answer is right, where a rule cannot.

A judge's name is part of every score it makes; a reply that cannot be read is a counted outcome.
Replies are kept by content, so scoring again asks nothing twice.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from halluc.data.pinned_files import cache_folder
from halluc.errors import UserError, needs_packages

if TYPE_CHECKING:
    from pathlib import Path


class NeedsJudge(UserError):
    """A score was asked for that only a judge can give."""


class Judge(Protocol):
    """Anything that replies to a prompt."""

    @property
    def name(self) -> str:
        """What scores made with it are attributed to."""

    def ask(self, prompt: str) -> str:
        """Reply to one prompt, greedily.

        Raises:
            UserError: If no reply can be had.
        """


class EndpointJudge:
    """A model behind an OpenAI-compatible endpoint.

    Where it is and the key come from the environment, as `halluc.remote.client` says.

    Args:
        model: As the endpoint calls it.
    """

    def __init__(self, model: str, max_tokens: int = 512, wait: float = 1.0) -> None:
        self.model, self._max_tokens, self._wait = model, max_tokens, wait

    @property
    def name(self) -> str:
        """The model's name, as a user types it."""
        return f"endpoint:{self.model}"

    def ask(self, prompt: str) -> str:
        """Reply to one prompt; a busy endpoint is asked again a few times."""
        from halluc.remote.client import Endpoint, RequestFailed

        messages = [{"role": "user", "content": prompt}]
        endpoint = Endpoint(self.model, self._wait)
        try:
            return endpoint.complete(messages, temperature=0, max_tokens=self._max_tokens).text
        except RequestFailed as error:
            raise UserError(f"judge {self.model}: {error}") from None


class LocalJudge:
    """A language model run here by transformers.

    Args:
        model: Hub id or local folder.
    """

    def __init__(self, model: str, max_tokens: int = 512) -> None:
        self.model, self._max_tokens = model, max_tokens
        self._pipeline: Any = None

    @property
    def name(self) -> str:
        """The model's id, as a user types it."""
        return f"local:{self.model}"

    def ask(self, prompt: str) -> str:
        """Reply to one prompt; the model is loaded at the first."""
        if self._pipeline is None:
            needs_packages(f"judge {self.name}", "accelerate")
            from transformers import pipeline

            try:
                self._pipeline = pipeline("text-generation", self.model, device_map="auto")
            except (OSError, ValueError) as error:
                reason = str(error).strip().split("\n", 1)[0]
                raise UserError(f"judge {self.model}: cannot be loaded ({reason})") from error
            if self._pipeline.tokenizer.chat_template is None:
                raise UserError(f"judge {self.model}: has no chat template, so it is no judge")
        reply = self._pipeline(
            [{"role": "user", "content": prompt}],
            max_new_tokens=self._max_tokens,
            do_sample=False,
            return_full_text=False,
        )
        return str(reply[0]["generated_text"])


class CachedJudge:
    """A judge that is asked nothing twice.

    Args:
        judge: Who is asked.
        folder: Where replies are kept; None for the cache folder.
    """

    def __init__(self, judge: Judge, folder: Path | None = None) -> None:
        self._judge = judge
        name = hashlib.sha256(judge.name.encode()).hexdigest()[:12]
        self._path = (folder or cache_folder() / "judges") / f"{name}.jsonl"
        self._replies: dict[str, str] = {}
        if self._path.is_file():
            for line in self._path.read_text().splitlines():
                try:
                    record = json.loads(line)
                except ValueError:  # cut short by a crash: asked again
                    continue
                self._replies[record["key"]] = record["reply"]

    @property
    def name(self) -> str:
        """The judge's name."""
        return self._judge.name

    def ask(self, prompt: str) -> str:
        """Reply to one prompt, from the cache where it was asked before."""
        key = hashlib.sha256(prompt.encode()).hexdigest()
        if key not in self._replies:
            self._replies[key] = self._judge.ask(prompt)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps({"key": key, "reply": self._replies[key]}) + "\n")
        return self._replies[key]


def judge(name: str) -> Judge:
    """Return the judge a user names: "endpoint:gpt-4o" or "local:Qwen/Qwen3-4B".

    Raises:
        UserError: If it is neither.
    """
    kind, _, model = name.partition(":")
    kinds = {"endpoint": EndpointJudge, "local": LocalJudge}
    if kind not in kinds or not model:
        raise UserError(f"judge {name!r}: write endpoint:MODEL or local:MODEL")
    return CachedJudge(kinds[kind](model))
