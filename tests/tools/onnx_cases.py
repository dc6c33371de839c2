"""The tests of operators that the installed onnx package holds as code, written out as Debian's libonnx-testdata has them.

    python tests/tools/onnx_cases.py build/onnx_cases
    TLC_ONNX_CASES=build/onnx_cases python tests/e2e/test_onnx_node.py
"""
import sys
import types

from onnx.backend.test import cmd_tools
from onnx.backend.test.case import node

out = types.SimpleNamespace(output=sys.argv[1])
cmd_tools.model_test = types.SimpleNamespace(collect_testcases=lambda: node.collect_testcases(None))
cmd_tools.generate_data(out)
