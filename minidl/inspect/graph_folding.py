"""Makes the picture of a network small enough to be read.

* Layers that only change the numbers (batch norm, ReLU, dropout) become bands of the box above them.
* Equal blocks in a row become one, with "× n".
* If that is not enough: of blocks in a row that differ only in sizes, the first is shown and the others are one box;
  then the innermost blocks become boxes.
* Blocks that hold a single box, and short Sequentials inside of other blocks, lose their frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from minidl.inspect.graph_nodes import Block, Edge, Node

MOST = 110  # boxes that a picture may have
WORTHWHILE = 3  # boxes fewer: else blocks are shown one by one
THIN = ("normalization", "activation", "dropout", "other")


def fold(root: Block, edges: Iterable[Edge], depth: int | None, unroll: bool) -> list[Edge]:
    """Change `root` as said above; returns the edges that remain, those from a box to its own bands left out.

    depth    blocks nested that deep are one box each; None: as deep as MOST boxes allow
    unroll   show equal blocks in a row one by one
    """
    edges = _stacked(root, list(edges))
    if not unroll:
        edges = _merged(root, edges, _details, _collapse_equal, at_least=2)
        if depth is None and _size(root) > MOST:
            edges = _merged(root, edges, _outline, _collapse_alike, at_least=3)
    if depth is None:
        depth = next((d for d in range(_nesting(root) + 1, 1, -1) if _size(root, d) <= MOST), 1)
    edges = _folded(root, edges, depth)
    _unframed(root, is_root=True)
    return edges


def _size(block: Block, depth: int = 1000) -> int:
    """How many boxes are drawn if blocks nested `depth` deep are one each."""
    if depth == 0:
        return 1
    return sum(_size(child, depth - 1) if isinstance(child, Block) else 1 for child in block.children)


def _nesting(block: Block) -> int:
    """How deep blocks are nested in it."""
    return max((1 + _nesting(child) for child in block.children if isinstance(child, Block)), default=0)


def _replaced(edges: Iterable[Edge], by: dict[Node, Node], dropped: Callable[[Edge], bool]) -> list[Edge]:
    """The edges between the nodes that stand for theirs, without doubles."""
    kept = (edge for edge in edges if not dropped(edge))
    return list(dict.fromkeys(Edge(by.get(e.source, e.source), by.get(e.target, e.target), e.shape) for e in kept))


# ---------------------------------------------------------------------------------------------------------- bands


def _stacked(root: Block, edges: list[Edge]) -> list[Edge]:
    """Makes bands of the thin nodes whose one input nobody else reads, and comes from the same block."""
    into, readers = _by_target(edges), Counter(edge.source for edge in edges)
    head: dict[Node, Node] = {}
    for block in (root, *root.blocks()):
        inside = set(block.children)
        for node in list(block.children):
            if isinstance(node, Block) or node.kind not in THIN or len(into.get(node, ())) != 1:
                continue
            (edge,) = into[node]
            above = edge.source
            is_alone = above in inside and readers[above] == 1 and edge.shape == node.output
            if is_alone and above.kind not in ("input", "merge"):
                head[node] = head.get(above, above)
                head[node].below.append(node)
                block.children.remove(node)
    return _replaced(edges, head, lambda edge: head.get(edge.target) is head.get(edge.source, edge.source))


def _by_target(edges: Iterable[Edge]) -> dict[Node, list[Edge]]:
    into: dict[Node, list[Edge]] = {}
    for edge in edges:
        into.setdefault(edge.target, []).append(edge)
    return into


# ------------------------------------------------------------------------------------------------- blocks in a row


def _merged(
    block: Block,
    edges: list[Edge],
    describe: Callable[[Block, dict], tuple],
    collapse: Callable[[Block, Sequence[Block], list[Edge]], list[Edge]],
    at_least: int,
) -> list[Edge]:
    """Collapses the blocks in a row that `describe` says the same of, here and further in."""
    into = _by_target(edges)
    for run in list(_runs(block, edges, lambda child: describe(child, into))):
        if len(run) >= at_least and (len(run) - 1) * _size(run[0]) >= WORTHWHILE:
            edges = collapse(block, run, edges)
    for child in block.children:
        if isinstance(child, Block):
            edges = _merged(child, edges, describe, collapse, at_least)
    return edges


def _runs(block: Block, edges: Iterable[Edge], describe: Callable[[Block], tuple]) -> Iterator[list[Block]]:
    """Blocks that follow one another, each fed by the one before alone, and the same in what `describe` says."""
    owner = {node: child for child in block.children for node in child.nodes()}
    feeds: dict[object, set] = {}
    fed: dict[object, set] = {}
    for edge in edges:
        source, target = owner.get(edge.source), owner.get(edge.target)
        if source is not target:
            feeds.setdefault(source, set()).add(target)
            fed.setdefault(target, set()).add(source)
    run: list[Block] = []
    for before, child in pairwise([None, *block.children]):
        if isinstance(child, Block):
            in_a_row = bool(run) and run[-1] is before and feeds.get(before) == {child} and fed.get(child) == {before}
            if in_a_row and describe(run[0]) == describe(child):
                run.append(child)
                continue
            yield run
            run = [child]
    yield run


def _details(block: Block, into: dict[Node, list[Edge]]) -> tuple:
    """All that a picture shows of a block, but its name."""
    sizes = ((node.parameters, node.output, *(edge.shape for edge in into.get(node, ()))) for node in block.nodes())
    return _outline(block, into), block.repeat, tuple(sizes)


def _outline(block: Block, into: dict[Node, list[Edge]]) -> tuple:
    """The same without sizes: which layers there are, and which feeds which."""
    number = {node: i for i, node in enumerate(block.nodes())}
    sources = (tuple(number.get(edge.source, -1) for edge in into.get(node, ())) for node in number)
    nodes = ((node.path.removeprefix(block.path), node.kind, node.label, node.detail) for node in block.nodes())
    return block.type, tuple(nodes), tuple(sources)


def _collapse_equal(block: Block, run: Sequence[Block], edges: list[Edge]) -> list[Edge]:
    """The first stands for all of the run."""
    first = run[0]
    by = {node: twin for other in run for node, twin in zip(other.nodes(), first.nodes(), strict=True)}
    owner = {node: child for child in run for node in child.nodes()}

    def leads_on(edge: Edge) -> bool:
        """From one of the run to the next."""
        return edge.target in owner and edge.source in owner and owner[edge.source] is not owner[edge.target]

    first.path = _span(run)
    first.repeat = len(run)
    block.children = [child for child in block.children if child is first or child not in run]
    return _replaced(edges, by, leads_on)


def _collapse_alike(block: Block, run: Sequence[Block], edges: list[Edge]) -> list[Edge]:
    """The first is left, one box stands for the others."""
    others = Block(_span(run[1:]), run[0].type, list(run[1:]), repeat=sum(other.repeat for other in run[1:]))
    return _one_box(block, others, run[1:], edges)


def _span(run: Sequence[Block]) -> str:
    """layer1.0 … 2"""
    return f"{run[0].path.split(' ')[0]} … {run[-1].path.split(' ')[-1].rpartition('.')[2]}"


# ---------------------------------------------------------------------------------------------------------- boxes


def _folded(block: Block, edges: list[Edge], depth: int) -> list[Edge]:
    """A box for each of the blocks that are nested `depth` deep."""
    for child in list(block.children):
        if isinstance(child, Block):
            edges = _one_box(block, child, [child], edges) if depth == 1 else _folded(child, edges, depth - 1)
    return edges


def _one_box(block: Block, folded: Block, children: Sequence[Block], edges: list[Edge]) -> list[Edge]:
    """Puts one node in place of these children of `block`."""
    nodes = list(folded.nodes())
    inside = set(nodes)
    times = folded.repeat if list(children) == [folded] else 1  # else each of them is counted
    box = Node(folded.path, "folded", folded.type, nodes[-1].output, repeat=folded.repeat)
    box.parameters = times * folded.total("parameters")
    box.multiply_adds = times * folded.total("multiply_adds")
    layers = ", ".join(f"{count} {label}" for label, count in Counter(node.label for node in nodes).items())
    box.note = f"{folded.path}: {folded.type} × {folded.repeat}\n{layers}"
    place = block.children.index(children[0])
    block.children[place : place + len(children)] = [box]
    return _replaced(edges, dict.fromkeys(nodes, box), lambda edge: edge.source in inside and edge.target in inside)


# --------------------------------------------------------------------------------------------------------- frames


def _unframed(block: Block, is_root: bool = False) -> None:
    """Takes the frames away that say nothing."""
    children: list[Node | Block] = []
    for child in block.children:
        if isinstance(child, Block):
            _unframed(child)
        if isinstance(child, Block) and _says_nothing(child, is_root):
            inner = child.children
            if len(inner) == 1 and isinstance(inner[0], Node) and inner[0].kind not in ("merge", "folded"):
                inner[0].path = child.path
            children += inner
        else:
            children.append(child)
    block.children = children


def _says_nothing(block: Block, in_root: bool) -> bool:
    if block.repeat > 1:
        return False
    frames = any(isinstance(child, Block) for child in block.children)
    short = block.type == "Sequential" and not frames and (not in_root or len(block.children) < 3)
    return len(block.children) == 1 or short
