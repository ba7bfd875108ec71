"""An evaluation as one page for the browser."""
