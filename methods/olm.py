"""OLM: Output Layer Modification, a control that answers Yes where Yes and No are about as likely.

It knows nothing of the image. What a method gains on a balanced yes/no benchmark by leaning towards
one answer, this gains, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Method, MethodCard, MethodParams, method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At
    from halluc.models import VisionLanguageModel


def undecided(yes: Tensor, no: Tensor, mass: float, gap: float) -> Tensor:
    """Tell where Yes and No matter and are close: p + p' > mass and |p - p'| < gap.

    Both comparisons are strict (cd_rethink: inference/spurious_utils/olm_utils.py).

    Args:
        yes, no: Their probabilities among all tokens [B].

    Returns:
        bool [B].
    """
    return (yes + no > mass) & ((yes - no).abs() < gap)


@method("olm")
class OLM(Method):
    """Answers Yes unless No leads clearly."""

    card = MethodCard(
        title="The Mirage of Performance Gains: Why Contrastive Decoding Fails to Mitigate Object "
        "Hallucinations in MLLMs?",
        authors="Yin et al.",
        year=2025,
        venue="arXiv",
        paper="arXiv:2504.10020",
        code="https://github.com/ustc-hyin/cd_rethink@4303279",
        licence="Apache-2.0",
        deviations=(
            "only the first token is forced, as the control is about the yes/no answer; the code "
            "forces every token of the answer (variant official_code)",
            "the code has LLaMA's ids of Yes and No; here they are the words with a capital "
            "letter, with and without a space in front, of which the likelier is forced",
            "the thresholds 0.2 and 0.5 are the code's; the paper could not be read",
            "the code is for greedy decoding; under sampling and beams a forced token is certain",
            "the answer's recorded chances of yes and no are those before Yes is forced",
            "behind a method that makes logits of its own the chances are those it leads to",
        ),
        needs=("Yes and No as one token each",),
    )
    filters = True
    prefix_depends_on = "nothing"
    noop = {"gap": 0.0}

    class Params(MethodParams):
        """OLM's parameters."""

        variant: Literal["paper", "official_code"] = "paper"
        mass: float = Field(0.2, ge=0, le=1, description="what Yes and No must exceed together")
        gap: float = Field(0.5, ge=0, le=1, description="what they must differ by less than")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._words: dict[str, list[int]] = {}

    def load(self, model: VisionLanguageModel) -> None:
        """Look up the tokens of Yes and No.

        Raises:
            UserError: If the tokenizer has no such tokens.
        """
        decode = model.processor.tokenizer.decode
        for word, ids in zip(("Yes", "No"), model.yes_no_tokens or ([], []), strict=True):
            self._words[word] = [token for token in ids if decode([token]).strip() == word]
            if not self._words[word]:
                raise UserError(
                    f"method 'olm' answers Yes in one token, and the tokenizer of {model.name!r} "
                    f"has no token {word!r}"
                )

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Rule out all but Yes where the model is undecided."""
        main = logits["main"]
        if self.params.variant == "paper" and at.step > 0:
            return main
        chance = main.softmax(-1)
        yes, no = chance[:, self._words["Yes"]], chance[:, self._words["No"]]
        force = undecided(yes.sum(-1), no.sum(-1), self.params.mass, self.params.gap)
        spelling = yes.new_tensor(self._words["Yes"]).long()[yes.argmax(-1, keepdim=True)]
        others = main.new_ones(main.shape).bool().scatter(-1, spelling, False)
        at.forbid(others & force[:, None])
        return main
