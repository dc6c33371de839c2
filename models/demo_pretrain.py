"""Pretrains the demo's small network on drawn shapes and writes demo.onnx.

    python3 demo_pretrain.py DRAW demo.onnx        DRAW: the program built from examples/demo/draw.c

Eight of the ten shapes; moon and star stay unseen, since the demo teaches them to the network.
Needs PyTorch, Pillow and the onnx package.
"""
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from torch import nn

CLASSES = ["bars", "cross", "disc", "dots", "ring", "square", "triangle", "zigzag"]
COUNT, EPOCHS, BATCH = 400, 14, 32


def block(i, o, stride):
    return [nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]


class Demo(nn.Module):
    """Four convolutions, the last beside a shortcut, and a linear classifier: 3x64x64 in."""

    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Sequential(*block(3, 16, 2), *block(16, 32, 2), *block(32, 64, 2))
        self.last, self.norm = nn.Conv2d(64, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.norm(self.last(x)))
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def draw(program, seed, count):
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([program, d, str(count), str(seed), *CLASSES], check=True)
        x = np.stack([np.asarray(Image.open(f)) for c in CLASSES for f in sorted(glob.glob(os.path.join(d, c, "*.png")))])
    y = np.repeat(np.arange(len(CLASSES)), count)
    return torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32) / 255), torch.from_numpy(y)


def main(program, out):
    torch.manual_seed(0)
    x, y = draw(program, 1, COUNT)
    vx, vy = draw(program, 2, 50)
    net = Demo(len(CLASSES))
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, EPOCHS * ((len(x) + BATCH - 1) // BATCH))
    for epoch in range(EPOCHS):
        net.train()
        for pick in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[pick]), y[pick]).backward()
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            print(epoch + 1, "valid accuracy", float((net(vx).argmax(1) == vy).float().mean()), flush=True)
    torch.onnx.export(net, x[:1], out, input_names=["input"], output_names=["output"], dynamo=False,
                      dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}}, opset_version=17)


if __name__ == "__main__":
    main(*sys.argv[1:])
