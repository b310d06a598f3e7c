"""`minidl export`: a network for other programs, as ONNX, and its weights in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

import minidl
from minidl.cli.arguments import CommandError, positive_int, seed, writable_folder
from minidl.cli.networks import add_network_arguments, chosen, explained
from minidl.cli.weights import add_weights_arguments, with_weights

DESCRIPTION = """write a network as ONNX, or its weights as safetensors, .pth or .npz

ONNX files hold the whole network, as it computes at test time, for a batch of any size; onnxruntime and many others run
them. A .pth opens in PyTorch with torch.load(path, weights_only=True), and its names are those of torchvision where it
has the network.

Without --weights the network has the random ones that a training begins with."""

FORMATS = {"onnx": ".onnx", "safetensors": ".safetensors", "pth": ".pth", "npz": ".npz"}  # option -> its ending


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network_arguments(parser)
    add_weights_arguments(parser, required=False)
    add = parser.add_argument
    add("--num-classes", type=positive_int, metavar="N", help="classes that the weights are for (the network's own)")
    add("--seed", type=seed, default=0, metavar="N", help="of the random weights, without --weights (0)")
    add("--onnx", type=Path, metavar="FILE.onnx", help="the network and its weights")
    add("--safetensors", type=Path, metavar="FILE", help="the weights")
    add("--pth", type=Path, metavar="FILE", help="the weights, for PyTorch")
    add("--npz", type=Path, metavar="FILE", help="the weights, for NumPy")


def run(arguments: argparse.Namespace) -> int:
    network, shape = chosen(arguments)
    files = {name: path for name in FORMATS if (path := getattr(arguments, name)) is not None}
    if not files:
        raise CommandError("say what to write: --onnx, --safetensors, --pth or --npz, and a file")
    for name, path in files.items():
        if path.suffix != FORMATS[name]:
            raise CommandError(f"the file of --{name} must end in {FORMATS[name]}, not {path}")
        writable_folder(path.parent)
    options = {} if shape[0] == network.input_shape[0] else {"in_channels": shape[0]}
    if arguments.num_classes is not None:
        options["num_classes"] = arguments.num_classes
    if arguments.weights is not None:
        model = with_weights(network, arguments, **options)
    else:
        minidl.manual_seed(arguments.seed)
        model = network.build(**options).eval()
        print(f"{network.name} with random weights (seed {arguments.seed}), as before a training")
    try:
        if arguments.onnx is not None:
            with explained(network, shape):
                scores = model(minidl.zeros(1, *shape))
            minidl.onnx.export(model, minidl.zeros(1, *shape), arguments.onnx)
            size = "x".join(map(str, shape))
            outputs = "x".join(map(str, scores.shape[1:]))
            print(f"{arguments.onnx}: ONNX, input (batch)x{size}, output (batch)x{outputs}")
        for path in (path for name, path in files.items() if name != "onnx"):
            minidl.save(model.state_dict(), path)
            print(f"{path}: {len(model.state_dict()):,} tensors, {path.stat().st_size:,} bytes")
    except OSError as error:
        raise CommandError(f"cannot write {error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(str(error)) from None
    return 0
