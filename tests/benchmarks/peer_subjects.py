"""Train steps on Chainer and DeZero: the same networks, written with their layers. Runs in worker.py.

Chainer 7.8.1 brings VGG-16 and ResNet-50, DeZero 0.0.13 VGG-16; LeNet-5, and Chainer's ResNet-20, stand here. DeZero's
batch norm layer calls a function by a name that does not exist, so no network with batch norm runs on it.
"""

import importlib

import numpy

LEARNING = {"lr": 1e-3, "momentum": 0.9}
WEIGHT_DECAY = 1e-4


def arrays(shape, classes, integer):
    images = numpy.random.default_rng(1).standard_normal(tuple(shape), numpy.float32)
    return images, (numpy.arange(shape[0]) * 7 % classes).astype(integer)


def chainer_train_step(chainer, network, shape, classes):
    F, L = chainer.functions, chainer.links

    def lenet5():
        return chainer.Sequential(
            L.Convolution2D(1, 6, 5),
            F.relu,
            lambda x: F.max_pooling_2d(x, 2, 2),
            L.Convolution2D(6, 16, 5),
            F.relu,
            lambda x: F.max_pooling_2d(x, 2, 2),
            L.Linear(400, 120),
            F.relu,
            L.Linear(120, 84),
            F.relu,
            L.Linear(84, classes),
        )

    def conv(in_channels, out_channels, stride):
        return chainer.Sequential(
            L.Convolution2D(in_channels, out_channels, 3, stride, 1, nobias=True), L.BatchNormalization(out_channels)
        )

    class Block(chainer.Chain):
        def __init__(self, in_channels, out_channels, stride):
            super().__init__()
            self.stride, self.added = stride, out_channels - in_channels
            with self.init_scope():
                self.first = conv(in_channels, out_channels, stride)
                self.second = conv(out_channels, out_channels, 1)

        def forward(self, x):
            y = self.second(F.relu(self.first(x)))
            if self.added:  # option A: every second pixel, and channels of zeros
                x = F.pad(
                    x[:, :, :: self.stride, :: self.stride], ((0, 0), (0, self.added), (0, 0), (0, 0)), "constant"
                )
            return F.relu(x + y)

    def resnet20():
        blocks = [Block(16, 16, 1) for _ in range(3)]
        for channels in (32, 64):
            blocks += [Block(channels // 2, channels, 2), Block(channels, channels, 1), Block(channels, channels, 1)]
        pool = lambda x: F.average(x, (2, 3))  # noqa: E731
        return chainer.Sequential(conv(3, 16, 1), F.relu, *blocks, pool, L.Linear(64, classes))

    build = {"lenet5": lenet5, "resnet20": resnet20, "vgg16": lambda: L.VGG16Layers(None)}
    build["resnet50"] = lambda: L.ResNet50Layers(None)
    model = build[network]()
    scores = {"vgg16": lambda x: model(x, ["fc8"])["fc8"], "resnet50": lambda x: model(x, ["fc6"])["fc6"]}
    forward = scores.get(network, model)
    optimizer = chainer.optimizers.MomentumSGD(**LEARNING).setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(WEIGHT_DECAY))
    images, labels = arrays(shape, classes, numpy.int32)

    def step():
        model.cleargrads()
        loss = F.softmax_cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.update()
        return float(loss.array)

    return step


def dezero_train_step(dezero, network, shape, classes):
    F, L = dezero.functions, dezero.layers
    models, optimizers = (importlib.import_module(f"dezero.{name}") for name in ("models", "optimizers"))

    class LeNet5(dezero.Model):
        def __init__(self):
            super().__init__()
            self.conv1 = L.Conv2d(6, 5)
            self.conv2 = L.Conv2d(16, 5)
            self.fc1, self.fc2, self.fc3 = L.Linear(120), L.Linear(84), L.Linear(classes)

        def forward(self, x):
            x = F.pooling(F.relu(self.conv1(x)), 2, 2)
            x = F.pooling(F.relu(self.conv2(x)), 2, 2)
            x = F.reshape(x, (x.shape[0], -1))
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    if network == "resnet20":
        raise NotImplementedError("DeZero's BatchNorm calls F.batch_nrom, which does not exist")
    build = {"lenet5": LeNet5, "vgg16": models.VGG16, "resnet50": models.ResNet50}
    model = build[network]()
    optimizer = optimizers.MomentumSGD(**LEARNING).setup(model)
    optimizer.add_hook(optimizers.WeightDecay(WEIGHT_DECAY))
    images, labels = arrays(shape, classes, numpy.int64)

    def step():
        model.cleargrads()
        loss = F.softmax_cross_entropy(model(images), labels)
        loss.backward()
        optimizer.update()
        return float(loss.data)

    return step
