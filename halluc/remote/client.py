"""A client for OpenAI-compatible endpoints, for judges and for models that run elsewhere."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.remote.environment import endpoint_address, endpoint_key
from halluc.remote.replies import (
    EndpointReply,
    UnreadableReply,
    error_message,
    one_line,
    read_reply,
)
from halluc.remote.transport import LONGEST_REPLY, Response, http_client, post

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 4
_TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504}  # worth another attempt
_PERMANENT = {401, 403, 404}  # the same for every request
_LONGEST_WAIT = 60.0  # seconds


class RequestFailed(Exception):
    """This one request got no answer; another may."""


class EndpointRefused(UserError):
    """No request will be answered: wrong address, key or model."""


class _Again(Exception):
    """An attempt failed, and another may not.

    Args:
        failure: What to raise if it was the last.
        wait: Seconds the endpoint asks to wait.
    """

    def __init__(self, failure: Exception, wait: float = 0.0) -> None:
        super().__init__(str(failure))
        self.failure, self.wait = failure, wait


class Endpoint:
    """A model behind an OpenAI-compatible endpoint; safe to use from several threads.

    OPENAI_BASE_URL says where (default: OpenAI itself), OPENAI_API_KEY holds the key, which goes
    into the request and nowhere else: no redirect is followed, and it is removed from replies that
    quote it.

    Args:
        model: As the endpoint calls it.
        wait: Seconds before the second attempt; doubled for each further one.
        timeout: Seconds an attempt may take in all.
    """

    def __init__(self, model: str, wait: float = 1.0, timeout: float = 120.0) -> None:
        self.model, self._wait, self._timeout = model, wait, timeout

    @cached_property
    def _client(self) -> httpx2.Client:
        return http_client()

    @property
    def base_url(self) -> str:
        """The address of the endpoint.

        Raises:
            UserError: If OPENAI_BASE_URL is not an address.
        """
        return endpoint_address()

    def complete(
        self,
        messages: list[dict[str, Any]],
        pause: Callable[[float], object] | None = None,
        **params: Any,
    ) -> EndpointReply:
        """Reply to a conversation; a busy endpoint is tried again a few times.

        Args:
            messages: In the format of chat completions.
            pause: Waits between attempts; what it raises ends them. None sleeps.
            params: Further parameters of chat completions, such as temperature and max_tokens.

        Raises:
            EndpointRefused: If the endpoint cannot be reached, or refuses the key or the model.
            RequestFailed: If it cannot answer this conversation, or not now.
            UserError: If address or key are none.
        """
        body = json.dumps({"model": self.model, "messages": messages, **params}).encode()
        for attempt in range(ATTEMPTS):
            try:
                return self._attempt(body)
            except _Again as again:
                if attempt == ATTEMPTS - 1:
                    raise again.failure from None
                seconds = self._wait * 2**attempt * random.uniform(0.75, 1.25)
                (pause or time.sleep)(max(seconds, again.wait))
        raise AssertionError("unreachable")

    def _attempt(self, body: bytes) -> EndpointReply:
        key = endpoint_key()
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        url = f"{self.base_url}/chat/completions"
        try:
            response = post(self._client, url, body, headers, self._timeout)
        except TimeoutError:
            raise _Again(RequestFailed(f"no reply within {self._timeout:g} s")) from None
        except ConnectionError as error:
            refusal = self._refusal(f"cannot be reached: {one_line(error, key)}")
            raise _Again(refusal) from None
        return self._reply(response, key)

    def _reply(self, response: Response, key: str) -> EndpointReply:
        status = response.status
        if not 200 <= status < 300:
            reason = f"HTTP {status}: {error_message(response.content, response.reason, key)}"
            if status in _PERMANENT:
                raise self._refusal(reason)
            if status in _TRANSIENT:
                raise _Again(RequestFailed(reason), _requested_wait(response.retry_after))
            raise RequestFailed(reason)
        if response.end == "early":
            raise _Again(RequestFailed("the reply ended early"))
        if response.end == "too long":
            raise RequestFailed(f"the reply is longer than {LONGEST_REPLY // 2**20} MiB")
        try:
            return read_reply(response.content, key)
        except UnreadableReply as error:
            raise RequestFailed(str(error)) from None

    def _refusal(self, reason: str) -> EndpointRefused:
        hint = "check OPENAI_BASE_URL and OPENAI_API_KEY"
        return EndpointRefused(f"model {self.model!r} at its endpoint: {reason}; {hint}")


def _requested_wait(header: str | None) -> float:
    """Parse how many seconds the endpoint asks to wait; 0 where it gives a date."""
    try:
        return min(float(header or 0), _LONGEST_WAIT)
    except ValueError:
        return 0.0
