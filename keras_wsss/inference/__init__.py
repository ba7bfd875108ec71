"""From a trained model and a picture to a mask."""
