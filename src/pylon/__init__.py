"""Pylon DEG: where and when compute runs, and when batteries move, on Great Britain's grid."""
