"""timm, imported once, also where torchvision's build does not fit torch's.

timm imports torchvision, and torchvision built for CUDA beside a CPU build of torch stops at import
because its compiled operators (nms …) are not there. Nothing here uses those operators, so the
names are declared and the import goes on.
"""

from __future__ import annotations

import re
import sys
from types import ModuleType

import torch

_MISSING_OPERATOR = re.compile(r"operator (torchvision::\w+) does not exist")


def _import_timm() -> ModuleType:
    for _ in range(32):  # one operator is declared in each round
        try:
            import timm
        except RuntimeError as error:
            missing = _MISSING_OPERATOR.search(str(error))
            if not missing:
                raise
            torch.library.define(missing[1], "(Tensor x) -> Tensor")
            for name in [n for n in sys.modules if n.split(".")[0] in ("timm", "torchvision")]:
                del sys.modules[name]
        else:
            return timm
    raise ImportError("torchvision does not fit this torch: install matching versions of both")


timm = _import_timm()
