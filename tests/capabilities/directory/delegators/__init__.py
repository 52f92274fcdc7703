"""Who may delegate what, at the layer of the authority."""
