"""A client for OpenAI-compatible endpoints, for judges and for models that run elsewhere."""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from halluc.errors import UserError

ATTEMPTS = 4
_TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504}  # worth another attempt
_PERMANENT = {401, 403, 404}  # the same for every request
_LONGEST_WAIT = 60.0  # seconds


class RequestFailed(Exception):
    """This one request got no answer; another may."""


class EndpointRefused(UserError):
    """No request will be answered: wrong address, key or model."""


class _NoRedirects(HTTPRedirectHandler):
    """A handler that follows no redirect, which would take the key to another place."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse to follow it."""


@dataclass(frozen=True)
class Reply:
    """The answer of an endpoint.

    Attributes:
        text: The first choice.
        prompt_tokens, tokens: As the endpoint counts them; 0 where it does not say.
    """

    text: str
    prompt_tokens: int
    tokens: int


class Endpoint:
    """A model behind an OpenAI-compatible endpoint; safe to use from several threads.

    OPENAI_BASE_URL says where (default: OpenAI itself), OPENAI_API_KEY holds the key, which goes
    into the request and nowhere else: no redirect is followed, and it is removed from replies that
    quote it.

    Args:
        model: As the endpoint calls it.
        wait: Seconds before the second attempt; doubled for each further one.
        timeout: Seconds an attempt may take.
    """

    def __init__(self, model: str, wait: float = 1.0, timeout: float = 120.0) -> None:
        self.model, self._wait, self._timeout = model, wait, timeout

    @property
    def base_url(self) -> str:
        """The address of the endpoint.

        Raises:
            UserError: If OPENAI_BASE_URL is not an address.
        """
        url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise UserError("OPENAI_BASE_URL is not an address like http://localhost:8000/v1")
        return url

    def complete(self, messages: list[dict[str, Any]], **params: Any) -> Reply:
        """Reply to a conversation; a busy endpoint is tried again a few times.

        Args:
            messages: In the format of chat completions.
            params: Its further parameters, such as temperature and max_tokens.

        Raises:
            EndpointRefused: If the endpoint cannot be reached, or refuses the key or the model.
            RequestFailed: If it cannot answer this conversation, or not now.
        """
        body = json.dumps({"model": self.model, "messages": messages, **params}).encode()
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            pause = self._wait * 2**attempt * random.uniform(0.75, 1.25)
            try:
                return _reply(self._post(body))
            except HTTPError as error:
                reason = f"HTTP {error.code}: {self._message(error)}"
                if error.code in _PERMANENT:
                    raise EndpointRefused(self._refusal(reason)) from None
                if last or error.code not in _TRANSIENT:
                    raise RequestFailed(reason) from None
                pause = max(pause, _requested_wait(error.headers.get("Retry-After")))
            except TimeoutError:
                if last:
                    raise RequestFailed(f"no reply within {self._timeout:.0f} s") from None
            except (URLError, HTTPException, OSError) as error:
                if last:
                    reason = f"cannot be reached: {getattr(error, 'reason', error)}"
                    raise EndpointRefused(self._refusal(reason)) from None
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = Request(f"{self.base_url}/chat/completions", body, headers)
        with build_opener(_NoRedirects()).open(request, timeout=self._timeout) as reply:
            content = reply.read()
        try:
            return json.loads(content)
        except ValueError:
            raise RequestFailed("the reply is not JSON") from None

    def _message(self, error: Any) -> str:
        """Return the endpoint's own message, on one line and without the key."""
        try:
            content = error.read().decode(errors="replace")
        except OSError:
            content = ""
        try:
            content = str(json.loads(content)["error"]["message"])
        except (ValueError, LookupError, TypeError):
            content = content or str(error.reason)
        if key := os.environ.get("OPENAI_API_KEY"):
            content = content.replace(key, "***")
        return " ".join(content.split())[:200]

    def _refusal(self, reason: str) -> str:
        hint = "check OPENAI_BASE_URL and OPENAI_API_KEY"
        return f"model {self.model!r} at its endpoint: {reason}; {hint}"


def _reply(content: Any) -> Reply:
    """Read a chat completion.

    Raises:
        RequestFailed: If it holds no text.
    """
    try:
        choice = content["choices"][0]
        text = choice["message"]["content"]
    except (LookupError, TypeError):
        raise RequestFailed("the reply is not a chat completion") from None
    if not isinstance(text, str):
        raise RequestFailed(f"no text in the reply (finish_reason {choice.get('finish_reason')})")
    usage = content.get("usage") or {}
    return Reply(text, usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)


def _requested_wait(header: str | None) -> float:
    """Parse how many seconds the endpoint asks to wait; 0 where it gives a date."""
    try:
        return min(float(header or 0), _LONGEST_WAIT)
    except ValueError:
        return 0.0
