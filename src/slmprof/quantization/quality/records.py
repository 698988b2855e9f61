"""The quality of a model, as the process that measures it hands it over and JSON holds it."""

from __future__ import annotations

from ...profiles.records.decoding import Json, Record

SCHEMA_VERSION = 1


class ScoredModel(Record, frozen=True):
    """A model that read the text.

    Attributes:
        bits_per_weight: of all its tensors, on average.
    """

    name: str
    path: str
    architecture: str
    file_type: str
    size_bytes: int
    bits_per_weight: float
    scheme: str = ""


class Scored(Record, frozen=True):
    """What was scored.

    Attributes:
        n_tokens: that the model was asked for.
        n_chunks, n_ctx: each begins anew.
    """

    text: str
    n_tokens: int
    n_chunks: int
    n_ctx: int
    both_halves: bool
    compatible: bool


class Estimate(Record, frozen=True):
    """A mean over tokens, and its standard error; that takes tokens for independent."""

    value: float
    error: float


class Spread(Record, frozen=True):
    """How a figure is spread over the tokens: quantiles, of which p999 is the 99.9th percentile."""

    max: float
    p999: float
    p99: float
    p95: float
    p90: float
    p75: float
    median: float
    p25: float
    p10: float
    p05: float
    p01: float
    p001: float
    min: float


class Divergence(Record, frozen=True):
    """How far a model is from its reference. Logarithms are natural.

    Attributes:
        perplexity: of the reference.
        ln_ratio: mean of the logarithm of the ratio of perplexities.
        correlation: of the two models' logarithms of the tokens' probabilities.
        kld: mean divergence of the reference's distribution from the model's, in nats.
        probability_change: of the token that came next, from the reference's.
        probability_change_rms: its root mean square.
        top1_agreement: share of tokens for which both find the same one most probable.
    """

    perplexity: Estimate
    ln_ratio: Estimate
    ratio: Estimate
    difference: Estimate
    correlation: float | None
    kld: Estimate
    kld_spread: Spread
    probability_change: Estimate
    probability_change_spread: Spread
    probability_change_rms: Estimate
    top1_agreement: Estimate


class LayerDeviation(Record, frozen=True):
    """How far what a layer hands on is from what the reference's layer does.

    Attributes:
        relative_error: length of the difference over that of the reference's output.
        cosine: between the two outputs, over all tokens.
    """

    layer: int
    relative_error: float | None
    cosine: float | None


class TensorDeviation(Record, frozen=True):
    """How far a weight is from the reference's.

    Attributes:
        rmse: root mean square of the differences.
        snr_db: signal-to-noise ratio, in decibels; None where there is no difference.
        worst_block: root mean square of the differences within the block where it is largest,
            relative to that of its values; `worst_row` and `worst_column` are where it begins.
    """

    tensor: str
    type: str
    reference_type: str
    n_elements: int
    rmse: float
    snr_db: float | None
    worst_block: float
    worst_row: int
    worst_column: int


class WeightCost(Record, frozen=True):
    """What one weight of the model costs: the reference with this weight alone exchanged.

    Attributes:
        kld: mean divergence of the reference from itself with the weight exchanged, in nats.
        size_bytes, reference_bytes: what the weight takes in the two files.
        ms, reference_ms: of decode, what the ops take that read it; None where not measured.
        is_modelled: whether `ms` is what its bytes take at the bandwidth of memory.
    """

    tensor: str
    type: str
    reference_type: str
    kld: Estimate
    size_bytes: int
    reference_bytes: int
    ms: float | None = None
    reference_ms: float | None = None
    is_modelled: bool = False

    @property
    def saved_ms(self) -> float | None:
        """Milliseconds of a token that the exchange saves; negative where it takes longer."""
        if self.ms is None or self.reference_ms is None:
            return None
        return self.reference_ms - self.ms

    @property
    def nats_per_ms(self) -> float | None:
        """What a saved millisecond costs; None where none is saved, or times are not known."""
        saved = self.saved_ms
        return self.kld.value / saved if saved is not None and saved > 0 else None

    def to_json(self) -> Json:
        """The fields, with `saved_ms` and `nats_per_ms`."""
        return {
            **super().to_json(), "saved_ms": self.saved_ms, "nats_per_ms": self.nats_per_ms,
        }  # fmt: skip


class Quality(Record, frozen=True):
    """What a model is worth on a text.

    Attributes:
        divergence, layers, tensors: where there is a reference. `layers` are of `n_layer_tokens`
            tokens, `tensors` those that differ in type or in their values.
        costs: of each of these weights, where asked for; of `n_cost_tokens` tokens.
    """

    model: ScoredModel
    scored: Scored
    perplexity: Estimate
    reference: ScoredModel | None = None
    divergence: Divergence | None = None
    n_layer_tokens: int = 0
    layers: tuple[LayerDeviation, ...] = ()
    tensors: tuple[TensorDeviation, ...] = ()
    n_cost_tokens: int = 0
    costs: tuple[WeightCost, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """As `slmprof quant quality --format json` prints it."""
        found = self.divergence
        made: Json = {
            "schema_version": SCHEMA_VERSION,
            "model": self.model.to_json(),
            "reference": self.reference.to_json() if self.reference else None,
            "scored": self.scored.to_json(),
            "perplexity": self.perplexity.value,
            "perplexity_error": self.perplexity.error,
        }
        if found is not None:
            made |= {
                "reference_perplexity": found.perplexity.value,
                "reference_perplexity_error": found.perplexity.error,
                "ln_ratio": found.ln_ratio.to_json(),
                "ratio": found.ratio.to_json(),
                "difference": found.difference.to_json(),
                "correlation": found.correlation,
                "kld": {"mean": found.kld.value, "error": found.kld.error,
                        **found.kld_spread.to_json()},
                "probability_change": {
                    "mean": found.probability_change.value,
                    "error": found.probability_change.error,
                    "rms": found.probability_change_rms.value,
                    "rms_error": found.probability_change_rms.error,
                    **found.probability_change_spread.to_json(),
                },
                "top1_agreement": found.top1_agreement.value,
                "top1_agreement_error": found.top1_agreement.error,
            }  # fmt: skip
        made |= {
            "n_layer_tokens": self.n_layer_tokens,
            "layers": [one.to_json() for one in self.layers],
            "tensors": [one.to_json() for one in self.tensors],
            "n_cost_tokens": self.n_cost_tokens,
            "costs": [one.to_json() for one in self.costs],
            "notes": list(self.notes),
        }
        return made
