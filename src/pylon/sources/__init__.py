"""THE WORLD IN: one module per source; bytes -> objects. Simulated data is a source like any other."""
