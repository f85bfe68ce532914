"""The readout: factors from hidden states, by reductions such as logprob, rank, entropy and the top k tokens."""
