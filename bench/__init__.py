"""quantlib measured against NumPy float32 and against whichever peers are installed."""
