"""`make soak`: a mixed load for a chosen time while things go wrong at random, and the count at the end."""
