"""Pretrained encoders: frozen features, and what decoders take of them."""
