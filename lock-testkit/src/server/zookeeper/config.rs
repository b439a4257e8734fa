//! How a server is started: its program, arguments and configuration.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{ZooKeeperOptions, server::Site};
use crate::server::{ServerTls, find, text};

const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
const CLASS_PATH: &str = "YOURTURN_ZOOKEEPER_CLASSPATH";
/// Where Debian has it; the jar names the others that it needs, but none that writes a log, and not all that it
/// takes to speak TLS.
const DEBIAN: [&str; 4] = [
    "/usr/share/java/zookeeper.jar",
    "/usr/share/java/slf4j-simple.jar",
    "/usr/share/java/netty-codec.jar",
    "/usr/share/java/netty-resolver.jar",
];

/// A small process that starts soon.
const MACHINE: [&str; 6] = [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    // Or it leaves a file behind when it is killed.
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
];

/// Of ZooKeeper and its log.
const PROPERTIES: [&str; 9] = [
    "zookeeper.admin.enableServer=false",
    "zookeeper.4lw.commands.whitelist=*",
    // In KB. Its own is 64 MB for each log, which may be in memory.
    "zookeeper.preAllocSize=64",
    // In ms. Who votes alone asks the others less and less often, and would be late after a minute of it.
    "zookeeper.fastleader.maxNotificationInterval=500",
    // In ms: how long it waits for a voter who does not answer, and meanwhile for none of the others.
    "zookeeper.cnxTimeout=500",
    "org.slf4j.simpleLogger.showDateTime=true",
    "org.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    // It says each time that somebody asks how it is.
    "org.slf4j.simpleLogger.log.org.apache.zookeeper.server.NIOServerCnxn=warn",
    "org.slf4j.simpleLogger.log.org.apache.zookeeper.server.NettyServerCnxn=warn",
];

/// The longest session that a client gets, in ms; the shortest is two ticks.
const LONGEST_SESSION: u32 = 60_000;

/// The program and its class path.
pub(super) struct Installed {
    pub(super) java: PathBuf,
    class_path: String,
}

/// Finds the program.
pub(super) fn installed() -> Result<Installed, String> {
    let java = find("YOURTURN_JAVA", "java").ok_or(
        "there is no java: install it (Debian's package is default-jre-headless), or name the program in YOURTURN_JAVA",
    )?;
    let named = std::env::var(CLASS_PATH).ok().filter(|named| !named.is_empty());
    let debian = || DEBIAN.iter().all(|jar| Path::new(jar).is_file()).then(|| DEBIAN.join(":"));
    let class_path = named.or_else(debian).ok_or_else(|| {
        format!("there is no ZooKeeper: install it (Debian's package is libzookeeper-java), or name its jars in {CLASS_PATH}")
    })?;
    Ok(Installed { java, class_path })
}

/// The arguments of a server with this configuration, whose connections to the others go out there.
pub(super) fn arguments(
    installed: &Installed,
    options: &ZooKeeperOptions,
    way_out: Option<SocketAddr>,
    configuration: &Path,
) -> Vec<String> {
    let mut properties: Vec<String> = PROPERTIES.map(str::to_owned).to_vec();
    properties.extend([
        format!("zookeeper.forceSync={}", if options.durable { "yes" } else { "no" }),
        format!("znode.container.checkIntervalMs={}", options.container_check.as_millis()),
        format!("readonlymode.enabled={}", options.read_only),
    ]);
    if let Some(out) = way_out {
        properties.push(format!("socksProxyHost={}", out.ip()));
        properties.push(format!("socksProxyPort={}", out.port()));
        // Not even for addresses of this machine, as would be the case if it were not there.
        properties.push("socksNonProxyHosts=".to_owned());
    }
    properties.extend(options.properties.iter().cloned());
    let properties = properties.into_iter().map(|property| format!("-D{property}"));
    let program = ["-cp".to_owned(), installed.class_path.clone(), MAIN.to_owned(), text(configuration)];
    let machine = MACHINE.into_iter().map(str::to_owned).chain(options.arguments.iter().cloned());
    machine.chain(properties).chain(program).collect()
}

/// Writes the configuration of one of these servers into its folder, and says where it is.
pub(super) fn write(
    folder: &Path,
    options: &ZooKeeperOptions,
    number: usize,
    sites: &[Site],
) -> io::Result<PathBuf> {
    let site = sites.get(number).ok_or(io::ErrorKind::NotFound)?;
    let data = folder.join(format!("s{number}"));
    fs::create_dir(&data)?;
    fs::write(data.join("myid"), id(number).to_string())?;
    let mut lines = vec![
        format!("dataDir={}", data.display()),
        format!("clientPortAddress={}", site.client.address().ip()),
        format!("clientPort={}", site.client.number()),
        format!("tickTime={}", options.tick.as_millis()),
        format!("initLimit={}", options.init_limit),
        format!("syncLimit={}", options.sync_limit),
        format!("maxSessionTimeout={LONGEST_SESSION}"),
        "maxClientCnxns=0".to_owned(),
    ];
    // One that is named there alone would be an ensemble of one.
    for (number, site) in sites.iter().enumerate().filter(|_| sites.len() > 1) {
        let (quorum, election) = (site.quorum.address(), site.election.number());
        lines.push(format!("server.{}={quorum}:{election}", id(number)));
    }
    if let (Some(port), Some(tls)) = (&site.secure, &options.tls) {
        lines.extend(secure_lines(port.address(), tls, folder.join(format!("s{number}.pem")))?);
    }
    lines.extend(options.lines.iter().cloned());
    let file = folder.join(format!("s{number}.cfg"));
    fs::write(&file, lines.join("\n") + "\n")?;
    Ok(file)
}

/// What makes a server listen there for TLS; its certificate goes into a file with the key, as it wants it.
fn secure_lines(listen: SocketAddr, tls: &ServerTls, store: PathBuf) -> io::Result<Vec<String>> {
    fs::write(&store, [fs::read(&tls.key)?, fs::read(&tls.certificate)?].concat())?;
    let mut lines = vec![
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
        format!("secureClientPortAddress={}", listen.ip()),
        format!("secureClientPort={}", listen.port()),
        "ssl.keyStore.type=PEM".to_owned(),
        format!("ssl.keyStore.location={}", store.display()),
    ];
    lines.push(format!("ssl.clientAuth={}", if tls.clients.is_some() { "need" } else { "none" }));
    if let Some(clients) = &tls.clients {
        lines.push("ssl.trustStore.type=PEM".to_owned());
        lines.push(format!("ssl.trustStore.location={}", clients.display()));
    }
    Ok(lines)
}

/// By what number the servers know one of them.
const fn id(number: usize) -> usize {
    number + 1
}
