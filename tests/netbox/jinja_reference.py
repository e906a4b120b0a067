"""Renders templates as NetBox does: JSON lines in, JSON lines out.

In:  {"contexts": [...]} once, then {"template": "...", "context": index}
Out: {"output": "..."} or {"error": "..."}
"""

import json
import re
import signal
import sys

from jinja2.sandbox import SandboxedEnvironment

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def answer(environment, contexts, request):
    context = contexts[request["context"]]
    signal.alarm(5)
    try:
        return {"output": environment.from_string(request["template"]).render(**context)}
    except Exception as error:  # whatever a template raises is an answer
        return {"error": f"{type(error).__name__}: {error}"}


def too_slow(signum, frame):
    raise TimeoutError("the template takes too long")


def main():
    signal.signal(signal.SIGALRM, too_slow)
    environment = SandboxedEnvironment()
    environment.filters["header_safe"] = lambda value: CONTROL.sub("", str(value))
    contexts = []
    for line in sys.stdin:
        request = json.loads(line)
        if "contexts" in request:
            contexts = request["contexts"]
            continue
        print(json.dumps(answer(environment, contexts, request)), flush=False)


main()
