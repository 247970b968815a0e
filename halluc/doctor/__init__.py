"""Does this model keep what the harness promises, and what is there to run it on?"""

from halluc.doctor.examination import Report, examine
from halluc.doctor.promises import PROMISES, Finding, check, probe

__all__ = ["PROMISES", "Finding", "Report", "check", "examine", "probe"]
