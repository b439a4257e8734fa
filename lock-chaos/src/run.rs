//! One run, from the first server to the verdict.

use std::{fs, sync::Arc, time::Duration};

use yourturn::Memory;

use crate::{
    chronicle::Chronicle,
    cli::Arguments,
    cluster::{self, Cluster, Ways},
    crew::{Crew, CrewPlan},
    judge::{Case, story::Story},
    nemesis::{Nemesis, Terms, schedule},
    register::Registers,
    report::Report,
};

/// What sessions leave behind is gone within this, once all are closed and nothing is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether all was well.
pub(crate) async fn run(arguments: &Arguments) -> Result<bool, String> {
    // Whoever is told to end cleans up: everything that was started ends with what is dropped here.
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| error.to_string())?;
    tokio::select! { biased;
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        _ = terminate.recv() => Err("terminated".to_owned()),
        outcome = judged(arguments) => outcome,
    }
}

async fn judged(arguments: &Arguments) -> Result<bool, String> {
    if let Some(folder) = &arguments.report {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let file = arguments.report.as_ref().map(|folder| folder.join("history.jsonl"));
    let chronicle = Chronicle::new(file.as_deref())?;
    let (nodes, locks) = (usize::from(arguments.nodes), usize::from(arguments.locks));
    let cluster = cluster::start(arguments.backend, nodes, locks, &chronicle).await?;
    let version = match &cluster {
        Some(cluster) => cluster.version().await?,
        None => "memory".to_owned(),
    };
    let registers = Arc::new(Registers::new(!arguments.broken_client));
    let raged = rage(arguments, cluster.clone(), Arc::clone(&registers), &chronicle).await;
    // However it went: servers that do not come back say why.
    if let (Some(folder), Some(cluster)) = (&arguments.report, &cluster) {
        for (number, log) in cluster.logs().iter().enumerate() {
            let file = folder.join(format!("s{number}.log"));
            fs::write(&file, log).map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    raged?;
    let (left, truth) = match cluster {
        Some(cluster) => (left_in_the_end(&*cluster, &chronicle).await?, Some(cluster.truth().await?)),
        None => (Vec::new(), None),
    };
    let records = chronicle.finish().map_err(|error| format!("the history: {error}"))?;
    let story = Story::read(&records);
    let registers = registers.all();
    let case = Case {
        story: &story,
        registers: &registers,
        truth: truth.as_ref(),
        left: &left,
        ttl: arguments.ttl(),
    };
    let verdict = case.judge();
    let report = Report::new(arguments, &version, &case, &verdict, &records);
    print!("{}", report.text());
    if let Some(folder) = &arguments.report {
        report.write(folder)?;
    }
    Ok(verdict.violations.is_empty())
}

/// Starts the clients, breaks what is to be broken, and lets everybody finish.
async fn rage(
    arguments: &Arguments,
    cluster: Option<Arc<dyn Cluster>>,
    registers: Arc<Registers>,
    chronicle: &Chronicle,
) -> Result<(), String> {
    let clients = usize::from(arguments.clients);
    let doors = cluster.as_ref().map_or_else(|| Ok(Vec::new()), |cluster| cluster.doors())?;
    let ways = Ways::new(clients, &doors).await.map_err(|error| error.to_string())?;
    let uri = |ways: &Vec<_>| match &cluster {
        Some(cluster) => cluster.uri(ways, arguments.ttl()),
        None => "memory://chaos".to_owned(),
    };
    let plan = CrewPlan {
        uris: ways.starts().iter().map(uri).collect(),
        memory: cluster.is_none().then(Memory::new),
        registers: registers.serve().await.map_err(|error| error.to_string())?,
        seed: arguments.seed,
        workers: arguments.workers.into(),
        lines: arguments.locks.into(),
        ttl: arguments.ttl(),
        long_holds: arguments.long_holds,
        broken: arguments.broken_client,
    };
    let crew = Crew::start(plan, chronicle.clone()).await.map_err(|error| error.to_string())?;
    let crew = Arc::new(crew);
    let terms = Terms {
        seed: arguments.seed,
        time: arguments.time(),
        every: Duration::from_millis(arguments.every),
        ttl: arguments.ttl(),
        clients,
        nodes: usize::from(arguments.nodes),
        kinds: arguments.faults.of(arguments.backend, usize::from(arguments.nodes)),
    };
    let nemesis = Nemesis::new(Arc::clone(&crew), cluster, ways, chronicle.clone());
    let watching = tokio::spawn(Arc::clone(&nemesis).watch_leader());
    let raged = Arc::clone(&nemesis).rage(schedule(&terms)).await;
    watching.abort();
    let _it_was_aborted = watching.await;
    raged?;
    crew.stop().await
}

/// What is left once there was time for it to go.
async fn left_in_the_end(cluster: &dyn Cluster, chronicle: &Chronicle) -> Result<Vec<String>, String> {
    let end = chronicle.now() + PATIENCE;
    loop {
        let left = cluster.left().await?;
        if left.is_empty() || chronicle.now() > end {
            return Ok(left);
        }
        chronicle.sleep(Duration::from_millis(200)).await;
    }
}
