"""A tape as a web page: one file that steps through forward, backward and the update, without a network.

    tape = minidl.debug.trace(step, model)
    Path("out.html").write_text(html(tape, "LeNet-5"), encoding="utf-8")

The way there: the graph of what ran (network.py), tensors made small (pictures.py), all of it as one JSON document
(data.py), and that in a template together with page.css and the scripts (page.py).
"""

from minidl.debug.page.page import frame, html
