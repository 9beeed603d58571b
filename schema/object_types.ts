// Generated from src/pylon/ontology by `pylon derive`; do not edit.

/** What an agent is doing. */
export type AgentStatus =
  | "IDLE"
  | "ACTIVE"
  | "NEGOTIATING"
  | "EXECUTING"
  | "ERROR"
  | "OFFLINE";

/** What an agent decides about. */
export type AgentType =
  | "COMPUTE_ORCHESTRATOR"
  | "GRID_OPERATOR"
  | "STORAGE_AGENT"
  | "FLEXIBILITY_AGENT"
  | "CARBON_OPTIMIZER";

/** The country a grid region lies in. */
export type Country =
  | "England"
  | "Scotland"
  | "Wales";

/** Whether a data centre takes work. */
export type DataCentreStatus =
  | "ACTIVE"
  | "MAINTENANCE"
  | "OFFLINE"
  | "CONSTRAINED";

/** What an agent decided. */
export type DecisionType =
  | "DEFER_WORKLOAD"
  | "SHIFT_REGION"
  | "SCHEDULE_DISCHARGE"
  | "RENEWABLE_WINDOW"
  | "ACCEPT_WORKLOAD"
  | "REJECT_WORKLOAD"
  | "SCALE_DOWN"
  | "SCALE_UP"
  | "NEGOTIATE"
  | "PRICE_OPTIMIZATION"
  | "CARBON_OPTIMIZATION";

/** The nine fuels of a generation mix, in the Carbon Intensity API's order. */
export type Fuel =
  | "biomass"
  | "coal"
  | "imports"
  | "gas"
  | "nuclear"
  | "other"
  | "hydro"
  | "solar"
  | "wind";

/** What an operator runs. */
export type OperatorType =
  | "COMPUTE_OPERATOR"
  | "GRID_OPERATOR"
  | "STORAGE_OPERATOR"
  | "AGGREGATOR";

/** How a plan stands: ABANDONED when whoever worked on it ended before it did. */
export type PlanStatus =
  | "QUEUED"
  | "RUNNING"
  | "SUCCEEDED"
  | "FAILED"
  | "ABANDONED";

/** What a storage asset is doing. */
export type StorageStatus =
  | "IDLE"
  | "CHARGING"
  | "DISCHARGING"
  | "MAINTENANCE"
  | "OFFLINE";

/** Where a workload is in its life; a DEFERRED status says why it waits. */
export type WorkloadStatus =
  | "PENDING"
  | "QUEUED"
  | "RUNNING"
  | "COMPLETED"
  | "FAILED"
  | "DEFERRED_GRID_STRESS"
  | "DEFERRED_CARBON"
  | "DEFERRED_PRICE"
  | "CANCELLED";

/** What kind of compute a workload is. */
export type WorkloadType =
  | "TRAINING_RUN"
  | "INFERENCE_BATCH"
  | "RAG_QUERY"
  | "FINE_TUNING"
  | "DATA_PROCESSING"
  | "OTHER";

/** How much a workload minds waiting. */
export type WorkloadUrgency =
  | "LOW"
  | "MEDIUM"
  | "HIGH"
  | "CRITICAL";

/** A user or organisation; the tenant every other row of the fleet belongs to. */
export interface Operator {
  /** Primary key */
  id: string;
  /** Operator's name */
  name: string;
  /** What the operator runs */
  operator_type: OperatorType;
  /** Contact address, unique */
  email: string | null;
  /** Additional attributes */
  metadata: Record<string, unknown>;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  created_at: string;
  /** When the row last changed */
  updated_at: string;
}

/** A site that runs compute. Its power is the facility's, cooling included, unless a name says IT. */
export interface DataCentre {
  /** Primary key */
  id: string;
  /** The operator's own id for the site; unique per operator */
  dc_id: string;
  /** Human-readable name */
  name: string;
  /** The operator the site belongs to */
  operator_id: string;
  /** The grid region's id */
  region_id: string;
  /** The region's name, repeated */
  location_region: string | null;
  /** UK postcode */
  postcode: string | null;
  /** Power usage effectiveness: facility power / IT power */
  pue: number;
  /** Compute capacity [TFLOPS] */
  total_capacity_teraflops: number | null;
  /** Power the site may draw [MW] */
  total_capacity_mw: number;
  /** Share of load that can move; 1 = fully flexible */
  flexibility_rating: number;
  /** Load the site cannot go below [%] */
  min_load_percentage: number;
  /** How fast the site's load may change [MW/min] */
  ramp_rate_mw_per_min: number | null;
  /** Present draw as a share of total_capacity_mw [%] */
  current_load_percentage: number | null;
  /** The region's forecast for the present half hour; null when none is stored [gCO2/kWh] */
  current_carbon_intensity: number | null;
  /** Source of current_carbon_intensity; `simulated` when simulated */
  current_carbon_source: string | null;
  /** Whether the site takes work */
  status: DataCentreStatus;
  /** GPUs on site */
  gpu_count: number | null;
  /** CPU cores on site */
  cpu_cores: number | null;
  /** Memory on site [GB] */
  memory_gb: number | null;
  /** Facility power drawn by what Pylon does not schedule [MW] */
  base_load_mw: number;
  /** Tariff the site buys at (tariff_rates.tariff); null: the wholesale price */
  tariff: string | null;
  /** Whether the site's spare capacity is offered in the market catalog to everyone */
  published: boolean;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  created_at: string;
  /** When the row last changed */
  updated_at: string;
}

/** A battery or other store of electricity. */
export interface StorageAsset {
  /** Primary key */
  id: string;
  /** The operator's own id for the asset; unique per operator */
  asset_id: string;
  /** Human-readable name */
  name: string;
  /** The operator the asset belongs to */
  operator_id: string;
  /** The grid region's id */
  region_id: string;
  /** Usable energy when full [MWh] */
  capacity_mwh: number;
  /** Most power it can take [MW] */
  max_charge_rate_mw: number;
  /** Most power it can give [MW] */
  max_discharge_rate_mw: number;
  /** Round-trip efficiency: energy out / energy in [%] */
  efficiency_percentage: number;
  /** Energy stored now [MWh] */
  current_charge_mwh: number | null;
  /** State of charge: current_charge_mwh / capacity_mwh [%] */
  current_charge_percentage: number | null;
  /** What the asset is doing */
  status: StorageStatus;
  /** The data centre whose grid connection it shares, if any */
  co_located_dc_id: string | null;
  /** Cost of wear per MWh discharged [GBP/MWh] */
  wear_gbp_mwh: number;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  created_at: string;
  /** When the row last changed */
  updated_at: string;
}

/** What an operator pays for electricity on one of its tariffs, from one moment until the tariff's next rate. */
export interface TariffRate {
  /** Primary key */
  id: string;
  /** The operator that buys at the rate */
  operator_id: string;
  /** The operator's own name for the tariff */
  tariff: string;
  /** From when the rate holds, until the tariff's next one */
  starts_at: string;
  /** Price of energy, levies included; null: no price from here on [GBP/MWh] */
  price_gbp_mwh: number | null;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  created_at: string;
}

/** One of the 17 regions of the Carbon Intensity API: 14 distribution areas and 3 countries. */
export interface Region {
  /** Primary key */
  id: string;
  /** The API's number for the region, 1 to 17 */
  region_id: number;
  /** Name, e.g. North Scotland */
  short_name: string;
  /** Distribution network operator's area, in the API's words */
  dno_region: string | null;
  /** England, Scotland or Wales */
  country: Country;
  /** True for regions 15 to 17, which sum up a country */
  is_aggregate: boolean;
  /** Geographic centre, latitude [degrees north] */
  latitude: number | null;
  /** Geographic centre, longitude [degrees east] */
  longitude: number | null;
}

/** The whole of Great Britain in one half hour: carbon, demand, price and stress. */
export interface GridSignal {
  /** Primary key */
  id: string;
  /** Start of the half hour, UTC */
  timestamp: string;
  /** Number of the half hour in the London day, 1 to 48 (46, 50 at clock changes) */
  settlement_period: number;
  /** Forecast carbon intensity; its last revision, once past [gCO2/kWh] */
  carbon_intensity_forecast: number | null;
  /** Estimated actual carbon intensity, once known [gCO2/kWh] */
  carbon_intensity_actual: number | null;
  /** The source's own word: very low, low, moderate, high, very high */
  carbon_index: string | null;
  /** The same word computed from the value and the year's bands */
  carbon_index_computed: string | null;
  /** National demand on the transmission system [MW] */
  demand_mw: number | null;
  /** 0.000 (slack) to 1.000 (emergency) */
  grid_stress_score: number | null;
  /** The score's components, their coverage and the method's version */
  grid_stress_detail: Record<string, unknown> | null;
  /** Wholesale price; may be negative [GBP/MWh] */
  wholesale_price_gbp_mwh: number | null;
  /** Price of imbalance, known after the half hour; may be negative [GBP/MWh] */
  system_price_gbp_mwh: number | null;
  /** Source of the row's carbon intensity; `simulated` when simulated */
  data_source: string | null;
  /** Source of each quantity: carbon, demand, price, system_price, stress, mix */
  provenance: Record<string, unknown>;
  /** True until an actual carbon intensity is known for the half hour */
  is_forecast: boolean;
  /** When the value now stored was retrieved */
  fetched_at: string;
}

/** One region in one half hour. The upstream regional figures are a model's output, never measured. */
export interface RegionalGridSignal {
  /** Primary key */
  id: string;
  /** The region's id (a UUID here; the API's number is regions.region_id) */
  region_id: string;
  /** Start of the half hour, UTC */
  timestamp: string;
  /** Forecast carbon intensity; 0 is legal in a region [gCO2/kWh] */
  carbon_intensity_forecast: number | null;
  /** What caps are held against: 90 % quantile of Pylon's own forecast; null on others [gCO2/kWh] */
  carbon_intensity_upper: number | null;
  /** Actual carbon intensity, where a source gives one [gCO2/kWh] */
  carbon_intensity_actual: number | null;
  /** The source's own word */
  carbon_index: string | null;
  /** The same word computed from the value and the year's bands */
  carbon_index_computed: string | null;
  /** Source of the row; `simulated` when simulated */
  data_source: string | null;
  /** When the value now stored was retrieved */
  fetched_at: string;
}

/** The share of one fuel in a national or a regional signal. */
export interface GenerationMix {
  /** Primary key */
  id: string;
  /** The national signal, or null */
  grid_signal_id: string | null;
  /** The regional signal, or null; exactly one of the two is set */
  regional_signal_id: string | null;
  /** The signal's timestamp, repeated for quick queries */
  timestamp: string;
  /** Fuel */
  fuel_type: Fuel;
  /** Share of generation, 0.00 to 100.00 [%] */
  percentage: number;
  /** When the value now stored was retrieved */
  fetched_at: string;
}

/** A job: what it needs, what limits it, where it stands, and what it used in the end. */
export interface ComputeWorkload {
  /** Primary key */
  id: string;
  /** The operator's own id for the job; unique per operator */
  job_id: string;
  /** The operator the job belongs to */
  operator_id: string;
  /** Where the job runs or is to run */
  host_dc_id: string | null;
  /** Where the job would run if nobody moved it: the baseline's place */
  origin_dc_id: string | null;
  /** Kind of compute */
  workload_type: WorkloadType;
  /** How much the job minds waiting */
  urgency: WorkloadUrgency;
  /** GPU minutes required [GPU min] */
  required_gpu_mins: number | null;
  /** CPU cores required */
  required_cpu_cores: number | null;
  /** Memory required [GB] */
  required_memory_gb: number | null;
  /** IT energy the job is expected to use [kWh] */
  estimated_energy_kwh: number | null;
  /** How long the job runs [min] */
  duration_mins: number;
  /** IT power while running; estimated_energy_kwh / duration when not given [kW] */
  power_kw: number;
  /** Whether the job may be paused and resumed */
  interruptible: boolean;
  /** Cap on the job's energy-weighted mean carbon intensity [gCO2/kWh] */
  carbon_cap_gco2: number | null;
  /** Cap on the job's total energy cost [GBP] */
  max_price_gbp: number | null;
  /** Must complete by */
  deadline: string | null;
  /** How long after arrival the job may start [min] */
  deferral_window_mins: number | null;
  /** Regions (the API's numbers) the job may run in; null means anywhere */
  allowed_region_ids: number[] | null;
  /** Cost of running anywhere but at the origin [GBP] */
  migration_cost_gbp: number;
  /** Value of the compute, lost if never run [GBP] */
  value_gbp: number | null;
  /** When the job is to start */
  scheduled_start: string | null;
  /** The plan that placed the job */
  plan_id: string | null;
  /** Where the job is in its life */
  status: WorkloadStatus;
  /** Why it has this status, where whoever gave it said so */
  status_reason: string | null;
  /** IT energy used [kWh] */
  actual_energy_kwh: number | null;
  /** Carbon emitted [gCO2] */
  actual_carbon_gco2: number | null;
  /** Energy cost [GBP] */
  actual_cost_gbp: number | null;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  created_at: string;
  /** When the job started */
  started_at: string | null;
  /** When the job ended */
  completed_at: string | null;
}

/** A program that decides for an operator, within what its type may do. */
export interface Agent {
  /** Primary key */
  id: string;
  /** The operator's own id for the agent; unique per operator */
  agent_id: string;
  /** Agent's name */
  name: string;
  /** What the agent decides about */
  agent_type: AgentType;
  /** The operator the agent acts for */
  operator_id: string;
  /** Agent configuration */
  config: Record<string, unknown>;
  /** What the agent is doing */
  status: AgentStatus;
  /** When the agent last acted */
  last_action_at: string | null;
  /** What the agent works on */
  current_task: Record<string, unknown> | null;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  created_at: string;
  /** When the row last changed */
  updated_at: string;
}

/** A state an agent entered, and why. */
export interface AgentState {
  /** Primary key */
  id: string;
  /** The operator the row belongs to */
  operator_id: string;
  /** The agent */
  agent_id: string;
  /** The state entered */
  status: string;
  /** Full state at that moment */
  state_data: Record<string, unknown>;
  /** What caused the change */
  triggered_by: string | null;
  /** When the row was created */
  recorded_at: string;
}

/** What an agent decided, on which inputs, and why. Append-only: never changed, never removed. */
export interface OrchestrationDecision {
  /** Primary key */
  id: string;
  /** External id of the decision; unique per operator */
  decision_id: string;
  /** The operator the row belongs to */
  operator_id: string;
  /** What was decided */
  decision_type: DecisionType;
  /** The agent that decided */
  agent_id: string | null;
  /** The workload decided about */
  workload_id: string | null;
  /** Where the workload would have run */
  source_dc_id: string | null;
  /** Where it is to run */
  target_dc_id: string | null;
  /** The storage asset decided about */
  storage_asset_id: string | null;
  /** The national signal the agent saw */
  input_grid_signal_id: string | null;
  /** The last committed pipeline run the agent saw */
  input_run_id: string | null;
  /** Carbon intensity at decision time [gCO2/kWh] */
  input_carbon_intensity: number | null;
  /** Grid stress at decision time */
  input_grid_stress: number | null;
  /** Price at decision time [GBP/MWh] */
  input_price_gbp_mwh: number | null;
  /** The reason in words, read off the cost terms */
  reasoning: string;
  /** Limits checked */
  constraints_evaluated: Record<string, unknown>;
  /** Other options and their cost terms */
  alternatives_considered: Record<string, unknown>;
  /** Carbon saved against run-now at origin; negative when more was emitted [gCO2] */
  carbon_saved_gco2: number | null;
  /** Cost saved against run-now at origin; negative when it cost more [GBP] */
  cost_saved_gbp: number | null;
  /** Power made available to a flexibility market [MW] */
  flexibility_contribution_mw: number | null;
  /** What the agent saw: from it the decision recomputes */
  inputs: Record<string, unknown>;
  /** The action performed, and what it changed */
  effect: Record<string, unknown>;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  decided_at: string;
  /** Number in the operator's log, without gaps */
  seq: number;
  /** Canonical JSON of all the columns above: the bytes that are hashed */
  content: string;
  /** Hash of the decision before; zeros for the first */
  prev_hash: string;
  /** SHA-256 of prev_hash, seq and content, a line each */
  hash: string;
}

/** A cap on what Pylon schedules at a data centre for a while; a blackout window is a cap of 0 MW. */
export interface LoadLimit {
  /** Primary key */
  id: string;
  /** The operator the row belongs to */
  operator_id: string;
  /** The data centre */
  data_centre_id: string;
  /** From when it holds */
  starts_at: string;
  /** Until when; null: until it is lifted */
  ends_at: string | null;
  /** Facility power that scheduled work may draw [MW] */
  max_power_mw: number;
  /** Why, in words */
  reason: string;
  /** The SCALE_DOWN that set it, if one did */
  decision_id: string | null;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  created_at: string;
}

/** One plan of a whole fleet, from when it was asked for until it ended; agents carry the last good one out. All that is known only when it has been worked out is null until then. An ended plan is never changed again. */
export interface Plan {
  /** Primary key */
  id: string;
  /** External id of the plan, P-000001 onwards; unique per operator */
  plan_id: string;
  /** The operator the row belongs to */
  operator_id: string;
  /** How it stands */
  status: PlanStatus;
  /** What asked for it: a command, a client, a pipeline run, arrivals */
  trigger: string;
  /** When it was asked for */
  requested_at: string;
  /** When work on it began */
  started_at: string | null;
  /** When it ended, well or not */
  finished_at: string | null;
  /** The moment at which the fleet was read for it */
  as_of: string | null;
  /** Start of its first half hour */
  starts_at: string | null;
  /** How many half hours it covers */
  half_hours: number | null;
  /** The last committed pipeline run it saw */
  run_id: string | null;
  /** Number of the last decision it knew of */
  after_seq: number | null;
  /** The SHA-256 under which plan_inputs keeps all it saw */
  input_digest: string | null;
  /** Size of what it saw, as kept, in bytes */
  input_bytes: number | null;
  /** How far it has come: the stage, and done of how many */
  progress: Record<string, unknown>;
  /** How many workloads it planned */
  workloads: number | null;
  /** At how many data centres */
  sites: number | null;
  /** What the plan costs, by the weights of the agents; wear and delay too [GBP] */
  cost_gbp: number | null;
  /** No plan can cost less than this [GBP] */
  bound_gbp: number | null;
  /** Cost less bound, as a share of the bound */
  gap: number | null;
  /** The same without what no plan can change: running work, and workloads without any option */
  gap_of_choice: number | null;
  /** Facility energy that it leaves room for [MWh] */
  spare_mwh: number | null;
  /** SHA-256 of the canonical JSON that plan_results keeps of it */
  result_digest: string | null;
  /** Size of that JSON in bytes */
  result_bytes: number | null;
  /** Why it failed, or was given up */
  error: string | null;
  /** Under `quantities`: which of carbon, price, stress were */
  simulated: Record<string, unknown>;
  /** True when Pylon generated the object; it exists nowhere else */
  is_simulated: boolean;
  /** When the row was created */
  created_at: string;
  /** When the row last changed */
  updated_at: string;
}

/** Every object type by its name. */
export interface ObjectTypes {
  Operator: Operator;
  DataCentre: DataCentre;
  StorageAsset: StorageAsset;
  TariffRate: TariffRate;
  Region: Region;
  GridSignal: GridSignal;
  RegionalGridSignal: RegionalGridSignal;
  GenerationMix: GenerationMix;
  ComputeWorkload: ComputeWorkload;
  Agent: Agent;
  AgentState: AgentState;
  OrchestrationDecision: OrchestrationDecision;
  LoadLimit: LoadLimit;
  Plan: Plan;
}

/** The name of a link between two objects. */
export type LinkName =
  | "AFFECTS"
  | "CONSUMED"
  | "CO_LOCATED_WITH"
  | "DECIDED_BY"
  | "HAS_MIX"
  | "HAS_SIGNAL"
  | "HOSTED_BY"
  | "LIMITS"
  | "LOCATED_IN"
  | "OPERATED_BY"
  | "ORIGINATED_AT"
  | "PAID_BY"
  | "PLANNED_BY"
  | "STATE_OF"
  | "SUBMITTED_BY";
