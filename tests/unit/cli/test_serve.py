"""The process that `composite serve` starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from composite_llm.cli.serve import PROXY


def test_what_is_loaded_at_the_start_is_left_out_of_garbage_collections(tmp_path: Path) -> None:
    proxy = tmp_path / "litellm" / "proxy"
    proxy.mkdir(parents=True)
    (proxy / "__init__.py").touch()
    (proxy / "proxy_server.py").write_text("loaded = [[]]")
    server = "import gc\ndef run_server():\n    from litellm.proxy.proxy_server import loaded\n"
    counted = "    print(gc.get_freeze_count() > 0, any(one is loaded for one in gc.get_objects()))\n"
    (tmp_path / "litellm" / "__init__.py").write_text(server + counted)
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROXY], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "True False\n"
