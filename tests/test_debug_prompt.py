"""The prompt: its commands at events and at lines, mistakes, exceptions; and in a terminal, as a student meets it."""

import io
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import minidl
import minidl.debug
import minidl.nn.functional as F
from architectures.lenet import lenet5
from minidl import events, nn, optim
from minidl.cli import main
from minidl.cli.training_step import training_step
from minidl.debug.prompt import Pdb, Quit
from minidl.debug.tutorial import LESSONS, Guide
from minidl.debug.watch import active, step

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 180  # seconds: on a machine that does much else


def lenet_step():
    minidl.manual_seed(0)
    model = lenet5()
    x, labels = minidl.randn(2, 1, 32, 32), minidl.tensor([1, 2])
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return lambda: training_step(model, x, labels, nn.CrossEntropyLoss(), optimizer)


class Session:
    """What a prompt answered: a piece of text for each command, the first for the stop before them."""

    def __init__(self, function, *commands, base=Pdb):
        self.written = io.StringIO()
        reader = io.StringIO("".join(f"{command}\n" for command in commands))
        pieces = self.written

        class Prompt(base):
            def __init__(self, **kwargs):
                super().__init__(stdin=reader, stdout=pieces, readrc=False, **kwargs)

            def precmd(self, line):
                if not line.startswith("_pdbcmd"):  # pdb's own, since Python 3.13
                    pieces.write("\0")
                return super().precmd(line)

        self.error = None
        try:
            with step(prompt=Prompt):
                function()
        except BaseException as error:
            self.error = error
        self.answers = [re.sub(r"\(minidl(?: line)?\) $", "", t) for t in self.written.getvalue().split("\0")]

    def __getitem__(self, number):
        return self.answers[number]


def after(*commands, function=None):
    """The answer to the last of these commands, in a step of LeNet-5; then the prompt is left."""
    session = Session(function or lenet_step(), *commands, "q")
    assert isinstance(session.error, Quit)
    return session[len(commands)]


def test_the_prompt_stands_before_the_first_operation_and_q_leaves_cleanly():
    session = Session(lenet_step(), "q")
    assert "forward   before Conv2d   in conv1" in session[0]
    assert "y[n, f, oh, ow] = bias[f] + sum over c, kh, kw" in session[0]
    assert re.search(r"    x +f32\[2,1,32,32\] 8.0KiB \[-3.2 .{8} 3.18\] mean", session[0])
    assert "x = self.pool(self.relu(self.conv1(x)))" in session[0]
    assert isinstance(session.error, SystemExit)
    assert session.error.code == 0
    assert not events.observers
    assert not active


def test_stepping_forward_and_back_shows_the_tensors_as_they_were():
    session = Session(lenet_step(), "s", "rs", "s", "s 3", "rs 3", "rs 2", "rs", "q")
    assert "after Conv2d" in session[1]
    assert " y " in session[1]
    assert "before Conv2d" in session[2]
    assert " y " not in session[2]
    assert "(1 event back)" in session[2]
    assert session[3].splitlines()[1:] == session[1].splitlines()[1:]
    assert "after ReLU" not in session[4]
    assert "before ReLU   in relu" in session[4]
    assert "after Conv2d" in session[5]
    assert "enter conv1 (Conv2d)" in session[6]
    assert "enter LeNet5" in session[7]


def test_breakpoints_are_set_listed_hit_and_cleared():
    session = Session(lenet_step(), "b op:Linear", "tbreak op:ReLU", "b", "c", "b", "c", "cl 1", "b", "c")
    assert session[1] == "breakpoint 1: op:Linear\n"
    assert session[3] == "1  op:Linear  (0 hits)\n2  op:ReLU, once  (0 hits)\n"
    assert session[4].startswith("breakpoint 2: op:ReLU\n")
    assert "before ReLU" in session[4]
    assert session[5] == "1  op:Linear  (0 hits)\n"
    assert session[6].startswith("breakpoint 1: op:Linear\n")
    assert session[7] == "1 breakpoint gone\n"
    assert session[8].startswith("no breakpoints")
    assert session.error is None  # it ran to its end
    assert not events.observers


def test_conditions_see_tensors_and_the_variables_of_the_frame():
    answer = after("b op:Linear if x.shape[1] == 84 and isinstance(self, object)", "c")
    assert "in fc3" in answer
    answer = after("b op:ReLU if nothing > 1", "c")
    assert "*** the condition `nothing > 1` failed: NameError: name 'nothing' is not defined" in answer
    assert "before ReLU" in answer


def test_backward_gradients_and_the_update():
    session = Session(
        lenet_step(),
        "gy",
        "gx",
        "unt phase:bwd",
        "gy",
        "gx",
        "s",
        "gx",
        "unt param:conv1.weight",
        "s",
        "s",
        "saved",
        "q",
    )
    assert session[1].startswith("no gradient has arrived here")
    assert session[2] == "this is not backward\n"
    assert "backward  before CrossEntropy" in session[3]
    assert session[4] == "gy f32[] 4B = 1\n"
    assert session[5] == "backward has not run here; s runs it\n"
    assert session[7].startswith("gx f32[2,10] 80B [")
    assert "accumulate into conv1.weight   in conv1" in session[8]
    assert "update    enter SGD" in session[9]
    assert "p <- p - lr * v" in session[9]
    assert "before SGD of conv1.weight" in session[10]
    assert session[11] == "nothing is saved here\n"
    assert "saved0 f32[2,6,14,14]" in after("unt op:Conv2d phase:bwd", "saved")


def test_what_the_engine_fills_in_is_not_shown_at_a_stop():
    norm = nn.BatchNorm2d(3)
    function = lambda: norm(minidl.randn(2, 3, 4, 4)).sum().backward()  # noqa: E731
    answer = after("unt op:BatchNorm phase:bwd", "s", function=function)
    assert " gy0 " in answer
    assert " gweight " in answer
    assert "gy1" not in answer
    assert "\n    dw = sum of dy centred r,  db = sum of dy\n" in answer
    assert "gy1 " in after("unt op:BatchNorm phase:bwd", "gy", function=function)


def test_next_return_and_their_reverses_respect_modules():
    session = Session(lenet_step(), "rs", "n", "n", "n", "s", "r", "r", "rc", "rc", "q")
    assert "enter conv1" in session[1]
    assert "leave conv1" in session[2]
    assert "enter relu" in session[3]
    assert "leave relu" in session[4]
    assert "enter pool" in session[5]
    assert "leave pool" in session[6]
    assert "leave LeNet5" in session[7]
    assert "[0] forward   enter LeNet5" in session[8]
    assert session[9] == "*** this is the first event\n"
    assert "enter LeNet5" in after("r", "r", "rn")


def test_what_there_is_to_see():
    session = Session(lenet_step(), "s", "a", "w", "src", "formula", "l", "pt x[0,0,:2,:2]", "hist y", "im x", "q")
    assert "stride = (1, 1)" in session[2]
    assert "weight f32[6,1,5,5]" in session[2]
    assert session[3].startswith("LeNet5 > conv1  Conv2d\n")
    assert "lenet.py:49 in forward" in session[3]
    assert "49 ->" in session[4]
    assert "LeCun et al., Proc. IEEE 1998" in session[5]
    assert "def forward(self, x, weight, bias" in session[6]
    assert session[7].startswith("f32[2,2]\n[[")
    assert len(session[8].splitlines()) == 16
    assert len(session[9].splitlines()) == 2 * (32 + 1) + 1  # two images
    assert session[9].splitlines()[-1].startswith("2 of 32x32; -3.2 is blank")
    assert "def backward(self, grad_output)" in after("unt phase:bwd", "l")
    assert "def update(self, param" in after("unt phase:update", "l")


def test_a_picture_in_a_file(tmp_path):
    path = tmp_path / "maps.png"
    assert after("s", f"im y {path}") == f"picture: {path}\n"
    assert path.stat().st_size > 500


def test_the_tape_as_a_page_and_the_network_as_a_picture(tmp_path):
    page, picture = tmp_path / "out.html", tmp_path / "out.svg"
    session = Session(lenet_step(), "s", f"html {page}", f"g {picture}", "len(tape)", "html", "g out.png", "q")
    assert session[2] == f"page: {page}\n"
    assert "LeNet5" in page.read_text(encoding="utf-8")
    assert session[3] == f"picture: {picture}\n"
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert session[4] == "4\n"  # running it once more is not on the tape
    assert session[5] == "*** name the file to write: out.html\n"
    assert session[6] == "*** name the file to write: out.svg\n"
    assert Session(lambda: minidl.ones(2) * 2, "g out.svg", "q")[1].startswith("*** no network with parameters")


def test_the_graph_is_walked_to_producers_and_consumers():
    session = Session(lenet_step(), "in", "unt op:ReLU", "in", "in 0", "out", "s 20", "in x", "out 5", "q")
    assert session[1] == "*** no input was made here\n"
    assert re.fullmatch(r"0  x: \[\d+\] Conv2d conv1\n", session[3])
    assert "after Conv2d   in conv1" in session[4]
    assert re.fullmatch(r"0  ReLU: \[\d+\] ReLU relu\n", session[5])
    assert session[8].startswith("*** ")
    back = Session(lenet_step(), "unt op:MaxPool2d phase:bwd", "in 0", "s 100", "rc", "q")
    assert "(" not in back[1].splitlines()[0]
    assert "after ReLU   in relu" in back[2]  # its backward has not run yet: forward


def test_what_is_no_command_is_python():
    def run():
        local = [10, 20]
        x = minidl.ones(3)
        y = x * 2
        return y + local[0]

    session = Session(
        run,
        "local",
        "a.sum() + 1",
        "a",
        "[v + len(local) for v in a.tolist()]",
        "n = 5",
        "n == 5",
        "p (local)",
        "p(a.shape)",
        "pp local",
        "!z = a.sum()",
        "tape",
        "event.operation",
        "a[0] = 7",
        "1/0",
        "x.nothing",
        "local(",
        "z + n",
        "q",
    )
    assert session[1] == "[10, 20]\n"
    assert "4.0" in session[2]
    assert session[3].startswith("a f32[3]")  # the command
    assert session[4] == "[3.0, 3.0, 3.0]\n"
    assert session[6] == "True\n"
    assert session[7] == "[10, 20]\n"
    assert session[8] == "(3,)\n"
    assert session[9] == "[10, 20]\n"
    assert "Tape" in session[11]
    assert session[12] == "'Mul'\n"
    assert "read-only" in session[13]
    assert session[14] == "*** ZeroDivisionError: division by zero\n"
    assert session[15].startswith("*** AttributeError")
    assert session[16].startswith("*** SyntaxError")
    assert "8.0" in session[17]


def test_a_loop_in_one_line(capsys):
    assert after("for i in range(2): print(i)") == ""
    assert capsys.readouterr().out == "0\n1\n"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("b conv", "did you mean op:Conv2d?"),
        ("b op:Lin", "did you mean op:Linear?"),
        ("b mod:conv3", "there is no module 'conv3' in the model; did you mean mod:conv2?"),
        ("unt param:fc1.wieght", "there is no parameter 'fc1.wieght' in the model; did you mean param:fc1.weight?"),
        ("unt nothing:3", "'nothing:3' is no SPEC; there are op:Conv2d"),
        ("unt shape:a", "a shape is numbers and * with commas"),
        ("unt", "a SPEC is one of"),
        ("s zero", "expected a number of events, got 'zero'"),
        ("rs -1", "expected a number of events"),
        ("cl 7", "there is no breakpoint 7"),
        ("pt nothing", "NameError: name 'nothing' is not defined; the tensors here are x, weight, bias"),
        ("why gx[0,0]", "NameError: name 'gx' is not defined; backward brings gradients: unt phase:bwd"),
        ("weigth.max()", "NameError: name 'weigth' is not defined; did you mean weight?"),
        ("pt x[0,", "SyntaxError"),
        ("pt x[99]", "IndexError"),
        ("pt 'word'", "'word' is no tensor but a str"),
        ("im", ""),
        ("hist", ""),
        ("in 3", "no input was made here"),
        ("diff 3", "3 is no Tape"),
        ("diff", "with which run? diff TAPE"),
        ("b lenett.py:49", "there is no file 'lenett.py' here; did you mean lenet.py:49?"),
        ("u 0", "expected a number"),
        ("b op:ReLU if", "nothing stands after 'op:ReLU if'; for example op:ReLU if event.number > 9"),
        ("why weig[0]", "did you mean weight?"),
        ("d", "this is the innermost of your lines"),
        ("im x /nowhere/at/all.png", "FileNotFoundError"),
        ("h nothing", "No help"),
    ],
)
def test_a_mistake_costs_one_line_and_not_the_session(command, answer):
    session = Session(lenet_step(), command, "s", "q")
    assert answer in session[1]
    if answer:
        assert len(session[1].splitlines()) == 1
    assert "after Conv2d" in session[2]


def test_an_error_comes_with_its_help_and_nothing_else():
    answer = after("F.linear(minidl.ones(2, 4), model.weight)", function=helpful)
    assert re.fullmatch(r"\*\*\* RuntimeError: linear\(\): .*\n  help: .*\n", answer)
    answer = after("F.linear(a, model.weight)", function=helpful)  # a is an array there
    assert re.fullmatch(r"\*\*\* TypeError: linear\(\): .* not ndarray\n  help: wrap it: .*\n", answer)


def helpful():
    model = nn.Linear(3, 2)
    return minidl.ones(4) * 2, model, F


def test_detach_lets_the_program_run_on_as_if_there_were_no_debugger():
    tapes = []

    class Late(Pdb):
        def do_detach(self, arg):
            tapes.append(self.session.tape)
            return super().do_detach(arg)

    for commands in (["s", "b op:Linear", "detach"], ["line", "line", "detach"]):
        session = Session(lenet_step(), *commands, base=Late)
        assert session.error is None
        assert len(session.answers) == len(commands) + 1  # no stop after it, not even at the end
        assert "*" not in session[-1]
        assert len(tapes.pop()) < 40  # of 112 events: nothing more on the tape
        assert not events.observers
        assert sys.gettrace() is None or "debug" not in repr(sys.gettrace())
    session = Session(failing, "detach")  # the exception is Python's to show
    assert isinstance(session.error, RuntimeError)
    assert len(session.answers) == 2


def test_what_is_written_into_the_tapes_arrays_is_said_where_it_happens():
    w = minidl.ones(3, requires_grad=True)

    def run():
        for _ in range(2):
            (w * 2).sum().backward()
            w.data -= 0.1 * w.grad.data

    line = run.__code__.co_firstlineno + 3
    session = Session(run, "s", "unt phase:bwd", "unt op:Mul phase:fwd", "rc", "c")
    said = f"*** test_debug_prompt.py:{line} writes into the array of a tensor itself: what the tape has of it is lost"
    assert session[3].startswith(said)
    assert "under no_grad(), p -= a keeps it" in session[3]
    assert f"(overwritten in test_debug_prompt.py:{line})" in session[4]
    assert sum(said in answer for answer in session.answers) == 1  # once for each line


def test_help_has_every_command():
    text = after("h")
    for command in ("detach", "rs", "unt SPEC", "tbreak", "formula", "diff TAPE", "pdb's own", "(minidl line)"):
        assert command in text
    assert "back to a breakpoint" in text.lower() or "rc" in text
    assert "op:Conv2d" in after("h b")
    assert "reverse step" in after("h rs")
    assert max(len(line) for line in text.splitlines()) <= 120


def test_commands_at_the_prompt_are_not_on_the_tape():
    session = Session(lenet_step(), "len(tape)", "(minidl.ones(3) * 2).sum().item()", "len(tape)", "q")
    assert session[1] == session[3]
    assert session[2] == "6.0\n"


def test_where_nothing_was_computed_there_is_nothing_to_look_at():
    session = Session(lambda: None)
    assert session[0] == "the end: no operation ran in here\n"
    assert session.error is None and not active and not events.observers


def test_an_update_has_no_backward_to_check():
    assert after("unt phase:update", "s", "check").startswith("*** an update has no backward")


def test_the_end_comes_with_a_last_stop_and_c_passes_it():
    session = Session(lenet_step(), "unt phase:update", "r", "s", "rs", "c")
    assert "leave SGD" in session[2]
    assert session[3].startswith("the end: ")
    assert session.error is None
    assert Session(lenet_step(), "c").error is None


def test_a_diff_with_another_run():
    reference = minidl.debug.trace(lenet_step())
    parts = minidl.debug.trace(lambda: minidl.ones(2) * 2)
    run = lenet_step()

    def both():
        return run(), reference, parts

    session = Session(both, "unt phase:update", "up", "up", "diff reference", "diff parts", "diff nothing", "q")
    assert session[4] == "the two runs do not part so far\n"
    assert session[5].startswith("the runs part here: another kind, enter and before\nthis: [0] forward   enter LeNet5")
    assert session[6].startswith("*** NameError")


def test_up_and_down_pass_over_minidls_own_frames():
    session = Session(lenet_step(), "u", "model.fc1", "u", "d 9", "u 99", "u", "line", "u", "q")
    assert "training_step.py" in session[1]
    assert "Linear(in_features=400" in session[2]
    assert "test_debug_prompt.py" in session[3]
    assert "lenet.py" in session[4]
    assert session[6] == "*** this is the outermost of your lines\n"
    assert "minidl" in session[8] and "module.py" in session[8]  # at a line it is pdb's


@pytest.mark.parametrize(
    "commands, line",
    [
        (["unt op:ReLU"], "LeNet5 > relu  ReLU"),
        (["unt op:Conv2d"], "LeNet5 > conv2  Conv2d"),
        (["unt op:CrossEntropy"], "CrossEntropyLoss  CrossEntropy"),
        (["unt phase:update"], "SGD"),
        (["unt phase:update", "unt param:conv1.weight"], "LeNet5 > conv1  SGD"),
    ],
)
def test_where_names_the_model_for_what_is_in_it(commands, line):
    assert after(*commands, "w").splitlines()[0] == line


def test_where_names_no_model_for_what_stands_beside_it():
    def beside():
        return nn.Linear(3, 2)(minidl.ones(1, 3)) * 2

    assert after("w", function=beside).splitlines()[0] == "Linear  Linear"
    assert after("unt op:Mul", "w", function=beside).splitlines()[0] == "Mul"


def test_display_shows_the_tensors_of_the_stop():
    session = Session(lenet_step(), "display y.shape", "s", "display x[0,0,0,:2]", "undisplay y.shape", "s 4", "q")
    assert session[1].startswith(
        "display y.shape: ** raised NameError: name 'y' is not defined; the tensors here are x"
    )
    assert "display y.shape: (2, 6, 28, 28)  [old: ** raised NameError" in session[2]
    assert session[3].startswith("display x[0,0,0,:2]: array([")
    assert "display x[0,0,0,:2]: array([" in session[5] and "[old: array([" in session[5]  # another x


class Triple(minidl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 3

    @staticmethod
    def backward(ctx, grad_y):
        breakpoint()
        return grad_y * 3


def test_breakpoint_inside_of_a_step_comes_to_the_same_prompt(monkeypatch):
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)  # pytest has its own
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    layer = nn.Linear(3, 2)

    def run():
        Triple.apply(layer(minidl.ones(1, 3))).sum().backward()

    session = Session(run, "c", "grad_y.shape", "event", "rs", "rs", "c")
    assert "-> return grad_y * 3" in session[1] or "-> breakpoint()" in session[1]  # from Python 3.13 on
    assert session[2] == "(1, 2)\n"
    assert "before Mul   in backward of Triple" in session[3]  # and not in the model, which is over
    assert "before Triple" in session[4]
    assert session.error is None
    assert sys.breakpointhook is sys.__breakpointhook__

    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    assert Session(run, "c").error is None
    monkeypatch.delenv("PYTHONBREAKPOINT")
    hooked = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: hooked.append(1))  # an IDE's
    assert Session(run, "c").error is None
    assert hooked == [1]


def test_a_detached_program_ends_as_if_there_were_no_debugger():
    session = Session(failing, "detach")
    assert isinstance(session.error, RuntimeError)
    assert session[1] == ""


def failing():
    y = minidl.ones(2, 4) * 2
    return helper(y)


def helper(z):
    return z.reshape(3, 5)  # does not fit


def test_an_exception_shows_the_users_lines_and_the_tape_is_there():
    session = Session(failing, "c", "z.shape", "rs", "s", "line", "up", "c")
    assert "helper" in session[1]
    assert "return z.reshape(3, 5)  # does not fit" in session[1]
    assert "RuntimeError: reshape(): shape (3, 5) is invalid" in session[1]
    assert "tensor.py" not in session[1]
    assert session[2] == "(2, 4)\n"
    assert "before Mul" in session[3]
    assert "after Mul" in session[4]
    assert session[5].startswith("*** the computation is over")
    assert isinstance(session.error, RuntimeError)
    names = []
    trace = session.error.__traceback__
    while trace is not None:
        names.append(Path(trace.tb_frame.f_code.co_filename).name)
        trace = trace.tb_next
    assert set(names) == {"test_debug_prompt.py"}


def test_lines_of_python_and_back_to_events():
    def run():
        y = minidl.ones(2) * 2
        count = 3
        y = y + count
        return y * 4

    session = Session(run, "s", "line", "count", "n", "event", "rs", "q")
    assert "count = 3" in session[2]
    assert session[3].startswith("*** NameError")  # not yet
    assert "y = y + count" in session[4]
    assert "before Add" in session[5]
    assert "after Mul" in session[6]
    assert sys.gettrace() is None or not isinstance(getattr(sys.gettrace(), "__self__", None), Pdb)


def test_every_lesson_of_the_tutorial_leads_to_the_next():
    session = Session(lenet_step(), *[lesson.command for lesson in LESSONS], base=Guide)
    assert isinstance(session.error, Quit)
    for number, lesson in enumerate(LESSONS):
        first = lesson.text.splitlines()[0].strip()
        assert f"  | {first}" in session[number], lesson.command
        assert "\n*** " not in session[number]
    session = Session(lenet_step(), "a", "step", "im", "", "im  x", "q", base=Guide)
    assert "Type im x" not in session[1]  # another command is tried: the lesson waits
    assert "Type im x" in session[2]  # the long name is as good
    assert "im y" not in session[3] + session[4] and "im y" in session[5]


# ---------------------------------------------------------------------------------------------- whole programs


def environment(**more):
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "TERM": "dumb",
        "PYTHONBREAKPOINT": "",
        **more,
    }


def run_script(text, typed, tmp_path, *options, **more):
    script = tmp_path / "script.py"
    script.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, *options, str(script)],
        input="".join(f"{line}\n" for line in typed),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        env=environment(**more),
    )


CUSTOM = """
import minidl

class Double(minidl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad_y):
        breakpoint()
        grad_x = grad_y * 2
        return grad_x

x = minidl.tensor([1.0, 2.0], requires_grad=True)
Double.apply(x * 3).sum().backward()
print("gradient", x.grad.tolist())
"""


def test_breakpoint_in_a_backward_stops_there(tmp_path):
    typed = ["grad_y.tolist()", "n", "n", "grad_x.tolist()", "event", "s", "c"]  # since Python 3.13, one n more
    done = run_script(CUSTOM, typed, tmp_path, PYTHONBREAKPOINT="minidl.debug.set_trace")
    assert "-> grad_x = grad_y * 2" in done.stdout
    assert "[1.0, 1.0]" in done.stdout
    assert "-> return grad_x" in done.stdout
    assert "[2.0, 2.0]" in done.stdout
    assert "backward  before Mul" in done.stdout
    assert "gradient [6.0, 6.0]" in done.stdout
    assert done.returncode == 0, done.stderr
    pdb = ("-m", "pdb", "-c", "b 13", "-c", "c")
    under = run_script(CUSTOM, ["grad_x.tolist()", "c", "q"], tmp_path, *pdb, PYTHONBREAKPOINT="0")
    assert "script.py(13)backward()" in under.stdout
    assert "[2.0, 2.0]" in under.stdout
    assert "gradient [6.0, 6.0]" in under.stdout
    plain = run_script(CUSTOM, ["p grad_y.tolist()", "c"], tmp_path, PYTHONBREAKPOINT="pdb.set_trace")
    assert "[1.0, 1.0]" in plain.stdout
    assert "gradient [6.0, 6.0]" in plain.stdout


STEP = """
import minidl, minidl.debug
x = minidl.tensor([1.0, 2.0], requires_grad=True)
with minidl.debug.step():
    y = (x * 3).relu()
    y.sum().backward()
print("gradient", x.grad.tolist())
"""


def test_step_in_a_script(tmp_path):
    done = run_script(STEP, ["s", "b op:ReLU phase:bwd", "c", "gy", "cl", "c"], tmp_path)
    assert "script.py:5  y = (x * 3).relu()" in done.stdout
    assert "gy f32[2] 8B" in done.stdout
    assert "gradient [3.0, 3.0]" in done.stdout
    assert done.returncode == 0
    done = run_script(STEP, ["q"], tmp_path)
    assert "gradient" not in done.stdout
    assert done.stderr == ""
    assert done.returncode == 0


def test_step_in_a_script_under_pdb(tmp_path):
    pdb = ("-m", "pdb", "-c", "b 7", "-c", "c")
    done = run_script(STEP, ["s", "c", "x.grad.tolist()", "q"], tmp_path, *pdb)
    assert "forward   after Mul" in done.stdout
    assert "script.py(7)<module>()" in done.stdout  # pdb's own breakpoint holds
    assert "[3.0, 3.0]" in done.stdout
    done = run_script(STEP, ["n", "n", "n", "s", "q"], tmp_path, "-m", "pdb")  # left inside of the with
    assert "__mul__" in done.stdout
    assert "Traceback" not in done.stdout
    assert "(minidl)" not in done.stdout


def test_a_script_that_exits_does_so(tmp_path):
    done = run_script("import sys\n" + STEP.replace("print", "sys.exit(3)  # "), ["c"], tmp_path)
    assert done.returncode == 3
    done = run_script("import sys\n" + STEP.replace("y.sum().backward()", "sys.exit(3)"), ["c", "c"], tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stdout + done.stderr


def test_pytest_lands_in_the_prompt(tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text("import minidl\n\ndef test_it():\n    x = minidl.ones(2, 5)\n    minidl.nn.Linear(4, 3)(x)\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(test), "--pdb", "--pdbcls=minidl.debug:Pdb", "-p", "no:cacheprovider"],
        input="pt x\na\ncheck\nrs\nq\n",
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        cwd=tmp_path,
        env=environment(),
    )
    assert "-> minidl.nn.Linear(4, 3)(x)" in done.stdout  # the user's frame, not the one that raised
    assert "f32[2,5]" in done.stdout
    assert done.stdout.count("*** no computation is being watched") == 2
    assert "Quitting debugger" in done.stdout


def in_terminal(argv, typed, pty):
    """What a program shows on a terminal. `typed` are lines, each for a prompt, and pairs (words, bytes): when the
    words have been shown, the bytes are sent as they are."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        argv,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(),
        start_new_session=True,
        preexec_fn=lambda: _own_terminal(slave),
    )
    os.close(slave)
    shown = bytearray()

    def read():
        try:
            while chunk := os.read(master, 1 << 16):
                shown.extend(chunk)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def wait(words, count=1):
        end = time.monotonic() + PATIENCE
        while shown.count(words) < count and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)

    lines = 0
    for line in typed:
        if isinstance(line, tuple):
            wait(line[0])
            os.write(master, line[1])
            continue
        lines += 1
        wait(b"\n(minidl) ", lines)
        os.write(master, f"{line}\n".encode())
    try:
        code = process.wait(PATIENCE)
    finally:
        process.kill()
    reader.join(5)
    os.close(master)
    return shown.decode().replace("\r\n", "\n"), code


def _own_terminal(slave):
    fcntl = pytest.importorskip("fcntl")
    termios = pytest.importorskip("termios")
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def test_a_student_runs_minidl_debug_lenet5():
    pty = pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    typed = [
        "s",
        "b op:Conv2d",
        "c",
        "a",
        "w",
        "src",
        "formula",
        "cl",
        "unt op:CrossEntropy",
        "s",
        "s",
        "s",
        "s",
        "gy",
        "gx",
        "rs",
        "n",
        "r",
        "q",
    ]
    shown, code = in_terminal([sys.executable, "-m", "minidl", "debug", "lenet5"], typed, pty)
    stops = re.split(r"\(minidl\) ", shown)
    assert code == 0
    assert "one training step on the digits" in stops[0]
    assert "forward   before Conv2d   in conv1" in stops[0]
    assert re.search(r"x +f32\[2,1,32,32\] 8.0KiB \[-0.943 [▁▂▃▄▅▆▇█ ]{8} \S+\] mean", stops[0])
    assert "> lenet.py:49  x = self.pool(self.relu(self.conv1(x)))" in stops[0]
    assert "after Conv2d" in stops[1]
    assert "breakpoint 1: op:Conv2d" in stops[3]
    assert "in conv2" in stops[3]
    assert "groups = 1" in stops[4]
    assert "LeNet5 > conv2  Conv2d" in stops[5]
    assert "50 ->" in stops[6]
    assert "LeCun et al." in stops[7]
    assert "forward   before CrossEntropy" in stops[9]
    assert "loss = loss_fn(scores, labels)" in stops[9]
    assert "backward  before CrossEntropy" in stops[12]  # at the loss, s goes on into backward
    assert "backward  after CrossEntropy" in stops[13]
    assert "gy f32[] 4B = 1" in stops[14]
    assert "gx f32[2,10]" in stops[15]
    assert "backward  before CrossEntropy" in stops[16]
    assert "(1 event back)" in stops[16]
    assert "Traceback" not in shown


def test_ctrl_c_comes_back_to_the_prompt(tmp_path):
    pty = pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
    script = tmp_path / "forever.py"
    script.write_text(
        "import minidl, minidl.debug, time\n"
        "x = minidl.ones(3)\n"
        "with minidl.debug.step():\n"
        "    for i in range(10**9):\n"
        "        x = x * 1.0\n"
        "        time.sleep(0.001)\n"
        "        if i == 20:\n"
        "            print('under way', flush=True)\n"
    )
    shown, code = in_terminal(
        [sys.executable, str(script)], ["c", (b"under way", b"\x03"), "len(tape) > 10", "rs", "q"], pty
    )
    assert "stopping at the next event" in shown
    assert "True" in shown
    assert "(1 event back)" in shown
    assert "Traceback" not in shown
    assert code == 0


def test_minidl_debug_says_what_is_wrong(capsys):
    assert main(["debug", "lenet"]) == 1
    assert "did you mean lenet5" in capsys.readouterr().err
    assert main(["debug", "lenet5", "--input", "1,32,28"]) == 1
    assert "the digits are square" in capsys.readouterr().err


def words(text):
    """The words of a session, without times and the bars of histograms: numbers as numbers."""
    text = re.sub(r"\d+\.\d\d ms", "", text)
    text = re.sub(r"(\[\S+ )[ ▁▂▃▄▅▆▇█]+( \S+\])", r"\1\2", text)
    return [float(word) if re.fullmatch(r"-?[\d.]+(e-?\d+)?", word) else word for word in re.split(r"[\s\[\]]+", text)]


def test_the_session_in_the_readme():
    """What it shows is what a student gets who types the same."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    printed = re.search(r"^```\n\$ minidl debug lenet5\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)[1]
    typed = re.findall(r"^\(minidl\) (.*)$", printed, re.MULTILINE)
    assert len(typed) >= 4
    shown, code = in_terminal([sys.executable, "-m", "minidl", "debug", "lenet5"], typed, pty)
    assert code == 0
    there, here = words(printed), words(shown)
    assert len(there) == len(here)
    for theirs, ours in zip(there, here, strict=True):
        assert theirs == (pytest.approx(ours, rel=0.02, abs=1e-7) if isinstance(ours, float) else ours)
