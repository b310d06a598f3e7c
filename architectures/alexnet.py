"""AlexNet, which won ILSVRC-2012: eight layers, ReLU, dropout, two graphics cards.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012 (no arXiv
id). alexnet_owt: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997.

    variant            input         parameters    multiply-adds
    alexnet            3x227x227     62,378,344    1,135,256,096    one stream, pooling before norm: the lecture's
    alexnet_grouped    3x227x227     60,965,224      724,406,816    the paper's two GPUs, as two groups
    alexnet_two_gpu    3x227x227     60,965,224      724,406,816    alexnet_grouped, placed on two devices
    alexnet_owt        3x224x224     61,100,840      714,188,480    torchvision's: its checkpoint loads by name

Deviations from the paper:
  * The input is 227x227, unpadded: the only way in which 11x11 filters at stride 4 give the paper's 55x55 maps. The
    224 in its text are the size of the crop.
  * alexnet: no groups, so each filter of conv2, conv4 and conv5 reads all maps, not those of its own GPU: the cards are
    larger now. And it normalises after pooling, as the lecture and CaffeNet do: a quarter of the work.
  * alexnet_grouped: the norm's windows run over all 96 or 256 maps, as in Caffe, also where the maps of one GPU end.
  * alexnet_two_gpu: so that it computes what alexnet_grouped does, the norms read two maps of the other GPU. The last
    layer, whose place the paper does not tell, is on the first one.
  * alexnet_owt: other widths, no groups, no norm, dropout in front of fc6 and fc7 instead of behind them, PyTorch's
    initial weights: torchvision's reading of the second paper.
  * Dropout divides by 1 - p in training. The paper halves the outputs at test time; the expectation is the same.

The response norm, sec. 3.3, is b = a / (k + alpha * sum of a^2 over n = 5 maps)^0.75 with k = 2 and alpha = 1e-4. The
layer divides its alpha by n, so the paper's alpha is 5e-4 here. The authors' program divided 1e-4 by n, and so does
Caffe, with k = 1: their networks have alpha=1e-4 here, and Caffe's k=1.
"""

from collections import OrderedDict

import minidl
from minidl import nn
from minidl.nn import functional as F


def response_norm():
    """Activity of neighbouring maps inhibits                                               sec. 3.3"""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def initialise(model):
    """Weights from N(0, 0.01^2); biases 1 in conv2, conv4, conv5 and the hidden layers, 0 elsewhere     sec. 5"""
    for name, parameter in model.named_parameters():
        layer, kind = name.split(".")[-2:]
        if kind == "weight":
            nn.init.normal_(parameter, 0.0, 0.01)
        else:
            nn.init.constant_(parameter, 1.0 if layer in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0)


class AlexNet(nn.Module):
    """The network in one stream, as the lecture lists it"""

    def __init__(self, num_classes=1000, in_channels=3, maps=(96, 256, 384, 384, 256), hidden=4096):
        super().__init__()
        self.features = self.convolutions(in_channels, *maps)
        self.flatten = nn.Flatten()  # (N, 9216)
        self.classifier = nn.Sequential(
            OrderedDict(
                fc6=nn.Linear(maps[-1] * 6 * 6, hidden),  # (N, 4096)
                relu6=nn.ReLU(),
                drop6=nn.Dropout(0.5),
                fc7=nn.Linear(hidden, hidden),  # (N, 4096)
                relu7=nn.ReLU(),
                drop7=nn.Dropout(0.5),
                fc8=nn.Linear(hidden, num_classes),  # (N, 1000)
            )
        )
        initialise(self)

    def convolutions(self, channels, c1, c2, c3, c4, c5):
        return nn.Sequential(
            OrderedDict(  # (N, 3, 227, 227)
                conv1=nn.Conv2d(channels, c1, 11, 4),  # (N, 96, 55, 55)
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(3, 2),  # (N, 96, 27, 27); the windows overlap, sec. 3.4
                norm1=response_norm(),
                conv2=nn.Conv2d(c1, c2, 5, padding=2),  # (N, 256, 27, 27)
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(3, 2),  # (N, 256, 13, 13)
                norm2=response_norm(),
                conv3=nn.Conv2d(c2, c3, 3, padding=1),  # (N, 384, 13, 13)
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(c3, c4, 3, padding=1),  # (N, 384, 13, 13)
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(c4, c5, 3, padding=1),  # (N, 256, 13, 13)
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(3, 2),  # (N, 256, 6, 6)
            )
        )

    def forward(self, x):
        return self.classifier(self.flatten(self.features(x)))


class AlexNetGrouped(AlexNet):
    """Half of the maps on each GPU; they read each other's in conv3 and from fc6 on only           Fig. 2"""

    def convolutions(self, channels, c1, c2, c3, c4, c5):
        return nn.Sequential(
            OrderedDict(  # (N, 3, 227, 227)
                conv1=nn.Conv2d(channels, c1, 11, 4),  # (N, 48 + 48, 55, 55)
                relu1=nn.ReLU(),
                norm1=response_norm(),
                pool1=nn.MaxPool2d(3, 2),  # (N, 48 + 48, 27, 27)
                conv2=nn.Conv2d(c1, c2, 5, padding=2, groups=2),  # (N, 128 + 128, 27, 27)
                relu2=nn.ReLU(),
                norm2=response_norm(),
                pool2=nn.MaxPool2d(3, 2),  # (N, 128 + 128, 13, 13)
                conv3=nn.Conv2d(c2, c3, 3, padding=1),  # (N, 192 + 192, 13, 13)
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(c3, c4, 3, padding=1, groups=2),  # (N, 192 + 192, 13, 13)
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(c4, c5, 3, padding=1, groups=2),  # (N, 128 + 128, 13, 13)
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(3, 2),  # (N, 128 + 128, 6, 6)
            )
        )


class HalfOfAlexNet(nn.Module):
    """What one GPU holds: half of the maps, half of the hidden units                               Fig. 2"""

    def __init__(self, in_channels, c1, c2, c3, c4, c5, hidden):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, c1 // 2, 11, 4)
        self.conv2 = nn.Conv2d(c1 // 2, c2 // 2, 5, padding=2)
        self.conv3 = nn.Conv2d(c2, c3 // 2, 3, padding=1)  # reads the maps of both
        self.conv4 = nn.Conv2d(c3 // 2, c4 // 2, 3, padding=1)
        self.conv5 = nn.Conv2d(c4 // 2, c5 // 2, 3, padding=1)
        self.fc6 = nn.Linear(c5 * 6 * 6, hidden // 2)  # and so do all of these
        self.fc7 = nn.Linear(hidden, hidden // 2)
        self.norm = response_norm()
        self.pool = nn.MaxPool2d(3, 2)
        self.drop = nn.Dropout(0.5)


class AlexNetTwoGPU(nn.Module):
    """alexnet_grouped with each half on a device of its own, and what travels between them                Fig. 2"""

    def __init__(self, devices, num_classes=1000, in_channels=3, maps=(96, 256, 384, 384, 256), hidden=4096):
        super().__init__()
        self.gpu0 = HalfOfAlexNet(in_channels, *maps, hidden)
        self.gpu1 = HalfOfAlexNet(in_channels, *maps, hidden)
        self.fc8 = nn.Linear(hidden, num_classes)
        initialise(self)
        self.gpu0.to(devices[0])
        self.gpu1.to(devices[1])
        self.fc8.to(devices[0])

    def forward(self, x):
        gpu0, gpu1 = self.gpu0, self.gpu1
        a = F.relu(gpu0.conv1(x.to(gpu0.conv1.weight.device)))  # (N, 48, 55, 55), and so is b
        b = F.relu(gpu1.conv1(x.to(gpu1.conv1.weight.device)))
        a, b = self.normalised(a, b)
        a, b = gpu0.pool(a), gpu1.pool(b)  # (N, 48, 27, 27) each
        a, b = F.relu(gpu0.conv2(a)), F.relu(gpu1.conv2(b))  # (N, 128, 27, 27) each
        a, b = self.normalised(a, b)
        a, b = self.exchanged(gpu0.pool(a), gpu1.pool(b))  # (N, 256, 13, 13), on each
        a, b = F.relu(gpu0.conv3(a)), F.relu(gpu1.conv3(b))  # (N, 192, 13, 13) each
        a, b = F.relu(gpu0.conv4(a)), F.relu(gpu1.conv4(b))  # (N, 192, 13, 13) each
        a, b = F.relu(gpu0.conv5(a)), F.relu(gpu1.conv5(b))  # (N, 128, 13, 13) each
        a, b = gpu0.pool(a).flatten(1), gpu1.pool(b).flatten(1)  # (N, 4608) each
        a, b = self.exchanged(a, b)  # (N, 9216), on each
        a, b = gpu0.drop(F.relu(gpu0.fc6(a))), gpu1.drop(F.relu(gpu1.fc6(b)))  # (N, 2048) each
        a, b = self.exchanged(a, b)  # (N, 4096), on each
        a, b = gpu0.drop(F.relu(gpu0.fc7(a))), gpu1.drop(F.relu(gpu1.fc7(b)))  # (N, 2048) each
        return self.fc8(self.joined(a, b, a.device))  # (N, 1000)

    def joined(self, a, b, device):
        return minidl.cat([a.to(device), b.to(device)], 1)

    def exchanged(self, a, b):
        """Both halves, on both devices"""
        return self.joined(a, b, a.device), self.joined(a, b, b.device)

    def normalised(self, a, b):
        """The window of a map reaches two maps to each side: at the seam, into the other half"""
        behind, before = b[:, :2].to(a.device), a[:, -2:].to(b.device)
        a_and_more = self.gpu0.norm(minidl.cat([a, behind], 1))
        b_and_more = self.gpu1.norm(minidl.cat([before, b], 1))
        return a_and_more[:, : a.shape[1]], b_and_more[:, 2:]


def halves_of(grouped):
    """A state dict of alexnet_grouped as one of alexnet_two_gpu: the first half of each layer's maps is gpu0's"""
    state = {}
    for name, values in grouped.items():
        layer, kind = name.split(".")[-2:]
        if layer == "fc8":
            state[f"fc8.{kind}"] = values
        else:
            state[f"gpu0.{layer}.{kind}"], state[f"gpu1.{layer}.{kind}"] = values.chunk(2)
    return state


class AlexNetOWT(nn.Module):
    """One stream without norms; the numbers of its layers are torchvision's"""

    def __init__(self, num_classes=1000, in_channels=3, maps=(64, 192, 384, 256, 256), hidden=4096):
        super().__init__()
        c1, c2, c3, c4, c5 = maps
        self.features = nn.Sequential(  # (N, 3, 224, 224)
            *(nn.Conv2d(in_channels, c1, 11, 4, padding=2), nn.ReLU()),  # 0: (N, 64, 55, 55)
            nn.MaxPool2d(3, 2),  # (N, 64, 27, 27)
            *(nn.Conv2d(c1, c2, 5, padding=2), nn.ReLU()),  # 3: (N, 192, 27, 27)
            nn.MaxPool2d(3, 2),  # (N, 192, 13, 13)
            *(nn.Conv2d(c2, c3, 3, padding=1), nn.ReLU()),  # 6: (N, 384, 13, 13)
            *(nn.Conv2d(c3, c4, 3, padding=1), nn.ReLU()),  # 8: (N, 256, 13, 13)
            *(nn.Conv2d(c4, c5, 3, padding=1), nn.ReLU()),  # 10: (N, 256, 13, 13)
            nn.MaxPool2d(3, 2),  # (N, 256, 6, 6)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)  # changes nothing at 224x224; takes other sizes
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            *(nn.Dropout(0.5), nn.Linear(c5 * 6 * 6, hidden), nn.ReLU()),  # 1: (N, 4096)
            *(nn.Dropout(0.5), nn.Linear(hidden, hidden), nn.ReLU()),  # 4: (N, 4096)
            nn.Linear(hidden, num_classes),  # 6: (N, 1000)
        )

    def forward(self, x):
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def alexnet(num_classes=1000, in_channels=3):
    """The lecture's single stream: 62,378,344 parameters, input 227x227."""
    return AlexNet(num_classes, in_channels)


def alexnet_grouped(num_classes=1000, in_channels=3):
    """The paper's two GPUs: 60,965,224 parameters, input 227x227."""
    return AlexNetGrouped(num_classes, in_channels)


def alexnet_two_gpu(devices, num_classes=1000, in_channels=3):
    """alexnet_grouped on two devices, such as ("cuda:0", "cuda:1"). Weights: `halves_of` shares out its state dict."""
    return AlexNetTwoGPU(devices, num_classes, in_channels)


def alexnet_owt(num_classes=1000, in_channels=3):
    """torchvision's: 61,100,840 parameters, input 224x224."""
    return AlexNetOWT(num_classes, in_channels)
