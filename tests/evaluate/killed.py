"""A run that a test kills: adds its chunks one by one, slowly enough to be hit in the middle."""

from __future__ import annotations

import sys

from lxt_like.evaluate.store import Store

CHUNKS = 40
SETTINGS = {"model": "m", "seed": 0}


def rows(chunk: int) -> dict[str, list[dict[str, object]]]:
    return {
        "relevance": [
            {"sample": f"{chunk}-{i}", "method": "m", "seed": 0, "values": [chunk + 0.1 * i] * 300}
            for i in range(20)
        ],
        "skipped": [{"sample": f"bad{chunk}", "index": chunk, "reason": "empty"}],
    }


def main(folder: str) -> None:
    store = Store(folder, SETTINGS)
    for chunk in range(CHUNKS):
        if not store.finished(chunk):
            store.add(chunk, rows(chunk))
            print(chunk, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
