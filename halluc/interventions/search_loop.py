"""Interface of a method's own decoding loop: step, fork, roll back, score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions.context import Batch
    from halluc.models import VisionLanguageModel


class SearchLoop(Protocol):
    """Rows that go on from one prompt, under a method's `search`.

    At first there is one row, and the prompt has been read.

    Attributes:
        model: The model.
        batch: The one prompt that is answered.
        part: Which part of a composite searches; None of any other method.
        beams: Beams the run's decoding asks for.
        max_new_tokens: Length at which the answer is cut.
        end_tokens: Ids of tokens that end it.
        tokens: What each row has generated, int [N, T].
        logits: Next-token logits behind each row's last token, fp32 [N, V].

    Examples:
        >>> import halluc
        >>> from halluc.world import render, scene
        >>> @halluc.method("greedy")
        ... class Greedy(halluc.Method):
        ...     def search(self, loop):
        ...         token = loop.logits.argmax(-1)
        ...         while int(token) not in loop.end_tokens and loop.tokens.shape[1] < 15:
        ...             loop.step(token)
        ...             token = loop.logits.argmax(-1)
        ...         return loop.tokens[0].tolist()
        >>> m, image = halluc.load("glyph"), render(scene("test", 0))
        >>> question = "Is there a dog in the image?"
        >>> m.ask(image, question, Greedy).text == m.ask(image, question).text
        True
    """

    model: VisionLanguageModel
    batch: Batch
    part: int | None
    beams: int
    max_new_tokens: int
    end_tokens: list[int]
    tokens: Tensor
    logits: Tensor

    @property
    def state(self) -> Any:
        """The method's memory, as its attention seams see it (`at.state`)."""

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token to each row, int [N]; return the new `logits` [N, V]."""

    def fork(self, rows: Tensor) -> None:
        """Go on with copies of these rows, int [M]; the method's memory follows by `reorder`."""

    def rollback(self, count: int) -> None:
        """Take the last `count` tokens of every row back, with `logits` as they then were."""

    def forward(self, inputs: Mapping[str, Any]) -> Tensor:
        """Run a pass over other prompts, any number N; return next-token logits, fp32 [N, V].

        It is counted, and sees no other part of a composite. `model.encode` makes such prompts,
        and `model.continued` lets tokens of the answer follow them.
        """

    def score(self) -> Tensor:
        """Return each row's sum of log-probabilities of its tokens, fp32 [N]."""
