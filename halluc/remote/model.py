"""Models behind an OpenAI-compatible endpoint: they answer, but no method can change them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from halluc.config import BASELINE, ModelConfig, content_hash
from halluc.errors import UserError
from halluc.models.names import endpoint_name
from halluc.remote.client import Endpoint
from halluc.remote.environment import refuse_without_key

if TYPE_CHECKING:
    from halluc.config import RunConfig


@dataclass(frozen=True)
class EndpointModel:
    """A model named "openai:NAME"; OPENAI_BASE_URL and OPENAI_API_KEY hold address and key.

    Attributes:
        name: As the user gave it.
        endpoint: The client that answers.
    """

    name: str
    endpoint: Endpoint = field(repr=False)

    @classmethod
    def named(cls, name: str) -> EndpointModel:
        """Return the model of this name.

        Raises:
            UserError: If it is not the name of a model behind an endpoint.
        """
        model = endpoint_name(name)
        if model is None:
            raise UserError(f"model {name!r} is not behind an endpoint; write openai:NAME")
        return cls(name, Endpoint(model))

    @property
    def fingerprint(self) -> str:
        """A hash of the address, in place of a hash of the weights, which are not known."""
        return f"endpoint-{content_hash(self.endpoint.base_url)}"

    @property
    def image_processing(self) -> str:
        """Not known either."""
        return "endpoint"

    @property
    def loaded_as(self) -> dict[str, str]:
        """Nothing: how the model was loaded is not known."""
        return {}

    def check(self, config: RunConfig) -> None:
        """Refuse what an endpoint cannot do, and OpenAI's own without a key.

        Raises:
            UserError: Naming the first such thing.
        """
        method, decoding = config.method.name, config.decoding
        if method != BASELINE:
            raise UserError(
                f"method {method!r} needs the model's weights, and {self.name!r} is behind an "
                "endpoint; only --method baseline works there"
            )
        if config.model != ModelConfig(name=self.name):
            options = config.model.model_dump(exclude_defaults=True, exclude={"name"})
            raise UserError(
                f"model {self.name!r} is loaded elsewhere; leave out {', '.join(options)}"
            )
        for key in ("num_beams", "top_k"):
            if key in decoding.model_dump(exclude_defaults=True):
                raise UserError(f"model {self.name!r}: endpoints take no {key}; leave it out")
        refuse_without_key()
