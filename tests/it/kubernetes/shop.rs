//! Services that a test opts in, and a `headroom serve` beside them with the rights of the shipped chart and no others.

use std::path::{Path, PathBuf};

use super::control_plane::ControlPlane;
use super::stage;
use crate::process::Daemon;

/// The service account of [`Shop::open`], in the namespace of the shop.
const ACCOUNT: &str = "headroom";

/// What giving back waits for, cut from minutes to seconds so that a test sees it. Everything else is as shipped.
pub const IMPATIENT: &str = "guard:
  scale_in_cooldown: 3s
  scale_in_after_scale_out: 10s
  panic_hold: 3s
  stabilisation: 10s
";

/// A namespace with services in it, on a cluster whose CRDs are there.
pub struct Shop<'a> {
    pub cluster: &'a ControlPlane,
    pub namespace: &'static str,
    directory: PathBuf,
}

impl<'a> Shop<'a> {
    /// Installs the CRD, the namespace, and what the chart grants to headroom. `directory` is for its files.
    pub fn open(cluster: &'a ControlPlane, namespace: &'static str, directory: &Path) -> Shop<'a> {
        stage::define(cluster);
        cluster.kubectl(&["create", "namespace", namespace]);
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/helm/headroom");
        let template = ["template", ACCOUNT, chart.to_str().unwrap(), "--namespace", namespace];
        let rights = cluster.program("helm", &[&template[..], &["--show-only", "templates/rbac.yaml"]].concat(), "");
        cluster.apply(&rights.unwrap());
        Shop { cluster, namespace, directory: directory.to_owned() }
    }

    /// Deployments of two pods each, which start within a second and a half.
    pub fn add(&self, names: &[&str]) {
        let deployment = |name: &&str| stage::deployment(self.namespace, name, 2);
        self.cluster.apply(&names.iter().map(deployment).collect::<String>());
    }

    /// Opts Deployments in.
    pub fn opt_in(&self, names: &[&str]) {
        let objective = |name: &&str| stage::objective(self.namespace, name, "");
        self.cluster.apply(&names.iter().map(objective).collect::<String>());
    }

    /// A kubeconfig of headroom's service account, through `server`: the cluster's own or a proxy's.
    pub fn kubeconfig(&self, server: &str) -> PathBuf {
        self.cluster.kubeconfig_of(self.namespace, ACCOUNT, server)
    }

    /// As whom the audit log has it.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{ACCOUNT}", self.namespace)
    }

    /// A home for a replica of headroom; `more` is further configuration. `otlp` is where it takes spans over HTTP.
    pub fn home(&self, identity: &str, otlp: &str, more: &str) -> Home {
        let home = self.directory.join(identity);
        std::fs::create_dir(&home).unwrap();
        let configuration = format!(
            "mode: enforce
default_objective: {{ latency: 400ms }}
receive: {{ grpc: \"127.0.0.1:0\", http: \"{otlp}\" }}
api: {{ listen: \"127.0.0.1:0\" }}
journal: {{ path: journal.jsonl }}
rules: {{ directory: rules }}
cluster: {{ kubernetes: {{ namespace: {}, identity: {identity}, scaler: \"127.0.0.1:0\" }} }}
{more}",
            self.namespace
        );
        std::fs::write(home.join("headroom.yaml"), configuration).unwrap();
        std::fs::create_dir(home.join("rules")).unwrap();
        for (name, rule) in [
            ("scale_out_bottleneck.rhai", include_str!("../../../rules/scale_out_bottleneck.rhai")),
            ("scale_in_idle.rhai", include_str!("../../../rules/scale_in_idle.rhai")),
        ] {
            // The rule asks for five minutes, which the guard would not shorten.
            let rule = rule.replace("STABILISATION = minutes(5)", "STABILISATION = seconds(10)");
            std::fs::write(home.join("rules").join(name), rule).unwrap();
        }
        Home(home)
    }
}

/// Where a replica's configuration and journal lie; it may be started there again and again.
pub struct Home(PathBuf);

impl Home {
    pub fn serve(&self, kubeconfig: &Path) -> Daemon {
        Daemon::start_with(
            &self.0,
            &["--config", "headroom.yaml", "--log", stage::LOG],
            &[("KUBECONFIG", kubeconfig.to_str().unwrap())],
        )
    }

    pub fn journal(&self) -> Vec<serde_json::Value> {
        let journal = std::fs::read_to_string(self.0.join("journal.jsonl")).unwrap();
        journal.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// An address on loopback that is free now, for a daemon that is to be started there more than once.
pub fn address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
