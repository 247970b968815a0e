"""English words as the published scorers read them: tokens, tags, lemmas, singulars."""
