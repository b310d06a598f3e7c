"""The web page of a tape in headless Chromium: mouse, keys, accessibility tree, light and dark, without a network."""

import base64
import io
import json
import os
import re
import shutil

import numpy
import pytest
from PIL import Image

import minidl
from architectures.lenet import lenet5
from architectures.resnet_cifar import resnet20
from minidl import nn, optim
from minidl.debug import trace
from minidl.debug.page import frame
from minidl.debug.page.data import document
from minidl.debug.page.page import assemble
from tests.test_page import named, numbers, traced

pytestmark = pytest.mark.page

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright and Chromium: make test-page")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
BROWSER = os.environ.get("MINIDL_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
if BROWSER is None:
    pytest.skip("needs Chromium on the PATH, or its place in MINIDL_CHROMIUM", allow_module_level=True)

LAPTOP, PROJECTOR = {"width": 1366, "height": 768}, {"width": 1920, "height": 1080}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Files and documents of two networks."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, model, shape in (("lenet5", lenet5(), (2, 1, 32, 32)), ("resnet20", resnet20(), (2, 3, 32, 32))):
        held = document(traced(model, shape), name, [("loss", "2.3")])
        path = folder / f"{name}.html"
        path.write_text(assemble(json.loads(json.dumps(held))), encoding="utf-8")
        found[name] = path.as_uri(), json.loads(json.dumps(held))
    return found


@pytest.fixture
def opened(browser, pages):
    """opened("lenet5", step=3): the page at a step. An error in it, or a look at the network, fails the test."""
    contexts, problems = [], []

    def open_page(name, step=1, **options):
        context = browser.new_context(**{"viewport": LAPTOP, **options})
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else problems.append(request.url),
        )
        page.goto(f"{pages[name][0]}#step={step}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def place(page):
    """The number of the step that is shown."""
    return int(page.locator("#place").inner_text().split("/")[0])


def find(document, phase, path):
    """The number of a step, from 1."""
    return next(k for k, s in enumerate(document["steps"], 1) if (s["phase"], s["path"]) == (phase, path))


# ------------------------------------------------------------------------------------------------------------- steps


def test_it_opens_in_two_seconds_and_is_smaller_than_twenty_megabytes(opened, pages, tmp_path):
    path = tmp_path / "resnet20.html"  # with as many images of the batch as there are at most
    path.write_text(assemble(document(traced(resnet20(), (4, 3, 32, 32)), "resnet20")), encoding="utf-8")
    assert path.stat().st_size < 20e6
    pages["four images"] = path.as_uri(), None
    times = []
    for _ in range(3):
        page = opened("four images")
        assert page.get_by_role("radio").count() == 4
        times.append(page.evaluate("performance.now()"))
    assert min(times) < 2000
    assert page.title().endswith("resnet20") and page.locator("h2").first.is_visible()


def test_every_step_can_be_shown(opened, pages):
    page, steps = opened("lenet5"), pages["lenet5"][1]["steps"]
    for number, step in enumerate(steps, 1):
        assert place(page) == number
        heading = page.locator(".step-head h2").inner_text()
        assert step["op"] in heading and step["path"] in heading.replace("\u200b", "")
        assert page.locator(".takes .card").count() == len(step["takes"])
        assert page.locator(".gives .card").count() == len(step["gives"])
        page.keyboard.press("ArrowRight")
    assert place(page) == len(steps)  # the last: no further


def test_keys_and_buttons_move(opened, pages):
    page, held = opened("resnet20", step=8), pages["resnet20"][1]
    total = len(held["steps"])
    moves = [("ArrowLeft", 7), ("Home", 1), ("End", total), ("ArrowRight", total), ("Home", 1), ("ArrowLeft", 1)]
    for key, expected in moves:
        page.keyboard.press(key)
        assert place(page) == expected, key
    for button, expected in [("Step on", 2), ("Step back", 1), ("Last step", total), ("First step", 1)]:
        page.get_by_role("button", name=button).click()
        assert place(page) == expected
    page.keyboard.press("PageDown")
    assert held["steps"][place(page) - 1]["path"] == "bn1"
    for key, phase in [("b", "backward"), ("u", "update"), ("f", "forward")]:  # the same operation in each
        page.keyboard.press(key)
        step = held["steps"][place(page) - 1]
        assert (step["phase"], step["path"]) == (phase, "bn1")


def test_slider_moves_with_the_mouse_and_with_keys(opened, pages):
    page, total = opened("resnet20"), len(pages["resnet20"][1]["steps"])
    slider = page.get_by_role("slider", name="Step")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert abs(place(page) - total / 2) < 3
    before = place(page)
    page.keyboard.press("ArrowRight")
    assert place(page) == before + 1
    assert re.match(rf"Step {before + 1} of {total}, (for|back)ward, ", slider.get_attribute("aria-valuetext"))


def test_the_address_leads_to_a_step_and_back_returns_from_a_jump(opened, pages):
    page, held = opened("resnet20", step=5), pages["resnet20"][1]
    page.locator(".links button").first.click()
    assert place(page) != 5
    page.go_back()
    page.wait_for_function("location.hash === '#step=5'")
    assert place(page) == 5
    page.evaluate("location.hash = '#step=9'")
    page.wait_for_function("document.getElementById('place').textContent.startsWith('9 ')")
    page.evaluate("location.hash = '#step=99999'")
    page.wait_for_function(f"document.getElementById('place').textContent.startsWith('{len(held['steps'])} ')")


# ----------------------------------------------------------------------------------------------------------- tensors


def test_a_tensor_leads_to_who_made_it_and_to_who_takes_it(opened, pages):
    page, held = opened("lenet5"), pages["lenet5"][1]
    page.keyboard.press("ArrowRight")
    assert held["steps"][1]["op"] == "ReLU"
    page.get_by_role("button", name=re.compile("^made by step 1, forward, conv1")).click()
    assert place(page) == 1
    assert page.locator(".card.found h4").inner_text().startswith("y")
    assert page.evaluate("document.activeElement.className") == "card found"
    page.locator(".card.found").get_by_role("button", name=re.compile("^taken by step 2, forward")).click()
    assert place(page) == 2
    page.locator(".takes").get_by_role("button", name=re.compile("^its gradient: ")).first.click()
    assert held["steps"][place(page) - 1]["phase"] == "backward"


ENDS = """() => {
  const box = (selector) => document.querySelector(selector).getBBox();
  const line = box(".edge.lit .line"), arrow = box(".edge.lit .arrow");
  return [line.y, line.y + line.height, arrow.y, arrow.y + arrow.height];
}"""


def test_arrows_point_to_where_values_and_gradients_go(opened, pages):
    held = pages["lenet5"][1]
    page = opened("lenet5", step=find(held, "forward", "conv2"))
    line_top, line_end, arrow_top, arrow_end = page.evaluate(ENDS)
    assert arrow_end == pytest.approx(line_end) and arrow_top > line_top  # down, into the convolution
    page = opened("lenet5", step=find(held, "backward", "conv1"))
    page.keyboard.press("ArrowLeft")  # a ReLU lies against the convolution: no line there
    page.keyboard.press("ArrowLeft")
    line_top, line_end, arrow_top, arrow_end = page.evaluate(ENDS)
    assert arrow_top == pytest.approx(line_top) and arrow_end < line_end  # up, into the pooling from below


@pytest.mark.parametrize("size", [LAPTOP, PROJECTOR])
def test_a_network_that_is_little_too_tall_is_seen_as_a_whole(opened, size):
    page = opened("lenet5", viewport=size)
    heights = "place => [place.scrollHeight, place.clientHeight]"
    whole, seen = page.eval_on_selector("#graph", heights)
    assert whole <= seen
    page.set_viewport_size({"width": 1366, "height": 500})
    page.wait_for_timeout(100)
    whole, seen = page.eval_on_selector("#graph", heights)
    assert whole > 1.2 * seen  # it is not made so small that it cannot be read


def test_labels_are_written_out(opened, pages):
    held = pages["lenet5"][1]
    labels = next(tensor["labels"] for tensor in held["tensors"] if tensor.get("labels"))
    page = opened("lenet5", step=sum(step["phase"] == "forward" for step in held["steps"]))  # the loss
    card = page.locator(".takes .card").last
    assert card.locator("dd").all_inner_texts() == ["\u2002".join(map(str, labels))]
    card.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#live").inner_text() == f"target[1] = {labels[1]}"


def pixels(page, selector):
    """The canvas as an array (height, width, 4)."""
    address = page.eval_on_selector(selector, "canvas => canvas.toDataURL()")
    return numpy.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


def marked(page, selector):
    """The box around what is framed in a picture: left, top, right, bottom."""
    image = pixels(page, selector).astype(int)
    y, x = numpy.nonzero((abs(image[..., :3] - [230, 0, 126]) < 3).all(axis=2))
    return (x.min(), y.min(), x.max(), y.max()) if len(x) else None


def test_a_click_on_a_pixel_of_a_convolution_lights_up_its_window_and_shows_the_sum(opened, pages):
    page, held = opened("lenet5"), pages["lenet5"][1]
    window = held["steps"][0]["window"]
    x, y = (numbers(held["tensors"][window[name]]["data"]) for name in ("x", "y"))
    assert marked(page, ".takes figure canvas") is None and page.locator("#sum").is_hidden()
    page.locator(".gives figure canvas").click(position={"x": 20, "y": 20})
    words = page.locator("#sum .equation").inner_text()
    f, i, j = map(int, re.search(r"y\[0, (\d+), (\d+), (\d+)\]", words).groups())
    shown = float(re.search(r"= (−?[\d.]+(?:e−?\d+)?)", words)[1].replace("−", "-"))
    assert shown == pytest.approx(y[0, f, i, j], rel=2e-3)
    cells = page.locator("#sum .channel").first.locator("table").first.locator("td")
    assert cells.count() == 25
    assert [
        float(title.replace("−", "-")) for title in cells.evaluate_all("all => all.map(c => c.title)")
    ] == pytest.approx(x[0, 0, i : i + 5, j : j + 5].ravel(), rel=2e-3, abs=1e-6)
    # The frame around the window: a frame's width outside of 5x5 cells, each as wide as the picture says.
    left, top, right, bottom = marked(page, ".takes figure canvas")
    wide = pixels(page, ".takes figure canvas").shape[1] // 32
    assert (left, top) == (j * wide - 2 if j else 0, i * wide - 2 if i else 0)
    assert (right, bottom) == ((j + 5) * wide + 1, (i + 5) * wide + 1)
    page.keyboard.press("Escape")
    assert page.locator("#sum").is_hidden()


def test_the_same_with_keys_alone(opened, pages):
    page, held = opened("resnet20"), pages["resnet20"][1]
    y = numbers(held["tensors"][held["steps"][0]["window"]["y"]]["data"])
    page.locator(".gives figure canvas").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "PageDown", "PageDown", "PageDown", "PageUp"):
        page.keyboard.press(key)
    assert place(page) == 1  # the arrows were the picture's
    said = page.locator("#live").inner_text()
    assert said.startswith("y[0, 2, 2, 1] = ")
    assert float(said.split("= ")[1].replace("−", "-")) == pytest.approx(y[0, 2, 2, 1], rel=2e-3)
    page.keyboard.press("Enter")
    assert page.locator("#live").inner_text().startswith("y[0, 2, 2, 1] = ")
    assert "27 products" in page.locator("#sum .equation").inner_text()
    assert page.locator("#sum .channel").count() == 3
    page.keyboard.press("Escape")
    assert page.locator("#sum").is_hidden() and place(page) == 1


def test_padding_is_seen_as_such(opened):
    page = opened("resnet20")
    page.locator(".gives figure canvas").focus()
    page.keyboard.press("Enter")  # the upper left corner
    assert page.locator("#sum .channel").first.locator("td.padding").count() == 5


def value(text):
    return float(text.replace("−", "-").replace("∞", "inf"))


def behind(page):
    """The line about one value: its indices, its value as computed in the page, and as the tape has it."""
    words = page.locator("#sum .equation").inner_text()
    name, indices, computed = re.search(r"^(\w+)\[([\d, ]+)\] = (\S+)", words).groups()
    return name, tuple(map(int, indices.split(", "))), value(computed), value(words.split()[-1])


@pytest.mark.parametrize("path, op", [("pool", "MaxPool2d"), ("avgpool", "AdaptiveAvgPool2d")])
def test_a_pixel_of_a_pooling_shows_its_window(opened, pages, path, op):
    network = "lenet5" if path == "pool" else "resnet20"
    held = pages[network][1]
    page = opened(network, step=find(held, "forward", path))
    page.locator(".gives figure canvas").click(position={"x": 30, "y": 30})
    name, indices, computed, kept = behind(page)
    step = held["steps"][place(page) - 1]
    x, y = (numbers(held["tensors"][step["window"][name]]["data"]) for name in ("x", "y"))
    n, c, i, j = indices
    window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] if path == "pool" else x[n, c]
    assert name == "y" and computed == pytest.approx(y[indices], rel=2e-3, abs=1e-6) == kept
    assert computed == pytest.approx(window.max() if path == "pool" else window.mean(), rel=2e-3, abs=1e-6)
    assert page.locator("#sum td").count() == window.size
    assert marked(page, ".takes figure canvas") is not None


def test_a_pixel_of_the_gradient_of_a_convolutions_input_shows_its_sum(opened, pages):
    held = pages["resnet20"][1]
    page = opened("resnet20", step=find(held, "backward", "layer2.0.conv1"))  # stride 2: some taps meet nothing
    for x, y in ((20, 20), (40, 33), (2, 2)):
        page.locator(".gives figure canvas").first.click(position={"x": x, "y": y})
        name, indices, computed, kept = behind(page)
        data = held["tensors"][held["steps"][place(page) - 1]["window"]["y"]]["data"]
        assert name == "grad_x" and kept == pytest.approx(numbers(data)[indices], rel=5e-3)
        assert computed == pytest.approx(kept, rel=5e-3, abs=1e-6)
    assert "288 products" in page.locator("#sum .equation").inner_text()  # 32 filters of 3 x 3


POOLINGS = {
    "max": nn.MaxPool2d(3, 2, 1),
    "dilated": nn.MaxPool2d(2, 1, dilation=2),
    "mean": nn.AvgPool2d(3, 2, 1),
    "inside": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "ceil": nn.AvgPool2d((2, 3), 3, ceil_mode=True),
}


@pytest.mark.parametrize("name", POOLINGS)
def test_poolings_of_all_kinds_forward_and_backward(opened, pages, tmp_path, name):
    """Values of the result and of the gradient, as the page computes them, are the tape's."""
    minidl.manual_seed(2)
    x, pool = minidl.randn(2, 2, 7, 8, requires_grad=True), POOLINGS[name]
    weight = minidl.randn(*pool(x).shape)
    held = document(trace(lambda: (pool(x) * weight).sum().backward()), name)
    path = tmp_path / f"{name}.html"
    path.write_text(assemble(json.loads(json.dumps(held))), encoding="utf-8")
    pages[name] = path.as_uri(), held
    page = opened(name)
    for phase in ("forward", "backward"):
        number = next(k for k, s in enumerate(held["steps"], 1) if s["phase"] == phase and "Pool2d" in s["op"])
        page.evaluate(f"location.hash = '#step={number}'")
        page.wait_for_function(f"document.body.dataset.phase === '{phase}'")
        y = numbers(held["tensors"][held["steps"][number - 1]["window"]["y"]]["data"])[0]
        page.locator(".gives figure canvas").first.focus()
        for plane, i, j in numpy.ndindex(y.shape):
            if (i + 3 * j + 5 * plane) % 19:  # some of them
                continue
            page.keyboard.press("Escape")
            rows, columns = ((["ArrowDown"] * i), (["ArrowRight"] * j))
            for key in [
                "PageUp",
                *["ArrowUp"] * 8,
                *["ArrowLeft"] * 8,
                *["PageDown"] * plane,
                *rows,
                *columns,
                "Enter",
            ]:
                page.keyboard.press(key)
            _, indices, computed, _ = behind(page)
            assert indices == (0, plane, i, j)
            assert computed == pytest.approx(y[plane, i, j], rel=5e-3, abs=1e-6), indices


def test_another_image_of_the_batch(opened, pages):
    held = pages["lenet5"][1]
    page = opened("lenet5")
    buttons = page.get_by_role("radio")
    assert buttons.count() == 2 and buttons.first.get_attribute("aria-checked") == "true"
    first = pixels(page, ".takes figure canvas")
    page.locator(".gives figure canvas").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("i")
    assert behind(page)[1] == (1, 0, 0, 0)  # the sum goes along
    assert behind(page)[2] == pytest.approx(
        numbers(held["tensors"][held["steps"][0]["window"]["y"]]["data"])[1, 0, 0, 0], rel=2e-3
    )
    assert (first != pixels(page, ".takes figure canvas")).any()
    assert "image 1" in page.locator(".takes figcaption").first.inner_text()
    page.keyboard.press("ArrowRight")
    assert "image 1" in page.locator(".takes figcaption").first.inner_text()
    buttons.first.click()
    assert "image 0" in page.locator(".takes figcaption").first.inner_text()
    page.keyboard.press("ArrowRight")  # in a group of buttons, arrows choose
    assert buttons.nth(1).get_attribute("aria-checked") == "true" and place(page) == 2


OPTIMIZERS = {
    "sgd": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "plain": lambda parameters: optim.SGD(parameters, lr=0.1),
    "dampened": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9, dampening=0.5),
    "adam": lambda parameters: optim.Adam(parameters, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda parameters: optim.Adam(parameters, lr=0.01, amsgrad=True),
    "adamw": lambda parameters: optim.AdamW(parameters, lr=0.01),
    "rmsprop": lambda parameters: optim.RMSprop(parameters, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_in_numbers(opened, pages, tmp_path, name):
    """The third step, whose state is no longer zero: the equations come to what the tape has after it."""
    minidl.manual_seed(3)
    model, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), minidl.randn(5, 3)
    optimizer = OPTIMIZERS[name](model.parameters())

    def step():
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()

    step()
    step()
    held = document(trace(step, model), name)
    path = tmp_path / f"{name}.html"
    path.write_text(assemble(json.loads(json.dumps(held))), encoding="utf-8")
    pages[name] = path.as_uri(), held
    page = opened(name, step=find(held, "update", "0"))
    assert "which changed most" in page.locator("#sum h3").inner_text()
    (parameter, *_) = named(held, "update", "0")["update"]["parameters"]
    before, after = (numbers(held["tensors"][parameter[key]]["data"]) for key in ("param", "new_param"))
    place_of_most = numpy.unravel_index(abs(after - before).argmax(), after.shape)
    for where in (place_of_most, (0, 0)):
        shown = page.locator("#sum h3 b").inner_text()
        assert shown == f"weight[{where[0]}, {where[1]}]"
        rows = page.locator("#sum .changes tbody tr").first.locator("td").all_inner_texts()
        assert [value(text) for text in rows] == pytest.approx([before[where], after[where]], rel=1e-3)
        results = page.locator("#sum .equations .result").all_inner_texts()
        if name == "rmsprop":
            assert results == []  # the formula stands above
        else:
            assert value(results[-1]) == pytest.approx(after[where], rel=2e-3, abs=1e-6)
        page.locator(".gives figure canvas").first.click(position={"x": 3, "y": 3})


def test_in_the_frame_of_a_notebook(opened):
    """It has no address there, opens at the event that was asked for, and steps."""
    tape = traced(lenet5(), (2, 1, 32, 32))
    page = opened("lenet5")
    page.set_content(frame(tape, at=next(event.number for event in tape if event.phase == "backward") + 1))
    inner = page.frame_locator("iframe")
    inner.locator("html[data-ready]").wait_for()
    assert inner.locator(".phase").inner_text() == "Backward 1 / 13"
    inner.locator("body").press("ArrowRight")
    inner.locator(".links button").first.click()
    assert inner.locator(".step-head").is_visible()


# ------------------------------------------------------------------------------------------------------------- graph


def test_frames_fold_with_the_mouse_and_with_keys(opened, pages):
    page, held = opened("resnet20"), pages["resnet20"][1]
    seen = lambda: page.get_by_role("treeitem").count()  # noqa: E731
    layer1 = page.get_by_role("treeitem", name="layer1", exact=True)
    assert layer1.get_attribute("aria-expanded") == "false"
    folded, height = seen(), page.locator("#graph svg").bounding_box()["height"]
    layer1.locator(".head").first.click()
    assert layer1.get_attribute("aria-expanded") == "true" and seen() == folded + 3
    assert page.locator("#graph svg").bounding_box()["height"] > height
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("layer1.0")
    page.keyboard.press("ArrowRight")  # opens it
    assert seen() > folded + 3
    page.keyboard.press("ArrowRight")  # goes in
    page.keyboard.press("Enter")
    assert held["steps"][place(page) - 1]["path"] == "layer1.0.conv1"
    assert page.get_by_role("treeitem", name="layer1.0.conv1, Conv2d 3×3").get_attribute("aria-current") == "step"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert seen() == folded
    page.get_by_role("button", name="Open all").click()
    assert seen() == len(held["graph"]["frames"]) + sum(len(box["bands"]) for box in held["graph"]["boxes"])
    page.get_by_role("button", name="Close all").click()
    assert seen() == folded


def test_the_graph_follows_the_steps(opened, pages):
    held = pages["resnet20"][1]
    page = opened("resnet20", step=find(held, "backward", "layer2.1.conv2"))
    here = page.locator("#graph [aria-current=step]")
    assert here.get_attribute("aria-label") == "layer2.1.conv2, Conv2d 3×3"
    box, graph = here.bounding_box(), page.locator("#graph").bounding_box()
    assert graph["y"] < box["y"] and box["y"] + box["height"] < graph["y"] + graph["height"]
    page.keyboard.press("f")
    assert page.locator("#graph .edge.lit.forward").count() >= 1


def test_nothing_lies_on_anything_however_it_is_folded(opened, pages):
    page = opened("resnet20", step=find(pages["resnet20"][1], "forward", "layer2.0.conv1"))
    for action in (None, "Open all", "Close all"):
        if action:
            page.get_by_role("button", name=action).click()
        boxes = page.eval_on_selector_all(
            "#graph .node > .shape, #graph .frame:not([aria-expanded=true]) > .head > rect",
            "all => all.map(e => e.getBoundingClientRect()).map(r => [r.left, r.top, r.right, r.bottom])",
        )
        for k, (left, top, right, bottom) in enumerate(boxes):
            for other in boxes[k + 1 :]:
                across, down = min(right, other[2]) - max(left, other[0]), min(bottom, other[3]) - max(top, other[1])
                assert across < 2 or down < 2


# ------------------------------------------------------------------------------------- for everybody, on all screens


def test_everything_has_a_name_in_the_accessibility_tree(opened, pages):
    held = pages["resnet20"][1]
    page = opened("resnet20", step=find(held, "forward", "layer1.0.conv2"))
    session = page.context.new_cdp_session(page)
    nodes = [n for n in session.send("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
    by_role = {}
    for node in nodes:
        by_role.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    for role in ("button", "slider", "treeitem", "application", "article", "navigation", "tree", "main"):
        assert by_role[role] and all(by_role[role]), role
    assert "status" in by_role
    assert by_role["navigation"] == ["The network"] and by_role["slider"] == ["Step"]
    assert "layer1.0.conv2, Conv2d 3×3" in by_role["treeitem"]
    assert any(name.startswith("x 2 × 16 × 32 × 32") for name in by_role["article"])
    page.keyboard.press("ArrowRight")
    number = place(page)
    assert (
        page.locator("#live").inner_text().startswith(f"Step {number} of {len(held['steps'])}, forward, layer1.0.bn2")
    )


def test_tab_reaches_everything_and_the_focus_is_seen(opened):
    page = opened("lenet5")
    reached = set()
    name = "(e => e.id || e.getAttribute('aria-label') || e.textContent.trim().slice(0, 20))(document.activeElement)"
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(name))
    assert {"theme", "help", "open-all", "close-all", "slider", "first", "next"} <= reached
    assert any(name.startswith("y, 2 × 6") for name in reached) and any(name.startswith("node-") for name in reached)
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "treeitem"
    page.get_by_role("button", name="Step on").focus()
    page.keyboard.press("t")
    assert page.evaluate("document.activeElement.className") == "card"


def test_help_opens_and_closes_with_keys(opened):
    page = opened("lenet5")
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("ArrowRight")
    assert place(page) == 1
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_light_and_dark(opened):
    def lightness(page):
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    light, dark = opened("lenet5", color_scheme="light"), opened("lenet5", color_scheme="dark")
    assert lightness(light) > 240 and lightness(dark) < 40
    bright, dim = (pixels(page, ".gives figure canvas")[..., :3].mean() for page in (light, dark))
    assert bright > dim + 40
    dark.get_by_role("button", name="Light colours").click()
    assert lightness(dark) > 240
    numpy.testing.assert_array_equal(pixels(dark, ".gives figure canvas"), pixels(light, ".gives figure canvas"))


@pytest.mark.parametrize("size", [LAPTOP, PROJECTOR], ids=["laptop", "projector"])
def test_nothing_is_cut_off(opened, pages, size):
    page = opened("resnet20", viewport=size)
    for path in ("conv1", "bn1", "layer3.2.conv2", "linear"):
        for phase in ("forward", "backward", "update"):
            page.evaluate(f"location.hash = '#step={find(pages['resnet20'][1], phase, path)}'")
            page.wait_for_function(f"document.body.dataset.phase === '{phase}'")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
            assert page.eval_on_selector("#step", "e => e.scrollWidth <= e.clientWidth"), (phase, path)
            assert page.eval_on_selector_all(".card", "all => all.every(e => e.scrollWidth <= e.clientWidth + 1)")


def test_values_under_the_pointer_are_read(opened, pages):
    page, held = opened("lenet5", step=2), pages["lenet5"][1]
    page.locator(".gives figure canvas").hover(position={"x": 3, "y": 3})
    note = page.locator("#reading").inner_text()
    y = numbers(held["tensors"][held["steps"][1]["gives"][0]["tensor"]]["data"])
    value = float(note.split()[-1].replace("−", "-"))
    assert note.startswith("y[0, 0, 0, 0] ") and value == pytest.approx(y[0, 0, 0, 0], rel=2e-3, abs=1e-6)
