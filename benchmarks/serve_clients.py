"""The server for clients that others have written: each must work unmodified.

    .venv/bin/python benchmarks/serve_clients.py                      # all of them
    .venv/bin/python benchmarks/serve_clients.py openai curl

openai        OpenAI's client: completions and chats, streamed and not, by threads and by asyncio, and each kind of error
schemathesis  requests made of /openapi.json, wrong ones among them: none has a reply of 5xx
vllm          vLLM's benchmark client, if .bench/vllm is there (setup_peers.py --vllm makes it)
curl          from a shell

The first run makes an environment for the first two, .bench/serve. Exit code 1: a check has failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
PACKAGES = ["openai==3.51.0", "schemathesis==4.32.0"]
MODEL, KEY = "smollm2-135m", "secret"
HERE = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(CLIENTS)}. Default: all")
    parser.add_argument("--examples", type=int, default=100, help="of schemathesis, for each operation")
    arguments = parser.parse_args()
    if unknown := set(arguments.clients) - set(CLIENTS):
        parser.error(f"there is no client {', '.join(sorted(unknown))}")
    checks = Checks()
    for name in arguments.clients or CLIENTS:
        CLIENTS[name](checks, arguments)
    raise SystemExit(1 if checks.failed else 0)


class Checks:
    """Prints a line for each check, and counts those that fail."""

    failed = 0

    def __call__(self, what: str, ok: bool, seen: object = "") -> None:
        self.failed += not ok
        print(f"{'ok    ' if ok else 'FAILED'} {what}" + ("" if ok else f": {seen}"), flush=True)


def made() -> Path:
    """The folder with the programs of the environment, which is made if it is not complete."""
    folder = BENCH / "serve"
    ready, programs = folder / ".ready", folder / ("Scripts" if os.name == "nt" else "bin")
    if not ready.exists() or ready.read_text() != repr(PACKAGES):
        print(f"creating {folder.relative_to(ROOT)}; this takes a minute", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        ready.write_text(repr(PACKAGES))
    return programs


@contextmanager
def running(checks: Checks, model: str | Path, *options: str) -> Iterator[str]:
    """A server as a process, which must end well. Gives its address, such as http://127.0.0.1:8000."""
    command = [sys.executable, "-m", "chainrule", "serve", str(model), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=HERE)
    assert process.stderr is not None
    lines: list[str] = []
    while not (lines and " at http" in lines[-1]):
        lines.append(process.stderr.readline())
        if not lines[-1]:
            raise SystemExit("".join(lines))
    drain = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
    drain.start()
    try:
        yield lines[-1].split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        drain.join(10)
        checks(f"the server of {Path(model).name} stops after SIGTERM", code in (0, -signal.SIGTERM), code)
        checks("it wrote of no fault", not any("Traceback" in line for line in lines), "".join(lines)[-2000:])


@contextmanager
def tiny_model() -> Iterator[Path]:
    """The folder of a model that answers at once."""
    with tempfile.TemporaryDirectory() as folder:
        code = "import sys; from pathlib import Path; from harness_models import write; "
        code += "write('llama, byte level', Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, folder], check=True, env=HERE, capture_output=True)
        yield Path(folder)


def openai_client(checks: Checks, _: argparse.Namespace) -> None:
    """Its checks, at a server that wants a key, and at one where hardly anyone may wait."""
    python = made() / "python"
    with (
        tiny_model() as tiny,
        running(checks, MODEL, "--api-key", KEY) as first,
        running(checks, tiny, "--max-waiting", "1") as busy,
    ):
        program = Path(__file__).with_name("serve_openai.py")
        done = subprocess.run([python, program, f"{first}/v1", f"{busy}/v1"], env=HERE)
        checks("the checks of OpenAI's client", done.returncode == 0, f"exit code {done.returncode}")


def schemathesis(checks: Checks, arguments: argparse.Namespace) -> None:
    program = made() / "schemathesis"
    options = ["--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing,stateful", "--workers", "1"]
    options += ["--request-timeout", "60", "--generation-database", "none", "--suppress-health-check", "all"]
    options += ["--seed", "1", "--continue-on-failure", "--no-color", "-n", str(arguments.examples)]
    with tiny_model() as folder, running(checks, folder) as url:
        command = [program, "run", f"{url}/openapi.json", *options]
        done = subprocess.run(command, capture_output=True, text=True, env=HERE, cwd=folder)  # it writes into its folder
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    passed = done.returncode == 0 and cases is not None and cases[1] == cases[2]
    checks(f"schemathesis: {cases[1] if cases else 'no'} requests", passed, done.stdout[-4000:] + done.stderr[-1000:])


def vllm(checks: Checks, _: argparse.Namespace) -> None:
    from chainrule.models.packaged import folder

    program = BENCH / "vllm" / "bin" / "vllm"
    if not program.exists():
        print("left out: vllm; setup_peers.py --vllm installs it")
        return
    options = ["--model", MODEL, "--tokenizer", str(folder(MODEL)), "--dataset-name", "random", "--random-input-len", "64"]
    options += ["--random-output-len", "8", "--num-prompts", "8", "--max-concurrency", "4", "--disable-tqdm", "--save-result"]
    with running(checks, MODEL) as url, tempfile.TemporaryDirectory() as results:
        for backend, path in (("openai", "/v1/completions"), ("openai-chat", "/v1/chat/completions")):
            where = ["--backend", backend, "--base-url", url, "--endpoint", path]
            where += ["--result-dir", results, "--result-filename", f"{backend}.json"]
            done = subprocess.run([program, "bench", "serve", *options, *where], capture_output=True, text=True, env=HERE)
            checks(f"vllm bench serve, {backend}: exit code 0", done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:])
            if done.returncode == 0:
                seen = json.loads((Path(results) / f"{backend}.json").read_text())
                counts = seen["completed"], seen["total_output_tokens"], seen["total_input_tokens"] >= 8 * 60
                checks(f"vllm bench serve, {backend}: 8 texts of 8 tokens", counts == (8, 64, True), counts)


def curl(checks: Checks, _: argparse.Namespace) -> None:
    with tiny_model() as folder, running(checks, folder) as url:
        headers = ["-H", "Content-Type: application/json"]

        def asked(path: str, *options: str, fails: bool = False) -> str:
            command = ["curl", "-sS", *([] if fails else ["-f"]), *options, url + path]
            done = subprocess.run(command, capture_output=True, env=HERE)
            return done.stdout.decode() or done.stderr.decode()

        score = json.dumps({"prompt": "a cat", "echo": True, "logprobs": 0, "max_tokens": 0})
        whole = asked("/v1/completions", *headers, "-d", score)
        checks("curl: a score", '"token_logprobs":[null,' in whole, whole)
        for version in ("--http1.0", "--http1.1", "--http2"):
            checks(f"curl {version}: the same", asked("/v1/completions", version, *headers, "-d", score) == whole)
        for header in ("Transfer-Encoding: chunked", "Expect: 100-continue"):
            checks(f"curl with {header}: the same", asked("/v1/completions", "-H", header, *headers, "-d", score) == whole)
        stream = asked("/v1/completions", "-N", *headers, "-d", '{"prompt": "a", "stream": true}')
        checks("curl: a stream", stream.startswith("data: {") and stream.endswith("\n\ndata: [DONE]\n\n"), stream)
        wrong = asked("/v1/completions", *headers, "-d", '{"prompt": "a", "temperature": NaN}', fails=True)
        checks("curl: NaN is refused", '"code":"invalid_json"' in wrong, wrong)
        checks("curl: /health", asked("/health") == '{"status":"ok"}')


CLIENTS: dict[str, Callable[[Checks, argparse.Namespace], None]] = {
    "openai": openai_client, "schemathesis": schemathesis, "vllm": vllm, "curl": curl,
}  # fmt: skip

if __name__ == "__main__":
    main()
