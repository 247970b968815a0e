"""What papers claim of methods, and what is measured here next to each claim."""

from halluc.claims.claim import Claim
from halluc.claims.register import all_claims, find_claim, select
from halluc.claims.verdicts import RULE, judge, power

__all__ = ["RULE", "Claim", "all_claims", "find_claim", "judge", "power", "select"]
