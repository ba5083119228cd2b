"""What needs no model loads no LiteLLM, which takes seconds."""

from __future__ import annotations

import subprocess
import sys


def test_everything_can_be_imported_without_litellm() -> None:
    code = (
        "import sys, composite_llm.work as work\n"
        "for name in work.__all__: getattr(work, name)\n"
        "work.Memory('.', path=':memory:').remember('a', 'b')\n"
        "assert 'litellm' not in sys.modules, 'LiteLLM was loaded'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
