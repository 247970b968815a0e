"""A method that makes the first token matter less: halluc eval --method cooler."""

from pydantic import Field

from halluc import At, Method, MethodCard, MethodParams, method


@method("cooler")
class Cooler(Method):
    """Lowers the attention logits of the prompt's first token."""

    card = MethodCard("Cooler", "you", 2026, "here", "-")
    prefix_depends_on = "method"
    noop = {"bias": 0.0}

    class Params(MethodParams):
        """Its one parameter."""

        bias: float = Field(0.5, ge=0, description="what is taken off")

    def attention_bias(self, at: At):
        """Return what is added, [B, 1, 1, K]."""
        return -self.params.bias * at.first_token[:, None, None, :].float()
