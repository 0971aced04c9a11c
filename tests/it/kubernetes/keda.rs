//! What KEDA does with an external scaler, and the autoscaler it makes with the answer: asks, and sets the replicas.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use headroom::act::kubernetes::scaler::METRIC;
use headroom::act::kubernetes::scaler::proto::external_scaler_client::ExternalScalerClient;
use headroom::act::kubernetes::scaler::proto::{GetMetricsRequest, ScaledObjectRef};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::process::Daemon;

/// As often as the control plane of the tests has its autoscalers look.
const EVERY: Duration = Duration::from_secs(1);

/// The name under which it writes.
pub const MANAGER: &str = "keda-stand-in";

pub struct Keda {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Where the external scaler of a daemon listens.
pub fn address(daemon: &Daemon) -> String {
    let said = daemon.seen.iter().find(|line| line["message"] == "the external scaler listens").unwrap();
    said["scaler"].as_str().unwrap().to_owned()
}

/// What the external scaler answers about a ScaledObject.
pub async fn ask(address: &str, namespace: &str, name: &str) -> Result<i64, tonic::Code> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = ExternalScalerClient::new(endpoint.connect().await.map_err(|_| tonic::Code::Unavailable)?);
    let scaled_object_ref =
        Some(ScaledObjectRef { name: name.into(), namespace: namespace.into(), ..ScaledObjectRef::default() });
    let answer = client.get_metrics(GetMetricsRequest { scaled_object_ref, metric_name: METRIC.into() }).await;
    answer.map(|answer| answer.into_inner().metric_values[0].metric_value).map_err(|status| status.code())
}

impl Keda {
    /// Keeps the Deployments of these ScaledObjects, which have their names, at what `address` answers, between two and
    /// `most` replicas.
    pub fn start(kubeconfig: &Path, address: String, namespace: &'static str, names: &[&str], most: i64) -> Keda {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, kubeconfig) = (stop.clone(), kubeconfig.to_owned());
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(keep(kubeconfig, address, namespace, &names, most, &stopped));
        });
        Keda { stop, thread: Some(thread) }
    }
}

impl Drop for Keda {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(
    kubeconfig: PathBuf,
    address: String,
    namespace: &str,
    names: &[String],
    most: i64,
    stopped: &AtomicBool,
) {
    let deployments = Api::<Deployment>::namespaced(super::client(&kubeconfig).await, namespace);
    while !stopped.load(Ordering::Relaxed) {
        for name in names {
            // An error is no answer: what there is stays.
            let Ok(wanted) = ask(&address, namespace, name).await else { continue };
            let wanted = wanted.clamp(2, most);
            let there = deployments.get_scale(name).await.unwrap();
            if there.spec.and_then(|spec| spec.replicas).map(i64::from) != Some(wanted) {
                let manager = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
                let patch = Patch::Merge(json!({"spec": {"replicas": wanted}}));
                deployments.patch_scale(name, &manager, &patch).await.unwrap();
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
