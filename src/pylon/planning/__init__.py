"""THE NUMBERS: arrays in, arrays out; fleet, arrival, battery, forecast, stress. No I/O, clock or randomness."""
