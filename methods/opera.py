"""OPERA: beam search that penalises trust in summary tokens, and rolls back from them."""

from __future__ import annotations

from statistics import multimode
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.interventions.beam_search import Options, Retries, Step, search_beams
from halluc.methods._over_trust import Recorded, over_trust, summary_in_code, summary_in_paper

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.search_loop import SearchLoop
    from halluc.models import VisionLanguageModel

REWARDED = 10
"""In the code: the first tokens, whose attention on the image is rewarded."""


@method("opera")
class OPERA(Method):
    """Penalises candidates that trust in a summary token, and rolls back to where that began."""

    card = MethodCard(
        title="OPERA: Alleviating Hallucination in Multi-Modal Large Language Models via "
        "Over-Trust Penalty and Retrospection-Allocation",
        authors="Huang et al.",
        year=2024,
        venue="CVPR",
        paper="arXiv:2311.17911",
        code="https://github.com/shikiw/OPERA@61426ef",
        licence="MIT",
        deviations=(
            "the paper gives no window: it is 512 tokens",
            "the paper does not say how beams vote on a roll-back: all must agree, each on its own "
            "ancestry; in the code (variant official_code) on what stood at its number",
            "the code scales phi by 1e-7, and in the first ten tokens rewards attention on the "
            "image instead; the paper does neither",
            "beams end as in transformers 5; the code counts the prompt in a running one's length",
            "what is no candidate is ruled out; the code's -999 lets it in where candidates end",
            "penalties are float64; the code's float16 makes them at most 0.0066, or infinite",
            "variant fast is official_code with one candidate and threshold 25, as its README has "
            "it: one beam runs, for want of candidates",
        ),
        cost=Cost(token=None, prompt=None),
    )
    rows = "last"
    prefix_depends_on = "nothing"
    noop = {"num_beams": 1, "n_can": 1, "alpha": 0.0, "threshold": None}

    class Params(MethodParams):
        """OPERA's parameters."""

        variant: Literal["paper", "official_code", "fast"] = "paper"
        num_beams: int = Field(5, ge=1, description="unless the run's decoding has beams")
        n_can: int = Field(5, ge=1, description="candidates of each beam; fast: 1")
        alpha: float = Field(1.0, ge=0, description="weight of the penalty")
        scale: float = Field(50.0, gt=0, description="factor on attention (sigma)")
        window: int = Field(512, ge=1, description="paper: last tokens that count (k, l)")
        threshold: int | None = Field(15, ge=2, description="r; fast: 25; None: no roll-backs")
        most: int | None = Field(None, ge=1, description="roll-backs to a place; 5, code: n_can")

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in what the fast variant has of its own."""
        fast = {"n_can": 1, "threshold": 25} | params.model_dump(exclude_unset=True)
        return params.model_copy(update=fast) if params.variant == "fast" else params

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """The last layer."""
        return (n_layers - 1,)

    def begin(self, batch: Batch) -> Recorded:
        """Start with nothing recorded."""
        return Recorded()

    def reorder(self, state: Recorded, rows: Tensor) -> Recorded:
        """Let the record follow forks."""
        if state.omega is None or state.image is None:
            return state
        return Recorded(state.omega[rows], state.image[rows])

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Record the answer's newest row, behind those that were not taken back."""
        state: Recorded = at.state
        if at.step == 0:
            return weights
        row = weights[:, :, -1].amax(1)
        row = row / row.sum(-1, keepdim=True)
        omega = row.new_zeros(len(row), at.step, at.step)
        if state.omega is not None:
            omega[:, :-1, :-1] = state.omega[:, : at.step - 1, : at.step - 1]
        answer = row[:, -at.step :]
        omega[:, -1, -answer.shape[1] :] = answer
        state.omega, state.image = omega, (row * at.image_columns).sum(-1)
        return weights

    def penalty(self, omega: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is taken off each candidate's logit, and its column, [N] each.

        Args:
            omega: With the candidate as the last token, [N, T, T].
            image: Its attention on the image, [N].
        """
        p, size = self.params, omega.shape[1]
        phi, column = over_trust(omega, p.scale, p.window if p.variant == "paper" else size)
        if p.variant == "paper":
            return phi, column
        return -image.double() if size <= REWARDED else 1e-7 * phi, column  # utils.py:3427-3440

    def look(self, loop: SearchLoop) -> Options:
        """Feed each row's candidates to copies of it; return them, penalised."""
        logits, tokens = loop.logits.topk(min(self.params.n_can, loop.logits.shape[1]))
        parents = loop.tokens.new_tensor(range(len(tokens))).repeat_interleave(tokens.shape[1])
        loop.fork(parents)
        loop.step(tokens.flatten())
        size = len(parents)  # further streams stand below
        found, column = self.penalty(loop.state.omega[:size], loop.state.image[:size])
        penalised = logits.double() - self.params.alpha * found.view_as(logits)
        return Options(tokens, penalised, column.view_as(tokens))

    def search(self, loop: SearchLoop) -> list[int]:
        """Search with beams, and go back where a summary token took over."""
        p, paper, earlier = self.params, self.params.variant == "paper", 0
        retries = Retries(p.most or (5 if paper else p.n_can), not paper, paper)

        def go_back(steps: list[Step]) -> Options | None:
            nonlocal earlier
            if p.threshold is None:
                return None
            if paper:
                histories = [beam.marks[-p.window :] for beam in steps[-1].beams.running]
                s = summary_in_paper(histories, p.threshold, earlier)
            else:
                columns = [[min(multimode(row)) for row in s.options.marks.tolist()] for s in steps]
                s = summary_in_code(columns, p.threshold)
            again = None if s is None else retries.go_back(loop, steps, s)
            earlier = earlier if again is None or s is None else s
            return again

        width = loop.beams if loop.beams > 1 else p.num_beams
        return search_beams(loop, width, lambda beams: self.look(loop), go_back)
