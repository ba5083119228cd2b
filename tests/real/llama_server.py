"""One llama.cpp server on the loopback: `python llama_server.py MODEL.gguf --ctx 1024`; MODEL may be a package's name.

Prints one line of JSON when it listens, and ends with its standard input. Runs in an environment of its own, without this
project's packages.
"""

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

import xllamacpp


def weights(named: str) -> Path:
    """The file of that name, or the one that a package of that name brings; its code is not run."""
    if Path(named).is_file():
        return Path(named)
    found = importlib.util.find_spec(named)
    folders = found.submodule_search_locations if found is not None else None
    files = sorted(file for folder in folders or () for file in Path(folder).glob("*.gguf"))
    if not files:
        sys.exit(f"no weights at {named}")
    return files[0]


def parameters(options: argparse.Namespace) -> xllamacpp.CommonParams:
    """One slot per request at a time, one thread: more of either makes a small model slower on a busy machine."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights(options.model))
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = options.ctx * options.slots
    params.n_parallel = options.slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 8
    params.endpoint_metrics = params.endpoint_slots = params.endpoint_props = True
    params.use_jinja = True
    params.warmup = False
    params.cache_ram_mib = 0
    params.verbosity = 0
    params.model_alias = {options.alias}
    if options.template:
        params.chat_template = Path(options.template).read_text(encoding="utf-8")
    return params


def main() -> None:
    """Serve until whoever started it goes away."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--ctx", type=int, default=1024)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--alias", default="real")
    parser.add_argument("--template", help="a file with a chat template, for a model whose own knows no tools")
    server = xllamacpp.Server(parameters(parser.parse_args()))
    print(json.dumps({"address": server.listening_address}), flush=True)
    sys.stdin.read()
    # Its threads are in the middle of something, perhaps.
    os._exit(0)


main()
