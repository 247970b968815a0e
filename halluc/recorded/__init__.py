"""Answers of real models as their authors published them, scored and paired."""
