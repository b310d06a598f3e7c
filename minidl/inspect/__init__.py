"""What a network is made of and what it sees: its summary, layer by layer, its receptive fields, and its drawing.

    print(minidl.inspect.summary(model, (3, 224, 224)))
    print(minidl.inspect.receptive_field(model, (3, 224, 224)))
    minidl.inspect.graph(model, (3, 224, 224)).to_svg()

All run the model once and count what really happens (trace.py); the model is afterwards as it was before.
`saliency` and `occlusion` show where in an image a network looks (attribution.py).
`effective_fields` measures what part of its receptive field a unit makes use of; field_plot.py draws it.
"""

from minidl.inspect.attribution import occlusion, saliency
from minidl.inspect.effective_field import effective_fields
from minidl.inspect.graph import graph
from minidl.inspect.receptive_field import receptive_field
from minidl.inspect.summary import summary
