//! `quiver-bench load`, `vectors`, `documents`, `latency` and `library`: see `benches/README.md`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "results go to standard output")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use quiver_benches::bounds::Bound;
use quiver_benches::contender::{self, Task};
use quiver_benches::dataset::Dataset;
use quiver_benches::documents;
use quiver_benches::latency::{self, Disturbance};
use quiver_benches::library;
use quiver_benches::load::{self, Test};
use quiver_benches::machine::Provenance;
use quiver_benches::progress::note;
use quiver_benches::replication;
use quiver_benches::report::Document;
use quiver_benches::server::{Cores, ServerSpec, pin_this_thread};
use quiver_benches::snapshot;
use quiver_benches::vector_traffic::Quant;
use quiver_benches::vectors;

/// Where `cargo build --release` leaves the server.
const QUIVER_DEFAULT: &str = "target/release/quiver-server";

/// Measures Quiver and its peers in one run, the servers on one core and this program on another.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Key/value commands: server CPU per operation, throughput, latency, bytes per key.
    Load(LoadArgs),
    /// Vector sets: VADD per server CPU, bytes per vector, queries/s against recall.
    Vectors(VectorArgs),
    /// GETs of some clients while another one does something huge.
    Latency(LatencyArgs),
    /// The index as a library beside hnswlib, usearch and FAISS: build CPU, memory, queries/s against recall.
    Library(LibraryArgs),
    /// Quiver's end of `library`; started by it.
    #[command(hide = true)]
    Contender(ContenderArgs),
    /// Documents and every kind of question about them: indexing, recall, text beside tantivy, restart.
    Documents(DocumentsArgs),
    /// Quiver's end of `documents`; started by it.
    #[command(hide = true)]
    TextContender(TextContenderArgs),
    /// A background save under writes: memory, throughput, stalls; and loading.
    Snapshot(SnapshotArgs),
    /// What a replica costs, how fast it follows, and how long a full sync takes.
    Replication(ReplicationArgs),
}

#[derive(Debug, Args)]
struct CommonArgs {
    /// Quiver's server, with arguments if need be [default: target/release/quiver-server where it exists]
    #[arg(long, value_name = "COMMAND")]
    quiver: Option<String>,
    /// A Redis server, e.g. `redis-server` or "/path/wrapper redis-server"
    #[arg(long, value_name = "COMMAND")]
    redis: Option<String>,
    /// A Valkey server
    #[arg(long, value_name = "COMMAND")]
    valkey: Option<String>,
    /// First of up to three ports on the loopback interface
    #[arg(long, default_value_t = 7130)]
    port: u16,
    /// Core of the servers
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Core of the generator
    #[arg(long, default_value_t = 1)]
    generator_core: usize,
    /// Leave placement to the kernel
    #[arg(long)]
    no_pin: bool,
    /// Folder of the result files
    #[arg(long, default_value = "benches/results")]
    out: PathBuf,
    /// First part of the result file's name; names that start with "local" are ignored by git
    #[arg(long, default_value = "local")]
    label: String,
    /// Print PASS or FAIL for each promise against Redis, and fail when one is broken
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
struct LoadArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// What to run
    #[arg(long, value_enum, value_delimiter = ',', default_value = "get,set")]
    tests: Vec<Test>,
    /// Pipeline depths
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    pipelines: Vec<usize>,
    /// Connections
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Distinct keys, all written before the first run
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of a key
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 32)]
    value_bytes: usize,
    /// Interleaved rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Untimed seconds before each run
    #[arg(long, default_value_t = 0.3)]
    warmup: f64,
    /// Timed seconds of each run; CPU time is precise to 10 ms
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Line of the custom test, with __key__, __value__, __hash__, __field__, __rand__
    #[arg(long, value_name = "LINE")]
    custom: Option<String>,
}

#[derive(Debug, Args)]
struct VectorArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Folder with base.npy, query.npy and gt.npy
    #[arg(long, default_value = "datasets/wordnet-minilm-5k")]
    dataset: PathBuf,
    /// Storage of the vectors
    #[arg(long, value_enum, value_delimiter = ',', default_value = "noquant,q8")]
    quant: Vec<Quant>,
    /// Links per node
    #[arg(long, default_value_t = 16)]
    m: u32,
    /// EF of VADD
    #[arg(long, default_value_t = 200)]
    ef_construction: u32,
    /// EF of VSIM, ascending
    #[arg(long, value_delimiter = ',', default_value = "10,15,20,30,40,80,160,320")]
    ef: Vec<u32>,
    /// Neighbours asked for and counted in recall
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    connections: Vec<usize>,
    /// Fresh builds with their searches
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Timed seconds of each search
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Add NOTHREAD to VSIM: Redis then searches on its main thread instead of starting one for each query
    #[arg(long)]
    nothread: bool,
}

#[derive(Debug, Args)]
struct LatencyArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// What the other client does
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none,keys,copy,expire")]
    disturbances: Vec<Disturbance>,
    /// String keys that are read
    #[arg(long, default_value_t = 500_000)]
    keys: u64,
    /// Elements of what is huge, and keys that expire at once
    #[arg(long, default_value_t = 500_000)]
    elements: u64,
    /// Connections that read
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Seconds of each run
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

#[derive(Debug, Args)]
struct LibraryArgs {
    /// Folders with base.npy, query.npy, gt.npy and a description that names the metric
    #[arg(default_value = "datasets/wordnet-minilm-5k")]
    datasets: Vec<PathBuf>,
    /// Who takes part
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "quiver-i8,quiver-f16,quiver-f32,hnswlib,usearch-f32,faiss-f32,faiss-sq8"
    )]
    contenders: Vec<String>,
    /// Links per element
    #[arg(long, default_value_t = 16)]
    m: usize,
    /// Effort of an insertion
    #[arg(long, default_value_t = 200)]
    ef_construction: usize,
    /// Efforts of searches, ascending
    #[arg(long, value_delimiter = ',', default_value = "10,14,20,28,40,56,80,112,160,224,320")]
    ef: Vec<usize>,
    /// Neighbours asked for and counted in recall
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// Interleaved rounds of searches
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// CPU seconds of each search
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// Virtual environment with the peers; made where it does not exist
    #[arg(long, default_value = "target/library-venv")]
    environment: PathBuf,
    /// Folder with peers.py and requirements.txt
    #[arg(long, default_value = "benches/library")]
    peers: PathBuf,
    /// Folder of the result files
    #[arg(long, default_value = "benches/results")]
    out: PathBuf,
    /// First part of the result files' names; names that start with "local" are ignored by git
    #[arg(long, default_value = "local")]
    label: String,
    /// Print PASS or FAIL for each promise, and fail when one is broken
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
struct ContenderArgs {
    name: String,
    folder: PathBuf,
    metric: String,
    m: usize,
    ef_construction: usize,
    k: usize,
}

#[derive(Debug, Args)]
struct DocumentsArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Documents
    #[arg(long, default_value_t = 100_000)]
    documents: usize,
    /// Questions of each kind about words
    #[arg(long, default_value_t = 1000)]
    questions: usize,
    /// Vectors asked about
    #[arg(long, default_value_t = 200)]
    vectors: usize,
    /// EF_RUNTIME to try until recall@10 is 0.95, ascending
    #[arg(long, value_delimiter = ',', default_value = "10,14,20,28,40,56,80,112,160,224,320,450,640")]
    ef: Vec<usize>,
    /// Seconds of each timed search
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Turns of the libraries
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Libraries to measure beside it
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "quiver,tantivy,tantivy-top,quiver-stem,tantivy-stem,tantivy-stem-top,qdrant-local"
    )]
    libraries: Vec<String>,
    /// Only the libraries
    #[arg(long)]
    no_server: bool,
    /// Folder with base.txt and base.npy
    #[arg(long, default_value = "datasets/wordnet-minilm-5k")]
    dataset: PathBuf,
    /// Virtual environment with the peers; made where it does not exist
    #[arg(long, default_value = "target/documents-venv")]
    environment: PathBuf,
    /// Folder with peers.py and requirements.txt
    #[arg(long, default_value = "benches/python/documents")]
    peers: PathBuf,
}

#[derive(Debug, Args)]
struct TextContenderArgs {
    name: String,
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct SnapshotArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// String keys
    #[arg(long, default_value_t = 5_000_000)]
    keys: u64,
    /// Bytes of a key
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 32)]
    value_bytes: usize,
    /// Connections that write
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Requests each has in flight
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Seconds of the run without a save
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Vectors, in the place of keys
    #[arg(long, default_value_t = 0)]
    vectors: u64,
    /// Their dimension
    #[arg(long, default_value_t = 128)]
    dim: usize,
}

#[derive(Debug, Args)]
struct ReplicationArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// String keys
    #[arg(long, default_value_t = 5_000_000)]
    keys: u64,
    /// Bytes of a key
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 32)]
    value_bytes: usize,
    /// Connections that write
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Requests each has in flight
    #[arg(long, default_value_t = 16)]
    pipeline: usize,
    /// Seconds of each run; CPU time is precise to 10 ms
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Runs with and without a replica, in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Writes that a replica has to catch up with
    #[arg(long, default_value_t = 1_000_000)]
    behind: u64,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Load(args) => run_load(args),
        Command::Vectors(args) => run_vectors(args),
        Command::Latency(args) => run_latency(args),
        Command::Library(args) => run_library(args),
        Command::Contender(args) => {
            let ContenderArgs { name, folder, metric, m, ef_construction, k } = args;
            contender::serve(&name, &Task { folder, metric, m, ef_construction, k })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Documents(args) => run_documents(args),
        Command::TextContender(args) => {
            documents::text::serve(&args.name, &args.folder)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Snapshot(args) => run_snapshot(args),
        Command::Replication(args) => run_replication(args),
    }
}

fn run_load(args: LoadArgs) -> Result<ExitCode> {
    ensure!(args.keys > 0 && args.rounds > 0 && args.seconds > 0.0, "--keys, --rounds and --seconds must be positive");
    ensure!(args.pipelines.iter().all(|depth| *depth > 0), "a pipeline holds at least one request");
    let settings = load::Settings {
        tests: args.tests,
        pipelines: args.pipelines,
        connections: args.connections,
        keys: args.keys,
        key_bytes: args.key_bytes,
        value_bytes: args.value_bytes,
        rounds: args.rounds,
        warmup_s: args.warmup,
        run_s: args.seconds,
        custom: args.custom,
    };
    let specs = args.common.prepare()?;
    let results = load::run(&specs, &settings)?;
    println!("{}", results.tables());
    let document =
        Document { kind: "load", provenance: &Provenance::collect(), settings: &settings, results: &results };
    args.common.finish(&document.write(&args.common.out, &args.common.label)?, &results.bounds)
}

fn run_vectors(args: VectorArgs) -> Result<ExitCode> {
    ensure!(args.rounds > 0 && args.seconds > 0.0 && args.k > 0, "--rounds, --seconds and --k must be positive");
    ensure!(args.ef.is_sorted(), "--ef must ascend");
    let dataset = Dataset::load(&args.dataset)?;
    let settings = vectors::Settings {
        dataset: dataset.name.clone(),
        quants: args.quant,
        m: args.m,
        ef_construction: args.ef_construction,
        efs: args.ef,
        k: args.k,
        connections: args.connections,
        rounds: args.rounds,
        search_s: args.seconds,
        nothread: args.nothread,
    };
    let specs = args.common.prepare()?;
    let results = vectors::run(&specs, &dataset, &settings)?;
    println!("{}", results.tables(&settings));
    let provenance = Provenance::collect();
    let document = Document { kind: "vectors", provenance: &provenance, settings: &settings, results: &results };
    args.common.finish(&document.write(&args.common.out, &args.common.label)?, &results.bounds)
}

fn run_latency(args: LatencyArgs) -> Result<ExitCode> {
    ensure!(args.keys > 0 && args.elements > 0 && args.seconds > 0.0, "--keys, --elements, --seconds: not positive");
    let settings = latency::Settings {
        disturbances: args.disturbances,
        keys: args.keys,
        elements: args.elements,
        connections: args.connections,
        run_s: args.seconds,
    };
    let rows = latency::run(&args.common.prepare()?, &settings)?;
    println!("{}", latency::table(&rows));
    let provenance = Provenance::collect();
    let document = Document { kind: "latency", provenance: &provenance, settings: &settings, results: &rows };
    args.common.finish(&document.write(&args.common.out, &args.common.label)?, &[])
}

fn run_library(args: LibraryArgs) -> Result<ExitCode> {
    ensure!(args.rounds > 0 && args.seconds > 0.0 && args.k > 0, "--rounds, --seconds and --k must be positive");
    ensure!(args.ef.is_sorted(), "--ef must ascend");
    let settings = library::Settings {
        folders: args.datasets,
        contenders: args.contenders,
        m: args.m,
        ef_construction: args.ef_construction,
        efs: args.ef,
        k: args.k,
        rounds: args.rounds,
        search_s: args.seconds,
        environment: args.environment,
        peers: args.peers,
    };
    let results = library::run(&settings)?;
    println!("{}", results.tables(&settings));
    let provenance = Provenance::collect();
    let document = Document { kind: "library", provenance: &provenance, settings: &settings, results: &results };
    let path = document.write(&args.out, &args.label)?;
    let caption = format!("{}, one thread, CPU time, M {}, {}", provenance.cpu, settings.m, provenance.date);
    for (dataset, picture) in results.plots(&settings, &caption) {
        let path = path.with_extension(format!("{dataset}.svg"));
        std::fs::write(&path, picture)?;
        note(format!("drawn: {}", path.display()));
    }
    finish(&path, &results.bounds, args.check)
}

fn finish(path: &Path, bounds: &[Bound], check: bool) -> Result<ExitCode> {
    note(format!("written: {}", path.display()));
    if !check {
        return Ok(ExitCode::SUCCESS);
    }
    for bound in bounds {
        println!("{}", bound.verdict());
    }
    Ok(if bounds.iter().all(Bound::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_documents(args: DocumentsArgs) -> Result<ExitCode> {
    ensure!(args.documents > 0 && args.questions > 0 && args.vectors > 0, "nothing to ask, or nothing to ask about");
    ensure!(args.seconds > 0.0 && args.rounds > 0 && args.ef.is_sorted() && !args.ef.is_empty(), "--ef must ascend");
    let settings = documents::Settings {
        documents: args.documents,
        questions: args.questions,
        vectors: args.vectors,
        efs: args.ef,
        k: 10,
        search_s: args.seconds,
        rounds: args.rounds,
        libraries: args.libraries.into_iter().filter(|name| !name.is_empty()).collect(),
        dataset: args.dataset,
        environment: args.environment,
        peers: args.peers,
    };
    let specs = if args.no_server { Vec::new() } else { args.common.prepare()? };
    let results = documents::run(specs.iter().find(|spec| spec.name == "quiver"), &settings)?;
    println!("{}", results.tables());
    let provenance = Provenance::collect();
    let document = Document { kind: "documents", provenance: &provenance, settings: &settings, results: &results };
    args.common.finish(&document.write(&args.common.out, &args.common.label)?, &results.bounds)
}

fn run_snapshot(args: SnapshotArgs) -> Result<ExitCode> {
    ensure!(args.keys > 0 && args.pipeline > 0 && args.seconds > 0.0, "--keys, --pipeline, --seconds: not positive");
    let settings = snapshot::Settings {
        keys: args.keys,
        key_bytes: args.key_bytes,
        value_bytes: args.value_bytes,
        connections: args.connections,
        pipeline: args.pipeline,
        run_s: args.seconds,
        vectors: args.vectors,
        dim: args.dim,
    };
    let rows = snapshot::run(&args.common.prepare()?, &settings)?;
    println!("{}", snapshot::table(&rows));
    let provenance = Provenance::collect();
    let document = Document { kind: "snapshot", provenance: &provenance, settings: &settings, results: &rows };
    args.common.finish(&document.write(&args.common.out, &args.common.label)?, &[])
}

fn run_replication(args: ReplicationArgs) -> Result<ExitCode> {
    ensure!(args.keys > 0 && args.pipeline > 0 && args.seconds > 0.0, "--keys, --pipeline, --seconds: not positive");
    let settings = replication::Settings {
        keys: args.keys,
        key_bytes: args.key_bytes,
        value_bytes: args.value_bytes,
        connections: args.connections,
        pipeline: args.pipeline,
        run_s: args.seconds,
        rounds: args.rounds,
        behind: args.behind,
    };
    let rows = replication::run(&args.common.prepare()?, &settings)?;
    println!("{}", replication::table(&rows));
    let provenance = Provenance::collect();
    let document = Document { kind: "replication", provenance: &provenance, settings: &settings, results: &rows };
    args.common.finish(&document.write(&args.common.out, &args.common.label)?, &[])
}

impl CommonArgs {
    /// Pins this thread and lists the servers to start.
    fn prepare(&self) -> Result<Vec<ServerSpec>> {
        let default = || Path::new(QUIVER_DEFAULT).is_file().then(|| QUIVER_DEFAULT.to_owned());
        let quiver = self.quiver.clone().or_else(default);
        if quiver.is_none() {
            note(format!("no {QUIVER_DEFAULT}: only peers are measured (cargo build --release -p quiver-server)"));
        }
        let cores = Cores { server: self.server_core, generator: self.generator_core };
        let cores = (!self.no_pin).then_some(cores);
        let named = [("quiver", &quiver), ("redis", &self.redis), ("valkey", &self.valkey)];
        let spec = |(index, (name, command)): (usize, (&str, &Option<String>))| {
            let (name, command) = (name.to_owned(), command.clone()?);
            Some(ServerSpec { name, command, port: self.port + index as u16, cores })
        };
        let specs: Vec<ServerSpec> = named.into_iter().enumerate().filter_map(spec).collect();
        ensure!(!specs.is_empty(), "nothing to measure: give --quiver, --redis or --valkey");
        if let Some(cores) = cores {
            pin_this_thread(cores.generator)?;
        }
        Ok(specs)
    }

    fn finish(&self, path: &Path, bounds: &[Bound]) -> Result<ExitCode> {
        finish(path, bounds, self.check)
    }
}
