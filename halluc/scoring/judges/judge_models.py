"""Judges: language models that decide if an answer is right, where a rule cannot.

A judge's name is part of every score it makes, and unreadable replies are counted. Replies are
cached by prompt, so scoring again does not ask the judge again.
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
    """A score needs a judge, and there is none."""


class Judge(Protocol):
    """A model that replies to a prompt."""

    @property
    def name(self) -> str:
        """The name that scores made with it carry."""

    def ask(self, prompt: str) -> str:
        """Reply to one prompt, greedily.

        Raises:
            UserError: If the judge does not reply.
        """


class EndpointJudge:
    """A model behind an OpenAI-compatible endpoint.

    Its address and key come from the environment, see `halluc.remote.client`.

    Args:
        model: The endpoint's name for it.
    """

    def __init__(self, model: str, max_tokens: int = 512, wait: float = 1.0) -> None:
        self.model, self._max_tokens, self._wait = model, max_tokens, wait

    @property
    def name(self) -> str:
        """The judge's name, as a user types it."""
        return f"endpoint:{self.model}"

    def ask(self, prompt: str) -> str:
        """Reply to one prompt; requests to a busy endpoint are repeated a few times."""
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
        """The judge's name, as a user types it."""
        return f"local:{self.model}"

    def ask(self, prompt: str) -> str:
        """Reply to one prompt; the first call loads the model."""
        if self._pipeline is None:
            needs_packages(f"judge {self.name}", "accelerate")
            from transformers import pipeline

            try:
                self._pipeline = pipeline("text-generation", self.model, device_map="auto")
            except (OSError, ValueError) as error:
                reason = str(error).strip().split("\n", 1)[0]
                raise UserError(f"judge {self.model}: cannot be loaded ({reason})") from error
            if self._pipeline.tokenizer.chat_template is None:
                raise UserError(f"judge {self.model}: has no chat template, which a judge needs")
        reply = self._pipeline(
            [{"role": "user", "content": prompt}],
            max_new_tokens=self._max_tokens,
            do_sample=False,
            return_full_text=False,
        )
        return str(reply[0]["generated_text"])


class CachedJudge:
    """A judge with a cache of its replies on disk.

    Args:
        judge: The judge whose replies are cached.
        folder: The folder of the cache; None for halluc's own.
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
                except ValueError:  # cut short by a crash
                    continue
                self._replies[record["key"]] = record["reply"]

    @property
    def name(self) -> str:
        """The judge's name."""
        return self._judge.name

    def ask(self, prompt: str) -> str:
        """Reply to one prompt, from the cache if it has the reply."""
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
        UserError: If the name is neither.
    """
    kind, _, model = name.partition(":")
    kinds = {"endpoint": EndpointJudge, "local": LocalJudge}
    if kind not in kinds or not model:
        raise UserError(f"judge {name!r}: write endpoint:MODEL or local:MODEL")
    return CachedJudge(kinds[kind](model))
