//! `ff flow run`: a file becomes a flow.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ff_core::EngineError;
use ff_core::contracts::{FLOW_BYTES_MAX, FlowLink, FlowNode, SubmitFlowArgs, SubmitFlowResult};
use ff_core::engine_backend::EngineBackend;
use ff_core::machine::flow::SubmitFlow;
use ff_core::machine::{Command as _, Context, Limits, Snapshot};
use ff_core::partition::PartitionConfig;
use ff_core::types::{BudgetId, ExecutionId, FlowId, LaneId, Namespace, TimestampMs};
use serde_json::json;

use crate::command::flow::follow;
use crate::command::submit::{Draft, NAMESPACE, engine_now, open};
use crate::duration::{parse_positive, size};
use crate::error::{Error, Exit, Result};
use crate::filter::parse_lane;
use crate::flow::graph::NAME_TAG;
use crate::flow::plan::{self, Plan, Planned};
use crate::id;
use crate::output::{Format, Output};
use crate::store::{Location, Purpose, Store};
use crate::time;

/// Largest flow file: 10,000 nodes with a page of payload each.
const FILE_MAX_BYTES: u64 = 96 << 20;

/// Mistakes that are told; the rest is counted.
const MISTAKES_SHOWN: usize = 20;

/// What ties a node to the upstream whose result becomes its payload.
const RESULT_AS_PAYLOAD: &str = "result";

/// Submits the flow that a file describes.
#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub(crate) struct RunArgs {
    /// The file, YAML or JSON; `-` for stdin.
    file: PathBuf,
    /// The lane of nodes that name none.
    #[arg(long, default_value = "default", value_parser = parse_lane)]
    lane: LaneId,
    /// Print the flow's id and do not wait for it.
    #[arg(long, short = 'd', visible_alias = "detach")]
    no_wait: bool,
    /// Only look whether the file describes a flow.
    #[arg(long)]
    check: bool,
    /// Follow at most this long; exit code 6 after it.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive, conflicts_with_all = ["no_wait", "check"])]
    timeout: Option<Duration>,
}

const RUN_HELP: &str = r"A flow file names its nodes, and for each what it needs:

  flow: release                    # the kind of the flow; the file's name if absent
  tags: {team.name: core}          # of the flow
  budgets: [team]                  # every node is bound to these, by name or id
  defaults: {lane: ci, retries: 2, backoff: exp:1s..60s}
  nodes:
    fetch: {kind: http-get, payload: {url: 'https://example.org'}}
    build: {kind: make, payload_from: fetch}      # its payload is the result of fetch
    lint:  {kind: make, payload: lint, needs: [build], attempt_timeout: 5m}
    test:  {kind: make, payload: test, needs: [build]}
    ship:  {kind: push, needs: [lint, test], join: all, capabilities: [deploy]}

A node has kind, needs, join, on_satisfied, one of payload, payload_base64, payload_file (beside the flow
file) and payload_from, and what `ff submit` knows: lane, priority, tags, delay, deadline, attempt_timeout,
retries, backoff, max_reclaims, capabilities, budgets.
  join: all                 runs when all it needs have completed (the default)
  join: any                 when the first one has
  join: {quorum: 2}         when two have
  payload_from              goes with `all`: a node that runs before its source has ended would get nothing
  on_satisfied: let_run     what happens then to the others of any and quorum (the default),
                            or cancel_remaining
A node whose join has become impossible is skipped, and what needs it in turn.

The whole graph is submitted in one step, or not at all. Exit code 5 if the flow does not complete.";

pub(super) async fn run(location: &Location, output: Output, args: RunArgs) -> Result<ExitCode> {
    let template = Draft::of_lane(args.lane);
    let limit = location.limits.payload_bytes;
    let file = args.file.clone();
    let plan = tokio::task::spawn_blocking(move || read_plan(&file, &template, limit))
        .await
        .map_err(|error| Error::io("read the flow file", &io::Error::other(error)))??;
    if args.check {
        let counts = (plan.nodes.len(), plan.nodes.iter().map(|node| node.needs.len()).sum());
        let kind = plan.kind.clone();
        refuse_unsound(plan, &location.limits)?;
        return told_sound(output, &kind, counts);
    }
    let purpose = if args.no_wait { Purpose::Submit } else { Purpose::Serve };
    let store = Store::open(location, purpose).await?;
    let engine = store.engine();
    let flow = submit(engine.as_ref(), plan).await?;
    let answer = if args.no_wait {
        match output.format {
            Format::Json => output.json(&json!({
                "id": id::show_flow(&flow),
                "flow_id": flow,
            }))?,
            Format::Table | Format::Id => output.line(&id::show_flow(&flow))?,
        }
        Ok(ExitCode::SUCCESS)
    } else {
        if output.format == Format::Table && !output.quiet && !output.draws() {
            eprintln!("submitted {}", id::show_flow(&flow));
        }
        let file = store.file();
        tokio::select! {
            answer = follow::to_the_end(engine.as_ref(), output, &flow, args.timeout) => answer,
            gone = file.moved() => Err(gone),
        }
    };
    drop(engine);
    store.close().await;
    answer
}

/// Asks the engine's own rule what it would answer on an empty store, so that a check passes nothing that a
/// submit refuses. Only whether the named budgets exist is left to the submit.
fn refuse_unsound(plan: Plan, limits: &Limits) -> Result<()> {
    let names: Vec<_> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    let named = plan.nodes.iter().flat_map(|node| &node.budgets);
    let budgets = named.map(|name| (name.clone(), BudgetId::new())).collect();
    let now = TimestampMs(time::epoch_ms());
    let args = submission(plan, &budgets, now)?;
    let judged = SubmitFlow::new(args)
        .and_then(|submit| submit.decide(&Snapshot::default(), &mut Context::new(now, 0, limits)));
    judged.map(drop).map_err(|error| refused(&error, &names))
}

/// A refusal of the engine, with the node by its name.
fn refused(error: &EngineError, names: &[String]) -> Error {
    let doing = "submit the flow";
    if let EngineError::Validation { kind, detail } = error
        && let Some((name, detail)) = at_node(detail, names)
    {
        let kind = kind.clone();
        let inner = EngineError::Validation { kind, detail: detail.to_owned() };
        return Error::engine(doing, &inner).context(&format!("node `{name}`"));
    }
    Error::engine(doing, error)
}

/// Reads `node PLACE (ID): DETAIL`, as the engine tells which node of a graph it refuses.
fn at_node<'a>(detail: &'a str, names: &'a [String]) -> Option<(&'a str, &'a str)> {
    let (place, rest) = detail.strip_prefix("node ")?.split_once(" (")?;
    let name = names.get(place.parse::<usize>().ok()?)?;
    Some((name, rest.split_once("): ")?.1))
}

fn told_sound(output: Output, kind: &str, (nodes, edges): (usize, usize)) -> Result<ExitCode> {
    match output.format {
        Format::Json => {
            output.json(&json!({"flow": kind, "nodes": nodes, "edges": edges}))?;
        }
        Format::Table => {
            output.line(&format!("{kind} is sound: {nodes} nodes, {edges} edges"))?;
        }
        Format::Id => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn read_plan(path: &Path, template: &Draft, payload_limit: usize) -> Result<Plan> {
    let shown = path.display();
    let is_stdin = path == Path::new("-");
    let mut bytes = Vec::new();
    let read = if is_stdin {
        io::stdin().lock().take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        let (file, _) = open(path)?;
        file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)
    };
    read.map_err(|error| Error::io(format!("read `{shown}`"), &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX_BYTES {
        return Err(Error::usage(format!("`{shown}` is too large for a flow file"))
            .why(format!("the limit is {}", size(FILE_MAX_BYTES)))
            .fix("keep large payloads in files of their own and name them with payload_file"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Error::usage(format!("`{shown}` is not UTF-8")).why(error.to_string()))?;
    let directory = path.parent().filter(|_| !is_stdin).unwrap_or_else(|| Path::new("."));
    let stem = path.file_stem().filter(|_| !is_stdin).and_then(|stem| stem.to_str());
    plan::read(&text, template, directory, stem.unwrap_or("flow"), payload_limit).map_err(
        |mistakes| {
            let mut details: Vec<_> =
                mistakes.iter().take(MISTAKES_SHOWN).map(ToString::to_string).collect();
            if mistakes.len() > MISTAKES_SHOWN {
                details.push(format!("and {} more", mistakes.len() - MISTAKES_SHOWN));
            }
            let mut error = Error::new(
                Exit::Usage,
                "bad_flow",
                format!("`{shown}` does not describe a flow that can be run"),
            )
            .fix("`ff flow run --help` shows what a flow file looks like; --check only looks");
            error.details = details;
            error
        },
    )
}

/// Stores the whole graph in one step.
async fn submit(engine: &dyn EngineBackend, plan: Plan) -> Result<FlowId> {
    let mut budgets: HashMap<String, BudgetId> = HashMap::new();
    for named in plan.nodes.iter().flat_map(|node| &node.budgets) {
        if !budgets.contains_key(named) {
            budgets.insert(named.clone(), id::resolve_budget(engine, named).await?);
        }
    }
    let now = engine_now(engine).await?;
    let names: Vec<_> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    let args = submission(plan, &budgets, now)?;
    let submitted = engine.submit_flow(args).await.map_err(|error| refused(&error, &names))?;
    match submitted {
        SubmitFlowResult::Submitted { flow_id, .. } | SubmitFlowResult::Duplicate { flow_id } => {
            Ok(flow_id)
        }
        other => Err(Error::new(Exit::Error, "engine", "cannot submit the flow")
            .why(format!("the engine answered {other:?}"))),
    }
}

/// The graph as the engine takes it.
fn submission(
    plan: Plan,
    budgets: &HashMap<String, BudgetId>,
    now: TimestampMs,
) -> Result<SubmitFlowArgs> {
    let bytes: usize = plan.nodes.iter().map(|node| node.draft.payload.len()).sum();
    if bytes > FLOW_BYTES_MAX {
        return Err(Error::usage("the payloads of the flow are too large")
            .why(format!("they are {bytes} bytes together; the limit is {FLOW_BYTES_MAX} bytes"))
            .fix("submit references to the data"));
    }
    let flow_id = FlowId::new();
    let edges = plan.nodes.iter().enumerate().flat_map(|(downstream, node)| {
        node.needs.iter().map(move |upstream| {
            let link = FlowLink::new(*upstream, downstream);
            if node.payload_from == Some(*upstream) {
                link.with_data_passing_ref(RESULT_AS_PAYLOAD)
            } else {
                link
            }
        })
    });
    Ok(SubmitFlowArgs {
        flow_kind: plan.kind,
        namespace: Namespace::new(NAMESPACE),
        tags: plan.tags.into_iter().collect::<BTreeMap<_, _>>(),
        edges: edges.collect(),
        nodes: plan.nodes.into_iter().map(|node| flow_node(node, &flow_id, budgets, now)).collect(),
        flow_id,
    })
}

fn flow_node(
    mut node: Planned,
    flow: &FlowId,
    budgets: &HashMap<String, BudgetId>,
    now: TimestampMs,
) -> FlowNode {
    let one = PartitionConfig {
        num_flow_partitions: 1,
        num_budget_partitions: 1,
        num_quota_partitions: 1,
    };
    node.draft.tags.insert(NAME_TAG.to_owned(), node.name);
    for named in &node.budgets {
        let budget = budgets.get(named).filter(|id| !node.draft.wishes.budgets.contains(id));
        node.draft.wishes.budgets.extend(budget.cloned());
    }
    FlowNode::new(node.draft.args_as(ExecutionId::for_flow(flow, &one), now)).with_join(node.join)
}
