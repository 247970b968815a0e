"""Models behind an OpenAI-compatible endpoint: they answer, but no method can reach into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from halluc.config import BASELINE, ModelConfig, content_hash
from halluc.errors import UserError
from halluc.models.names import endpoint_name
from halluc.remote.client import Endpoint

if TYPE_CHECKING:
    from halluc.config import RunConfig


@dataclass(frozen=True)
class EndpointModel:
    """A model named "openai:NAME"; OPENAI_BASE_URL and OPENAI_API_KEY say where and by what right.

    Attributes:
        name: As the user gave it.
        endpoint: Who answers.
    """

    name: str
    endpoint: Endpoint = field(repr=False)

    @classmethod
    def named(cls, name: str) -> EndpointModel:
        """The model of a name.

        Raises:
            UserError: If it is none behind an endpoint.
        """
        model = endpoint_name(name)
        if model is None:
            raise UserError(f"model {name!r} is behind no endpoint; write openai:NAME")
        return cls(name, Endpoint(model))

    @property
    def fingerprint(self) -> str:
        """Stands for weights nobody here has seen: a hash of the address."""
        return f"endpoint-{content_hash(self.endpoint.base_url)}"

    @property
    def image_processing(self) -> str:
        """Nobody here sees it either."""
        return "endpoint"

    @property
    def loaded_as(self) -> dict[str, str]:
        """Nothing is known of how it runs."""
        return {}

    def check(self, config: RunConfig) -> None:
        """Refuse what an endpoint cannot do.

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
            given = config.model.model_dump(exclude_defaults=True, exclude={"name"})
            raise UserError(
                f"model {self.name!r} is loaded elsewhere; leave out {', '.join(given)}"
            )
        for key in ("num_beams", "top_k"):
            if key in decoding.model_dump(exclude_defaults=True):
                raise UserError(f"model {self.name!r}: endpoints take no {key}; leave it out")
