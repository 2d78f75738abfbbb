"""k-NN, linear probe and statistics of features."""
