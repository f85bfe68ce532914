"""x → e → h → z: tokens to embeddings to hidden states to logits. Every model is one small interface, `base.Model`."""
