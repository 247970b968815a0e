"""What is kept on disk: answers, what was asked, readings and scores, a folder an asker."""

from halluc.store.asker import Asker
from halluc.store.run_folder import RunFolder
from halluc.store.scored_run import Scored, find_scored, scored_in
from halluc.store.scores_file import Cost, ScoresFile

__all__ = ["Asker", "Cost", "RunFolder", "Scored", "ScoresFile", "find_scored", "scored_in"]
