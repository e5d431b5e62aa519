"""Trained judges of a translation as further score columns: costly, optional, behind the extra `quality`.

| kind | column | range | model, licence |
|---|---|---|---|
| `labse` | `similarity` | cosine, -1..1, higher is better | LaBSE, Apache-2.0 |
| `metricx` | `metricx` | 0..25, **lower** is better | MetricX-24, Apache-2.0 |
| `comet_kiwi` | `comet_kiwi` | about 0..1, higher is better | COMETKiwi-22, CC-BY-NC-SA-4.0 (gated) |

A spec is a kind, then `:` and a directory or (not for `comet_kiwi`) a hub name, `owner/name[@revision]`.
No text is ever cut: a pair that does not fit into the model has no score. Weights are `safetensors` only.
"""

from __future__ import annotations

from translation.quality.model import QualityError, QualityModel, load_quality

__all__ = ["QualityError", "QualityModel", "load_quality"]
