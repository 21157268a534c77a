"""The insertion and deletion metrics: protocols, perturbations, curves and areas under them."""
