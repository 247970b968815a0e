"""ONLY: one layer's intervention, decoded next to the model in the same pass.

Layer 0's attention is read a second time by the heads that look over the text more evenly than over
the image. What that leads to is added where it agrees with the model, and else taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.contrast import contrasted, implausible
from halluc.interventions.requirements import needs_early_logits, needs_shared_rows
from halluc.methods._textual_heads import textual

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.models import VisionLanguageModel

_PARTS = ("input_layernorm", "post_attention_layernorm", "mlp")


def joined(main: Tensor, other: Tensor, near: float, together: float, apart: float) -> Tensor:
    """Give l + a l' where sum |p - p'| < gamma, else (1 + b) l - b l' (only_sample.py:195-225).

    Args:
        main, other: l and l', next-token logits [B, V].
        near: gamma, 0 to 2.
        together, apart: a and b.
    """
    distance = (main.softmax(-1) - other.softmax(-1)).abs().sum(-1, keepdim=True)
    alike = main + together * other
    return alike.where(distance < near, contrasted(main, other, apart))


@method("only")
class ONLY(Method):
    """Adds or takes off what heads of layer 0 say that look at the text."""

    card = MethodCard(
        title="ONLY: One-Layer Intervention Sufficiently Mitigates Hallucinations in Large "
        "Vision-Language Models",
        authors="Wan et al.",
        year=2025,
        venue="ICCV",
        paper="arXiv:2507.00898",
        code="https://github.com/zifuwan/ONLY@109bffe",
        licence="MIT",
        deviations=(
            "the paper was not read; formulas and numbers are those of the code for LLaVA-1.5",
            "gamma is 0.1 as where the code is told none; its scripts set 0.2 for POPE and 0.25 "
            "for CHAIR, and POPE's arguments begin with 0.6",
            "the distance is the sum of absolute differences, twice the total variation, as in "
            "the code",
            "text is what is neither image nor first token, wherever it stands; the code counts "
            "35 tokens before 576 of the image",
            "each row of a batch has a distance of its own; the code's is the sum over the batch",
            "decoding is the run's own, greedy by default; the code replaces sampling only",
        ),
        needs=(
            "image tokens in the prompt",
            "layers built as Llama's",
            "logits that are the vocabulary head's on a normed hidden state",
        ),
    )
    rows = "last"
    prefix_depends_on = "nothing"
    hidden_phases = ("prefill", "decode")
    noop = {"collaborate": 0.0, "contrast": 0.0, "beta": 0.0}

    class Params(MethodParams):
        """ONLY's parameters."""

        collaborate: float = Field(3.0, ge=0, description="weight of l' where it is added")
        contrast: float = Field(1.0, ge=0, description="weight of l' where it is taken off")
        gamma: float = Field(0.1, ge=0, description="distance below which it is added, 0 to 2")
        beta: float = Field(0.1, ge=0, le=1, description="least share of the best token's chance")

    params: Params

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Refuse models that keep the image out of rows of attention."""
        needs_shared_rows("only", config, model)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Check that the two layers are built as the formulas ask for."""
        needs_early_logits("only", model)
        last = model.layers[-1]
        built = all(hasattr(last, part) for part in _PARTS)
        if not built or hasattr(last, "pre_feedforward_layernorm"):
            raise UserError(
                f"method 'only' goes through the second half of the last layer, and that of "
                f"{model.name!r} is not built as Llama's: {', '.join(_PARTS)}"
            )
        if not hasattr(model.self_attention.get(0), "o_proj"):
            raise UserError(
                f"method 'only' reads the attention of layer 0 again, and {model.name!r} has none "
                "there with an o_proj"
            )
        return params

    def layers(self, n_layers: int) -> tuple[int, int]:
        """The first layer, read again, and the last, whose input is added."""
        return 0, n_layers - 1

    def begin(self, batch: Batch) -> dict[str, Tensor]:
        """Keep of a pass's last row "textual", layer 0's other output, and "entering" the last."""
        return {}

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Read layer 0 again: o_proj(A' V); its own weights stay as they are."""
        if at.layer == 0:
            assert at.visible is not None
            image = (at.image_columns[:, None] & at.visible)[:, None]
            text = (at.real & ~at.first_token & ~at.image_columns)[:, None] & at.visible
            heads = at.attend(textual(weights, text[:, None], image))[:, -1]
            projection: Any = at.model.self_attention[0].o_proj
            at.state["textual"] = projection.forward(heads.flatten(1))
        return weights

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Keep what enters the last layer."""
        if at.layer == at.n_layers - 1:
            at.state["entering"] = hidden[:, -1]

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Take l' through half of the last layer, add half of l, and join both.

        x = norm(o) + 0.2 h, l' = lm_head(norm(x + mlp(norm(x)))) + 0.5 l, o and h being what is
        kept (modeling_llama.py:658-664, llava_llama.py:119; lm_head is linear).
        """
        main, p, layer = logits["main"], self.params, at.model.layers[-1]
        own, entering = (at.state[name][: len(main)] for name in ("textual", "entering"))
        before, behind, mlp = (getattr(layer, part).forward for part in _PARTS)
        x = before(own) + 0.2 * entering
        added = mlp(behind(x)[:, None])
        x = x + (added[0] if isinstance(added, tuple) else added)[:, 0]
        other = at.model.read_off(x).float() + 0.5 * main
        at.forbid(implausible(main, p.beta))
        return joined(main, other, p.gamma, p.collaborate, p.contrast)
