"""MME: accuracy and accuracy+ of paired questions."""
