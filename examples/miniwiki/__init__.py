"""The miniature wiki: facts in tables, sentences made from them, written in the two dump formats."""
