"""A segmenter in torch, where predicting takes one in onnxruntime: without the half minute that exporting takes."""

import numpy as np
import torch

from hedgerow.learn.networks.saving import load_segmenter
from hedgerow.predict.model import taken_of


class InTorch:
    name = "in torch"

    def __init__(self, folder, size):
        self.network, *scale = load_segmenter(folder)
        self.size, self.scale = size, [np.array(one, np.float32) for one in scale]

    def look(self, pixels, size=None):
        with torch.inference_mode():
            seen = self.network(torch.from_numpy(taken_of(pixels, size or self.size, *self.scale)))
        return seen.found[0].numpy(), seen.masks[0].permute(1, 2, 0).numpy(), seen.contains[0].numpy()
