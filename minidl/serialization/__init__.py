"""Weights in files: `minidl.load(path)` and `minidl.save(state_dict, path)`. Each format has a file here.

load.py, save.py      the two verbs: they choose the format
source.py             the file that is read; the one error of everything below
torch_file.py         PyTorch's .pth, .pt, .th: a zip since PyTorch 1.6, one stream before
torch_pickle.py       the pickle in it, interpreted without executing anything
torch_storage.py      the numbers in it, and the tensors that are views of them
torch_writer.py       the same, written
safetensors_file.py   .safetensors
npz.py                .npz
caffe.py, protobuf.py .caffemodel
"""

from minidl.serialization.load import load
from minidl.serialization.save import save
from minidl.serialization.source import LoadError

__all__ = ["LoadError", "load", "save"]
