"""Judges: language models that decide if an answer is right, where a rule cannot.

A judge's name is part of every score it makes, and unreadable replies are counted. Replies are
cached by prompt, so scoring again does not ask the judge again.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from halluc.data.pinned_files import cache_folder
from halluc.errors import UserError, needs_packages
from halluc.lines_file import Appender, appending, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    """A judge whose replies are kept in a file, so that none is asked for twice.

    Args:
        judge: The judge.
        file: Where its replies are kept; None for halluc's own cache, which all runs share: each
            process writes a file of its own there and reads all.
    """

    def __init__(self, judge: Judge, file: Path | None = None) -> None:
        self._judge = judge
        self._path = file or _own_file(judge.name)
        own = sorted(self._path.parent.glob(f"{_digest(judge.name)}*.jsonl"))
        known = (
            line
            for path in ([file] if file else own)
            for line in read_lines(path, _judgement).records
        )
        self._replies: dict[str, str] = {key: reply for _, (key, reply) in known}
        self._open = ExitStack()
        self._appender: Appender | None = None

    @property
    def name(self) -> str:
        """The judge's name."""
        return self._judge.name

    def ask(self, prompt: str) -> str:
        """Reply to one prompt, from the file if it has the reply."""
        key = hashlib.sha256(prompt.encode(errors="replace")).hexdigest()
        if key not in self._replies:
            reply = self._replies[key] = self._judge.ask(prompt)
            if self._appender is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._appender = self._open.enter_context(appending(self._path, _judgement))
            self._appender.append([{"key": key, "prompt": prompt, "reply": reply}])
        return self._replies[key]

    def close(self) -> None:
        """Close the file, so that others can write to it."""
        self._open.close()
        self._appender = None


@contextmanager
def judgements_kept(benchmark: Any, folder: Path) -> Iterator[None]:
    """Keep what a benchmark's judge says in a folder's judgements_<judge>.jsonl, too.

    Args:
        benchmark: Any; one without a judge is left alone.
    """
    judge = getattr(benchmark, "judge", None)
    if judge is None:
        yield
        return
    name = re.sub(r"[^\w.+]+", "_", judge.name)[:60]
    benchmark.judge = kept = CachedJudge(judge, folder / f"judgements_{name}.jsonl")
    try:
        yield
    finally:
        benchmark.judge = judge
        for open_judge in (kept, judge):
            if isinstance(open_judge, CachedJudge):
                open_judge.close()


def _judgement(record: dict[str, Any]) -> tuple[str, str]:
    key, reply = record["key"], record["reply"]
    if not isinstance(key, str) or not isinstance(reply, str):
        raise ValueError("not a judgement")
    return key, reply


def _own_file(name: str) -> Path:
    own = re.sub(r"\W", "_", platform.node())
    return cache_folder() / "judges" / f"{_digest(name)}.{own}-{os.getpid()}.jsonl"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def judge(name: str, max_tokens: int = 512) -> Judge:
    """Return the judge a user names: "endpoint:gpt-4o" or "local:Qwen/Qwen3-4B".

    Args:
        max_tokens: Where its replies are cut.

    Raises:
        UserError: If the name is neither.
    """
    kind, _, model = name.partition(":")
    kinds = {"endpoint": EndpointJudge, "local": LocalJudge}
    if kind not in kinds or not model:
        raise UserError(f"judge {name!r}: write endpoint:MODEL or local:MODEL")
    return CachedJudge(kinds[kind](model, max_tokens))
