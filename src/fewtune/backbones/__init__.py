"""Load encoders, pool their tokens, embed texts, copy the part that is trained."""
