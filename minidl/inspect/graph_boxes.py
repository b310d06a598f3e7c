"""How large the boxes of a network's picture are, and the words in them. All lengths are pixels."""

from __future__ import annotations

from dataclasses import dataclass

from minidl.inspect.graph_nodes import Block, Node, Shape

FONT = 12  # of labels; NOTE of all that is smaller
NOTE = 10.5
LINE = 22  # height of a band
CARD = 38  # of a box with a second line
PAD = 9  # between the words and the sides of their box
HEADER = 24  # of a frame
LABEL_SPACE = 6  # between a line and its label
CIRCLE = 22
NARROWEST, WIDEST = 112, 210  # of boxes; those of one picture are equally wide if they can be

# Widths of Helvetica and Arial in thousandths of the font's size.
WIDTHS = {" ": 278, "i": 222, "j": 222, "l": 222, "t": 278, "f": 278, "r": 333, "I": 278, "1": 556, ".": 278, ",": 278}
WIDTHS |= {
    ":": 278,
    "/": 278,
    "(": 333,
    ")": 333,
    "m": 833,
    "w": 722,
    "M": 833,
    "W": 944,
    "…": 1000,
    "·": 333,
    "×": 584,
}
WIDTHS |= dict.fromkeys("abdeghnopqu_0123456789LTFZ", 556) | dict.fromkeys("ckszxvyJ", 500)
WIDTHS |= dict.fromkeys("ABEKPSVXY", 667) | dict.fromkeys("CDHNRU", 722) | dict.fromkeys("GOQ", 778)

SPACED = 1.14  # bold letters, and fonts that are a little wider


@dataclass(frozen=True)
class Words:
    """What stands in a band: a label to the left, a note to the right of it or below, a number to the right."""

    label: str
    note: str = ""
    number: str = ""
    two_lines: bool = False

    @property
    def width(self) -> float:
        above, below = [text_width(self.label, FONT)], [text_width(self.note, NOTE), text_width(self.number, NOTE)]
        lines = (above, below) if self.two_lines else ([*above, *below],)
        return 2 * PAD + max(sum(line) + 10 * (sum(width > 0 for width in line) - 1) for line in lines)


def text_width(text: str, size: float) -> float:
    """About as wide as it will be."""
    return SPACED * size * sum(WIDTHS.get(letter, 600) for letter in text) / 1000


def shape_words(shape: Shape) -> str:
    """64×56×56"""
    return "×".join(map(str, shape)) or "1"


def node_words(node: Node, frame: str, is_band: bool = False) -> Words:
    """For a node in a frame of this path."""
    label = f"{node.label} {node.detail}".strip()
    number = f"{node.parameters:,}" if node.parameters else ""
    if node.kind in ("input", "output"):
        return Words(node.label)
    if node.kind == "folded":
        label += f" × {node.repeat}" if node.repeat > 1 else ""
    if node.kind in ("convolution", "linear", "folded") and not is_band:
        name = name_within(node.path, frame)
        return Words(label, name, number, two_lines=bool(name or number))
    return Words(label, number=number)


def block_words(block: Block) -> Words:
    """For the header of a frame."""
    label = block.path or block.type
    note = block.type if block.path and block.type != "Sequential" else ""
    if block.repeat > 1:
        note += f" × {block.repeat}"
    parameters = block.repeat * block.total("parameters")
    return Words(label, note, f"{parameters:,}" if parameters else "")


def name_within(path: str, frame: str) -> str:
    """conv1 for layer1.0.conv1 in layer1.0, but features.0 in features."""
    name = path.removeprefix(frame.split(" ")[0] + ".") if frame else path
    return path if name[:1].isdecimal() else name


def is_small(node: Node) -> bool:
    """A merge without a box around: a circle, or as wide as its word."""
    return node.kind == "merge"


def node_width(node: Node, frame: str) -> float:
    """As wide as its words need it."""
    if is_small(node):
        return CIRCLE if len(node.label) == 1 else text_width(node.label, NOTE) + 22
    bands = [node_words(each, frame, is_band=each is not node) for each in node.nodes()]
    return max(words.width for words in bands)


def node_height(node: Node) -> float:
    """With its bands."""
    if is_small(node):
        return CIRCLE
    first = CARD if node_words(node, "").two_lines else LINE
    return first + LINE * len(node.below)
