//! KEDA's external scaler: the wanted replicas as a metric whose target is 1, so that the autoscaler, which takes the
//! largest of its metrics, never goes below them. What is wanted is read from the ScaledObject, so that every replica
//! of headroom answers the same; where nothing can be said the answer is an error, never 0.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use futures::stream::unfold;
use kube::ResourceExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::lever::Means;
use super::status::Sight;
use super::survey::Surveyed;
use proto::external_scaler_server::{ExternalScaler, ExternalScalerServer};
use proto::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec, MetricValue,
    ScaledObjectRef,
};

/// As `proto/externalscaler.proto` defines it.
#[allow(clippy::all, clippy::disallowed_methods, missing_docs)]
pub mod proto {
    tonic::include_proto!("externalscaler");
}

/// The one metric. KEDA puts its own prefix before it.
pub const METRIC: &str = "headroom-replicas";

/// What is answered about one ScaledObject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Headroom wants this many.
    Floor(u32),
    /// It wants nothing: what the owner has anyway.
    Owner(u32),
    /// No span tells whether it would.
    Blind,
}

/// By namespace and name of the ScaledObject.
pub type Answers = BTreeMap<(String, String), Wanted>;

/// The answers that follow from a survey.
pub fn answers(surveyed: &[Surveyed], sight: &Sight) -> Answers {
    let found = surveyed.iter().filter_map(|one| Some((one, one.found.as_ref().ok()?)));
    let external = found.filter(|(_, found)| found.lever.means == Means::ExternalScaler);
    let answer = |(one, found): (&Surveyed, &super::survey::Found)| {
        let object = &found.lever.object;
        let seen = sight.findings.service(found.workload.service.as_str()).is_some() && !sight.findings.blind;
        let wanted = match (found.lever.floor(), seen) {
            // Written on the object, so it holds whatever is seen.
            (Some(floor), _) => Wanted::Floor(floor.wanted),
            (None, true) => Wanted::Owner(one.objective.spec.min_replicas.max(1)),
            (None, false) => Wanted::Blind,
        };
        ((object.namespace().unwrap_or_default(), object.name_any()), wanted)
    };
    external.map(answer).collect()
}

/// Serves until the process ends.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    answers: watch::Receiver<Arc<Answers>>,
) -> Result<(), tonic::transport::Error> {
    let service = ExternalScalerServer::new(Scaler { answers });
    Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)).await
}

struct Scaler {
    answers: watch::Receiver<Arc<Answers>>,
}

type Stated = Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;

fn wanted(answers: &Answers, of: &ScaledObjectRef) -> Result<Wanted, Status> {
    let key = (of.namespace.clone(), of.name.clone());
    answers.get(&key).cloned().ok_or_else(|| {
        Status::not_found(format!("no ServiceObjective opts in what {}/{} scales; create one", of.namespace, of.name))
    })
}

fn is_active(answers: &Answers, of: &ScaledObjectRef) -> Result<bool, Status> {
    // Without a wish of its own it keeps nothing from zero.
    Ok(matches!(wanted(answers, of)?, Wanted::Floor(_)))
}

#[tonic::async_trait]
impl ExternalScaler for Scaler {
    async fn is_active(&self, request: Request<ScaledObjectRef>) -> Result<Response<IsActiveResponse>, Status> {
        let result = is_active(&self.answers.borrow(), request.get_ref())?;
        Ok(Response::new(IsActiveResponse { result }))
    }

    type StreamIsActiveStream = Stated;

    async fn stream_is_active(&self, request: Request<ScaledObjectRef>) -> Result<Response<Stated>, Status> {
        let (of, answers) = (request.into_inner(), self.answers.clone());
        let next = |(of, mut answers, last): (ScaledObjectRef, watch::Receiver<Arc<Answers>>, Option<bool>)| async move {
            loop {
                let now = is_active(&answers.borrow_and_update(), &of);
                match now {
                    Ok(result) if last != Some(result) => {
                        return Some((Ok(IsActiveResponse { result }), (of, answers, Some(result))));
                    }
                    // What is not opted in yet may be later.
                    Ok(_) | Err(_) => answers.changed().await.ok()?,
                }
            }
        };
        Ok(Response::new(Box::pin(unfold((of, answers, None), next))))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        wanted(&self.answers.borrow(), request.get_ref())?;
        let spec = MetricSpec { metric_name: METRIC.into(), target_size: 1, target_size_float: 1.0 };
        Ok(Response::new(GetMetricSpecResponse { metric_specs: vec![spec] }))
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Result<Response<GetMetricsResponse>, Status> {
        let of = request.into_inner().scaled_object_ref.unwrap_or_default();
        let replicas = match wanted(&self.answers.borrow(), &of)? {
            Wanted::Floor(replicas) | Wanted::Owner(replicas) => replicas,
            Wanted::Blind => return Err(Status::unavailable("no spans of its service arrive; nothing is known of it")),
        };
        let value = MetricValue {
            metric_name: METRIC.into(),
            metric_value: replicas.into(),
            metric_value_float: replicas.into(),
        };
        Ok(Response::new(GetMetricsResponse { metric_values: vec![value] }))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::proto::external_scaler_client::ExternalScalerClient;
    use super::*;

    fn of(name: &str) -> ScaledObjectRef {
        ScaledObjectRef { name: name.into(), namespace: "shop".into(), ..ScaledObjectRef::default() }
    }

    #[tokio::test]
    async fn a_client_is_told_the_floor_or_why_there_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let told = |name: &str, wanted| (("shop".to_owned(), name.to_owned()), wanted);
        let all = [told("auth", Wanted::Owner(2)), told("blind", Wanted::Blind)];
        let (answers_in, answers) = watch::channel(Arc::new(Answers::from(all)));
        tokio::spawn(serve(listener, answers));
        let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let mut client = ExternalScalerClient::new(channel);

        let spec = client.get_metric_spec(of("auth")).await.unwrap().into_inner();
        assert_eq!((spec.metric_specs[0].metric_name.as_str(), spec.metric_specs[0].target_size), (METRIC, 1));
        let metrics = |name: &str| GetMetricsRequest { scaled_object_ref: Some(of(name)), metric_name: METRIC.into() };
        let value = client.get_metrics(metrics("auth")).await.unwrap().into_inner();
        assert_eq!(value.metric_values[0].metric_value, 2);
        assert_eq!(client.get_metrics(metrics("blind")).await.unwrap_err().code(), tonic::Code::Unavailable);
        assert_eq!(client.is_active(of("other")).await.unwrap_err().code(), tonic::Code::NotFound);

        let mut stream = client.stream_is_active(of("auth")).await.unwrap().into_inner();
        assert!(!stream.next().await.unwrap().unwrap().result);
        answers_in.send_replace(Arc::new(Answers::from([told("auth", Wanted::Floor(9))])));
        assert!(stream.next().await.unwrap().unwrap().result, "pushed when it changes");
        let value = client.get_metrics(metrics("auth")).await.unwrap().into_inner();
        assert_eq!(value.metric_values[0].metric_value, 9);
    }
}
