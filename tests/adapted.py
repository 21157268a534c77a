"""Code of others, as the adapters meet it."""

import random

import cv2
import numpy as np
import torch

OPEN = 3.5  # no function


class GradCam:
    """Called as the classes of the package grad-cam are, and with what makes them difficult.

    Frozen weights give it no graph, it keeps the layer's output itself, and its hooks stay.
    """

    def __init__(self, model, target_layers, power=1):
        self.model, self.power = model.eval(), power
        (layer,) = target_layers
        layer.register_forward_hook(self._keep)

    def _keep(self, module, inputs, output):
        self.activations = output.detach()
        output.register_hook(lambda gradient: setattr(self, "gradients", gradient))

    def __call__(self, input_tensor, targets, negative=False):
        outputs = self.model(input_tensor)
        sum(target(output) for target, output in zip(targets, outputs, strict=True)).backward()
        weights = self.gradients.mean(dim=(2, 3), keepdim=True)
        small = (weights * self.activations).sum(dim=1).relu().numpy() ** self.power
        size = tuple(input_tensor.shape[3:1:-1])
        maps = np.stack([scaled(cv2.resize(scaled(cam), size)) for cam in small])
        return -maps if negative else maps


def scaled(cam):
    cam = cam - cam.min()
    return cam / (1e-7 + cam.max())


def gradient(model, x, targets, power=1):
    """Signed gradient (B, C, H, W), and a mess on the network."""
    x.requires_grad_()
    module = model.network.train(False)
    module.register_forward_hook(lambda *call: None)
    module.requires_grad_(True)
    model(x).gather(1, targets[:, None]).sum().backward()
    module.train()
    return x.grad**power


def draws(model, x, targets):
    """From every global generator, as an array."""
    total = random.random() + np.random.random() + torch.rand(1).item()  # noqa: NPY002
    return np.full((len(x), 5, 4), total) + torch.rand(len(x), 5, 4).numpy()


def scores(model, x, targets):
    """The scores of all classes, as maps of one value."""
    return model(x)[:, :, None, None].expand(-1, -1, *x.shape[2:])


def flat(model, x, targets):
    return x.sum(dim=(1, 2, 3))


def fails(model, x, targets):
    model.network.register_forward_hook(lambda *call: None)
    raise ValueError("no maps today")


def fine(model, x, targets):
    """Values that only float64 tells apart."""
    pixels = torch.arange(x[0, 0].numel(), dtype=torch.float64).view(1, *x.shape[2:])
    return (1 + pixels * 1e-9).expand(len(x), -1, -1).numpy()
