"""THE NUMBERS: arrays in and out; fleet, arrival, battery, forecast, stress, quality. No I/O, clock, randomness."""
