"""One module per figure, measured on a stage."""
