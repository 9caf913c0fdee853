"""The whole-model oracles by Hugging Face's model_type."""

from __future__ import annotations

from collections.abc import Mapping

from tests.oracles.account import Oracle
from tests.oracles.bert import bert
from tests.oracles.gpt2 import gpt2
from tests.oracles.llama import llama

ORACLES: Mapping[str, Oracle] = {"bert": bert, "gpt2": gpt2, "llama": llama}
