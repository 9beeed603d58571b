"""USE CASES: verbs, once for every way in."""
