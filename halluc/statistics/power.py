"""The number of images it takes to find a difference in the share of right answers.

For paired answers: the difference d of two methods, right or wrong on n questions, has the
variance (D - d^2) / n where D is the discordance, the share of questions on which one alone is
right (Connor, Biometrics 43, 1987). Questions about one image move together; with m of them an
image and a correlation r within it that variance grows by the design effect 1 + (m - 1) r (Kish,
Survey Sampling, 1965). The rest is the normal approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt


@dataclass(frozen=True)
class Design:
    """The expected shape of a comparison; differences are in (0, discordance).

    Attributes:
        per_image: Questions about an image, on average.
        discordance: Share of questions on which one method alone is right, in (0, 1].
        correlation: Of those differences within an image.
        alpha: Two-sided level of the test.
    """

    per_image: float
    discordance: float = 0.1
    correlation: float = 0.1
    alpha: float = 0.05

    @property
    def design_effect(self) -> float:
        """The factor by which clustering makes the variance larger."""
        return max(1 + (self.per_image - 1) * self.correlation, 1 / self.per_image)

    def power(self, difference: float, images: float) -> float:
        """Compute the probability of finding a true difference significant with so many images."""
        from scipy.stats import norm

        reach = norm.isf(self.alpha / 2)
        shift = difference / sqrt(self._variance(difference) / images)
        return float(norm.sf(reach - shift) + norm.cdf(-reach - shift))

    def images(self, difference: float, power: float) -> int:
        """Compute how many images it takes to find a true difference with this probability."""
        return ceil(self._reach(power) ** 2 * self._variance(difference) / difference**2)

    def detectable(self, images: int, power: float) -> float:
        """Compute the smallest difference that so many images show with this probability."""
        share = self._reach(power) ** 2 * self.design_effect / self.per_image / images
        return sqrt(share * self.discordance / (1 + share))

    def _reach(self, power: float) -> float:
        from scipy.stats import norm

        return float(norm.isf(self.alpha / 2) + norm.ppf(power))

    def _variance(self, difference: float) -> float:
        """The variance of the difference if there were one image."""
        return (self.discordance - difference**2) * self.design_effect / self.per_image
