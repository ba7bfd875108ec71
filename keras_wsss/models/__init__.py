"""Keras models: VGG encoders, TransferNet and the tagger."""
