"""POPE: questions built from objects, answers files, RePOPE's labels."""
