"""What an IDE does: a client of debugpy, which runs a script under the Debug Adapter Protocol."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60  # seconds


class IDE:
    """Starts `script` under debugpy with breakpoints at these lines of it, and talks to it.

    stopped()           waits for the next stop; True if there was one, False where the script has ended
    frames()            where it stands: pairs of a function's name and a line of a file, the innermost first
    variables()         of the innermost frame, as the IDE would list them
    evaluate(text)      an expression in that frame
    command(name)       continue, next, stepIn, stepOut
    output              what the script printed, once it has ended
    """

    def __init__(self, script, lines, typed=""):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.files = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 (close() does it)
        self.files[0].write(typed.encode())
        self.files[0].seek(0)
        listen = ["-Xfrozen_modules=off", "-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client"]
        self.process = subprocess.Popen(
            [sys.executable, *listen, str(script)],
            stdin=self.files[0],
            stdout=self.files[1],
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"},
        )
        self.socket = self.stream = self.thread = None
        self.sent, self.events, self.output = 0, [], ""
        try:
            self._begin(port, script, lines)
        except BaseException:
            self.close()
            raise

    def _begin(self, port, script, lines):
        self.socket = self._connect(port)
        self.stream = self.socket.makefile("rwb")
        self.request("initialize", adapterID="test", pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
        self.send("attach", justMyCode=True)
        self.event("initialized")
        self.request("setBreakpoints", source={"path": str(script)}, breakpoints=[{"line": line} for line in lines])
        self.request("configurationDone")

    def _connect(self, port):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                connection.settimeout(PATIENCE)
                return connection
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        for opened in (self.stream, self.socket):
            if opened is not None:
                opened.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.files[1].seek(0)
        self.output = self.files[1].read().decode()
        for file in self.files:
            file.close()

    # ------------------------------------------------------------------------------------------------ the protocol

    def send(self, command, **arguments):
        """Send a request; its number."""
        self.sent += 1
        message = {"seq": self.sent, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self.stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.stream.flush()
        return self.sent

    def read(self):
        length = 0
        while line := self.stream.readline().strip():
            length = int(line.split(b":")[1])
        assert length, "debugpy has closed the connection"
        return json.loads(self.stream.read(length))

    def request(self, command, **arguments):
        """Send a request and wait for the answer."""
        number = self.send(command, **arguments)
        while True:
            message = self.read()
            if message["type"] == "event":
                self.events.append(message)
            elif message.get("request_seq") == number:
                assert message["success"], message
                return message.get("body") or {}

    def event(self, *names):
        """Wait for the first event of one of these kinds."""
        while True:
            for message in self.events:
                if message["event"] in names:
                    self.events.remove(message)
                    return message
            message = self.read()
            if message["type"] == "event":
                self.events.append(message)

    # ---------------------------------------------------------------------------------------------- what an IDE does

    def stopped(self):
        message = self.event("stopped", "terminated")
        self.thread = message.get("body", {}).get("threadId")
        if message["event"] == "terminated":
            self.request("disconnect")
        return message["event"] == "stopped"

    def stack(self):
        return self.request("stackTrace", threadId=self.thread)["stackFrames"]

    def frames(self):
        return [(frame["name"], f"{Path(frame['source']['path']).name}:{frame['line']}") for frame in self.stack()]

    def variables(self):
        scopes = self.request("scopes", frameId=self.stack()[0]["id"])["scopes"]
        listed = self.request("variables", variablesReference=scopes[0]["variablesReference"])["variables"]
        return {variable["name"]: variable["value"] for variable in listed}

    def evaluate(self, text):
        return self.request("evaluate", expression=text, frameId=self.stack()[0]["id"])["result"]

    def command(self, name):
        self.request(name, threadId=self.thread)
