"""On a GPU, beside PyTorch with cuDNN: train steps, a chain of tiny operations, and a roofline of the convolutions.

    python -m tests.benchmarks.gpu                              all; pictures and numbers in out/benchmarks (--out)
    python -m tests.benchmarks.gpu --only resnet20 vgg16        these networks only
    python -m tests.benchmarks.gpu --parts tiny roofline        these parts only

Both libraries in this one process, on the same files of architectures/, from the same weights, on the same batch, which
stays on the GPU. A step ends with loss.item(), which waits for the GPU. The libraries take turns, and a ratio is the
median of those of the turns. TF32 is on or off in both.
"""

import argparse
import functools
import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import minidl
from tests.benchmarks.gpu_plots import draw
from tests.benchmarks.machine import description
from tests.benchmarks.networks import NETWORKS
from tests.benchmarks.subjects import train_step
from tests.benchmarks.table import markdown, milliseconds

BATCHES = {"resnet20": 128, "alexnet_owt": 128, "vgg16": 32, "googlenet": 64, "resnet50": 64}
PRECISIONS = {"highest": "float32", "high": "TF32"}
ALGORITHMS = ("auto", "cudnn")
PARTS = ("networks", "tiny", "roofline")
TURN = 0.25  # seconds

# The shapes of the roofline: N, C, H, W, F, kernel, stride, padding. From VGG-16, ResNet-50, GoogLeNet and AlexNet.
CONVOLUTIONS = {
    "VGG conv1_2": (32, 64, 224, 224, 64, 3, 1, 1),
    "VGG conv3_2": (32, 256, 56, 56, 256, 3, 1, 1),
    "VGG conv5_2": (32, 512, 14, 14, 512, 3, 1, 1),
    "ResNet-50 conv1": (64, 3, 224, 224, 64, 7, 2, 3),
    "ResNet-50 1x1, 56x56": (64, 256, 56, 56, 64, 1, 1, 0),
    "ResNet-50 3x3, 14x14": (64, 256, 14, 14, 256, 3, 1, 1),
    "ResNet-50 1x1, 7x7": (64, 512, 7, 7, 2048, 1, 1, 0),
    "GoogLeNet 5x5, 28x28": (64, 32, 28, 28, 96, 5, 1, 2),
    "AlexNet conv2": (128, 64, 27, 27, 192, 5, 1, 2),
}


@dataclass
class Row:
    title: str
    precision: str
    seconds: dict = field(default_factory=dict)  # by subject: "minidl, auto", "minidl, cudnn", "PyTorch"
    ratios: dict = field(default_factory=dict)  # to PyTorch
    megabytes: dict = field(default_factory=dict)  # that the library's allocator took from the GPU


def set_precision(torch, precision):
    minidl.set_float32_matmul_precision(precision)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "high"


def in_turn(subjects, rounds):
    """Seconds a call of each subject in each round; every second round in reverse order."""
    repeats = {}
    for name, step in subjects.items():
        for _ in range(2):
            step()
        start = time.perf_counter()
        step()
        repeats[name] = max(1, round(TURN / (time.perf_counter() - start)))
    taken = []
    for number in range(rounds):
        seconds = {}
        for name in list(subjects) if number % 2 == 0 else reversed(subjects):
            start = time.perf_counter()
            for _ in range(repeats[name]):
                subjects[name]()
            seconds[name] = (time.perf_counter() - start) / repeats[name]
        taken.append(seconds)
    return taken


def summed_up(row, taken):
    for name in taken[0]:
        row.seconds[name] = statistics.median(seconds[name] for seconds in taken)
        row.ratios[name] = statistics.median(seconds[name] / seconds["PyTorch"] for seconds in taken)
    return row


def with_algorithm(algorithm, step):
    with minidl.use_algorithm(algorithm):
        return step()


def measure_networks(torch, names, rounds):
    """A row for each network and precision."""
    for name in names:
        network = NETWORKS[name]
        arguments = network.arguments(BATCHES[name])
        torch.cuda.empty_cache()
        minidl.cuda.empty_cache()
        ours, theirs = (train_step(library, **arguments, device="cuda") for library in (minidl, torch))
        for precision, words in PRECISIONS.items():
            set_precision(torch, precision)
            row = Row(f"{network.title}, {BATCHES[name]}", words)
            subjects = {}
            for algorithm in ALGORITHMS:
                minidl.cuda.empty_cache()
                step = subjects[f"minidl, {algorithm}"] = functools.partial(with_algorithm, algorithm, ours)
                step()
                step()
                row.megabytes[f"minidl, {algorithm}"] = minidl.cuda.memory_reserved() / 1e6
            torch.cuda.empty_cache()
            subjects["PyTorch"] = theirs
            losses = [theirs() for _ in range(2)]
            row.megabytes["PyTorch"] = torch.cuda.memory_reserved() / 1e6
            if not all(abs(loss) < 50 for loss in losses):
                raise RuntimeError(f"{name}: PyTorch's losses are {losses}")
            yield summed_up(row, in_turn(subjects, rounds))
        del ours, theirs, subjects, step


def tiny_chain(library, operations=500):
    """As in tests.benchmarks.tiny_ops, on the GPU: products of 8x8 numbers and ReLUs, forward and backward."""
    x = library.ones(8, 8).to("cuda").requires_grad_()
    w = library.full((8, 8), 0.99).to("cuda")
    relu = library.nn.functional.relu

    def step():
        y = x
        for _ in range(operations // 2):
            y = relu(y * w)
        y.sum().backward()
        return y.sum().item()

    return step


def measure_tiny(torch, rounds, operations=500):
    row = Row("one tiny operation, forward and backward", "float32")
    subjects = {"minidl, auto": tiny_chain(minidl, operations), "PyTorch": tiny_chain(torch, operations)}
    row = summed_up(row, in_turn(subjects, rounds))
    row.seconds = {name: seconds / operations for name, seconds in row.seconds.items()}
    return row


def measure_roofline(torch):
    """The peaks that this GPU reaches, and for each convolution (forward and both gradients) what came out."""
    x = torch.empty(1 << 30, dtype=torch.float32, device="cuda")
    peaks = {"bytes/s": 2 * x.numel() * 4 / timed(torch, functools.partial(torch.empty_like(x).copy_, x))}
    del x
    a = torch.randn(8192, 8192, device="cuda")
    points = []
    for precision, words in PRECISIONS.items():
        set_precision(torch, precision)
        peaks[words] = 2 * 8192**3 / timed(torch, lambda: a @ a)
        for title, (N, C, H, W, F, kernel, stride, padding) in CONVOLUTIONS.items():
            size = (H + 2 * padding - kernel) // stride + 1
            operations = 3 * 2 * N * F * size * size * C * kernel * kernel
            numbers = 3 * (N * C * H * W + F * C * kernel * kernel + N * F * size * size)
            point = {"title": title, "precision": words, "operations": operations, "bytes": 4 * numbers}
            for algorithm in ALGORITHMS:
                with minidl.use_algorithm(algorithm):
                    step = convolution(minidl, N, C, H, W, F, kernel, stride, padding)
                    point[f"minidl, {algorithm}"] = timed(torch, step)
            point["PyTorch"] = timed(torch, convolution(torch, N, C, H, W, F, kernel, stride, padding))
            points.append(point)
            minidl.cuda.empty_cache()
            torch.cuda.empty_cache()
    return peaks, points


def convolution(library, N, C, H, W, F, kernel, stride, padding):
    x = library.ones(N, C, H, W).to("cuda").requires_grad_()
    weight = library.full((F, C, kernel, kernel), 0.01).to("cuda").requires_grad_()
    size = (H + 2 * padding - kernel) // stride + 1
    grad = library.ones(N, F, size, size).to("cuda")

    def step():
        x.grad = weight.grad = None
        library.nn.functional.conv2d(x, weight, stride=stride, padding=padding).backward(grad)

    return step


def timed(torch, step, repeats=10):
    """Seconds a call, between two events on the GPU; both libraries use its default stream."""
    for _ in range(3):
        step()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / repeats


def network_table(rows):
    names = [f"minidl, {algorithm}" for algorithm in ALGORITHMS]
    heading = ["network, batch", "", "PyTorch (ms)"]
    heading += [f"{name} ({unit})" for name in names for unit in ("ms", "ratio")]
    heading += ["PyTorch (MB)", *[f"{name} (MB)" for name in names]]
    lines = []
    for row in rows:
        line = [row.title, row.precision, milliseconds(row.seconds["PyTorch"])]
        for name in names:
            line += [milliseconds(row.seconds[name]), f"{row.ratios[name]:.2f}"]
        lines.append(line + [f"{row.megabytes[name]:,.0f}" for name in ("PyTorch", *names)])
    return markdown(heading, lines)


def roofline_table(peaks, points):
    names = ["minidl, auto", "minidl, cudnn", "PyTorch"]
    lines = []
    for point in points:
        rates = [f"{point['operations'] / point[name] / 1e12:.1f}" for name in names]
        roof = min(peaks[point["precision"]], peaks["bytes/s"] * point["operations"] / point["bytes"])
        line = [point["title"], point["precision"], f"{point['operations'] / point['bytes']:.0f}"]
        lines.append([*line, f"{roof / 1e12:.1f}", *rates])
    heading = ["convolution and its gradients", "", "operations a byte", "roof (TFLOP/s)", *names]
    return markdown(heading, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(BATCHES), choices=BATCHES, metavar="NET")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, metavar="PART")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    arguments = parser.parse_args()
    import torch

    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {"machine": f"{minidl.cuda.get_device_name()}; {description()}"}
    print(results["machine"], end="\n\n", flush=True)

    def save():
        (arguments.out / "gpu.json").write_text(json.dumps(results, indent=1))

    if "tiny" in arguments.parts:
        row = measure_tiny(torch, arguments.rounds)
        results["tiny"] = asdict(row)
        times = ", ".join(f"{name} {seconds * 1e6:.1f} us" for name, seconds in row.seconds.items())
        print(f"{row.title}: {times}\n", flush=True)
        save()
    if "networks" in arguments.parts:
        rows = []
        for row in measure_networks(torch, arguments.only, arguments.rounds):
            rows.append(row)
            results["networks"] = [asdict(row) for row in rows]
            print(network_table(rows[-1:]).splitlines()[-1], flush=True)
            save()
        print("\n" + network_table(rows) + "\n", flush=True)
    if "roofline" in arguments.parts:
        peaks, points = measure_roofline(torch)
        results["peaks"], results["roofline"] = peaks, points
        save()
        print(roofline_table(peaks, points))
    draw(results, arguments.out)


if __name__ == "__main__":
    main()
