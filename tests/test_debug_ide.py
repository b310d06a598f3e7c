"""An IDE's debugger (debugpy, which VS Code and PyCharm's kin use) stops in the backward of a student's Function."""

import textwrap

import pytest

from tests.debug_adapter import IDE

pytest.importorskip("debugpy", reason="needs debugpy: make test-page installs it")

pytestmark = pytest.mark.page

SCRIPT = """\
import minidl
import minidl.debug


class Square(minidl.Function):
    def forward(self, x):
        self.save_for_backward(x)
        return x * x

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        local = 2 * x
        return grad_output * local


class Cube(minidl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, grad_y):
        (x,) = ctx.saved_tensors
        breakpoint()
        return 3 * grad_y * x * x


x = minidl.tensor([1.0, -2.0], requires_grad=True)


def step():
    loss = Cube.apply(minidl.apply(Square, x)).sum()
    loss.backward()
    print("gradient", x.grad.tolist())
"""


def script(tmp_path, more):
    path = tmp_path / "student.py"
    path.write_text(SCRIPT + "\n\n" + textwrap.dedent(more), encoding="utf-8")
    return path


def users(frames):
    """Those in the script."""
    return [frame for frame in frames if frame[1].startswith("student.py")]


def test_it_stops_in_a_backward_with_the_users_frames_and_variables(tmp_path):
    with IDE(script(tmp_path, "step()\n"), lines=[13]) as ide:
        assert ide.stopped()  # breakpoint() in Cube.backward: an IDE takes it over
        assert users(ide.frames()) == [
            ("backward", "student.py:26"),
            ("step", "student.py:34"),
            ("<module>", "student.py:38"),
        ]
        assert "tensor([1., 4.]" in ide.variables()["x"]
        ide.command("continue")

        assert ide.stopped()  # the breakpoint in Square.backward
        assert users(ide.frames())[0] == ("backward", "student.py:13")
        assert ide.frames()[1][1].startswith("engine.py")  # backward is plain Python all the way
        assert ide.variables()["local"].startswith("array([ 2., -4.]")
        assert ide.evaluate("(grad_output * local).tolist()") == "[6.0, -192.0]"
        assert ide.evaluate("self.name()") == "'Square'"
        ide.command("continue")
        assert not ide.stopped()
    assert "gradient [6.0, -192.0]" in ide.output


def test_steps_go_line_by_line_from_forward_into_backward(tmp_path):
    with IDE(script(tmp_path, "step()\n"), lines=[11, 33]) as ide:
        assert ide.stopped()
        assert users(ide.frames())[0] == ("step", "student.py:33")
        ide.command("next")
        assert ide.stopped()
        assert users(ide.frames())[0] == ("step", "student.py:34")  # loss.backward()
        ide.command("next")  # runs into breakpoint()
        assert ide.stopped()
        assert users(ide.frames())[0] == ("backward", "student.py:26")
        ide.command("continue")
        assert ide.stopped()
        assert users(ide.frames())[0] == ("backward", "student.py:11")
        for line in (12, 13):
            ide.command("next")
            assert ide.stopped()
            assert users(ide.frames())[0] == ("backward", f"student.py:{line}")
        ide.command("continue")
        assert not ide.stopped()


def test_minidls_own_prompt_beside_it(tmp_path):
    """`with minidl.debug.step()` in its console; the IDE's breakpoints still hold afterwards."""
    more = """\
    with minidl.debug.step():
        y = minidl.apply(Square, x).sum()
    y.backward()
    print("gradient", x.grad.tolist())
    """
    with IDE(script(tmp_path, more), lines=[13], typed="s\nx\nc\n") as ide:
        assert ide.stopped()
        assert users(ide.frames())[0] == ("backward", "student.py:13")
        ide.command("continue")
        assert not ide.stopped()
    assert "after Square" in ide.output
    assert "array([ 1., -2.], dtype=float32)" in ide.output
    assert "gradient [2.0, -4.0]" in ide.output
