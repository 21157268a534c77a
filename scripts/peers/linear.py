"""The network that the references are asked about: small enough for closed forms."""

import numpy as np
import torch


class Linear(torch.nn.Module):
    """A linear network without bias.

    Args:
        weight: (K, C, H, W) float32.
        softmax: Whether it gives probabilities; else logits.
    """

    def __init__(self, weight: np.ndarray, softmax: bool = True) -> None:
        super().__init__()
        self.weight = torch.from_numpy(weight)
        self.softmax = softmax

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs (B, C, H, W) to outputs (B, K)."""
        logits = torch.einsum("bchw,kchw->bk", x, self.weight)
        return logits.softmax(dim=1) if self.softmax else logits
