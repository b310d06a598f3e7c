"""The page on many workers: what was measured with two, the formulae, and what follows for up to 1,024 of them."""

import html
import io
import textwrap
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from minidl.cli.complexity_plots import BLUE, GREEN, GREY, INK, LINE, ORANGE, PINK
from tests.benchmarks.workers import MOST, Link, Rates

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SHOWN = (8, 32, 128, 512, 1024)
WHOLE = 1024  # images of a batch that is shared out
NOMINAL = {
    "1 Gbit/s, 50 µs": Link(50e-6, 125e6),
    "10 Gbit/s, 20 µs": Link(20e-6, 1.25e9),
    "100 Gbit/s, 2 µs": Link(2e-6, 12.5e9),
}
CURVE = sorted({round(2 ** (eighth / 8)) for eighth in range(81)})
WORDS = "Dots: from so many workers on, more than half of a step is waiting for messages. Dashed: without any waiting."


class Subject(NamedTuple):
    """A network: a worker's rates, what connected the two processes that were measured, and how long their step was."""

    title: str
    rates: Rates
    here: Link
    step: float

    @property
    def links(self):
        """By name, the slowest first."""
        named = {f"shared memory, {8 * self.here.bandwidth / 1e9:.0f} Gbit/s": self.here}
        return dict(sorted((NOMINAL | named).items(), key=lambda item: item[1].bandwidth))

    @property
    def ways(self):
        """What is shared out: None, so many images for each worker, or a batch, in words."""
        return {None: f"{self.rates.images:g} images for each worker", WHOLE: f"{WHOLE:,} images shared out to all"}


def scaling_rows(subject):
    """A heading and lines of text: images a second and efficiency, for numbers of workers, links and both ways."""
    lines = []
    for whole, words in subject.ways.items():
        for name, link in subject.links.items():
            cells = [_cell(subject.rates, workers, link, whole) for workers in SHOWN]
            lines.append([f"{words}; {name}", *cells, _from(subject.rates.takes_over(link, whole))])
    return ["images/s (efficiency)", *(f"{workers:,} workers" for workers in SHOWN), "below one half from"], lines


def _cell(rates, workers, link, whole):
    return f"{_three_digits(rates.speed(workers, link, whole))} ({rates.efficiency(workers, link, whole):.0%})"


def _from(workers):
    return f"beyond {MOST:,}" if workers is None else f"{workers:,} workers"


def _three_digits(number):
    """1,234,567 as 1,230,000; 12.345 as 12.3."""
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 100 else f"{number:.3g}"


# ------------------------------------------------------------------------------------------------------- the picture


def figure(subjects, note="", heading=True):
    """A row for each network: on the left the waiting where each worker has its images, on the right the speed where
    a batch is shared out."""
    rows, top, bottom = len(subjects), 1.15 if heading else 0.2, 0.5 if note else 0.05  # inches
    height = 4.5 * rows + top + bottom
    picture = Figure(figsize=(13, height), dpi=130, facecolor="white")
    if heading:
        title = "Many workers, worked out from the rates measured with two"
        picture.text(0.03, 1 - 0.38 / height, title, fontsize=18, fontweight="bold", color=INK, va="center")
        picture.text(0.03, 1 - 0.76 / height, WORDS, fontsize=11.5, color=GREY, va="center")
    picture.text(0.03, 0.12 / height, textwrap.fill(note, 165), fontsize=9, color=GREY, va="bottom", linespacing=1.4)
    for number, subject in enumerate(subjects):
        low = bottom + 4.5 * (rows - 1 - number) + 0.7
        for column, (whole, words) in enumerate(subject.ways.items()):
            axes = picture.add_axes((0.07 + 0.505 * column, low / height, 0.405, 3.35 / height))
            axes.set_title(f"{subject.title}: {words}", loc="left", fontsize=13, color=INK, pad=9)
            _style(axes)
            if whole is None:
                _waiting(axes, subject)
            else:
                _speed(axes, subject, whole)
    return picture


def _waiting(axes, subject):
    for name, link in subject.links.items():
        parts = [100 * subject.rates.efficiency(workers, link) for workers in CURVE]
        axes.plot(CURVE, parts, color=_colour(name), linewidth=2.2)
        over = subject.rates.takes_over(link)
        if over is not None:
            height = 100 * subject.rates.efficiency(over, link)
            _dot(axes, over, height, name)
            axes.annotate(f"{over:,}", (over, height), (8, 4), textcoords="offset points", fontsize=11.5, color=INK)
    axes.axhline(50, color=GREY, linewidth=1, linestyle=":", zorder=1)
    axes.set_ylim(0, 104)
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_ylabel("part of a step that is computing", fontsize=12, color=INK)


def _speed(axes, subject, whole):
    rates = subject.rates
    ideal = [whole / rates.share_of(whole, workers).computing for workers in CURVE]
    axes.plot(CURVE, ideal, "--", color=GREY, linewidth=1.2, zorder=1)
    for name, link in subject.links.items():
        speeds = [rates.speed(workers, link, whole) for workers in CURVE]
        over = rates.takes_over(link, whole)
        words = name if over is None else f"{name}: from {over:,} on"
        axes.plot(CURVE, speeds, color=_colour(name), linewidth=2.2, label=words)
        if over is not None:
            _dot(axes, over, rates.speed(over, link, whole), name)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda speed, _: f"{speed:,.0f}" if speed >= 1 else f"{speed:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("images a second", fontsize=12, color=INK)
    axes.legend(fontsize=10.5, loc="lower right", labelcolor=INK, framealpha=0.92, edgecolor="none", reverse=True)


def _dot(axes, workers, height, name):
    """Where communication takes over."""
    style = {"markersize": 9.5, "markeredgecolor": "white", "markeredgewidth": 1.6, "zorder": 3}
    axes.plot([workers], [height], "o", color=_colour(name), **style)


def _style(axes):
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.9, MOST * 1.15)
    axes.xaxis.set_major_locator(FixedLocator([1, 4, 16, 64, 256, 1024]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda workers, _: f"{workers:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("workers", fontsize=12, color=INK)
    axes.tick_params(labelsize=11, colors=GREY, length=0)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _colour(name):
    return dict(zip(NOMINAL, (PINK, ORANGE, BLUE), strict=True)).get(name, GREEN)


# ---------------------------------------------------------------------------------------------------------- the page

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #222; background: #fff; margin: 2.5rem auto 4rem; max-width: 66rem;
       padding: 0 1.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; } h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; } p { max-width: 46rem; margin: .5rem 0; } .note, caption { color: #666; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .38rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; vertical-align: bottom; }
th { font-weight: 600; } thead th { border-bottom: 2px solid #bbb; } tbody th, tbody td { vertical-align: middle; }
th:first-child, td:first-child { text-align: left; } tbody th { font-weight: 400; } .wide { margin: .8rem 0 1.4rem; }
td small { color: #444; display: block; } caption { text-align: left; padding: 0 0 .3rem; }
svg { max-width: 100%; height: auto; display: block; margin: .5rem 0; } var { font-family: Georgia, serif; }
.formula { margin: .9rem 0 .9rem 1.5rem; font-size: 1.05rem; line-height: 2.1; }
.part { display: inline-block; vertical-align: middle; text-align: center; line-height: 1.25; margin: 0 .15rem; }
.part span { display: block; padding: 0 .35rem; } .part span + span { border-top: 1.5px solid #222; }
"""


def page(subjects, measured, note):
    """The whole HTML document. measured: the tables of throughput and of bytes, each a heading and lines."""
    throughput, sent = measured
    picture = io.StringIO()
    figure(subjects, heading=False).savefig(picture, format="svg", metadata={"Date": None})
    svg = picture.getvalue()
    parts = [
        "<h1>Many workers, worked out from the rates measured with two</h1>",
        f"<p class=note>{html.escape(note)}</p>",
        "<p>Data-parallel training: each of <var>K</var> workers computes the gradients of its part of a batch, and all"
        " of them add these up, in buckets that leave while backward still runs. What one worker computes in a second"
        " and what it has to send are measured here; what more of them would give is arithmetic, which stands below"
        " with all its assumptions.</p>",
        "<h2>Measured</h2>",
        _table(*throughput),
        "<p>One process with two threads computes the whole batch; two processes with one thread each compute half of"
        " it and exchange gradients.</p>",
        _table(*sent),
        "<p>Two processes send as many bytes as the weights have, each in each direction, and with more of them nearly"
        " twice as many: 2 (<var>K</var> − 1) / <var>K</var>. What runs on the wire beyond that are the packets'"
        " headers, running statistics, and the loss.</p>",
        "<h2>From these rates</h2>",
        _table(*_rates(subjects)),
        FORMULAE,
        f"<p>A test on what can be measured, two workers: {html.escape(_test(subjects))}.</p>",
        "<h2>Up to 1,024 workers</h2>",
        f"<p>{WORDS}</p>",
        svg[svg.index("<svg") :],
    ]
    for subject in subjects:
        parts += [f"<h3>{html.escape(subject.title)}</h3>", *_scaling(subject)]
    body = "\n".join(parts)
    head = f"<meta charset=utf-8><title>Many workers</title><style>{STYLE}</style>"
    return f"<!doctype html>\n<html lang=en><head>{head}</head>\n<body>\n{body}\n</body></html>\n"


FORMULAE = """
<p>The workers stand in a ring, and each sends to the next only (Patarasuk &amp; Yuan 2009): a sum over all of them
takes <var>K</var> − 1 steps to add up and <var>K</var> − 1 to hand round, with one part in <var>K</var> of the bytes in
each.</p>
<div class=formula>
sent(<var>K</var>) = <span class=part><span>2 (<var>K</var> − 1)</span><span><var>K</var></span></span> · bytes<br>
reduce(<var>K</var>) = Σ<sub>buckets</sub> [ 2 (<var>K</var> − 1) · latency +
<span class=part><span>2 (<var>K</var> − 1)</span><span><var>K</var></span></span> ·
<span class=part><span>bytes of the bucket</span><span>bandwidth</span></span> ]<br>
computing(<var>n</var>) = fixed + <var>n</var> · for each image<br>
step(<var>K</var>) = computing(<var>n</var>) + max( reduce(<var>K</var>) − backward(<var>n</var>),
that of the last bucket alone )<br>
images a second = <span class=part><span><var>K</var> · <var>n</var></span><span>step(<var>K</var>)</span></span>
&emsp; efficiency = <span class=part><span>computing(<var>n</var>)</span><span>step(<var>K</var>)</span></span>
</div>
<p>Buckets travel while backward computes the gradients of the layers in front of them, so that much is hidden; the last
bucket is full only when backward is at its end, so it never is. Weak scaling: <var>n</var> stays the same, whatever
<var>K</var> is. Strong scaling: one batch is shared out, <var>n</var> = 1,024 / <var>K</var>, and what is fixed in a
step (the update of the weights, a fixed time for each operation) is paid by every worker. The result is optimistic:
nobody else uses the links, all workers are equally fast, and sending takes nothing from computing. Latency and
bandwidth of networks are nominal ones; those of shared memory were measured between the two processes.</p>
"""


def _test(subjects):
    """The formulae beside the measurement, for two workers."""
    return "; ".join(
        f"a step of {title} should take {rates.step(2, here) * 1e3:,.0f} ms, and took {step * 1e3:,.0f} ms"
        for title, rates, here, step in subjects
    )


def _rates(subjects):
    heading = ["a worker, with one thread", "images", "computing (ms)", "of it backward (ms)", "fixed (ms)"]
    heading += ["each image (ms)", "to send (MB)", "buckets", "latency here (µs)", "bandwidth here (Gbit/s)"]
    lines = []
    for title, rates, link, _ in subjects:
        times = (rates.computing, rates.backward, rates.whole_step.fixed, rates.whole_step.each)
        words = [f"{rates.images:g}", *(f"{seconds * 1e3:.1f}" for seconds in times)]
        words += [f"{sum(rates.buckets) / 1e6:.2f}", str(len(rates.buckets))]
        lines.append([title, *words, f"{link.latency * 1e6:.1f}", f"{8 * link.bandwidth / 1e9:.1f}"])
    return heading, lines


def _table(heading, lines):
    cells = "".join(f"<th scope=col>{html.escape(word)}</th>" for word in heading)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(word)}</td>" for word in line) + "</tr>\n" for line in lines)
    return f"<div class=wide><table><thead><tr>{cells}</tr></thead>\n<tbody>{rows}</tbody></table></div>"


def _scaling(subject):
    """A table for each way of sharing out; the colour of a cell is its efficiency, which stands in it too."""
    shown = [workers for workers in WORKERS if workers >= 8]
    heading = ["images a second (efficiency)", *(f"{workers:,}" for workers in shown), "below one half from"]
    for whole, words in subject.ways.items():
        rows = []
        for name, link in subject.links.items():
            cells = [f"<th scope=row>{html.escape(name)}</th>"]
            for workers in shown:
                part = subject.rates.efficiency(workers, link, whole)
                speed = _three_digits(subject.rates.speed(workers, link, whole))
                cells.append(f'<td style="background:{_tint(part)}">{speed} <small>{part:.0%}</small></td>')
            cells.append(f"<td>{_from(subject.rates.takes_over(link, whole))}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
        top = "".join(f"<th scope=col>{html.escape(word)}</th>" for word in heading)
        table = f"<thead><tr>{top}</tr></thead>\n<tbody>{''.join(rows)}</tbody>"
        yield f"<div class=wide><table><caption>{html.escape(words)}; workers:</caption>{table}</table></div>"


def _tint(part):
    """From orange (all waiting) over white (one half) to blue (all computing), light enough for dark words."""
    low, high = ((230, 159, 0), (86, 180, 233))
    colour, strength = (low, 1 - 2 * part) if part < 0.5 else (high, 2 * part - 1)
    red, green, blue = (round(255 - (255 - channel) * 0.55 * max(strength, 0)) for channel in colour)
    return f"rgb({red},{green},{blue})"
