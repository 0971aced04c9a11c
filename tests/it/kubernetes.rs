//! On a real Kubernetes control plane: etcd, API server, controller manager, scheduler, and kwok as the kubelet.
//!
//! `tests/control-plane/build.sh` builds the programs; its README says what is there.

mod audit;
mod bursts;
mod chaos;
mod chart;
mod closed_loop;
mod control_plane;
mod deploy;
mod faults;
mod give_back;
mod harness;
mod keda;
mod learnt;
mod metrics_server;
mod pods;
mod share;
mod shop;
mod stage;
mod traffic;
mod weights;

/// A client of whoever a kubeconfig is for.
async fn client(kubeconfig: &std::path::Path) -> kube::Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}
