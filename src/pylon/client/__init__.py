"""THE PYTHON SDK: speaks HTTP only; imports ontology and errors, nothing else of ours."""
