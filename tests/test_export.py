"""`minidl export`: the files that it writes open again, and give what the network gives."""

import numpy
import pytest

import architectures
import minidl
from minidl import cli
from tests.test_onnx import outputs_of


def export(capsys, *arguments):
    code = cli.main(["export", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_weights_in_every_format(tmp_path, capsys):
    model = architectures.lenet5()
    minidl.save(model.state_dict(), tmp_path / "given.npz")
    files = [tmp_path / "new" / name for name in ("a.safetensors", "a.pth", "a.npz")]
    written = [option for path in files for option in (f"--{path.suffix[1:]}", path)]
    code, output, _ = export(capsys, "lenet5", "--weights", tmp_path / "given.npz", *written)
    assert code == 0
    for path in files:
        assert f"{path}: 10 tensors, {path.stat().st_size:,} bytes" in output
        again = minidl.load(path)
        assert set(again) == set(model.state_dict())
        assert all((again[name].numpy() == value.numpy()).all() for name, value in model.state_dict().items())


@pytest.mark.torch
def test_torch_opens_the_pth(tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    assert export(capsys, "resnet20", "--seed", "3", "--pth", tmp_path / "a.pth")[0] == 0
    minidl.manual_seed(3)
    state = architectures.resnet20().state_dict()
    theirs = torch.load(tmp_path / "a.pth", weights_only=True)
    assert list(theirs) == list(state)
    for name, value in state.items():
        assert theirs[name].dtype == getattr(torch, str(value.dtype))
        assert (theirs[name].numpy() == value.numpy()).all()


@pytest.mark.onnx
def test_onnx(tmp_path, capsys):
    path = tmp_path / "a.onnx"
    minidl.save(architectures.resnet20(num_classes=7, in_channels=1).state_dict(), tmp_path / "w.pth")
    code, output, _ = export(
        capsys,
        *("resnet20", "--weights", tmp_path / "w.pth", "--num-classes", "7", "--input", "1,28,28", "--onnx", path),
    )
    assert code == 0
    assert f"{path}: ONNX, input (batch)x1x28x28, output (batch)x7" in output
    model = architectures.resnet20(num_classes=7, in_channels=1)
    model.load_state_dict(minidl.load(tmp_path / "w.pth"))
    x = numpy.random.default_rng(0).standard_normal((3, 1, 28, 28)).astype("float32")
    [scores] = outputs_of(path, x)
    numpy.testing.assert_allclose(scores, model.eval()(minidl.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-4)


def test_mistakes(tmp_path, capsys):
    minidl.save(architectures.lenet5().state_dict(), tmp_path / "lenet.pth")
    (tmp_path / "file").write_text("in the way")
    for arguments, words in [
        (["lenet5"], "say what to write: --onnx, --safetensors, --pth or --npz"),
        (["lenet5", "--pth", tmp_path / "a.pt"], "the file of --pth must end in .pth"),
        (["lenet5", "--onnx", tmp_path / "a.txt"], "the file of --onnx must end in .onnx"),
        (["lenet5", "--onnx", tmp_path / "file" / "a.onnx"], "cannot write into the folder"),
        (["lenet5", "--weights", tmp_path / "no.pth", "--npz", tmp_path / "a.npz"], "no.pth: No such file"),
        (
            ["lenet5", "--weights", tmp_path / "lenet.pth", "--num-classes", "7", "--npz", tmp_path / "a.npz"],
            "its weights are for 10 classes, not 7",
        ),
        (["lenet5", "--input", "1,8,8", "--onnx", tmp_path / "a.onnx"], "lenet5 cannot read an image of 1x8x8"),
    ]:
        code, _, errors = export(capsys, *arguments)
        assert code == 1, arguments
        assert errors.startswith("minidl export: error: ")
        assert words in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "lenet.pth"]
