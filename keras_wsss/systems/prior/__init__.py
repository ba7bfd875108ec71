"""The prior system (Redondo-Cabrera et al., TIP 2019)."""
