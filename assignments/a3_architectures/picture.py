"""The picture at the end of assignment 3: plain and residual nets of 8 and of 44 layers while they learn real digits.

Everything that is drawn comes out of the student's own blocks. It takes half a minute.
"""

import os

from matplotlib.figure import Figure

from assignments.a3_architectures.degradation import experiment

DEPTHS, EPOCHS, IMAGES = (8, 44), 6, 1437
if os.environ.get("MINIDL_COURSE_QUICK"):  # only to see that it runs
    DEPTHS, EPOCHS, IMAGES = (8, 14), 2, 200
VERMILION, BLUE, INK, FAINT = "#D55E00", "#0072B2", "#222222", "#BBBBBB"  # two that colour-blind readers tell apart
COLOURS = {"plain": VERMILION, "residual": BLUE}


def picture(folder):
    """Train the four nets and draw a3.png into `folder`; returns its path."""
    found = experiment(DEPTHS, EPOCHS, count=IMAGES, after_run=tell)
    figure = Figure(figsize=(11, 4.9), dpi=130, facecolor="white")
    figure.text(0.045, 0.93, "Deeper is worse, unless there is a way around", fontsize=19, weight="bold", color=INK)
    figure.text(
        0.045, 0.86,
        f"Error on the training images while the nets learn {IMAGES:,} handwritten digits: so it is not overfitting",
        fontsize=12, color=INK,
    )  # fmt: skip
    for place, kind in enumerate(COLOURS):
        axes = figure.add_axes((0.075 + 0.475 * place, 0.13, 0.40, 0.59))
        draw(axes, kind, found)
    path = folder / "a3.png"
    figure.savefig(path)
    return path


def tell(kind, depth, errors, end):
    """A line for each net that is done."""
    print(f"{kind}, {depth} layers: {errors[-1]:.1f} % wrong in the last epoch, {end:.1f} % after it")


def draw(axes, kind, found):
    """The curves of one kind: the shallow net thin and dashed, the deep one thick, each with its name at its end."""
    epochs = range(1, EPOCHS + 1)
    ends = []
    for depth, style, width in zip(DEPTHS, ("--", "-"), (2.0, 3.2), strict=True):
        errors, _ = found[kind, depth]
        axes.plot(
            epochs,
            errors,
            style,
            color=COLOURS[kind],
            linewidth=width,
            marker="o",
            markersize=5 if style == "--" else 7,
        )
        ends.append((errors[-1], f"{depth} layers: {errors[-1]:.1f} %", style == "-"))
    low = -9.0
    for height, text, deep in sorted(ends):
        low = max(height, low + 7.0)  # names that would lie on each other move apart
        axes.annotate(
            text, (EPOCHS, height), (EPOCHS + 0.2, low), va="center", fontsize=11.5, color=COLOURS[kind],
            weight="bold" if deep else "normal", annotation_clip=False,
        )  # fmt: skip
    axes.set_title(f"{kind.capitalize()} nets", loc="left", fontsize=14, color=COLOURS[kind], weight="bold")
    axes.set_xlim(0.8, EPOCHS + 2.7)
    axes.set_ylim(-3, 100)
    axes.set_xticks(list(epochs))
    axes.set_yticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
    axes.set_xlabel("Epoch", fontsize=11, color=INK, loc="left")
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.axhline(90, color=FAINT, linewidth=1, linestyle=":")
    axes.text(EPOCHS + 2.65, 91.5, "guessing", fontsize=9.5, color="#888888", ha="right")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=INK, length=0, labelsize=10.5)
