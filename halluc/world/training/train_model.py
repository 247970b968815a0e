"""Train an embedded model: `python -m halluc.world.training.train_model glyph --output FOLDER`.

There are three stages, and every step makes new scenes:

1. see: the vision tower and projector learn to predict, at each patch, the word for its category;
2. speak: all parts learn to describe and to answer; the losses of the first stage are kept;
3. polish: the language model alone, at lower rates and without auxiliary heads, until captions
   stop repeating.

The recipe (recipes.py) says before which stage attention sinks are put into the weights
(planted_sinks.py), and whether the language model of another embedded model is taken over.

On a CPU each core has its own process with one thread, which takes a share of each step's scenes;
processes synchronise once a step, to average gradients. (Two threads in one process synchronise
thousands of times a step, and slow down as soon as anything else runs on the machine.) Matrices
are multiplied in bfloat16 where the processor does that fast, attention is in float32.

The data of a step depend only on the seed and the step, so an interrupted run continues from its
last checkpoint with the same data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from halluc.world.scenes import Scene
from halluc.world.training.architectures import ARCHITECTURES, Architecture, save
from halluc.world.training.language_model import take_language_model
from halluc.world.training.losses import Heads, seeing_losses, speaking_losses
from halluc.world.training.planted_sinks import plant_sinks
from halluc.world.training.precision import fast_matrices, use_float32_attention
from halluc.world.training.processes import launch
from halluc.world.training.recipes import RECIPES
from halluc.world.training.stages import AID_UNTIL, Part, Stage
from halluc.world.training.tensors import sights, talks
from halluc.world.training.trainer import Losses, Trainer


class ModelTrainer(Trainer):
    """Trains an embedded model by its recipe."""

    architecture: Architecture

    def _build(self, name: str) -> None:
        recipe = RECIPES[name]
        self.stages = recipe.stages
        self.architecture = ARCHITECTURES[name]()
        self.model = self.architecture.model
        use_float32_attention(self.model)
        if recipe.starts_from:
            take_language_model(self.architecture, recipe.starts_from)
        self.heads = Heads(self.architecture)

    def trained(self) -> Architecture:
        """Return the architecture, which knows how the model's processor is made."""
        return self.architecture

    def _before(self, stage: Stage) -> None:
        """Put sinks into the weights where the stage has them."""
        if not stage.sinks:
            return
        self.model.eval()
        found = plant_sinks(self.architecture, "bos" in stage.sinks, "patches" in stage.sinks)
        self.model.train()
        if self.rank == 0:
            done = {name: round(value, 3) for name, value in found.items()}
            print("put sinks into", ", ".join(sorted(stage.sinks)), done, flush=True)

    def losses(self, scenes: Sequence[Scene], stage: Stage) -> Losses:
        """Return the losses of seeing and, behind the first stage, of speaking."""
        seen = self._move(sights(list(scenes)))
        with fast_matrices(self.device):
            with torch.set_grad_enabled(stage.rates["vision"] > 0):  # at rate 0 nothing moves
                tokens, whole = self.architecture.see(seen.pixels)
            parts = seeing_losses(self.architecture.words, self.heads, seen, tokens, whole)
            loss = parts["name"] + 0.5 * parts["hue"] + 0.2 * parts["column"] + 2.0 * parts["whole"]
            if stage.name != "see":
                talk = self._move(talks(list(scenes), self.architecture, self.seed, stage.captions))
                said = speaking_losses(self.architecture, self.heads, talk, tokens)
                guide = max(0.0, 1 - self.step / (AID_UNTIL * stage.steps))
                guide *= stage.name == "speak"
                loss = 0.3 * loss + said["caption"] + said["answer"] + 0.1 * said["end"]
                aid = said["presence"] + 0.5 * (said["its_hue"] + said["its_side"])
                loss = loss + guide * aid
                parts |= said
        return Losses(loss, parts)

    def part(self, name: str, parameter: nn.Parameter) -> Part:
        """Matrices are the vision tower's or the language model's; embeddings are neither."""
        if parameter.ndim != 2 or "embed" in name:
            return "other"
        return "text" if "language_model" in name or "text_model" in name else "vision"


if __name__ == "__main__":
    launch(ModelTrainer, save, tuple(RECIPES))
