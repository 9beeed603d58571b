"""The closed lists of values: each is a PostgreSQL enum of the same name in snake_case."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AgentStatus",
    "AgentType",
    "CarbonIndex",
    "Country",
    "DataCentreStatus",
    "DecisionType",
    "Fuel",
    "OperatorType",
    "PlanStatus",
    "RunStatus",
    "StorageStatus",
    "WorkloadStatus",
    "WorkloadType",
    "WorkloadUrgency",
]


class OperatorType(StrEnum):
    """What an operator runs."""

    COMPUTE_OPERATOR = "COMPUTE_OPERATOR"
    GRID_OPERATOR = "GRID_OPERATOR"
    STORAGE_OPERATOR = "STORAGE_OPERATOR"
    AGGREGATOR = "AGGREGATOR"


class Country(StrEnum):
    """The country a grid region lies in."""

    ENGLAND = "England"
    SCOTLAND = "Scotland"
    WALES = "Wales"


class DataCentreStatus(StrEnum):
    """Whether a data centre takes work."""

    ACTIVE = "ACTIVE"
    MAINTENANCE = "MAINTENANCE"
    OFFLINE = "OFFLINE"
    CONSTRAINED = "CONSTRAINED"


class WorkloadType(StrEnum):
    """What kind of compute a workload is."""

    TRAINING_RUN = "TRAINING_RUN"
    INFERENCE_BATCH = "INFERENCE_BATCH"
    RAG_QUERY = "RAG_QUERY"
    FINE_TUNING = "FINE_TUNING"
    DATA_PROCESSING = "DATA_PROCESSING"
    OTHER = "OTHER"


class WorkloadUrgency(StrEnum):
    """How much a workload minds waiting."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class WorkloadStatus(StrEnum):
    """Where a workload is in its life; a DEFERRED status says why it waits."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    DEFERRED_GRID_STRESS = "DEFERRED_GRID_STRESS"
    DEFERRED_CARBON = "DEFERRED_CARBON"
    DEFERRED_PRICE = "DEFERRED_PRICE"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether the workload has left the fleet for good."""
        return self in (WorkloadStatus.COMPLETED, WorkloadStatus.FAILED, WorkloadStatus.CANCELLED)


class AgentType(StrEnum):
    """What an agent decides about."""

    COMPUTE_ORCHESTRATOR = "COMPUTE_ORCHESTRATOR"
    GRID_OPERATOR = "GRID_OPERATOR"
    STORAGE_AGENT = "STORAGE_AGENT"
    FLEXIBILITY_AGENT = "FLEXIBILITY_AGENT"
    CARBON_OPTIMIZER = "CARBON_OPTIMIZER"


class AgentStatus(StrEnum):
    """What an agent is doing."""

    IDLE = "IDLE"
    ACTIVE = "ACTIVE"
    NEGOTIATING = "NEGOTIATING"
    EXECUTING = "EXECUTING"
    ERROR = "ERROR"
    OFFLINE = "OFFLINE"


class DecisionType(StrEnum):
    """What an agent decided."""

    DEFER_WORKLOAD = "DEFER_WORKLOAD"
    SHIFT_REGION = "SHIFT_REGION"
    SCHEDULE_DISCHARGE = "SCHEDULE_DISCHARGE"
    RENEWABLE_WINDOW = "RENEWABLE_WINDOW"
    ACCEPT_WORKLOAD = "ACCEPT_WORKLOAD"
    REJECT_WORKLOAD = "REJECT_WORKLOAD"
    SCALE_DOWN = "SCALE_DOWN"
    SCALE_UP = "SCALE_UP"
    NEGOTIATE = "NEGOTIATE"
    PRICE_OPTIMIZATION = "PRICE_OPTIMIZATION"
    CARBON_OPTIMIZATION = "CARBON_OPTIMIZATION"


class StorageStatus(StrEnum):
    """What a storage asset is doing."""

    IDLE = "IDLE"
    CHARGING = "CHARGING"
    DISCHARGING = "DISCHARGING"
    MAINTENANCE = "MAINTENANCE"
    OFFLINE = "OFFLINE"


class Fuel(StrEnum):
    """The nine fuels of a generation mix, in the Carbon Intensity API's order."""

    BIOMASS = "biomass"
    COAL = "coal"
    IMPORTS = "imports"
    GAS = "gas"
    NUCLEAR = "nuclear"
    OTHER = "other"
    HYDRO = "hydro"
    SOLAR = "solar"
    WIND = "wind"


class CarbonIndex(StrEnum):
    """The Carbon Intensity API's word for a value, from best to worst."""

    VERY_LOW = "very low"
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    VERY_HIGH = "very high"


class RunStatus(StrEnum):
    """How a pipeline run stands: PARTIAL when some source failed and the rest was stored."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"


class PlanStatus(StrEnum):
    """How a plan stands: ABANDONED when whoever worked on it ended before it did."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABANDONED = "ABANDONED"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of the plan."""
        return self not in (PlanStatus.QUEUED, PlanStatus.RUNNING)
