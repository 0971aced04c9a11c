//! A metrics server, of which an autoscaler learns what pods use: `metrics.k8s.io/v1beta1` behind the API server's
//! aggregation layer. There are no containers to measure, so each Deployment's pods together use one core in ten.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Json, Router, routing};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::control_plane::ControlPlane;
use super::faults::TlsListener;

/// Of all pods that a query matches: with requests of 100m each and a target of half of it, two are enough.
const USED_MILLICORES: f64 = 100.0;

/// Ends when it drops; the APIService stays.
pub struct MetricsServer {
    _runtime: tokio::runtime::Runtime,
}

impl MetricsServer {
    pub fn start(cluster: &ControlPlane) -> MetricsServer {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(super::client(&cluster.kubeconfig()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_file(cluster.file("apiserver.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(cluster.file("apiserver.key")).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = tcp.local_addr().unwrap().port();
        let listener = TlsListener { tcp, tls: TlsAcceptor::from(Arc::new(server)) };
        let router = Router::new()
            .route("/apis/metrics.k8s.io/v1beta1", routing::get(kinds))
            .route("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", routing::get(pods))
            .with_state(client);
        runtime.spawn(async { axum::serve(listener, router).await });
        cluster.apply(&format!(
            "apiVersion: v1
kind: Service
metadata: {{ name: metrics, namespace: kube-system }}
spec: {{ type: ExternalName, externalName: localhost, ports: [{{ port: {port} }}] }}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{ name: v1beta1.metrics.k8s.io }}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {{ name: metrics, namespace: kube-system, port: {port} }}
"
        ));
        cluster.kubectl(&["wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=60s"]);
        MetricsServer { _runtime: runtime }
    }
}

async fn kinds() -> Json<Value> {
    let pods =
        json!({"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]});
    Json(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1", "resources": [pods],
    }))
}

#[derive(serde::Deserialize)]
struct Selected {
    #[serde(default, rename = "labelSelector")]
    labels: String,
}

async fn pods(
    State(client): State<Client>,
    Path(namespace): Path<String>,
    Query(Selected { labels }): Query<Selected>,
) -> Json<Value> {
    let api = Api::<Pod>::namespaced(client, &namespace);
    let pods = api.list(&ListParams::default().labels(&labels)).await.unwrap().items;
    let each = format!("{:.0}m", USED_MILLICORES / pods.len().max(1) as f64);
    let now = k8s_openapi::jiff::Timestamp::now();
    let metrics = |pod: &Pod| {
        json!({
            "metadata": {"name": pod.name_any(), "namespace": namespace},
            "timestamp": now, "window": "1s",
            "containers": [{"name": "web", "usage": {"cpu": each, "memory": "1Mi"}}],
        })
    };
    let items: Vec<Value> = pods.iter().map(metrics).collect();
    Json(json!({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}))
}
