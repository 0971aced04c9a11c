//! On a real Kubernetes control plane: etcd, API server, controller manager, scheduler, and kwok as the kubelet.
//!
//! `tests/control-plane/build.sh` builds the programs; its README says what is there.

mod closed_loop;
mod control_plane;
mod deploy;
mod faults;
mod harness;
mod learnt;
mod pods;
mod share;
mod stage;
mod traffic;
