"""The configuration of a training run: YAML and `--set`, checked whole before anything is loaded.

docs/training.md lists every key, made from the docstrings here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from training.mixture import MAX_TIMES
from training.parameters import PARTS, Part
from training.pictures import MAX_PIXELS, MOST_PIXELS
from translation.settings import Filled, Misfit, Section, Share, checked, distinct, not_empty
from translation.settings_file import Key, SettingsError, SettingsFile
from translation.shipped_settings import read_named_settings

Precision = Literal["auto", "float32", "bfloat16", "float16"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def _rates(rates: dict[Part, float]) -> dict[Part, float]:
    if not rates:
        raise ValueError(f"names no part to train; of {', '.join(PARTS)}")
    for part, rate in rates.items():
        if not 0 < rate < 1e6:
            raise ValueError(f"{part}: {rate:g} is no learning rate; it must be above 0")
    return rates


class Lora(Section):
    """Low-rank adapters in the LLM (Hu et al. 2021); the defaults are mBLIP's."""

    r: int = Field(default=8, ge=1)
    """Rank."""
    alpha: int = Field(default=16, ge=1)
    """The adapters' output is scaled by alpha / r."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[Filled, ...] = "all-linear"
    """Names of linear layers of the LLM, as `q_proj`; `all-linear` are all but the output head."""


class QFormer(Section):
    """A new Q-Former with random weights, for an encoder that comes without one."""

    queries: int = Field(default=32, ge=1)
    """Visual tokens per picture."""
    layers: int = Field(default=12, ge=1)
    hidden_size: int = Field(default=768, ge=8)
    heads: int = Field(default=12, ge=1)


class ModelSection(Section):
    """The parts that the model is assembled from. Names are of directories, or of the Hugging Face hub."""

    start: Filled | None = None
    """A whole checkpoint to go on from, of BLIP-2's or mBLIP's layout or our own; in place of `vision` and
    `llm`. One with an adapter is merged first: `realign merge`."""
    vision: Filled | None = None
    """A BLIP-2 checkpoint, whose encoder and Q-Former are taken, or any vision encoder: CLIP, SigLIP, ..."""
    connector: Literal["qformer", "mlp"] = "qformer"
    """`mlp`: two linear layers over the encoder's own tokens, as in LLaVA-1.5."""
    qformer: QFormer | None = None
    """Makes a new Q-Former; null takes that of the BLIP-2 checkpoint."""
    projection: Literal["new", "copied"] = "new"
    """`copied` from the BLIP-2 checkpoint, where the LLM has the same width."""
    vision_layer: int = Field(default=-1, le=-1)
    """Which layer's features are taken: -1 the last, -2 the one before, as LLaVA does."""
    drop_class_token: bool = False
    """Leaves out the encoder's first token, which stands for the whole picture."""
    pool: int | None = Field(default=None, ge=1)
    """Averages the grid of features to `pool` × `pool` tokens."""
    llm: Filled | None = None
    """Any encoder-decoder or decoder-only language model."""
    lora: Lora | None = Lora()
    """null trains no adapters."""
    quantization: Literal["int8", "nf4"] | None = None
    """Of the LLM's frozen weights, by bitsandbytes: as mBLIP does, `int8` for mT0-XL, `nf4` for BLOOMZ-7B."""
    revisions: dict[str, str] = Field(default_factory=dict)
    """Hub name -> commit or tag, so that the same weights come again."""
    random: bool = False
    """Random weights of the same shapes, to time a configuration without its gigabytes."""

    @model_validator(mode="after")
    def _check(self) -> ModelSection:
        if self.start is not None:
            for key in _PARTS_OF_A_START:
                if self.changed(key):
                    raise Misfit(key, "`start` is a whole checkpoint; leave this out, or `start`")
        elif self.vision is None or self.llm is None:
            missing = "vision" if self.vision is None else "llm"
            raise Misfit(missing, "name `vision` and `llm`, or a whole checkpoint as `start`")
        if self.connector == "mlp" and self.qformer is not None:
            raise Misfit("qformer", "`connector: mlp` has no Q-Former")
        if self.random and self.quantization is not None:
            raise Misfit("quantization", "`random` weights are made in full precision")
        if others := sorted(self.revisions.keys() - {self.start, self.vision, self.llm}):
            raise Misfit("revisions", f"{others[0]!r} is no name of `start`, `vision` or `llm`")
        return self


_PARTS_OF_A_START = (
    *("vision", "llm", "connector", "qformer", "projection", "vision_layer", "drop_class_token", "pool"),
    "random",
)
"""What a whole checkpoint says itself."""


class MixSection(Section):
    """A mix to train on."""

    path: Filled
    """Directory or URL (`gs://...`, `s3://...`, `hf://datasets/owner/name`) of a finished mix."""
    times: float = Field(default=1.0, gt=0, le=1000)
    """How often its rows are seen in an epoch."""


def _not_negative(number: int | Literal["auto"]) -> int | Literal["auto"]:
    if number != "auto" and number < 0:
        raise ValueError("must be at least 0, or auto")
    return number


class DataSection(Section):
    """What is trained on, and how pictures are prepared."""

    mixes: Annotated[tuple[Filled | MixSection, ...], AfterValidator(not_empty)]
    """Each a path, or `{path: ..., times: ...}`."""
    tasks: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Task -> how often its rows are seen in an epoch: 0 leaves a task out, 2 shows it twice."""
    alpha: Share = 1.0
    """Languages other than English: 1 keeps their shares, 0 makes them equal."""
    max_times: float = Field(default=MAX_TIMES, ge=1)
    """How often `alpha` may show a row in an epoch."""
    fit: Literal["squash", "pad"] = "squash"
    """Pictures are squashed to the encoder's square as BLIP-2's are, or padded; transformers' own processor
    squashes, whatever stands here."""
    max_pixels: int = Field(default=MAX_PIXELS, ge=1, le=MOST_PIXELS)
    """Of a picture that is trained on; larger ones are left out. The model can be asked about 40 million
    whatever stands here."""
    max_skipped: Share = 0.05
    """Share of examples that may be unusable before the run stops."""
    window_rows: int = Field(default=8192, ge=1)
    """Rows that are shuffled and sorted by length together."""
    window_mib: int = Field(default=256, ge=1)
    """Of a window, with its pictures; eight windows are open at a time."""
    workers: Annotated[int | Literal["auto"], AfterValidator(_not_negative)] = "auto"
    """Processes that decode pictures, per rank."""


class TextSection(Section):
    """How prompts and targets become tokens."""

    max_prompt_tokens: int = Field(default=128, ge=2)
    max_target_tokens: int = Field(default=128, ge=2)
    """Longer texts are cut, and counted; as in mBLIP."""
    chat: bool | None = None
    """Puts prompts into the LLM's chat template; null: if it has one."""
    chat_options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Handed to the template: `{enable_thinking: false}`."""
    separator: str = "\n"
    """Between prompt and target of a decoder-only LLM without a template."""


Momentum = Annotated[float, Field(ge=0, lt=1)]


class Stage(Section):
    """A part of the run with its own optimiser."""

    name: Filled
    learning_rates: Annotated[dict[Part, float], AfterValidator(_rates)]
    """Part -> peak rate; a part that is not named is frozen: vision, qformer, projection, lora, llm."""
    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    """Exactly one of both."""
    batch_size: int = Field(default=128, ge=1)
    """Examples of a step, over all devices."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """From the peak to `final` of it."""
    warm_up_steps: int = Field(default=1000, ge=0)
    """Rates grow from 0; at most the whole stage."""
    final: Share = 0.0
    """What is left of the peak at the stage's end."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Not of norms, biases and query tokens."""
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0)
    clip: float = Field(default=1.0, gt=0)
    """Norm that the gradient is clipped to."""
    data: DataSection | None = None
    """In place of the configuration's."""

    @model_validator(mode="after")
    def _check(self) -> Stage:
        if (self.epochs is None) == (self.steps is None):
            raise Misfit("steps", "name either `epochs` or `steps`")
        return self


class CheckpointSection(Section):
    """When the run is stored; it is stored at its end in any case."""

    every_steps: int | None = Field(default=None, ge=1)
    every_minutes: float | None = Field(default=30, gt=0)
    keep: int = Field(default=2, ge=1)
    """Of the last ones; the best one, by validation loss, is kept beside them."""


class ValidationSection(Section):
    """Loss on the held-out rows of the mixes."""

    every_steps: int = Field(default=1000, ge=1)
    batches: int = Field(default=64, ge=1)
    """At most, of `per_device` examples; always the same ones."""


class LogSection(Section):
    """Where figures go besides `metrics.jsonl`."""

    every_steps: int = Field(default=10, ge=1)
    tensorboard: bool = True
    wandb: str | None = None
    """Project of Weights & Biases, if its package is installed."""
    trackio: str | None = None
    """Project of trackio, if its package is installed."""


class Configuration(Section):
    """A training run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    output: Filled
    """Directory of the run: checkpoints, figures. The same command goes on with what is there."""
    seed: int = 17
    model: ModelSection
    data: DataSection
    texts: TextSection = TextSection()
    stages: Annotated[tuple[Stage, ...], AfterValidator(not_empty)]
    """One after the other."""
    per_device: int = Field(default=8, ge=1)
    """Examples that a device computes at a time; the rest of a step is accumulated."""
    precision: Precision = "auto"
    """Of frozen weights and of matrix products; trained weights are float32. `auto`: bfloat16 on GPUs that
    have it, float16 on others, float32 on CPUs."""
    gradient_checkpointing: bool = False
    """Computes activations of the LLM twice, to store fewer."""
    sharding: Literal["none", "full"] = "none"
    """`full`: each process keeps a share of all weights, gradients and optimiser state, and gathers a layer's
    weights when it computes that (FSDP). `none`: each holds the model."""
    non_finite: int = Field(default=10, ge=1)
    """Steps in a row with an infinite or undefined gradient, each left out, after which the run stops."""
    checkpoints: CheckpointSection = CheckpointSection()
    validation: ValidationSection | None = ValidationSection()
    """null: none, and no best checkpoint."""
    log: LogSection = LogSection()

    _written: SettingsFile = PrivateAttr(default_factory=SettingsFile)

    @model_validator(mode="after")
    def _check(self) -> Configuration:
        distinct(tuple(stage.name for stage in self.stages))
        if self.sharding == "full" and self.model.quantization is not None:
            remedy = f"`quantization: {self.model.quantization}` packs weights that cannot be shared out"
            raise Misfit("sharding", f"{remedy}; take one of both")
        if self.sharding == "full" and self.precision == "float16":
            raise Misfit("sharding", "`precision: float16` cannot be shared out; take bfloat16 or float32")
        for index, stage in enumerate(self.stages):
            if stage.batch_size % self.per_device:
                raise Misfit(
                    f"stages.{index}.batch_size",
                    f"must be a multiple of `per_device`, which is {self.per_device}",
                )
            if "lora" in stage.learning_rates and self.model.lora is None:
                raise Misfit(f"stages.{index}.learning_rates.lora", "the model has no `lora` to train")
            if "llm" in stage.learning_rates and self.model.quantization is not None:
                remedy = f"`quantization: {self.model.quantization}` freezes the LLM's own weights"
                raise Misfit(f"stages.{index}.learning_rates.llm", remedy)
            if "qformer" in stage.learning_rates and self.model.connector == "mlp":
                raise Misfit(f"stages.{index}.learning_rates.qformer", "`connector: mlp` has no Q-Former")
        return self

    def error(self, key: Key, remedy: str) -> SettingsError:
        """An error about the value at `key`, with the file and line where that stands."""
        return self._written.error(key, remedy)

    def path(self, written: str) -> str:
        """A path of the configuration, from its folder; URLs as they are."""
        return written if "://" in written else str(self._written.folder / Path(written).expanduser())

    def place(self, written: str) -> str:
        """A model's directory if there is one, else the name as it stands, for the hub."""
        path = self.path(written)
        return path if Path(path).exists() else written

    @property
    def run_directory(self) -> Path:
        return Path(self.path(self.output))

    @property
    def trained_parts(self) -> frozenset[Part]:
        """What any stage trains."""
        return frozenset(part for stage in self.stages for part in stage.learning_rates)

    def mixes_of(self, data: DataSection) -> tuple[MixSection, ...]:
        """The mixes of a stage, with their paths resolved."""
        mixes = (mix if isinstance(mix, MixSection) else MixSection(path=mix) for mix in data.mixes)
        return tuple(MixSection(path=self.path(mix.path), times=mix.times) for mix in mixes)

    def all_mixes(self) -> tuple[MixSection, ...]:
        """Of all stages, in order, with their paths resolved."""
        own = (stage.data for stage in self.stages if stage.data is not None)
        return tuple(mix for data in (self.data, *own) for mix in self.mixes_of(data))

    def decisive(self) -> dict[str, Any]:
        """Every key that decides on the weights that come out, as plain values."""
        values = self.model_dump(mode="json", exclude=_INDIFFERENT)
        for data in (values["data"], *(stage["data"] for stage in values["stages"])):
            if data is not None:
                del data["workers"], data["max_skipped"]
                # Where a mix lies decides on nothing; the loader knows its rows again.
                data["mixes"] = [1.0 if isinstance(mix, str) else mix["times"] for mix in data["mixes"]]
        return values


_INDIFFERENT = {
    "name": True,
    "output": True,
    "checkpoints": True,
    "validation": True,
    "log": True,
    "non_finite": True,
    "sharding": True,
}
"""What a run may change when it goes on."""


def digest_of(values: Mapping[str, Any]) -> str:
    """Of plain values, whatever their order; 16 hexadecimal digits."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_configuration(path: Path | str, overrides: Sequence[str] = ()) -> Configuration:
    """Reads and checks a configuration; each override is `dotted.key=value` with the value in YAML.

    Args:
        path: of a file, or the name of one that ships (`miniature`, `mblip-mt0-xl`).

    Raises:
        SettingsError: anything is wrong with it.
    """
    written = read_named_settings(str(path), shipped_configurations(), "configuration", overrides)
    configuration = _from_here(checked(Configuration, written), written.overridden)
    configuration._written = written
    for index, mix in enumerate(configuration.data.mixes):
        _check_mix(configuration, ("data", "mixes", index), mix)
    for number, stage in enumerate(configuration.stages):
        for index, mix in enumerate(stage.data.mixes if stage.data else ()):
            _check_mix(configuration, ("stages", number, "data", "mixes", index), mix)
    for name in ("start", "vision", "llm"):
        model = getattr(configuration.model, name)
        if model is None or Path(configuration.path(model)).is_dir():
            continue
        if not _HUB_NAME.fullmatch(model):
            remedy = (
                f"no directory {configuration.path(model)}; name one, or a model of the hub (`owner/name`)"
            )
            raise configuration.error(("model", name), remedy)
    return configuration


def _from_here(configuration: Configuration, overridden: frozenset[Key]) -> Configuration:
    """What is typed starts at the working directory, as on any command line: `output`, and the mixes."""

    def here(written: str) -> str:
        return written if "://" in written else str(Path(written).expanduser().absolute())

    def placed(mix: str | MixSection) -> str | MixSection:
        return here(mix) if isinstance(mix, str) else mix.model_copy(update={"path": here(mix.path)})

    if ("output",) in overridden:
        configuration = configuration.model_copy(update={"output": here(configuration.output)})

    def data_from_here(data: DataSection, key: Key) -> DataSection:
        """With those of its mixes placed whose paths were typed, alone or within something larger."""
        mixes = list(data.mixes)
        for index, mix in enumerate(mixes):
            item = (*key, "mixes", index)
            typed = {(*item, "path"), *(item[:length] for length in range(1, len(item) + 1))}
            if typed & overridden:
                mixes[index] = placed(mix)
        return data.model_copy(update={"mixes": tuple(mixes)})

    stages = tuple(
        stage.model_copy(
            update={"data": stage.data and data_from_here(stage.data, ("stages", number, "data"))}
        )
        for number, stage in enumerate(configuration.stages)
    )
    data = data_from_here(configuration.data, ("data",))
    return configuration.model_copy(update={"data": data, "stages": stages})


def _check_mix(configuration: Configuration, key: Key, mix: str | MixSection) -> None:
    path = configuration.path(mix if isinstance(mix, str) else mix.path)
    if "://" not in path and not Path(path).is_dir():
        raise configuration.error(key, f"no directory {path}; name what `translate-mix run --output` made")


def shipped_configurations() -> Mapping[str, Path]:
    """Name -> file of the configurations in the package."""
    folder = Path(str(files("training").joinpath("configs")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ, as `stages.0.batch_size: 128 there, 64 here`.

    Args:
        mine: `decisive` of this configuration.
        other: that of another one.
    """
    here, there = dict(_leaves(mine)), dict(_leaves(other))
    told = []
    for key in dict.fromkeys([*there, *here]):
        if there.get(key, _ABSENT) != here.get(key, _ABSENT):
            told.append(f"{key}: {_told(there, key)} there, {_told(here, key)} here")
    return told


_ABSENT = object()


def _told(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "nothing"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no list or mapping, with its dotted key; empty ones as they are."""
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    inner = [(f"{key}.{name}" if key else str(name), one) for name, one in items]
    if not inner:
        yield key, value
    for name, one in inner:
        yield from _leaves(one, name)
